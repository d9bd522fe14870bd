"""Imports go downward; within a storey only along the edges listed here. No cycles."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "wherry"

# Each room's allowed neighbours, below it or beside it. A new edge is a decision: it is made here.
FOUNDATION = {"closing", "errdefs", "failure", "faults", "threads"}
DOORS = {"linux", "reference", "spec"} | FOUNDATION
STORES = {"content", "metadata", "layers", "snapshots"} | DOORS
TRADES = {"images", "logs", "shim"}
ALLOWED: dict[str, set[str]] = {
    "failure": set(),
    "errdefs": {"failure"},
    "closing": set(),
    "faults": set(),
    "threads": set(),
    "tls": set(),
    "spec": {"errdefs"},
    "reference": {"errdefs", "spec"},
    "linux": {"closing", "errdefs", "spec"},
    "metadata": {"spec"} | FOUNDATION,
    "content": {"linux", "spec"} | FOUNDATION,
    "layers": {"linux", "spec"} | FOUNDATION,
    "snapshots": {"content", "layers", "linux", "spec"} | FOUNDATION,
    "libcontainer": {"linux", "spec"} | FOUNDATION,
    "logs": DOORS,
    "images": STORES,
    "shim": {"libcontainer", "logs"} | DOORS,
    "ignore": {"errdefs"},
    "build": {"ignore", "images", "libcontainer"} | STORES,
    "engine": {"build"} | TRADES | STORES,
    "api": {"build", "engine", "tls"} | DOORS,
    "maintenance": {"engine", "images"} | STORES,
    "daemon": {"api", "engine", "maintenance"} | TRADES | STORES,
    "hostimage": {"errdefs", "layers", "linux", "reference"},
    "client": {"errdefs", "failure", "ignore", "threads", "tls"},
    "library": {"build", "client", "engine", "hostimage", "linux", "reference"} | FOUNDATION,
    "cli": {"client", "errdefs", "failure", "hostimage", "ignore"},
}


def room_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names = (
                [f"{module}.{alias.name}" for alias in node.names]
                if module == "wherry"
                else [module]
            )
        for name in names:
            parts = name.split(".")
            if parts[0] == "wherry" and len(parts) > 1 and parts[1] != "__version__":
                rooms.add(parts[1])
    return rooms


def test_imports_follow_the_storeys() -> None:
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        room = room_of(path)
        if room in ("__init__", "__main__"):
            continue
        assert room in ALLOWED, f"{room} is a new room: say here whom it may know"
        strangers = imported_rooms(path) - ALLOWED[room] - {room}
        wrong += [f"{path.relative_to(SOURCE)} imports {name}" for name in sorted(strangers)]
    assert not wrong, "\n".join(wrong)


def test_the_allowed_edges_have_no_cycle() -> None:
    done: set[str] = set()

    def visit(room: str, way: tuple[str, ...]) -> None:
        assert room not in way, " -> ".join((*way, room))
        if room not in done:
            for neighbour in ALLOWED[room]:
                visit(neighbour, (*way, room))
            done.add(room)

    for room in ALLOWED:
        visit(room, ())


def test_no_room_without_a_meaning() -> None:
    names = {part for path in SOURCE.rglob("*.py") for part in path.relative_to(SOURCE).parts}
    forbidden = {"utils", "helpers", "common", "manager"}
    assert not {name.removesuffix(".py") for name in names} & forbidden


def test_an_engine_has_threads_of_its_own() -> None:
    """Those of the loop are the program's, which may have filled them: see `wherry.threads`."""
    below = ("build", "client", "engine", "library", "logs", "metadata", "shim")
    files = [path for path in sorted(SOURCE.rglob("*.py")) if room_of(path) in below]
    assert len(files) > 100
    wrong = [
        str(path.relative_to(SOURCE)) for path in files if "asyncio.to_thread(" in path.read_text()
    ]
    assert not wrong, wrong
