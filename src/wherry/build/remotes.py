"""What ADD fetches: files of URLs, and git repositories."""

from __future__ import annotations

import contextlib
from pathlib import Path

from wherry import errdefs
from wherry.build.checksums import verify
from wherry.build.context import Fetched, fetch_git, fetch_url, is_git, parse_git
from wherry.build.copying import GivenFile, GivenTree
from wherry.build.dockerfile import Add
from wherry.build.threads import Stop


def is_remote(source: str) -> bool:
    """Whether ADD takes the word for an address, and not for a path."""
    return source.startswith(("http://", "https://")) or is_git(source)


def fetch(
    source: str,
    add: Add,
    folder: Path,
    agent: Path | None,
    held: contextlib.ExitStack,
    stop: Stop,
) -> GivenFile | GivenTree:
    """In a thread: what is at the address. `held` lets go of it; `agent` is asked by ssh.

    Raises InvalidArgument for a checksum that is another, and what the fetching raises.
    """
    if is_git(source):
        keep = bool(add.keep_git_dir)
        context = fetch_git(parse_git(source), folder, keep_git_dir=keep, agent=agent, stop=stop)
        held.callback(context.close)
        return GivenTree(context.tree)
    fetched = fetch_url(source, folder, stop)
    held.callback(fetched.context.close)
    return _given(fetched, add, stop)


def _given(fetched: Fetched, add: Add, stop: Stop) -> GivenFile:
    tree, path = fetched.context.tree, fetched.name.encode(errors="surrogateescape")
    node = tree.node(path)
    if node is None:
        raise errdefs.internal(f"{fetched.name}, which was fetched, is not there")
    if add.checksum:
        with tree.open(path) as file:
            verify(fetched.name, file, add.checksum, stop)
    return GivenFile(
        fetched.name,
        node.size,
        tree.content_digest(path),
        lambda: tree.open(path),
        node.mode,
        node.mtime_ns,
        unpack=bool(add.unpack),
    )
