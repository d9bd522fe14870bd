"""`make docs`: the tables of docs/compatibility.md, of tests/compatibility/table.toml."""

import itertools
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests/compatibility/table.toml"
PAGE = ROOT / "docs/compatibility.md"

# What stands above it in the page is written by hand.
MARK = "<!-- From here on `make docs` has made this page, of tests/compatibility/table.toml. -->\n"

KINDS = {
    "endpoints": "Endpoints",
    "commands": "Commands",
    "flags": "Options",
    "checks": "Checks of a Dockerfile",
}
VERDICTS = ("works", "refused", "not yet")


@dataclass(frozen=True)
class Row:
    """One name of Docker's, and what becomes of it."""

    kind: str
    section: str
    name: str
    verdict: str
    test: str  # FILE::TEST, of what works
    words: str  # what the answer says, of what does not
    note: str

    @property
    def told(self) -> tuple[str, str]:
        """What the page says of it, in two cells."""
        if self.verdict != "works":
            return self.verdict, f"“{self.words}”"
        file, _, test = self.test.partition("::")
        shown = f"`{file}`: `{test}`"
        return self.verdict, f"{self.note}; {shown}" if self.note else shown


def rows() -> list[Row]:
    """The table. Raises ValueError for a line that says nothing of the kind."""
    table = tomllib.loads(TABLE.read_text())
    if list(table) != list(KINDS):
        raise ValueError(f"{TABLE} should have {', '.join(KINDS)}, in this order")
    return [
        _row(kind, section, name, text)
        for kind, sections in table.items()
        for section, names in sections.items()
        for name, text in names.items()
    ]


def _row(kind: str, section: str, name: str, text: str) -> Row:
    verdict, colon, rest = text.partition(": ")
    if verdict not in VERDICTS or not colon or not rest:
        raise ValueError(f"{name}: {text!r} says neither of {', '.join(VERDICTS)}")
    if verdict != "works":
        return Row(kind, section, name, verdict, "", rest, "")
    test, _, note = rest.partition("; ")
    return Row(kind, section, name, verdict, test, "", note)


def page(head: str) -> str:
    """The whole page below a head."""
    return "".join([head, MARK, *_tables(rows())])


def head() -> str:
    """What is written by hand."""
    before, mark, _ = PAGE.read_text().partition(MARK)
    return before if mark else before.rstrip("\n") + "\n\n"


def _tables(table: list[Row]) -> Iterator[str]:
    for kind, title in KINDS.items():
        of_kind = [row for row in table if row.kind == kind]
        counts = Counter(row.verdict for row in of_kind)
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        yield f"\n## {title}\n\n{len(of_kind)}: {told}.\n"
        for section, members in itertools.groupby(of_kind, lambda row: row.section):
            yield f"\n### {section}\n\n| | | |\n|---|---|---|\n"
            # Neighbours that share their fate share a line.
            for cells, same in itertools.groupby(members, lambda row: row.told):
                names = ", ".join(f"`{row.name}`" for row in same)
                yield f"| {names} | {cells[0]} | {cells[1]} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(head()))
