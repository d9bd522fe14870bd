"""What a disk may hold after the power went, worked out from a log of what was done to it.

What was fsynced is there: a file's bytes by fsync of the file, a name by fsync of its directory,
all by syncfs. That a file was synced does not keep its name. Of the rest anything may be missing:

- `states`: all that came after some moment (a journal loses its end);
- `Wreck`: any of it, in any order, and a write may have come half, or as zeros. No file system is
  that bad, and none promises to be better.

A rename is one step, done or not, as in every file system of note; it is there once one of its
directories was synced.
"""

import bisect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from disklog import ROOT, Cut, Mark, Moved, Named, Node, Recording, Step, Synced, Unnamed, Wrote

SECTOR = 512


@dataclass(frozen=True)
class Moment:
    """The time from one sync's end to the end of the next, in which the power goes.

    `safe` is what a disk has by then, `loose` what it may have, in the order in which it was done;
    as numbers of steps. `promises` are the marks that had been passed.
    """

    safe: frozenset[int]
    loose: tuple[int, ...]
    promises: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """A disk: the steps that it has, of a moment's; `torn` changes what a write wrote."""

    moment: Moment
    steps: frozenset[int]
    torn: dict[int, Callable[[Wrote], Wrote]] = field(default_factory=dict)


def moments(recording: Recording) -> list[Moment]:
    """All of a recording, in order."""
    steps = recording.steps
    changes = [number for number, step in enumerate(steps) if not isinstance(step, (Synced, Mark))]
    syncs = [step for step in steps if isinstance(step, Synced)]
    marks = [step for step in steps if isinstance(step, Mark)]
    found: list[Moment] = []
    safe: set[int] = set()
    for done, coming in zip([None, *syncs], [*syncs, None], strict=True):
        if done is not None:
            safe.update(
                number
                for number in changes
                if steps[number].end < done.begin
                and (done.node is None or done.node in _concerned(steps[number]))
            )
        end = coming.end if coming else float("inf")
        loose = [number for number in changes if number not in safe and steps[number].begin < end]
        promises = tuple(mark.name for mark in marks if mark.end < end)
        found.append(Moment(frozenset(safe), tuple(loose), promises))
    return found


def states(recording: Recording) -> Iterator[State]:
    """All that a journal that loses its end can leave. Of equal disks the last."""
    found: dict[frozenset[int], State] = {}
    for moment in moments(recording):
        for count in range(len(moment.loose) + 1):
            steps = moment.safe.union(moment.loose[:count])
            found.pop(steps, None)
            found[steps] = State(moment, steps)
    yield from found.values()


def wreck(recording: Recording, moment: Moment, lost: set[int], torn: dict[int, int]) -> State:
    """The disk without the steps `lost`, places in the moment's `loose`.

    `torn` says of other places that only so many sectors of the write have come: from its
    beginning, or, if the number is negative, with zeros in place of what has not.
    """
    kept = {number for place, number in enumerate(moment.loose) if place not in lost}
    tears = {
        moment.loose[place]: _tear(sectors)
        for place, sectors in torn.items()
        if isinstance(recording.steps[moment.loose[place]], Wrote)
    }
    return State(moment, moment.safe | kept, tears)


def _tear(sectors: int) -> Callable[[Wrote], Wrote]:
    def torn(step: Wrote) -> Wrote:
        data = step.data[: abs(sectors) * SECTOR]
        if sectors < 0:
            data = data.ljust(len(step.data), b"\0")
        return Wrote(step.begin, step.end, step.node, step.offset, data)

    return torn


def restore(recording: Recording, state: State, folder: Path) -> None:
    """Make the empty `folder` what the disk is."""
    names: dict[int, dict[str, Node]] = {ROOT.number: {}}
    content: dict[int, bytearray] = {}
    for number in sorted(state.steps):
        step = recording.steps[number]
        if isinstance(step, Wrote):
            step = state.torn.get(number, lambda whole: whole)(step)
            _write(content.setdefault(step.node, bytearray()), step)
        elif isinstance(step, Cut):
            data = content.setdefault(step.node, bytearray())
            data[:] = data[: step.size].ljust(step.size, b"\0")
        else:
            _rename(names, step)
    made: dict[int, Path] = {}
    waiting = [(folder, ROOT)]
    while waiting:
        at, node = waiting.pop()
        for name, child in sorted(names.get(node.number, {}).items()):
            path = at / name
            if child.number in made:
                os.link(made[child.number], path)
            elif child.kind == "dir":
                path.mkdir(mode=0o700)
                waiting.append((path, child))
            elif child.kind == "link":
                path.symlink_to(child.target)
            elif child.kind == "file":
                made[child.number] = path
                path.write_bytes(content.get(child.number, b""))


def everything(recording: Recording) -> State:
    """The disk that lost nothing: the folder as the program left it."""
    *_, last = states(recording)
    return last


def picture(folder: Path) -> dict[str, bytes | str | None]:
    """A tree's names with their contents, to be compared; SQLite's index of its log left out."""
    found: dict[str, bytes | str | None] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink():
                found[str(path.relative_to(folder))] = os.readlink(path)
            elif not name.endswith("-shm"):
                data = path.read_bytes() if path.is_file() else None
                found[str(path.relative_to(folder))] = data
    return found


def sample(found: Sequence[State], count: int) -> list[State]:
    """So many of them, evenly, the first and the last among them; always the same."""
    if len(found) <= count:
        return list(found)
    return [found[number * (len(found) - 1) // (count - 1)] for number in range(count)]


def after(names: Sequence[str], promises: Sequence[str]) -> int:
    """How many of the marks `names`, passed in that order, a disk has to keep."""
    return bisect.bisect_left(range(len(names)), True, key=lambda at: names[at] not in promises)


def _concerned(step: Step) -> tuple[int, ...]:
    """Whose fsync brings the step to the disk."""
    if isinstance(step, Moved):
        return step.source, step.parent
    if isinstance(step, (Named, Unnamed)):
        return (step.parent,)
    assert isinstance(step, (Wrote, Cut))
    return (step.node,)


def _write(content: bytearray, step: Wrote) -> None:
    content.extend(bytes(max(0, step.offset + len(step.data) - len(content))))
    content[step.offset : step.offset + len(step.data)] = step.data


def _rename(names: dict[int, dict[str, Node]], step: Step) -> None:
    assert isinstance(step, (Named, Unnamed, Moved))
    folder = names.setdefault(step.parent, {})
    if isinstance(step, Unnamed):
        if folder.get(step.name) == step.node:
            del folder[step.name]
        return
    if isinstance(step, Moved):
        # From wherever it is: an earlier rename may be lost, and a directory has one name.
        for place in names.values():
            for name in [name for name, node in place.items() if node == step.node]:
                if step.node.kind == "dir" or (place, name) == (names.get(step.source), step.old):
                    del place[name]
    folder[step.name] = step.node
