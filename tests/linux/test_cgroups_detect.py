"""Which control groups a host has, from its mount table."""

from pathlib import Path

import pytest

from wherry import errdefs
from wherry.linux.cgroups import CgroupsV1, CgroupsV2, detect
from wherry.linux.cgroups.hierarchies import Hierarchy, parse

KNOWN = """#subsys_name\thierarchy\tnum_cgroups\tenabled
cpuset\t3\t1\t1
cpu\t1\t1\t1
cpuacct\t1\t1\t1
memory\t4\t15\t1
freezer\t6\t1\t1
pids\t8\t1\t1
"""
HYBRID = """\
23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:2 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime master:3 propagate_from:2 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
UNIFIED = """\
23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""


def test_a_hybrid_table() -> None:
    assert parse(HYBRID, KNOWN) == [
        Hierarchy("/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct")),
        Hierarchy("/sys/fs/cgroup/memory", ("memory",)),
        Hierarchy("/sys/fs/cgroup/systemd", ("name=systemd",)),
        Hierarchy("/sys/fs/cgroup/unified", (), unified=True),
    ]


def test_a_hierarchy_counts_once_where_its_root_is() -> None:
    bound = "50 23 0:32 /docker/x /var/a rw - cgroup cgroup rw,memory\n"
    again = "51 23 0:32 / /mnt/b rw - cgroup cgroup rw,memory\n"
    assert Hierarchy("/sys/fs/cgroup/memory", ("memory",)) in parse(bound + HYBRID + again, KNOWN)
    assert parse(bound, KNOWN) == [Hierarchy("/var/a", ("memory",))]


def test_mount_points_with_odd_names() -> None:
    odd = r"32 31 0:29 / /mnt/a\040b\134c rw - cgroup cgroup rw,memory"
    assert parse(odd, KNOWN) == [Hierarchy(r"/mnt/a b\c", ("memory",))]


@pytest.mark.parametrize("line", ["", "junk", "1 2 3:4 / /x rw", "1 2 3:4 / /x rw - cgroup"])
def test_lines_of_another_kind_are_passed_over(line: str) -> None:
    assert parse(line, KNOWN) == []


def host(root: Path, mountinfo: str, known: str | None = KNOWN) -> str:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mountinfo)
    if known is not None:
        (root / "proc/cgroups").write_text(known)
    return str(root)


def test_a_hybrid_host_is_v1(tmp_path: Path) -> None:
    found = detect(host(tmp_path, HYBRID))
    assert isinstance(found, CgroupsV1)
    assert found.controllers == {"cpu", "cpuacct", "memory"}


def test_a_unified_host_is_v2(tmp_path: Path) -> None:
    root = host(tmp_path, UNIFIED, known=None)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").write_text("cpu memory pids\n")
    found = detect(root)
    assert isinstance(found, CgroupsV2)
    assert found.controllers == {"cpu", "memory", "pids"}


def test_v2_with_a_named_hierarchy_beside_it_is_v2(tmp_path: Path) -> None:
    named = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    assert isinstance(detect(host(tmp_path, UNIFIED + named)), CgroupsV2)


def test_a_host_without_says_what_to_mount(tmp_path: Path) -> None:
    with pytest.raises(errdefs.EngineError, match="mount -t cgroup2") as refused:
        detect(host(tmp_path, "23 1 8:1 / / rw - ext4 /dev/sda1 rw\n"))
    assert refused.value.kind is errdefs.Kind.UNAVAILABLE


def test_this_host_has_them() -> None:
    if "cgroup" not in Path("/proc/self/mountinfo").read_text():
        pytest.skip("no control groups are mounted here")
    assert detect().version in (1, 2)
