"""A line to an instruction: its flags and words, by the rules of its kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypedDict, get_args

from wherry.build.dockerfile import instructions as ast
from wherry.build.dockerfile.errors import Location, RefusalError, suggestion
from wherry.build.dockerfile.expansion import expand_word
from wherry.build.dockerfile.flags import Flags
from wherry.build.dockerfile.health import healthcheck_of
from wherry.build.dockerfile.heredocs import heredoc_of
from wherry.build.dockerfile.lines import Line, flags_of, keyword_of
from wherry.build.dockerfile.mounts import mount_of, source_of
from wherry.build.dockerfile.words import BLANKS, SPACE, json_words, quoted, split

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]*\Z")
_ONBUILD: Final = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_NETWORKS: Final[dict[str, ast.Network]] = {name: name for name in get_args(ast.Network)}
_SECURITIES: Final[dict[str, ast.Security]] = {name: name for name in get_args(ast.Security)}
_NO_TRIGGERS: Final = ("FROM", "MAINTAINER")


class _Written(TypedDict):
    """What all instructions have, to be handed on."""

    location: Location
    text: str
    keyword: str
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """An instruction's line, taken apart."""

    flag_words: tuple[str, ...]
    rest: str
    escape: str
    heredocs: tuple[ast.Heredoc, ...]
    original: str
    written: _Written

    def without_flags(self) -> None:
        Flags(self.flag_words)

    def required(self, kind: str, count: str = "at least one argument") -> str:
        if not self.rest:
            raise RefusalError(f"{kind} requires {count}")
        return self.rest


def instruction_of(line: Line, escape: str) -> ast.Instruction:
    """The instruction of a line. Raises RefusalError, in Docker's words."""
    keyword, rest = keyword_of(line.text)
    reader = _READERS.get(keyword.upper())
    if reader is None:
        raise RefusalError(
            f"unknown instruction: {keyword}{suggestion(keyword, _READERS)}", keyword
        )
    flag_words, rest = flags_of(rest)
    written: _Written = {
        "location": line.location,
        "text": line.text.strip(SPACE),
        "keyword": keyword,
        "comments": line.comments,
    }
    return reader(_Line(flag_words, rest, escape, line.heredocs, line.text, written))


def _from(line: _Line) -> ast.From:
    words = BLANKS.split(line.rest) if line.rest else []
    name = as_keyword = written = ""
    if len(words) == 3 and words[1].lower() == "as":
        _, as_keyword, written = words
        name = written.lower()
        if not _STAGE_NAME.match(name):
            raise RefusalError(
                f"invalid name for build stage: {quoted(written)}, name can't start with a number "
                "or contain symbols",
                written,
            )
    elif len(words) != 1:
        raise RefusalError("FROM requires either one or three arguments")
    flags = Flags(line.flag_words, texts=("platform",))
    return ast.From(
        image=words[0],
        platform=flags.text("platform"),
        name=name,
        written=written,
        as_keyword=as_keyword,
        **line.written,
    )


def _run(line: _Line) -> ast.Run:
    flags = Flags(line.flag_words, texts=("network", "security"), lists=("mount", "device"))
    if flags.all("device"):
        raise RefusalError(
            "RUN --device is not supported: devices are not lent to builds", "--device"
        )
    command = _command(line)
    if command.is_exec and not command.args:
        raise RefusalError("RUN requires at least one argument")
    texts = flags.all("mount")
    network = _NETWORKS.get(flags.text("network") or "default")
    if network is None:
        raise RefusalError(f"invalid network mode {quoted(flags.text('network'))}", "--network")
    security = _SECURITIES.get(flags.text("security") or "sandbox")
    if security is None:
        raise RefusalError(f"security {quoted(flags.text('security'))} is not valid", "--security")
    return ast.Run(
        command=command,
        mounts=tuple(_first_look(text, line.escape) for text in texts),
        mount_texts=texts,
        network=network,
        security=security,
        **line.written,
    )


def _first_look(text: str, escape: str) -> ast.Mount:
    if "$" in text:
        return source_of(text)
    return mount_of(text, lambda value: expand_word(value, {}, escape))


def _command(line: _Line) -> ast.Command:
    """JSON's words as they are; any other text for a shell."""
    words = json_words(line.rest)
    if words is not None:
        return ast.Command(args=tuple(words), is_exec=True)
    is_script = len(line.heredocs) == 1 and heredoc_of(line.rest) is not None
    return ast.Command(line.rest, heredocs=line.heredocs, is_script=is_script)


def _copy(line: _Line) -> ast.Copy:
    flags = Flags(
        line.flag_words,
        texts=("from", "chown", "chmod"),
        lists=("exclude",),
        switches=("link", "parents"),
    )
    sources, destination, files = _paths(line, "COPY")
    from_ = flags.text("from")
    if from_ and expand_word(from_, {}, line.escape) != from_:
        raise RefusalError(
            "variable expansion is not supported for --from, define a new stage with FROM using "
            "ARG from global scope as a workaround",
            "--from",
        )
    return ast.Copy(
        sources=sources,
        destination=destination,
        files=files,
        from_=from_,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link") or False,
        parents=flags.switch("parents") or False,
        excludes=flags.all("exclude"),
        **line.written,
    )


def _add(line: _Line) -> ast.Add:
    flags = Flags(
        line.flag_words,
        texts=("chown", "chmod", "checksum"),
        lists=("exclude",),
        switches=("link", "keep-git-dir", "unpack"),
    )
    sources, destination, files = _paths(line, "ADD")
    return ast.Add(
        sources=sources,
        destination=destination,
        files=files,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link") or False,
        excludes=flags.all("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
        **line.written,
    )


def _paths(line: _Line, kind: str) -> tuple[tuple[str, ...], str, tuple[ast.InlineFile, ...]]:
    """Sources, destination, and the heredocs among the sources."""
    words = _list(line.rest)
    if len(words) < 2:
        raise RefusalError(
            f"{kind} requires at least two arguments, but only one was provided. Destination could "
            "not be determined"
            if words
            else f"{kind} requires at least two arguments"
        )
    *sources, destination = words
    documents = {heredoc.name: heredoc for heredoc in line.heredocs}
    if line.heredocs and heredoc_of(destination) is not None:
        raise RefusalError(f"{kind} cannot accept a heredoc as a destination", destination)
    paths: list[str] = []
    files: list[ast.InlineFile] = []
    for source in sources:
        heredoc = heredoc_of(source) if documents else None
        document = documents.get(heredoc.name) if heredoc else None
        if document is None:
            paths.append(source)
        else:
            files.append(ast.InlineFile(document.name, document.document, document.expand))
    return tuple(paths), destination, tuple(files)


def _list(text: str) -> list[str]:
    words = json_words(text)
    if words is not None:
        return words
    return BLANKS.split(text) if text else []


def _arg(line: _Line) -> ast.Arg:
    line.without_flags()
    line.required("ARG")
    arguments: list[ast.Argument] = []
    for word in split(line.rest, line.escape):
        name, equals, value = word.partition("=")
        if not name:
            raise RefusalError("ARG names can not be blank", word)
        arguments.append(ast.Argument(name, value if equals else None))
    return ast.Arg(arguments=tuple(arguments), **line.written)


def _env(line: _Line) -> ast.Env:
    pairs, legacy = _pairs(line, "ENV")
    return ast.Env(pairs=pairs, legacy=legacy, **line.written)


def _label(line: _Line) -> ast.Label:
    pairs, legacy = _pairs(line, "LABEL")
    return ast.Label(pairs=pairs, legacy=legacy, **line.written)


def _pairs(line: _Line, kind: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """`A=1 B=2`, or in the old form `A the rest`."""
    line.without_flags()
    words = split(line.required(kind), line.escape)
    if not words or "=" not in words[0]:
        old = BLANKS.split(line.rest, maxsplit=1)
        if len(old) < 2:
            raise RefusalError(f"{kind} must have two arguments")
        return ((old[0], old[1]),), True
    pairs: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise RefusalError(
                f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value",
                word,
            )
        if not name:
            raise RefusalError(f"{kind} names can not be blank", word)
        pairs.append((name, value))
    return tuple(pairs), False


def _expose(line: _Line) -> ast.Expose:
    line.without_flags()
    return ast.Expose(ports=tuple(BLANKS.split(line.required("EXPOSE"))), **line.written)


def _volume(line: _Line) -> ast.Volume:
    line.without_flags()
    paths = tuple(path.strip(SPACE) for path in _list(line.rest))
    if not paths:
        raise RefusalError("VOLUME requires at least one argument")
    if not all(paths):
        raise RefusalError("VOLUME specified can not be an empty string")
    return ast.Volume(paths=paths, **line.written)


def _user(line: _Line) -> ast.User:
    line.without_flags()
    return ast.User(user=line.required("USER", "exactly one argument"), **line.written)


def _workdir(line: _Line) -> ast.Workdir:
    line.without_flags()
    return ast.Workdir(path=line.required("WORKDIR", "exactly one argument"), **line.written)


def _stopsignal(line: _Line) -> ast.Stopsignal:
    line.without_flags()
    signal = line.required("STOPSIGNAL", "exactly one argument")
    return ast.Stopsignal(signal=signal, **line.written)


def _maintainer(line: _Line) -> ast.Maintainer:
    line.without_flags()
    maintainer = line.required("MAINTAINER", "exactly one argument")
    return ast.Maintainer(maintainer=maintainer, **line.written)


def _entrypoint(line: _Line) -> ast.Entrypoint:
    line.without_flags()
    return ast.Entrypoint(command=_command(line), **line.written)


def _cmd(line: _Line) -> ast.Cmd:
    line.without_flags()
    return ast.Cmd(command=_command(line), **line.written)


def _shell(line: _Line) -> ast.Shell:
    line.without_flags()
    words = json_words(line.required("SHELL"))
    if words is None:
        raise RefusalError(
            'SHELL requires the arguments to be in JSON form: ["/bin/sh", "-c"]', line.rest
        )
    if not words:
        raise RefusalError("SHELL requires at least one argument")
    return ast.Shell(shell=tuple(words), **line.written)


def _healthcheck(line: _Line) -> ast.Healthcheck:
    return ast.Healthcheck(check=healthcheck_of(line.flag_words, line.rest), **line.written)


def _onbuild(line: _Line) -> ast.Onbuild:
    line.without_flags()
    trigger, rest = keyword_of(line.required("ONBUILD"))
    kind = trigger.upper()
    if kind == "ONBUILD":
        raise RefusalError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", rest)
    if kind in _NO_TRIGGERS:
        raise RefusalError(f"{kind} isn't allowed as an ONBUILD trigger", trigger)
    expression = _ONBUILD.sub("", line.original, count=1)
    documents = (f"\n{heredoc.content}{heredoc.name}" for heredoc in line.heredocs)
    return ast.Onbuild(expression=expression + "".join(documents), **line.written)


_READERS: Final[dict[str, Callable[[_Line], ast.Instruction]]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}

KEYWORDS: Final = tuple(_READERS)
