"""What a build copies from: a tar that a client sends, a URL, a git repository.

    with open_upload(stream, folder) as context:
        with context.tree.open(b"src/main.c") as file:
            ...

None of them is ever unpacked. An archive is kept as it came, in a file without a name, and indexed
while it comes; what a step copies are ranges of that file.
"""

from wherry.build.context.context import Context
from wherry.build.context.selecting import ContextFiles, Folder, SelectedTree, ignore_patterns
from wherry.build.context.tree import ContextTree
from wherry.build.context.upload import open_upload

__all__ = [
    "Context",
    "ContextFiles",
    "ContextTree",
    "Folder",
    "SelectedTree",
    "ignore_patterns",
    "open_upload",
]
