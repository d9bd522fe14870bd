"""What ADD fetches has the digest that it should have."""

import hashlib
import io

import pytest

from wherry.build.checksums import parse_checksum, verify
from wherry.build.threads import Stop
from wherry.errdefs import EngineError

CONTENT = b"fetched" * 1000


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_the_right_digest_passes(algorithm: str) -> None:
    checksum = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    verify("f", io.BytesIO(CONTENT), checksum, Stop())


@pytest.mark.parametrize("checksum", ["sha256:" + "0" * 64, "sha512:" + "0" * 128])
def test_another_is_told(checksum: str) -> None:
    with pytest.raises(EngineError, match=f"digest mismatch: f has {checksum[:7]}"):
        verify("f", io.BytesIO(CONTENT), checksum, Stop())


@pytest.mark.parametrize(
    ("checksum", "told"),
    [
        ("sha256:0", "after sha256 there are 64 digits"),
        ("sha256:" + "G" * 64, "after sha256 there are 64 digits"),
        ("md5:" + "0" * 32, "it begins with none of sha256"),
        ("x", "it begins with none of sha256"),
    ],
)
def test_what_is_no_checksum_is_refused(checksum: str, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        parse_checksum(checksum)
