"""Which name was meant. `difflib` would know too, after 12 ms of imports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 3


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three of `known` that a slip or two make `name`; the nearest first."""
    limit = max(1, len(name) // 3)
    found = [(distance(name, one), one) for one in known]
    # Who types the beginning of a name means that one.
    near = [
        (0 if one.startswith(name) and len(name) > 1 else slips, one)
        for slips, one in found
        if slips <= limit or (one.startswith(name) and len(name) > 1)
    ]
    return [one for _, one in sorted(near)][:MOST]


def distance(left: str, right: str) -> int:
    """Letters to leave out, to put in, to change, or to swap with their neighbours."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for at, letter in enumerate(left, 1):
        above, before, row = before, row, [at]
        for column, other in enumerate(right, 1):
            cost = min(
                before[column] + 1, row[column - 1] + 1, before[column - 1] + (letter != other)
            )
            swapped = at > 1 < column and letter == right[column - 2] and other == left[at - 2]
            row.append(min(cost, above[column - 2] + 1) if swapped else cost)
    return row[-1]
