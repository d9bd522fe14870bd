"""All that is decided about a container before its first process exists."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry.libcontainer.given import Given
from wherry.linux.cgroups import Cgroups
from wherry.linux.mounts import RootMount
from wherry.spec.runtime import Mount, Spec


@dataclass
class Blueprint:
    """What `create` turns into a process.

    `root` overrides the spec's root.path; `staging` is an empty directory to build upon.
    `stdio` are the descriptors for the process, or None with a terminal; a first one of -1 means
    the container's /dev/null. `seccomp` is a compiled filter, to be
    installed with `seccomp_flags`. `given` is what its mounts of our own types show; where the
    mount points that are made are to be noted, `notes` is the file's path.
    """

    id: str
    spec: Spec
    root: RootMount
    staging: str
    cgroups: Cgroups
    cgroup_path: str
    seccomp: bytes | None = None
    seccomp_flags: int = 0
    stdio: tuple[int, int, int] | None = None
    given: Given = field(default_factory=Given)
    notes: str = ""

    @property
    def in_user_namespace(self) -> bool:
        """Whether the process lives in a user namespace that is not the engine's."""
        namespaces = self.spec.get("linux", {}).get("namespaces", [])
        return any(namespace["type"] == "user" for namespace in namespaces)

    def join_cgroup(self) -> None:
        """Put the calling process, just forked, under the container's limits.

        On v2 it was born there already (`linux.fork`).
        """
        if self.cgroups.version == 1:
            self.cgroups.join(self.cgroup_path)

    def cgroup_mounts(self, private_namespace: bool) -> Sequence[Mount]:
        """What a mount of type `cgroup` stands for on this host."""
        for mount in self.spec.get("mounts", []):
            if mount.get("type") == "cgroup":
                read_only = "ro" in mount.get("options", [])
                return self.cgroups.container_mounts(self.cgroup_path, private_namespace, read_only)
        return []
