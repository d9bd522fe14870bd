"""Calls a function of Python source that nobody has read: in a container without network, with
little memory and time, that cannot write anywhere.

    sudo .venv/bin/python examples/sandbox.py guess.py guess 3 '"word"'

Arguments and result are JSON. The image is made of this host's Python.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import wherry

IMAGE = "sandbox-python"

# Runs inside. What the function prints goes to standard error, so that the result is alone.
INSIDE = """
import contextlib, json, sys
asked = json.load(sys.stdin)
names = {"__name__": "sandbox"}
with contextlib.redirect_stdout(sys.stderr):
    exec(compile(asked["source"], "<source>", "exec"), names)
    result = names[asked["function"]](*asked["arguments"])
json.dump(result, sys.stdout)
"""


class SandboxError(Exception):
    """The function has not come to a result; the message says why."""


async def call(
    engine: wherry.AnyEngine,
    source: str,
    function: str,
    *arguments: object,
    seconds: float = 5,
    memory: str = "64m",
) -> object:
    """What `function` of `source` returns. Raises SandboxError."""
    asked = {"source": source, "function": function, "arguments": arguments}
    container = await engine.run(
        IMAGE,
        ["-I", "-c", INSIDE],
        input=json.dumps(asked).encode(),
        network="none",
        user="65534:65534",
        memory=memory,
        memory_swap=memory,
        cpus=1.0,
        pids=16,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        log_opts={"max-size": "1m", "max-file": "1"},
    )
    async with container:  # it goes at the end, if it still runs too
        try:
            code = await asyncio.wait_for(container.wait(), seconds)
        except TimeoutError:
            raise SandboxError(f"it took more than {seconds:g} seconds") from None
        output = await container.output()
        if (await container.inspect()).state.oom_killed:
            raise SandboxError(f"it needed more than {memory} of memory")
        if code != 0:
            said = output.stderr.decode("utf-8", "replace").strip().splitlines()
            raise SandboxError(said[-1] if said else f"it ended with status {code}")
        return json.loads(output.stdout)


async def prepare(engine: wherry.AnyEngine) -> None:
    """Make the image, once."""
    if not await engine.images.exists(IMAGE):
        await engine.images.from_host(IMAGE, "/usr/bin/python3", entrypoint=["/usr/bin/python3"])


async def main() -> int:
    parser = argparse.ArgumentParser(description="Call a function in a container.")
    parser.add_argument("--root", help="the engine's folder (default: the daemon's)")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("file", type=Path)
    parser.add_argument("function")
    parser.add_argument("arguments", nargs="*", help="JSON")
    given = parser.parse_args()
    arguments = [json.loads(text) for text in given.arguments]
    try:
        async with wherry.Engine(given.root) as engine:
            await prepare(engine)
            result = await call(
                engine, given.file.read_text(), given.function, *arguments, seconds=given.seconds
            )
    except (SandboxError, wherry.EngineError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
