"""What ADD fetches: files of URLs, and git repositories."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.build.context import Fetched, fetch_git, fetch_url, is_git, parse_git
from wherry.build.copying import GivenFile, GivenTree
from wherry.build.copying.fetched import parse_checksum
from wherry.build.dockerfile import Add
from wherry.build.threads import Stop

_PIECE: Final = 1 << 20


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
    return _given(source, fetched, add, stop)


def _given(url: str, fetched: Fetched, add: Add, stop: Stop) -> GivenFile:
    tree, path = fetched.context.tree, fetched.name.encode(errors="surrogateescape")
    node = tree.node(path)
    if node is None:
        raise errdefs.internal(f"what was fetched from {url} is not there")
    if add.checksum:
        _verify(fetched, add.checksum, stop)
    return GivenFile(
        fetched.name,
        node.size,
        tree.content_digest(path),
        lambda: tree.open(path),
        node.mode,
        node.mtime_ns,
        unpack=bool(add.unpack),
    )


def _verify(fetched: Fetched, checksum: str, stop: Stop) -> None:
    algorithm, wanted = parse_checksum(checksum)
    hasher = hashlib.new(algorithm)
    with fetched.context.tree.open(fetched.name.encode(errors="surrogateescape")) as file:
        while piece := file.read(_PIECE):
            stop.check()
            hasher.update(piece)
    if hasher.hexdigest() != wanted:
        raise errdefs.invalid(
            f"digest mismatch: {fetched.name} has {algorithm}:{hasher.hexdigest()}, and --checksum "
            f"says {checksum}"
        )
