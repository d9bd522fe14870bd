"""The same files as the docker CLI leaves out, by patterns that nobody would think of."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dockersends import DockerSends

from wherry.errdefs import EngineError
from wherry.ignore import MATCHED, Patterns
from wherry.ignore.patterns import lines

DOCKER = shutil.which("docker")
SOAK = os.environ.get("WHERRY_SOAK") == "1"
ROUNDS = 2000 if SOAK else 80

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(DOCKER is None, reason="the docker CLI is not installed"),
]

_FILES = """
Dockerfile .dockerignore a b abc a.py b.pyc .hidden .git/config .git/objects/aa/bb README.md
docs/README.md docs/a/b/c.md docs/index.html src/main.py src/main.pyc src/lib/a.py src/lib/b.so
src/lib/deep/er/a.py node_modules/a/index.js node_modules/a/README.md node_modules/b/c/d.js
build/out/a build/out/keep/b build/.keep src/node_modules/x/y a-b a_b a^b a!b !not #hash
with\\back br[ack]et curly{2} curly{a,b} pipe|d äöü/ß.txt 日本/語 x/a/x/a/x/b x/x/x/x xa/xb/xc
ab/ab/ab [] ^] 1/2/3/4/5/6 test.d/1.conf test.d/2.conf test.d/sub/3.conf $money plus+ (p) dd3
"""
FILES = _FILES.split()
_PIECES = r"""
a b x ab c d . .. * * * ** ** ** ? ! # \ [ab] [a-c] [^a] [!a] [^/] [*] [?] [] [ ] ^ $ + ( )
{ } | \* \a \d \[ [[:alpha:]] [\]] [z-a] [x-] {2} ä ß 日 语 - _
/ / / / / // /. /.. py md keep README main .py .md src docs lib node_modules build out er
"""
PIECES = _PIECES.split()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("context")
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "empty/below").mkdir(parents=True)
    (root / "link").symlink_to("src")
    return root


@pytest.fixture(scope="module")
def sends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerSends]:
    assert DOCKER is not None
    server = DockerSends(tmp_path_factory.mktemp("docker"), DOCKER)
    yield server
    server.close()


REFUSED_BY_US_ALONE = ("regular expression", "needs no escape", "ends with a backslash")


def pattern(rng: random.Random) -> str:
    """A file's name with some of it replaced, or pieces in any order."""
    if rng.random() < 0.7:
        text = rng.choice(FILES)
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(PIECES) + text[at + rng.randrange(5) :]
        if rng.random() < 0.3:
            parts = text.split("/")
            parts[rng.randrange(len(parts))] = rng.choice(["*", "**", "?*", "*.md", ".."])
            text = "/".join(parts)
    else:
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 7)))
    if rng.random() < 0.3:
        text = "!" + text
    return rng.choice(["", "", "", " ", "/", "./", "\t"]) + text + rng.choice(["", "", " ", "/"])


def as_the_classic_client(root: Path, patterns: Patterns, exceptions: list[str]) -> list[str]:
    """What the CLI sends by `patterns`: it goes into a directory that is left out only if an
    exception's text begins with its name, where BuildKit looks for what the exception matches."""
    found: list[str] = []
    todo = [("", 0)]
    while todo:
        directory, above = todo.pop()
        below = []
        for entry in sorted(os.scandir(root / directory), key=lambda entry: entry.name):
            path = f"{directory}/{entry.name}" if directory else entry.name
            verdict = patterns.judge(path, above)
            if not verdict & MATCHED:
                found.append(path)
            if entry.is_dir(follow_symlinks=False) and (
                not verdict & MATCHED
                or any(f"{text}/".startswith(path + "/") for text in exceptions)
            ):
                below.append((path, verdict))
        todo += below
    return sorted(found)


def compare(tree: Path, sends: DockerSends, text: str) -> None:
    ignore = tree / ".dockerignore"
    ignore.write_text(text)
    theirs = sends.names(tree)
    try:
        patterns = Patterns.parse(text.encode())
    except EngineError:
        if theirs is not None:  # it had no occasion to look at the pattern
            for line in lines(text.encode(), ""):
                compare_refusal(tree, sends, line.removeprefix("!"))
        return
    # The CLI sends these two in any case, by exceptions at the end.
    own = lines(text.encode(), "")
    own += [f"!{name}" for name in (".dockerignore", "Dockerfile") if patterns.matches(name)]
    patterns = Patterns(own)
    ours = as_the_classic_client(tree, patterns, [line[1:] for line in own if line[0] == "!"])
    assert theirs is not None, (text, sends.complaint)
    assert ours == sorted(theirs), (text, set(ours) ^ set(theirs))


def compare_refusal(tree: Path, sends: DockerSends, line: str) -> None:
    try:
        Patterns([line])
    except EngineError as error:
        message = error.message
    else:
        return
    if not any(words in message for words in REFUSED_BY_US_ALONE):
        (tree / ".dockerignore").write_text(line)
        assert sends.names(tree) is None, (line, message)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_generated(tree: Path, sends: DockerSends, seed: int) -> None:
    rng = random.Random(seed)
    compare(tree, sends, "\n".join(pattern(rng) for _ in range(rng.randrange(1, 6))) + "\n")
