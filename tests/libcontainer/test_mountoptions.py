"""Mount options, as the runtime specification and people write them."""

import os

import pytest

from wherry.libcontainer import mountoptions
from wherry.libcontainer.mountoptions import mount_point_of, parse
from wherry.linux import syscalls as sc


def test_the_later_option_wins() -> None:
    parsed = parse(["ro", "rw", "nosuid", "exec", "noexec"])
    assert parsed.attr_set == sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NOEXEC
    assert parsed.attr_clear == sc.MOUNT_ATTR_RDONLY


def test_what_only_the_file_system_knows_is_kept_in_order() -> None:
    parsed = parse(["nodev", "mode=755", "size=64k", "defaults"])
    assert parsed.data == ["mode=755", "size=64k"]
    assert not parsed.bind


def test_binds_and_their_depth() -> None:
    assert parse(["bind"]).bind
    assert not parse(["bind"]).recursive
    assert parse(["rbind"]).recursive


def test_recursive_attributes_are_apart() -> None:
    parsed = parse(["rbind", "rro", "rnosuid"])
    assert parsed.attr_set == 0
    assert parsed.recursive_set == sc.MOUNT_ATTR_RDONLY | sc.MOUNT_ATTR_NOSUID
    assert parse(["ro"]).read_only


def test_access_times_exclude_one_another() -> None:
    parsed = parse(["noatime", "strictatime"])
    assert parsed.attr_set & sc.MOUNT_ATTR__ATIME == sc.MOUNT_ATTR_STRICTATIME
    assert parsed.attr_clear & sc.MOUNT_ATTR__ATIME == sc.MOUNT_ATTR__ATIME


@pytest.mark.parametrize("name", ["rprivate", "rshared", "rslave", "shared", "unbindable"])
def test_propagation(name: str) -> None:
    bits = mountoptions.propagation(name)
    assert bool(bits & sc.MS_REC) == name.startswith("r")
    assert parse([name]).propagation == bits


def test_the_mount_point_of_a_path() -> None:
    info = (
        "20 1 8:1 / / rw - ext4 /dev/vda rw\n"
        "21 20 0:5 / /run rw - tmpfs tmpfs rw\n"
        "22 20 0:6 / /a\\040b rw - tmpfs tmpfs rw\n"
    )
    assert mount_point_of("/run/x/y", info) == "/run"
    assert mount_point_of("/runs", info) == "/"
    assert mount_point_of("/a b/c", info) == "/a b"


def test_a_mount_point_of_any_bytes() -> None:
    name = b"/caf\xc3\xa9 \xff"
    line = b"22 20 0:6 / /caf\xc3\xa9\\040\xff rw - tmpfs tmpfs rw\n"
    info = "20 1 8:1 / / rw - ext4 /dev/vda rw\n" + line.decode("utf-8", "surrogateescape")
    assert mount_point_of(f"{os.fsdecode(name)}/x", info) == os.fsdecode(name)
