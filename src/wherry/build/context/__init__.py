"""What a build copies from: a tar that a client sends, a URL, a git repository.

    with open_upload(stream, folder) as context:
        with context.tree.open(b"src/main.c") as file:
            ...

None of them is ever unpacked. An archive is kept as it came, in a file without a name, and indexed
while it comes; what a step copies are ranges of that file.
"""

from wherry.build.context.context import Context
from wherry.build.context.git import fetch_git
from wherry.build.context.giturl import GitSource, is_git, parse_git
from wherry.build.context.http import Fetched, fetch_context, fetch_url
from wherry.build.context.remote import open_remote
from wherry.build.context.selecting import ContextFiles, Folder, SelectedTree, ignore_patterns
from wherry.build.context.tree import ContextTree
from wherry.build.context.upload import open_upload

__all__ = [
    "Context",
    "ContextFiles",
    "ContextTree",
    "Fetched",
    "Folder",
    "GitSource",
    "SelectedTree",
    "fetch_context",
    "fetch_git",
    "fetch_url",
    "ignore_patterns",
    "is_git",
    "open_remote",
    "open_upload",
    "parse_git",
]
