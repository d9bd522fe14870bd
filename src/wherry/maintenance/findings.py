"""What a check finds."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from wherry.spec.digest import Digest

Subject = Literal["blob", "layer", "image", "name", "container", "snapshots", "database"]


class Outcome(Enum):
    """What has been done about a problem."""

    NOTHING = ""
    MENDED = "made anew"
    SET_ASIDE = "set aside"
    REMOVED = "removed"


@dataclass
class Problem:
    """`object` is what people know it by, `what` is wrong with it, `remedy` the way out.

    `outcome` says what a repair did; `MENDED` means that nothing was lost.
    """

    subject: Subject
    object: str
    what: str
    remedy: str
    outcome: Outcome = Outcome.NOTHING


@dataclass
class Findings:
    """All of a check. `blobs` and `layers` are those whose bytes are not what they should be."""

    problems: list[Problem] = field(default_factory=list)
    blobs: dict[Digest, Problem] = field(default_factory=dict)
    layers: dict[Digest, Problem] = field(default_factory=dict)
    removed: list["RemovedImage"] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    """How many blobs, layers, images and containers there were, and bytes read."""

    def add(self, problem: Problem) -> Problem:
        self.problems.append(problem)
        return problem

    @property
    def nothing_is_lost(self) -> bool:
        """Whether all is well, now."""
        return all(problem.outcome is Outcome.MENDED for problem in self.problems)


@dataclass(frozen=True)
class RemovedImage:
    """An image that lost a part; its names are to be loaded or pulled again."""

    id: Digest
    names: tuple[str, ...]
