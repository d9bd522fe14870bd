"""Reaches for more than a container may have: JSON of [what, what came of it, was held back]."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def memory() -> tuple[str, bool]:
    hungry = subprocess.run([sys.executable, "-c", "b'x' * (512 << 20)"], check=False)
    if hungry.returncode < 0:
        return f"killed by {signal.Signals(-hungry.returncode).name}", True
    return ("refused", True) if hungry.returncode else ("got it", False)


def processes() -> tuple[str, bool]:
    children: list[subprocess.Popen[bytes]] = []
    try:
        while len(children) < 500:
            children.append(subprocess.Popen(["sleep", "60"]))
    except OSError as error:
        return f"the {len(children) + 1}th: {error.strerror}", True
    finally:
        for child in children:
            child.kill()
            child.wait()
    return "got them", False


def processor() -> tuple[str, bool]:
    begin = time.monotonic()
    while time.monotonic() - begin < 1:
        pass
    got = time.process_time()
    return f"got {got:.2f} s", got < 0.9


def attempt(act: Callable[[], object]) -> tuple[str, bool]:
    try:
        act()
    except OSError as error:
        return error.strerror or str(error), True
    return "done", False


# Time of the processor first: process_time counts what came before.
results = [
    ("a second of a whole processor", *processor()),
    ("512 MB of memory", *memory()),
    ("500 processes", *processes()),
    ("write to the image", *attempt(lambda: Path("/app/server.py").write_text(""))),
    (
        "set the kernel's parameters",
        *attempt(lambda: Path("/proc/sys/kernel/panic").write_text("1")),
    ),
    ("rename the machine", *attempt(lambda: socket.sethostname("mine"))),
    ("reach the network", *attempt(lambda: socket.create_connection(("192.0.2.1", 80), 1))),
]
print(json.dumps(results))
