"""Layer archives made with Python's tarfile, so that what reads them is not what wrote them."""

import io
import tarfile
from collections.abc import Mapping

from wherry.spec.digest import Digest

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, kind: bytes, data: bytes = b"", **fields: object) -> Member:
    """`fields` are TarInfo's own, and `xattrs`: bytes by name."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    xattrs = fields.pop("xattrs", {})
    assert isinstance(xattrs, Mapping)
    for key, value in xattrs.items():
        text = value.decode("utf-8", "surrogateescape")
        info.pax_headers = {**info.pax_headers, f"SCHILY.xattr.{key}": text}
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def file(name: str, data: bytes = b"", **fields: object) -> Member:
    return member(name, tarfile.REGTYPE, data, **{"mode": 0o644, **fields})


def directory(name: str, **fields: object) -> Member:
    return member(name, tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def symlink(name: str, target: str, **fields: object) -> Member:
    return member(name, tarfile.SYMTYPE, **{"mode": 0o777, "linkname": target, **fields})


def hardlink(name: str, target: str) -> Member:
    return member(name, tarfile.LNKTYPE, linkname=target)


def device(name: str, major: int, minor: int, kind: bytes = tarfile.CHRTYPE) -> Member:
    return member(name, kind, devmajor=major, devminor=minor, mode=0o660)


def fifo(name: str) -> Member:
    return member(name, tarfile.FIFOTYPE, mode=0o600)


def whiteout(name: str) -> Member:
    parent, slash, last = name.rpartition("/")
    return file(f"{parent}{slash}.wh.{last}")


def opaque(name: str) -> Member:
    return file(f"{name}/.wh..wh..opq" if name else ".wh..wh..opq")


def archive(*members: Member, format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def layer(*members: Member, format: int = tarfile.PAX_FORMAT) -> tuple[Digest, bytes]:  # noqa: A002
    """An archive and its diffID."""
    tar = archive(*members, format=format)
    return Digest.of(tar), tar
