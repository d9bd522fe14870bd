"""Which namespaces a container's first process joins, and which it makes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry import errdefs
from wherry.linux import syscalls as sc
from wherry.spec.runtime import Namespace

FLAGS = {
    "user": sc.CLONE_NEWUSER,
    "pid": sc.CLONE_NEWPID,
    "network": sc.CLONE_NEWNET,
    "ipc": sc.CLONE_NEWIPC,
    "uts": sc.CLONE_NEWUTS,
    "mount": sc.CLONE_NEWNS,
    "cgroup": sc.CLONE_NEWCGROUP,
    "time": sc.CLONE_NEWTIME,
}


@dataclass
class Namespaces:
    """The plan: `created` is a mask of CLONE_NEW* flags, `joined` maps a flag to a descriptor.

    The descriptors are opened before the fork, while paths still mean the host's.
    """

    created: int = 0
    joined: dict[int, int] = field(default_factory=dict)

    def creates(self, kind: str) -> bool:
        return bool(self.created & FLAGS[kind])

    @property
    def joined_mask(self) -> int:
        return sum(self.joined)

    def enter_pid(self) -> None:
        """Make the caller's next children live in the container's pid namespace.

        The caller itself stays where it is, so that it is the parent of process 1 there.
        """
        flag = sc.CLONE_NEWPID
        if flag in self.joined:
            sc.setns(self.joined[flag], flag)
        elif self.created & flag:
            sc.unshare(flag)

    def enter(self, entered: int = 0) -> None:
        """Join and make all others, but a cgroup namespace: that one waits for its cgroup.

        Those in the mask `entered` are new already.
        """
        later = sc.CLONE_NEWPID | sc.CLONE_NEWCGROUP | sc.CLONE_NEWUSER
        for flag, fd in self.joined.items():
            if not flag & (sc.CLONE_NEWPID | sc.CLONE_NEWUSER):
                sc.setns(fd, flag)
        missing = self.created & ~later & ~entered
        if missing:
            sc.unshare(missing)

    def close(self) -> None:
        for fd in self.joined.values():
            os.close(fd)
        self.joined.clear()


def plan(namespaces: Sequence[Namespace]) -> Namespaces:
    """Open what is joined, collect what is made. Raises InvalidArgument, naming the namespace."""
    planned = Namespaces()
    try:
        for namespace in namespaces:
            _add(planned, namespace)
    except errdefs.EngineError:
        planned.close()
        raise
    if not planned.creates("mount"):
        planned.close()
        raise errdefs.invalid("a container needs a mount namespace of its own")
    return planned


def _add(planned: Namespaces, namespace: Namespace) -> None:
    kind = namespace["type"]
    if kind not in FLAGS:
        raise errdefs.invalid(f"there is no namespace {kind!r}")
    flag = FLAGS[kind]
    if flag in planned.joined or planned.created & flag:
        raise errdefs.invalid(f"the {kind} namespace is given twice")
    path = namespace.get("path")
    if not path:
        planned.created |= flag
        return
    try:
        planned.joined[flag] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise errdefs.from_os_error(f"joining the {kind} namespace", error) from error
