"""A build's context: its files, and what they are without those that .dockerignore names."""

from __future__ import annotations

from dataclasses import dataclass

from wherry.build.context.tree import ContextTree
from wherry.closing import Closing


@dataclass(slots=True)
class Context(Closing):
    """Where `COPY` and `ADD` take files from, and the Dockerfile is found.

    `only_dockerfile`: the client sent no archive but a Dockerfile's text, which is the one file in
    `tree`, named `Dockerfile`, whatever name the client has for it.
    """

    tree: ContextTree
    only_dockerfile: bool = False

    def close(self) -> None:
        """Let go of the disk space. The tree cannot be read afterwards."""
        self.tree.close()
