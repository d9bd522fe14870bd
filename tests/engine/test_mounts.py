"""Bind mounts and tmpfs as clients write them."""

from pathlib import Path

import pytest

from wherry.engine.model import (
    BindOptions,
    HostConfig,
    Mount,
    TmpfsOptions,
    VolumeOptions,
)
from wherry.engine.runtime_spec import mounts, sources
from wherry.errdefs import EngineError, Kind


def one(**options: object) -> tuple[list[str], object]:
    """(options of the only mount, its MountPoint)."""
    planned = mounts.plan(HostConfig(**options))
    (mount,) = planned.mounts
    return mount["options"], planned.points[0] if planned.points else None


@pytest.mark.parametrize(
    ("mode", "expected", "propagation"),
    [
        ("", ["rbind", "rprivate"], "rprivate"),
        (":rw", ["rbind", "rprivate"], "rprivate"),
        (":ro", ["rbind", "ro", "rro", "rprivate"], "rprivate"),
        (":ro,z,rslave", ["rbind", "ro", "rro", "rslave"], "rslave"),
        (":Z,cached,shared", ["rbind", "shared"], "shared"),
    ],
)
def test_binds(tmp_path: Path, mode: str, expected: list[str], propagation: str) -> None:
    options, point = one(binds=[f"{tmp_path}:/data/{mode}"])
    assert options == expected
    assert point.destination == "/data"
    assert (point.rw, point.propagation) == ("ro" not in expected, propagation)


@pytest.mark.parametrize(
    ("bind", "kind", "message"),
    [
        ("", Kind.INVALID_ARGUMENT, "invalid volume specification: ''"),
        ("/a", Kind.NOT_IMPLEMENTED, "volume at /a"),
        ("/a:", Kind.INVALID_ARGUMENT, "invalid volume specification"),
        (":/a", Kind.INVALID_ARGUMENT, "invalid volume specification"),
        ("/a:/b:ro:x", Kind.INVALID_ARGUMENT, "invalid volume specification"),
        ("/a:/b:rx", Kind.INVALID_ARGUMENT, "invalid mode: rx"),
        ("/a:/b:ro,rw", Kind.INVALID_ARGUMENT, "invalid mode: ro,rw"),
        ("/a:/b:ro,", Kind.INVALID_ARGUMENT, "invalid mode: ro,"),
        ("/a:b", Kind.INVALID_ARGUMENT, "mount path must be absolute"),
        ("/a:/", Kind.INVALID_ARGUMENT, "destination can't be '/'"),
        ("/a:/b/..", Kind.INVALID_ARGUMENT, "destination can't be '/'"),
        ("data:/b", Kind.NOT_IMPLEMENTED, 'volume "data" at /b'),
        ("./x:/b", Kind.INVALID_ARGUMENT, "includes invalid characters for a local volume name"),
    ],
)
def test_binds_that_cannot_be(bind: str, kind: Kind, message: str) -> None:
    with pytest.raises(EngineError) as caught:
        mounts.plan(HostConfig(binds=[bind]))
    assert caught.value.kind is kind
    assert message in caught.value.message


def test_a_missing_source_of_a_bind_is_made(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there"
    planned = mounts.plan(HostConfig(binds=[f"{missing}:/a", f"{tmp_path}:/b"]))
    sources.check(planned)
    assert not missing.exists()
    sources.make_missing(planned.made)
    assert missing.is_dir()


def test_a_source_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad = f"{tmp_path}/file/sub/x"
    planned = mounts.plan(HostConfig(binds=[f"{bad}:/a"]))
    for step in (lambda: sources.check(planned), lambda: sources.make_missing(planned.made)):
        with pytest.raises(EngineError, match="error while creating mount source path") as caught:
            step()
        assert caught.value.kind is Kind.INVALID_ARGUMENT
        assert "not a directory" in caught.value.message


LONG = [f"/{'x' * 256}", f"/{'d/' * 2047}xy", f"/{chr(233) * 128}"]


@pytest.mark.parametrize("path", LONG)
def test_paths_that_no_file_has(path: str) -> None:
    for config in (
        HostConfig(binds=[f"{path}:/a"]),
        HostConfig(binds=[f"/tmp:{path}"]),
        HostConfig(mounts=[Mount(type="bind", source=path, target="/a")]),
        HostConfig(mounts=[Mount(type="bind", source="/tmp", target=path)]),
        HostConfig(tmpfs={path: ""}),
    ):
        with pytest.raises(EngineError, match="file name too long") as caught:
            mounts.plan(config)
        assert len(caught.value.message) < 600


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["rbind", "rprivate"]),
        ({"read_only": True}, ["rbind", "ro", "rro", "rprivate"]),
        (
            {"read_only": True, "bind_options": BindOptions(read_only_non_recursive=True)},
            ["rbind", "ro", "rprivate"],
        ),
        (
            {"read_only": True, "bind_options": BindOptions(read_only_force_recursive=True)},
            ["rbind", "ro", "rro", "rprivate"],
        ),
        ({"bind_options": BindOptions(non_recursive=True)}, ["bind", "rprivate"]),
        ({"bind_options": BindOptions(propagation="shared")}, ["rbind", "shared"]),
        ({"consistency": "cached"}, ["rbind", "rprivate"]),
    ],
)
def test_mounts_of_type_bind(
    tmp_path: Path, changes: dict[str, object], expected: list[str]
) -> None:
    mount = Mount(type="bind", source=str(tmp_path), target="/data", **changes)
    assert one(mounts=[mount])[0] == expected


def test_a_mount_makes_its_source_only_when_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    mount = Mount(type="bind", source=missing, target="/a")
    planned = mounts.plan(HostConfig(mounts=[mount]))
    assert planned.made == []
    with pytest.raises(EngineError, match="bind source path does not exist"):
        sources.check(planned)
    mount.bind_options = BindOptions(create_mountpoint=True)
    told = mounts.plan(HostConfig(mounts=[mount]))
    assert told.made == [missing]
    sources.check(told)


@pytest.mark.parametrize(
    ("mount", "kind", "message"),
    [
        (Mount(type="bind", target="/a"), Kind.INVALID_ARGUMENT, "field Source must not be empty"),
        (Mount(type="bind", source="/", target=""), Kind.INVALID_ARGUMENT, "field Target must not"),
        (Mount(type="bind", source="x", target="/a"), Kind.INVALID_ARGUMENT, "must be absolute"),
        (Mount(type="bind", source="/", target="a"), Kind.INVALID_ARGUMENT, "must be absolute"),
        (
            Mount(type="bind", source="/", target="/a", tmpfs_options=TmpfsOptions(mode=1)),
            Kind.INVALID_ARGUMENT,
            "field TmpfsOptions must not be specified",
        ),
        (
            Mount(
                type="bind",
                source="/",
                target="/a",
                bind_options=BindOptions(propagation="sideways"),
            ),
            Kind.INVALID_ARGUMENT,
            "invalid propagation mode: sideways",
        ),
        (Mount(type="tmpfs", source="x", target="/a"), Kind.INVALID_ARGUMENT, "field Source must"),
        (
            Mount(type="tmpfs", target="/a", volume_options=VolumeOptions(no_copy=True)),
            Kind.INVALID_ARGUMENT,
            "field VolumeOptions must not",
        ),
        (Mount(type="volume", source="v", target="/a"), Kind.NOT_IMPLEMENTED, '"v" at /a'),
        (Mount(type="volume", target="/a"), Kind.NOT_IMPLEMENTED, "an anonymous volume at /a"),
        (Mount(type="image", source="i", target="/a"), Kind.NOT_IMPLEMENTED, "type image"),
        (Mount(type="npipe", source="i", target="/a"), Kind.NOT_IMPLEMENTED, "type npipe"),
        (Mount(type="disk", target="/a"), Kind.INVALID_ARGUMENT, "mount type unknown"),
        (Mount(target="/a"), Kind.INVALID_ARGUMENT, "mount type unknown"),
    ],
)
def test_mounts_that_cannot_be(mount: Mount, kind: Kind, message: str) -> None:
    with pytest.raises(EngineError) as caught:
        mounts.plan(HostConfig(mounts=[mount]))
    assert caught.value.kind is kind
    assert message in caught.value.message


def test_tmpfs() -> None:
    default = ["noexec", "nosuid", "nodev", "rprivate"]
    options, point = one(tmpfs={"/t/": "size=10m,exec"})
    assert (options, point) == ([*default, "size=10m", "exec"], None)
    asked = Mount(
        type="tmpfs",
        target="/t",
        read_only=True,
        tmpfs_options=TmpfsOptions(size_bytes=4096, mode=0o1770, options=[["uid", "5"], ["exec"]]),
    )
    options, point = one(mounts=[asked])
    assert options == [*default, "size=4096", "mode=1770", "uid=5", "exec", "ro"]
    assert (point.type, point.rw) == ("tmpfs", False)


@pytest.mark.parametrize("option", ["sizes=1", "bogus", "context=x", "upperdir=/x"])
def test_tmpfs_options_are_known_ones(option: str) -> None:
    with pytest.raises(EngineError, match=f'invalid tmpfs option "{option}"'):
        mounts.plan(HostConfig(tmpfs={"/t": option}))


def test_one_place_has_one_mount(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Duplicate mount point: /a"):
        mounts.plan(HostConfig(binds=[f"{tmp_path}:/a"], tmpfs={"/a/": ""}))


MOUNTINFO = """\
21 1 8:1 / / rw,relatime - ext4 /dev/vda rw
22 21 0:5 / /with\\040space rw shared:3 - tmpfs tmpfs rw
23 21 0:6 / /slave rw master:3 - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("source", "propagation", "message"),
    [
        ("/with space/x", "rshared", ""),
        ("/with space", "rslave", ""),
        ("/slave", "slave", ""),
        ("/slave", "shared", "path /slave is mounted on /slave but it is not a shared mount"),
        ("/slaves", "slave", "mounted on / but it is not a shared or slave mount"),
        ("/slaves", "rprivate", ""),
    ],
)
def test_spreading_mounts_need_a_source_that_spreads(
    source: str, propagation: str, message: str
) -> None:
    planned = mounts.plan(HostConfig(binds=[f"{source}:/a:{propagation}"]))
    if not message:
        mounts.check_propagation(planned, lambda: MOUNTINFO)
        return
    with pytest.raises(EngineError, match=message):
        mounts.check_propagation(planned, lambda: MOUNTINFO)


def test_the_root_spreads_as_far_as_any_mount_needs() -> None:
    assert mounts.plan(HostConfig(binds=["/a:/a", "/b:/b:slave"])).propagation == "rslave"
    both = HostConfig(binds=["/a:/a:rshared", "/b:/b:slave"])
    assert mounts.plan(both).propagation == "shared"
    assert mounts.plan(HostConfig(binds=["/a:/a"])).propagation == ""
