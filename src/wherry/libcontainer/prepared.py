"""What containers mostly have in common, made before anybody asks for one.

A process that waits for its orders (see `create`) has time. It enters new namespaces, and puts
together the /proc, /dev and /sys of the container that is expected: on a stage, in a mount
namespace that it leaves again with detached copies of them::

    stage (tmpfs)                                   held by descriptor
      |- proc  masked and read-only paths     --->    /proc    if it is process 1 of its own
      |- dev   nodes, pts, mqueue, shm        --->    /dev
      `- sys   masked paths                   --->    /sys

A start whose spec agrees moves them into its root. Where it does not agree, that part is made
anew, by the same code and to the same end. It waits at home, in the host's mount namespace: one
kept for long would hold the host's file systems busy and not see what is mounted later.
"""

import os
from dataclasses import dataclass, field

from wherry import errdefs
from wherry.libcontainer import devices, sysctls
from wherry.libcontainer.given import TYPES
from wherry.libcontainer.namespaces import Namespaces
from wherry.libcontainer.rootfs import RootFilesystem, is_below
from wherry.linux import mounts, netlink
from wherry.linux import syscalls as sc
from wherry.spec.runtime import Mount, Spec

# Whose namespace a tree shows: it is of no use in another.
_BELONGS = {"/proc": sc.CLONE_NEWPID, "/dev": sc.CLONE_NEWIPC, "/sys": sc.CLONE_NEWNET}
_FILES = {"net": sc.CLONE_NEWNET, "ipc": sc.CLONE_NEWIPC, "uts": sc.CLONE_NEWUTS}


@dataclass
class Prepared:
    """What is there already. `entered` is a mask of CLONE_NEW* flags, `homes` the descriptors of
    the namespaces that were left for them, `sysctls` what is set in there, `trees` detached
    mounts by their place."""

    forecast: Spec = field(default_factory=Spec)
    entered: int = 0
    homes: dict[int, int] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    trees: dict[str, int] = field(default_factory=dict)

    @property
    def descriptors(self) -> set[int]:
        return {*self.homes.values(), *self.trees.values()}

    def fit(self, spec: Spec, plan: Namespaces) -> None:
        """Give up what this spec does not want as it was forecast."""
        wanted = spec.get("linux", {}).get("sysctl", {})
        if not plan.created & sc.CLONE_NEWNET or not self.sysctls.keys() <= wanted.keys():
            self.entered &= ~sc.CLONE_NEWNET
            self.sysctls = {}
        in_place = plan.created & (self.entered | sc.CLONE_NEWPID)
        for top in list(self.trees):
            if not in_place & _BELONGS[top] or _part(spec, top) != _part(self.forecast, top):
                os.close(self.trees.pop(top))

    def go_home(self, wanted: int) -> None:
        """Leave the namespaces that are not in the mask `wanted`; forget what was left for them."""
        for flag, fd in self.homes.items():
            if not wanted & flag:
                sc.setns(fd, flag)
            os.close(fd)
        self.homes.clear()


def prepare(forecast: Spec, process_one: bool) -> Prepared:
    """Prepare for `forecast`, whose namespaces, mounts, devices, paths and sysctls are looked at.

    `process_one`: the caller is the first of its pid namespace. What can't be prepared is left to
    the start, which will say why.
    """
    prepared = Prepared(forecast)
    linux = forecast.get("linux", {})
    if not linux:
        return prepared
    try:
        for kind, flag in _FILES.items():
            prepared.homes[flag] = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        flags = sc.CLONE_NEWNET | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS
        sc.unshare(flags)
        prepared.entered = flags & ~sc.CLONE_NEWNET  # that one counts when it is as it should be
        with netlink.RouteSocket() as route:
            route.link_up("lo")
        parameters = linux.get("sysctl", {})
        network = {name: parameters[name] for name in parameters if name.startswith("net.")}
        sysctls.write(network)
        prepared.entered, prepared.sysctls = flags, network
        tops = [top for top in _BELONGS if process_one or top != "/proc"]
        _build_trees(prepared, tops)
    except (OSError, errdefs.EngineError):
        for fd in prepared.trees.values():
            os.close(fd)
        prepared.trees.clear()
    return prepared


def _build_trees(prepared: Prepared, tops: list[str]) -> None:
    """In a mount namespace of its own, which nothing of the host outlives."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    umask = os.umask(0)
    sc.unshare(sc.CLONE_NEWNS)
    try:
        forecast = prepared.forecast
        stage = RootFilesystem(_only(forecast, tops), "/")
        stage.detach_from_host()
        stage.attach_root(mounts.open_filesystem("tmpfs", "tmpfs", ["mode=755", "size=64k"]))
        stage.attach_mounts(())
        if devices.has_own_dev(forecast):
            devices.make_devices(stage.root, forecast, False)
        stage.restrict()
        for top in tops:
            if any(mount["destination"] == top for mount in forecast.get("mounts", [])):
                prepared.trees[top] = _copy(stage, top)
        stage.close()
    finally:
        sc.setns(home, sc.CLONE_NEWNS)
        # The daemon may live in a root of its own: back to that too.
        os.fchdir(root)
        os.chroot(".")
        os.umask(umask)
        os.close(home)
        os.close(root)


def _copy(stage: RootFilesystem, top: str) -> int:
    place = stage.root.open_place(top)
    try:
        return sc.open_tree("", sc.OPEN_TREE_CLONE | sc.AT_RECURSIVE | sc.AT_EMPTY_PATH, place)
    finally:
        os.close(place)


def _only(spec: Spec, tops: list[str]) -> Spec:
    """The parts of `spec` below `tops`."""
    linux = spec["linux"]
    within = [mount for top in tops for mount in _mounts(spec, top)]
    return {
        "mounts": within,
        "linux": {
            "maskedPaths": [p for p in linux.get("maskedPaths", []) if _is_any(p, tops)],
            "readonlyPaths": [p for p in linux.get("readonlyPaths", []) if _is_any(p, tops)],
        },
    }


def _is_any(path: str, tops: list[str]) -> bool:
    return any(is_below(path, top) for top in tops)


def _mounts(spec: Spec, top: str) -> list[Mount]:
    """Those at and below `top`; but a cgroup's and what was given, which are one container's."""
    return [
        mount
        for mount in spec.get("mounts", [])
        if is_below(mount["destination"], top) and mount.get("type") not in ("cgroup", *TYPES)
    ]


def _part(spec: Spec, top: str) -> tuple[object, ...]:
    """All that decides what is at and below `top`."""
    linux = spec.get("linux", {})
    return (
        _mounts(spec, top),
        [path for path in linux.get("maskedPaths", []) if is_below(path, top)],
        [path for path in linux.get("readonlyPaths", []) if is_below(path, top)],
        linux.get("devices", []) if top == "/dev" else None,
    )
