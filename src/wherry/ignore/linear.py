"""Matching without going back, for patterns and paths on which a regular expression might not end.

All places of the path that the elements so far can lead to are the bits of one number, and each
element moves them all at once. So the time is the product of the two lengths over the width of a
word, whatever the pattern.
"""

from __future__ import annotations

from wherry.ignore.syntax import DEEP, MANY, NOT_NEWLINE, ONE, Ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.ignore.syntax import Element, Glob

_SLASH = Ranges(((47, 47),))


class _Table(dict[int, str]):
    """For str.translate: `1` for a character in the set, else `0`; asked once for each."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges

    def __missing__(self, number: int) -> str:
        answer = self[number] = "1" if number in self._ranges else "0"
        return answer


class Matcher:
    """Says the same as the pattern's regular expression."""

    def __init__(self, glob: Glob) -> None:
        self._elements = glob.elements
        self._tables = {
            ranges: _Table(ranges)
            for ranges in (NOT_NEWLINE, _SLASH, *(ranges for _, ranges in glob.elements))
        }
        self._longest = _longest_literal(glob.elements)

    def matches(self, path: str) -> bool:
        if self._longest not in path:
            return False
        backwards = path[::-1]
        known: dict[Ranges, int] = {}
        reached = 1
        for what, ranges in self._elements:
            places = known.get(ranges)
            if places is None:
                places = known[ranges] = self._places(backwards, ranges)
            if what == ONE:
                reached = (reached & places) << 1
            elif what == MANY:
                reached = _spread(reached, places)
            elif what == DEEP:
                if _SLASH not in known:
                    known[_SLASH] = self._places(backwards, _SLASH)
                reached |= (_spread(reached, places) & known[_SLASH]) << 1
            else:
                reached &= 1
            if not reached:
                return False
        return bool(reached >> len(path))

    def _places(self, backwards: str, ranges: Ranges) -> int:
        """The places before a character of the set, the path's first the lowest bit."""
        return int(backwards.translate(self._tables[ranges]) or "0", 2)


def _spread(reached: int, places: int) -> int:
    """What can be reached through any number of `places`: adding one carries to a run's end."""
    return reached | (((reached & places) + places) ^ places)


def _longest_literal(elements: Sequence[Element]) -> str:
    longest = run = ""
    for what, ranges in elements:
        run = run + ranges.literal if what == ONE and ranges.literal else ""
        longest = max(longest, run, key=len)
    return longest
