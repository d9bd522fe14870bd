"""The documents speak of files, names and pages that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "wherry"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

PYTHON_FILE = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:py|sh))`")
# `engine/starting.py`: `Starter.start`   and   `Writer` (`logs/jsonfile.py`)
NAMED_AFTER = re.compile(r"`([\w/-]+\.py)`(?::| at) `([\w.]+)`")
NAMED_BEFORE = re.compile(r"`([\w.]+)`\s\(`([\w/-]+\.py)`\)")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def find(path: str) -> Path | None:
    for base in (SOURCE, ROOT, ROOT / "tests"):
        if (base / path).exists():
            return base / path
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_links_are_there(document: Path) -> None:
    text = document.read_text()
    missing = {path for path in PYTHON_FILE.findall(text) if find(path) is None}
    missing |= {link for link in LINK.findall(text) if not (document.parent / link).exists()}
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_are_in_their_files(document: Path) -> None:
    text = document.read_text()
    pairs = NAMED_AFTER.findall(text) + [(path, name) for name, path in NAMED_BEFORE.findall(text)]
    missing = [f"{path}: {name}" for path, name in pairs if not defines(find(path), name)]
    assert not missing


def defines(file: Path | None, name: str) -> bool:
    source = file.read_text() if file else ""
    return all(
        re.search(rf"\b(def|class) {part}\b|^{part}\b.* = ", source, re.MULTILINE)
        for part in name.split(".")
    )


def test_the_way_of_a_run_is_told() -> None:
    """The patterns above find what they look for."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert len(NAMED_AFTER.findall(text)) > 20
    assert len(NAMED_BEFORE.findall(text)) > 3
