"""Users and groups as Docker's `--user` resolves them, by files that may be hostile."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errdefs import EngineError
from wherry.libcontainer import passwd
from wherry.libcontainer.inroot import Root
from wherry.libcontainer.passwd import Identity, resolve

USERS = "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001::/home/bob:\n# no\nbroken\n:x:1:1::/:\n"
GROUPS = "root:x:0:\nstaff:x:50:bob,eve\nwheel:x:10:bob\nbob:x:1001:\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(USERS)
    (tmp_path / "etc/group").write_text(GROUPS)
    fd = os.open(tmp_path, os.O_PATH)
    yield Root(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("wanted", "identity"),
    [
        ("", Identity(0, 0, (0,), "/root")),
        ("root", Identity(0, 0, (0,), "/root")),
        ("bob", Identity(1000, 1001, (1001, 50, 10), "/home/bob")),
        ("1000", Identity(1000, 1001, (1001, 50, 10), "/home/bob")),
        ("bob:wheel", Identity(1000, 10, (10,), "/home/bob")),
        ("bob:77", Identity(1000, 77, (77,), "/home/bob")),
        ("4000", Identity(4000, 0, (0,), "/")),
        ("4000:4001", Identity(4000, 4001, (4001,), "/")),
    ],
)
def test_who_is_meant(root: Root, wanted: str, identity: Identity) -> None:
    assert resolve(root, wanted) == identity


def test_more_groups_by_name_and_number(root: Root) -> None:
    assert resolve(root, "4000", ("staff", "9")).groups == (0, 50, 9)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("eve", "unable to find user eve"),
        ("bob:nogroup", "unable to find group nogroup"),
        ("4294967296", "must be in range"),
        ("-1", "unable to find user -1"),
    ],
)
def test_who_is_not_there_is_named(root: Root, wanted: str, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        resolve(root, wanted)


def test_an_image_without_the_files(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    assert resolve(Root(fd), "5:6") == Identity(5, 6, (6,), "/")
    with pytest.raises(EngineError, match="no matching entries in passwd file"):
        resolve(Root(fd), "bob")
    os.close(fd)


def test_the_file_of_the_host_is_out_of_reach(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("evil:x:0:0::/:\n")
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    os.symlink(outside, inside / "etc/passwd")
    os.symlink("../../../../../../outside", inside / "etc/group")
    fd = os.open(inside, os.O_PATH)
    with pytest.raises(EngineError, match="unable to find user evil"):
        resolve(Root(fd), "evil")
    os.close(fd)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    fd = os.open(tmp_path, os.O_PATH)
    assert resolve(Root(fd), "7").uid == 7
    os.close(fd)


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    with open(tmp_path / "etc/passwd", "wb") as file:
        file.truncate(passwd.LIMIT + 1)
    fd = os.open(tmp_path, os.O_PATH)
    with pytest.raises(EngineError, match="/etc/passwd"):
        resolve(Root(fd), "0")
    os.close(fd)


@given(st.text(max_size=200), st.text(max_size=20))
def test_any_text_gives_an_identity_or_an_error(text: str, wanted: str) -> None:
    users, groups = passwd._users(text), passwd._groups(text)
    assert all(0 <= user.uid < 10**10 for user in users)
    assert all(group.name for group in groups)
    try:
        passwd._find_user(wanted, users)
    except EngineError as error:
        assert wanted in error.message  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize("uid", [2**31, 2**32 - 1, 2**32])
def test_a_number_that_is_no_identity_is_refused(tmp_path: Path, uid: int) -> None:
    """To setresuid(2) 2^32 - 1 means "as it is", which is root."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"bob:x:{uid}:7::/:\neve:x:7:{uid}::/:\n")
    (tmp_path / "etc/group").write_text(f"staff:x:{uid}:\n")
    fd = os.open(tmp_path, os.O_PATH)
    for wanted in ("bob", "eve", "5:staff"):
        with pytest.raises(EngineError, match="must be in range"):
            resolve(Root(fd), wanted)
    assert resolve(Root(fd), "9").uid == 9
    os.close(fd)


def test_more_groups_than_the_kernel_takes_are_refused(root: Root) -> None:
    with pytest.raises(EngineError, match="65536 is most"):
        resolve(root, "bob", tuple(str(number) for number in range(70_000)))


@pytest.mark.parametrize("separator", ["\u2028", "\x0b", "\x0c", "\x1c", "\x85", "\r"])
def test_an_entry_does_not_hide_in_anothers_text(separator: str) -> None:
    """What ends a line for Python, and for no C library."""
    users = passwd._users(f"eve:x:7:7:{separator}bob:x:0:0::/:\n")
    assert [user.name for user in users] == ["eve"]


def test_a_line_with_a_zero_byte_is_no_entry() -> None:
    """HOME would come of it, which execve(2) could not take."""
    assert passwd._users("root:x:0:0::/a\0b:\n") == []
