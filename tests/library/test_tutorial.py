"""The code of docs/library.md, run as it stands there."""

import ast
import asyncio
import inspect
import os
import re
from pathlib import Path

import pytest

import wherry
from wherry.build import events

DOCUMENT = Path(__file__).parents[2] / "docs" / "library.md"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
    pytest.mark.skipif(not DOCUMENT.exists(), reason="needs the documents"),
]


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)


async def test_the_tutorial(
    engine: wherry.AnyEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first block is a whole program; the others are what goes into its `async with`."""
    monkeypatch.chdir(tmp_path)
    Path("project").mkdir()
    Path("project/Dockerfile").write_text("FROM busybox\nARG VERSION\nRUN echo $VERSION > /v\n")
    whole, *fragments = blocks()
    assert len(fragments) > 8
    compile(whole, "library.md", "exec")
    await engine.images.from_host("busybox", "busybox")
    names: dict[str, object] = {
        "wherry": wherry, "engine": engine, "asyncio": asyncio, "events": events,
    }  # fmt: skip
    for fragment in fragments:
        code = compile(fragment, "library.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(code, names)
        if inspect.isawaitable(done):
            await done
    for image in await engine.images.list():
        if image.repo_tags != ["box:latest"]:
            await engine.images.remove(image.id, force=True)
