"""Makes a full-text index of what the standard library's modules say of themselves.

python3 index.py CACHE INDEX: what was read of a module is kept in the folder CACHE, by the module's
content, so that a module is read once, however often the index is made.
"""

import ast
import hashlib
import json
import os
import sqlite3
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

KINDS = ("module", "class")
LIBRARY = Path(sysconfig.get_path("stdlib"))
Entry = tuple[str, str, str]  # its kind, its name, the first line that it says of itself


def entries_of(module: str, source: bytes) -> Iterator[Entry]:
    """The module, its classes and functions, as far as they are documented."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    todo: list[tuple[str, ast.AST]] = [(module, tree)]
    for name, node in todo:
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        said = ast.get_docstring(node)
        kind = {"ClassDef": "class", "FunctionDef": "function"}.get(type(node).__name__, "module")
        if said:
            yield kind, name, said.splitlines()[0]
        inner = [one for one in node.body if isinstance(one, (ast.ClassDef, ast.FunctionDef))]
        todo += [(f"{name}.{one.name}", one) for one in inner if not one.name.startswith("_")]


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            yield name, path


def main(cache: Path, index: Path) -> None:
    entries: list[Entry] = []
    counts = {"read": 0, "taken from the cache": 0}
    for name, path in modules():
        source = path.read_bytes()
        kept = cache / hashlib.sha256(name.encode() + b"\0" + source).hexdigest()
        counts["taken from the cache" if kept.exists() else "read"] += 1
        if not kept.exists():
            made = kept.with_suffix(f".{os.getpid()}")
            made.write_text(json.dumps(list(entries_of(name, source))))
            made.rename(kept)
        entries += json.loads(kept.read_text())
    chosen = [entry for entry in entries if entry[0] in KINDS]
    with sqlite3.connect(index) as database:
        database.execute("CREATE VIRTUAL TABLE docs USING fts5(kind UNINDEXED, name, said)")
        database.executemany("INSERT INTO docs VALUES (?, ?, ?)", chosen)
    database.close()
    done = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    print(f"{len(chosen)} entries of {sum(counts.values())} modules: {done}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
