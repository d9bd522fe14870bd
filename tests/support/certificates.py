"""Certificates for tests, by the program openssl: an authority, and whom it vouches for."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
CLIENT = "extendedKeyUsage=clientAuth\n"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path


class Authority:
    """Signs what it is asked to; `ca` is its own certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / f"{name}.pem"
        self._key = folder / f"{name}-key.pem"
        openssl(
            "req", "-x509", *_KEY, "-keyout", self._key, "-out", self.ca, "-subj", f"/CN={name}",
            "-days", "2", "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip

    def sign(self, name: str, extensions: str, days: int = 2) -> Certificate:
        """With `days` below zero, one that has run out."""
        files = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")
        request = self._folder / f"{name}.csr"
        openssl("req", *_KEY, "-keyout", files.key, "-out", request, "-subj", f"/CN={name}")
        wanted = self._folder / f"{name}.ext"
        wanted.write_text(extensions)
        openssl(
            "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key,
            "-set_serial", str(abs(hash(name))), "-out", files.cert, "-days", str(days),
            "-extfile", wanted,
        )  # fmt: skip
        return files


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@dataclass(frozen=True)
class Certificates:
    """A daemon's and a client's, of one authority, and those that must not do."""

    ca: Path
    server: Certificate
    client: Certificate
    expired_client: Certificate
    expired_server: Certificate
    stranger: Certificate
    strange_ca: Path


def issue(folder: Path) -> Certificates:
    authority = Authority(folder)
    other = Authority(folder / "other")
    return Certificates(
        ca=authority.ca,
        server=authority.sign("server", SERVER),
        client=authority.sign("client", CLIENT),
        expired_client=authority.sign("expired-client", CLIENT, -1),
        expired_server=authority.sign("expired-server", SERVER, -1),
        stranger=other.sign("stranger", CLIENT),
        strange_ca=other.ca,
    )
