"""`--output local`: an archive of anything becomes files in the folder, or is refused."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from wherry.cli.building.extracting import extract
from wherry.cli.errors import CliError


def archive(*members: tuple[str, dict[str, object], bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, fields, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for field, value in fields.items():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


HOLES = {
    "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a",
    "GNU.sparse.realsize": str(10**15),
}  # fmt: skip


@pytest.mark.parametrize(
    "member",
    [
        ("../a", {}, b""),
        ("a", {"type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"}, b""),
        ("a", {"type": tarfile.LNKTYPE, "linkname": ""}, b""),
        ("a", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, b""),
        ("a", {"pax_headers": {"path": "a\0b"}}, b""),
        ("a", {"pax_headers": HOLES}, b"1\n0\n0\n".ljust(512, b"\0")),
        ("a" * 300, {}, b""),
    ],
)
def test_what_is_refused(tmp_path: Path, member: tuple[str, dict[str, object], bytes]) -> None:
    with pytest.raises(CliError):
        extract([archive(member)], str(tmp_path / "out"))
    assert not any(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("time", ["1e300", "-1e300", "nan", "inf", str(2**80)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_times_that_no_file_can_have_are_none(tmp_path: Path, time: str, kind: bytes) -> None:
    extract([archive(("a", {"type": kind, "pax_headers": {"mtime": time}}, b""))], str(tmp_path))
    assert (tmp_path / "a").stat().st_mtime == 0


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "there").symlink_to(outside)
    (out / "mine").write_text("precious")
    link = {"type": tarfile.SYMTYPE, "linkname": str(outside)}
    extract(
        [
            archive(
                ("brought", link, b""),
                ("brought/x", {}, b"x"),
                ("there/x", {}, b"x"),
                ("same", {"type": tarfile.LNKTYPE, "linkname": "mine"}, b""),
                ("same", {"mode": 0o6777}, b"other"),
            )
        ],
        str(out),
    )
    assert list(outside.iterdir()) == []
    assert (out / "mine").read_text() == "precious"
    assert os.stat(out / "same").st_mode & 0o7777 == 0o777
