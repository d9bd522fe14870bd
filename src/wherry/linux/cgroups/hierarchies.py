"""Where the host has its control groups, told by /proc/self/mountinfo and /proc/cgroups."""

from typing import NamedTuple


class Hierarchy(NamedTuple):
    """One mounted tree. A named one without controllers has ("name=systemd",) or the like."""

    mount: str
    controllers: tuple[str, ...]
    unified: bool = False

    @property
    def name(self) -> str:
        """The last part of its mount point, "cpu,cpuacct": its name inside containers too."""
        return self.mount.rpartition("/")[2]


def parse(mountinfo: str, cgroups: str) -> list[Hierarchy]:
    """The hierarchies of a mount table (proc(5)), each once, in the table's order.

    `cgroups` is /proc/cgroups: it tells v1's controllers from the other words of a mount's options.
    A hierarchy that is mounted twice counts where its root is visible, else where it came first.
    """
    known = {line.split()[0] for line in cgroups.splitlines() if line and line[0] != "#"}
    found: dict[str, tuple[bool, Hierarchy]] = {}
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        if not separator or len(tail) < 3 or tail[0] not in ("cgroup", "cgroup2"):
            continue
        device, whole = fields[2], fields[3] == "/"
        if device in found and (found[device][0] or not whole):
            continue
        words = tail[2].split(",")
        controllers = tuple(word for word in words if word in known or word.startswith("name="))
        unified = tail[0] == "cgroup2"
        hierarchy = Hierarchy(_unescape(fields[4]), () if unified else controllers, unified)
        found[device] = (whole, hierarchy)
    return [hierarchy for _, hierarchy in found.values()]


def _unescape(field: str) -> str:
    r"""A mount table's field with its octal escapes (\040 for a space) undone."""
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
