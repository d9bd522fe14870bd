"""A context that is not sent, but named."""

from __future__ import annotations

from pathlib import Path

from wherry.build.context.context import Context
from wherry.build.context.git import fetch_git
from wherry.build.context.giturl import is_git, parse_git
from wherry.build.context.http import fetch_context
from wherry.build.threads import Stop


def open_remote(
    url: str, folder: Path, stop: Stop | None = None, agent: Path | None = None
) -> Context:
    """The context at `url`: a git repository, an archive, or a Dockerfile's text, over http, https,
    git or ssh and nothing else. Blocks; `stop` breaks it off. `agent` is
    the one that ssh asks for keys.

    Raises as fetch_git and fetch_context do, without a password of the URL in any message.
    """
    if is_git(url):
        return fetch_git(parse_git(url), folder, agent=agent, stop=stop)
    return fetch_context(url, folder, stop)
