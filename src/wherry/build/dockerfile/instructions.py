"""What a Dockerfile is made of, as values.

Every instruction says where it stands (`location`), how it was written (`text`, its continued
lines put together; `keyword`), and which comments stand right above it. Words are as they were
written, with quotes, escapes and variables in them, until `expand` has made values of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from wherry.build.dockerfile.errors import Location, Source
from wherry.spec import image

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]
Network = Literal["default", "none", "host"]
Security = Literal["sandbox", "insecure"]


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A document within an instruction: `<<NAME`.

    `content` is what was written up to the line with the name. `expand` is false if the name was
    quoted; `chomp` is true for `<<-`, which takes the tabs from the beginnings of lines.
    """

    name: str
    content: str
    expand: bool = True
    chomp: bool = False

    @property
    def document(self) -> str:
        if not self.chomp:
            return self.content
        lines = self.content.split("\n")
        return "\n".join(line.lstrip("\t") for line in lines)


@dataclass(frozen=True, slots=True)
class Command:
    """What RUN, CMD and ENTRYPOINT run: `args` if they came as JSON (`is_exec`), else `text`.

    With `is_script`, the one heredoc is all there is of the command: `RUN <<EOF`.
    """

    text: str = ""
    args: tuple[str, ...] = ()
    is_exec: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    is_script: bool = False

    @property
    def script(self) -> Heredoc | None:
        return self.heredocs[0] if self.is_script else None

    @property
    def file(self) -> Heredoc | None:
        """The script, if it begins with `#!`: it is executed as a file of its name."""
        script = self.script
        return script if script is not None and script.document.startswith("#!") else None

    @property
    def shell_text(self) -> str:
        """What the shell gets: the script, or the line with its heredocs below it."""
        script = self.script
        if script is not None:
            return script.document
        documents = (f"\n{heredoc.content}{heredoc.name}" for heredoc in self.heredocs)
        return self.text + "".join(documents)

    def arguments(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        """The argument vector; of a `file`, the shell gets the path that the executor chose."""
        return self.args if self.is_exec else (*shell, self.shell_text)


@dataclass(frozen=True, slots=True)
class Mount:
    """One `RUN --mount`. What was not said is empty or None.

    `target` may be relative, to the working directory; a secret's is /run/secrets/ID, an agent's
    a place of the executor's choice. A cache's `id` is its target if there is none. `sharing` is
    said of every cache, `readonly` is settled by the type's default. `size` is bytes.
    """

    type: MountType = "bind"
    target: str = ""
    source: str = ""
    from_: str = ""
    readonly: bool = True
    id: str = ""
    sharing: Sharing | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int = 0
    required: bool = False
    env: str = ""


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A heredoc that COPY or ADD makes a file of."""

    name: str
    content: str
    expand: bool


@dataclass(frozen=True, slots=True)
class Argument:
    """A build argument that ARG declares; `value` is None without a default."""

    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all of them have."""

    kind: ClassVar[str] = ""

    location: Location
    text: str
    keyword: str
    comments: tuple[str, ...] = ()
    """The comments above it, without `#`; an empty line takes them away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """`name` is in small letters, as names of stages are compared; `written` is what was written.

    `as_keyword` is `AS` as it was written.
    """

    kind: ClassVar[str] = "FROM"
    image: str
    platform: str = ""
    name: str = ""
    written: str = ""
    as_keyword: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """`mounts` with a variable in them are whole only when they are expanded.

    Their `from_` is right at once: it takes no variable. `mount_texts` are what was written.
    """

    kind: ClassVar[str] = "RUN"
    command: Command
    mounts: tuple[Mount, ...] = ()
    mount_texts: tuple[str, ...] = ()
    network: Network = "default"
    security: Security = "sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Instruction):
    """What COPY and ADD have in common."""

    sources: tuple[str, ...]
    destination: str
    files: tuple[InlineFile, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Transfer):
    kind: ClassVar[str] = "COPY"
    from_: str = ""
    parents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Transfer):
    """`keep_git_dir` and `unpack` are None where nothing was said."""

    kind: ClassVar[str] = "ADD"
    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    kind: ClassVar[str] = "ARG"
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    """`legacy` is the form without an equals sign: `ENV NAME the rest`."""

    kind: ClassVar[str] = "ENV"
    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    kind: ClassVar[str] = "LABEL"
    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    kind: ClassVar[str] = "EXPOSE"
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    kind: ClassVar[str] = "VOLUME"
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    kind: ClassVar[str] = "USER"
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    kind: ClassVar[str] = "WORKDIR"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    kind: ClassVar[str] = "ENTRYPOINT"
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    kind: ClassVar[str] = "CMD"
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    kind: ClassVar[str] = "SHELL"
    shell: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    kind: ClassVar[str] = "HEALTHCHECK"
    check: image.Healthcheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopsignal(Instruction):
    kind: ClassVar[str] = "STOPSIGNAL"
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """`expression` is the instruction for later: what an image's config keeps."""

    kind: ClassVar[str] = "ONBUILD"
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    kind: ClassVar[str] = "MAINTAINER"
    maintainer: str


@dataclass(frozen=True, slots=True)
class Directive:
    """`# name=value` at the top; the name in small letters."""

    name: Literal["syntax", "escape", "check"]
    value: str
    location: Location


@dataclass(frozen=True, slots=True)
class Directives:
    """What the directives say; `syntax` and `check` are empty if they are not there."""

    syntax: str = ""
    escape: str = "\\"
    check: str = ""
    written: tuple[Directive, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and what belongs to it; `index` counts from 0."""

    from_: From
    instructions: tuple[Instruction, ...]
    index: int

    @property
    def name(self) -> str:
        return self.from_.name

    @property
    def location(self) -> Location:
        return self.from_.location


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed Dockerfile: at least one stage.

    `empty_continuations` are the instructions that have an empty line among their continued ones,
    each with the last of its lines.
    """

    source: Source
    directives: Directives
    meta_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    empty_continuations: tuple[Location, ...] = ()

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def lines(self) -> tuple[str, ...]:
        return self.source.lines

    @property
    def escape(self) -> str:
        return self.directives.escape

    def instructions(self) -> Iterator[Instruction]:
        """All of them, FROM too, in their order."""
        yield from self.meta_args
        for stage in self.stages:
            yield stage.from_
            yield from stage.instructions
