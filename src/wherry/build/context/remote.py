"""A context that is not sent, but named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wherry.build.context.context import Context
from wherry.build.context.git import fetch_git
from wherry.build.context.giturl import is_git, parse_git
from wherry.build.context.http import fetch_context


def open_remote(url: str, folder: Path, check: Callable[[], None] = lambda: None) -> Context:
    """The context at `url`: a git repository, an archive, or a Dockerfile's text, over http, https,
    git or ssh and nothing else. Blocks; `check` raises when nobody wants it any more.

    Raises as fetch_git and fetch_context do, without a password of the URL in any message.
    """
    if is_git(url):
        return fetch_git(parse_git(url), folder, check=check)
    return fetch_context(url, folder, check)
