"""The Dockerfile language: docker/dockerfile 1.20. Pure functions, no I/O.

    lines.py         bytes to lines: directives, comments, continued lines, heredocs
    heredocs.py      which words announce them
    words.py         a line's words: quotes, escapes, JSON's arrays
    flags.py         --name=value
    reading.py       a line to an instruction, by its kind
    mounts.py, health.py, ports.py      the languages within: --mount, HEALTHCHECK, EXPOSE
    parser.py        the whole: stages and their instructions
    instructions.py  what they are, as values
    expansion.py     variables in a word; patterns.py, their patterns
    expanding.py     which words of which instruction have variables
    arguments.py     ARG: what is predefined, and what wins
    configure.py     what an instruction does to an image's configuration
    history.py       what the image's history says of it
    changes.py       the changes that `import` and `commit` take
    errors.py        where, which line, and what was probably meant

The way of an instruction: `parse`, then in each stage `resolve` for ARG and `expand` for all
others, with the environment as it is there; then `configure` and `history_of`.
"""

from wherry.build.dockerfile.arguments import (
    global_arguments,
    is_predefined,
    platform_arguments,
    proxy_environment,
    resolve,
)
from wherry.build.dockerfile.changes import apply_changes
from wherry.build.dockerfile.configure import (
    configure,
    environment,
    shell_of,
    with_variable,
    working_directory,
)
from wherry.build.dockerfile.errors import DockerfileError, Location, Source, suggestion
from wherry.build.dockerfile.expanding import Expanded, expand, expand_noting
from wherry.build.dockerfile.history import history_of
from wherry.build.dockerfile.instructions import (
    Add,
    Arg,
    Argument,
    Cmd,
    Command,
    Copy,
    Directive,
    Directives,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    InlineFile,
    Instruction,
    Label,
    Maintainer,
    Mount,
    Onbuild,
    Run,
    Shell,
    Stage,
    Stopsignal,
    Transfer,
    User,
    Volume,
    Workdir,
)
from wherry.build.dockerfile.parser import parse, parse_trigger

__all__ = [
    "Add",
    "Arg",
    "Argument",
    "Cmd",
    "Command",
    "Copy",
    "Directive",
    "Directives",
    "Dockerfile",
    "DockerfileError",
    "Entrypoint",
    "Env",
    "Expanded",
    "Expose",
    "From",
    "Healthcheck",
    "Heredoc",
    "InlineFile",
    "Instruction",
    "Label",
    "Location",
    "Maintainer",
    "Mount",
    "Onbuild",
    "Run",
    "Shell",
    "Source",
    "Stage",
    "Stopsignal",
    "Transfer",
    "User",
    "Volume",
    "Workdir",
    "apply_changes",
    "configure",
    "environment",
    "expand",
    "expand_noting",
    "global_arguments",
    "history_of",
    "is_predefined",
    "parse",
    "parse_trigger",
    "platform_arguments",
    "proxy_environment",
    "resolve",
    "shell_of",
    "suggestion",
    "with_variable",
    "working_directory",
]
