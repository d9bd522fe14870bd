"""Docker's own parser, wrapped for Python, and ours: the same lines, words and documents."""

import os
import random

import dockerfile as reference
import pytest

from wherry.build.dockerfile import DockerfileError
from wherry.build.dockerfile import instructions as ast
from wherry.build.dockerfile.errors import RefusalError
from wherry.build.dockerfile.lines import Line, decode, flags_of, keyword_of, read
from wherry.build.dockerfile.reading import instruction_of

GENERATED = 20_000 if os.environ.get("WHERRY_SOAK") else 300

WRITTEN = [
    "FROM a",
    "  from a:1 as b  \nrun x",
    "FROM --platform=linux/amd64 a AS b\n",
    "\ufeffFROM a\r\nRUN b \\\r\n  c\r\n",
    "# syntax=x\n# escape=`\nFROM a\nRUN a `\n  b \\\n",
    "#escape=`\n\nFROM a\nRUN a \\\nRUN b",
    "# comment\n# escape=`\nFROM a\nRUN a `\nRUN b",
    "FROM a\nRUN a \\\n# comment\n\n  # another\n b",
    "FROM a\nRUN a \\  \n b",
    "FROM a\nRUN a \\\\\nRUN b",
    "FROM a\nRUN a \\\\\\\nRUN b",
    "FROM a\nRUN a\\",
    "FROM a\nRUN \\\n a \\\n\n\n",
    "FROM a\nRUN   a   b  ",
    'FROM a\nRUN ["a", "b\\tc", "\\u00e9"]',
    'FROM a\nRUN [ "a" , \'b\' ]',
    'FROM a\nRUN ["a"',
    "FROM a\nRUN []",
    "FROM a\nRUN",
    "FROM a\nRUN --mount=type=bind,target=/x --network=none ls --all",
    "FROM a\nRUN --mount=type=cache,target='/a b' -- --x",
    "FROM a\nRUN <<EOF\na\nb\nEOF\nRUN c",
    "FROM a\nRUN <<-EOF\n\ta\n\tEOF\nRUN c",
    "FROM a\nRUN <<'EOF' cat > x\n$a\nEOF\n",
    'FROM a\nRUN cat <<"A B" <<3 4<<C\n1\nA B\n2\n3\n4\nC\n',
    "FROM a\nRUN <<A <<B\na\nA\nb\nB\n",
    "FROM a\nRUN echo '<<EOF'\nRUN b",
    "FROM a\nRUN echo \\<<EOF\nRUN b",
    "FROM a\nRUN echo a<<EOF\nRUN b",
    "FROM a\nRUN <<<EOF\nRUN b",
    "FROM a\nRUN << EOF\nRUN b",
    "FROM a\nRUN <<EOF && \\\n b\nx\nEOF\n",
    "FROM a\nRUN <<EOF\n# no comment\n\n \\\nEOF\n",
    "FROM a\nRUN <<EOF\r\na\r\nEOF\r\nRUN b",
    'FROM a\nRUN ["<<EOF"]\nRUN b',
    "FROM a\nRUN <<EOF",
    "FROM a\nRUN it's <<EOF\nRUN b",
    "FROM a\nCOPY <<EOF /x\na\nEOF\n",
    "FROM a\nCOPY <<A <<B c /x\na\nA\nb\nB\nADD <<E /y\ne\nE\n",
    "FROM a\nONBUILD COPY <<EOF /x\na\nEOF\nRUN b",
    "FROM a\nENV X=<<EOF\nRUN b",
    "FROM a\nCMD <<EOF\nRUN b",
    "FROM a\nCOPY --from=b --chown=c:d a b c/",
    'FROM a\nCOPY ["a b", "c"]',
    "FROM a\nENV a b  c",
    "FROM a\nENV a=b c='d e' f=\"g \\\" h\" i=j\\ k",
    "FROM a\nENV a=b\\\n c=d",
    "FROM a\nENV a='b",
    "FROM a\nENV a",
    "FROM a\nENV a=b c",
    "FROM a\nENV",
    "FROM a\nLABEL a=b 'c d'=e",
    "FROM a\nARG a b=c d='e f'",
    "ARG a=b\nFROM $a",
    "FROM a\nEXPOSE 80 81/udp\t82",
    "FROM a\nVOLUME /a /b\nVOLUME [\"/c\"]",
    "FROM a\nUSER a b\nWORKDIR /c d\nSTOPSIGNAL 9\nMAINTAINER a <b>",
    "FROM a\nHEALTHCHECK NONE",
    "FROM a\nHEALTHCHECK --interval=3s --retries=2 CMD  a  b",
    'FROM a\nHEALTHCHECK CMD ["a", "b"]',
    'FROM a\nSHELL ["a", "-c"]\nENTRYPOINT ["b"]\nENTRYPOINT c d\nCMD ["e"]\nCMD',
    "FROM a\nONBUILD RUN x  y\nONBUILD ENV a=b",
    "FROM a\nCMD [1]",
    "FROM a\n  # comment\n\tRUN b\n",
    "",
    "#",
    "\n\n",
    "\\\n",
    "FROM a\n\\\nRUN b",
]  # fmt: skip

PIECES = [
    " ", " ", " ", "a", "b c", "=", "=x", "'", '"', "'q r'", '"s t"', "\\", "\\ ", "\\\n",
    " \\\n ",
    " \\\n# c\n", " \\\n\n", "$V", "${V:-w}", "#", "[", '["j", "k"]', "]", ",", "<", "<<EOF",
    "<<-E",
    "--x=y ", "--", "/p", "é", "\t", "`", ":", "\n# c\n", "\n\n", "\r",
]  # fmt: skip
KEYWORDS = [
    "FROM ", "RUN ", "run ", "COPY ", "ADD ", "ENV ", "ENV A=", "LABEL a=", "ARG ", "EXPOSE ",
    "CMD ",
    "CMD [", "ENTRYPOINT ", "USER ", "WORKDIR ", "VOLUME ", "STOPSIGNAL ", "SHELL [",
    "ONBUILD RUN ",
    "ONBUILD COPY ", "HEALTHCHECK CMD ", "HEALTHCHECK --interval=3s CMD ", "MAINTAINER ",
    "RUN <<EOF", "RUN --mount=type=cache,target=", "COPY --from=", "# ", "\n",
]  # fmt: skip


def generated(seed: int) -> str:
    rng = random.Random(seed)
    parts = [rng.choice(["", "", "", "# escape=`\n", "# syntax=x\n", "\ufeff"]), "FROM a\n"]
    for _ in range(rng.randint(1, 6)):
        parts.append(rng.choice(KEYWORDS))
        parts += rng.choices(PIECES, k=rng.randint(0, 7))
        parts.append(rng.choice(["\n", "\n", "\n", "\r\n", "\nEOF\n", "\n\tx\n\tE\n"]))
    return "".join(parts)


def theirs(text: str) -> tuple[reference.Command, ...] | None:
    try:
        return reference.parse_string(text)
    except reference.GoParseError:
        return None


def ours(text: str) -> tuple[list[Line], str] | None:
    try:
        found = read(decode(text.encode(), "Dockerfile"))
    except DockerfileError:
        return None
    return (list(found.lines), found.directives.escape) if found.lines else None


def values(instruction: ast.Instruction) -> tuple[str, ...] | None:
    """The words, as the reference lists them; None where the two have no common form."""
    if isinstance(instruction, ast.Run | ast.Cmd | ast.Entrypoint):
        command = instruction.command
        return command.args if command.is_exec else (command.text,) * bool(command.text)
    if isinstance(instruction, ast.Transfer):
        words = (*instruction.sources, instruction.destination)
        return None if instruction.files else words
    if isinstance(instruction, ast.Env | ast.Label):
        return tuple(word for pair in instruction.pairs for word in pair)
    if isinstance(instruction, ast.Arg):
        return tuple(
            one.name if one.value is None else f"{one.name}={one.value}"
            for one in instruction.arguments
        )
    if isinstance(instruction, ast.From):
        named = (instruction.as_keyword, instruction.written) if instruction.name else ()
        return (instruction.image, *named)
    return _simple(instruction)


def _simple(instruction: ast.Instruction) -> tuple[str, ...] | None:
    match instruction:
        case ast.Expose():
            return instruction.ports
        case ast.Volume():
            return instruction.paths
        case ast.Shell():
            return instruction.shell
        case ast.User():
            return (instruction.user,)
        case ast.Workdir():
            return (instruction.path,)
        case ast.Stopsignal():
            return (instruction.signal,)
        case ast.Maintainer():
            return (instruction.maintainer,)
    return None


def compare(text: str) -> None:
    expected, found = theirs(text), ours(text)
    if expected is None:
        assert found is None or _refused(*found), text
        return
    if found is None:
        # What we refuse and the reference lets pass: nothing so far.
        raise AssertionError(f"refused: {text!r}")
    lines, escape = found
    assert [(one.location.line, one.location.end_line) for one in lines] == [
        (one.start_line, one.end_line) for one in expected
    ]
    for line, one in zip(lines, expected, strict=True):
        _compare_line(line, one, escape)


def _refused(lines: list[Line], escape: str) -> bool:
    try:
        for line in lines:
            instruction_of(line, escape)
    except RefusalError:
        return True
    return False


def _compare_line(line: Line, one: reference.Command, escape: str) -> None:
    if one.original is None:
        assert line.text == ""
        return
    keyword, rest = keyword_of(line.text)
    assert keyword == (one.cmd or "")
    assert (line.text + "\n").startswith(one.original.split("\n")[0])
    if rest.isascii():  # the reference takes a flag's bytes for characters
        assert flags_of(rest)[0] == one.flags
    if keyword.upper() != "ONBUILD":  # whose documents it does not show
        assert [(doc.name, doc.content) for doc in line.heredocs] == [
            (doc.name, doc.content) for doc in one.heredocs
        ]
    try:
        found = values(instruction_of(line, escape))
    except RefusalError:
        return  # what words mean is nothing that the reference looks at
    if found is not None:
        assert found == one.value


@pytest.mark.parametrize("text", WRITTEN)
def test_a_written_file_is_read_as_by_docker_s_parser(text) -> None:
    compare(text)


def test_generated_files_are_read_as_by_docker_s_parser() -> None:
    for seed in range(GENERATED):
        compare(generated(seed))
