"""`--chmod`, beside chmod(1)."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.build.copying.modes import parse_chmod
from wherry.errdefs import EngineError

SOAK = bool(os.environ.get("WHERRY_SOAK"))

clauses = st.builds(
    "{}{}{}".format,
    st.text("ugoa", min_size=1, max_size=3),
    st.sampled_from("+-="),
    st.one_of(st.text("rwxX", max_size=4), st.sampled_from("ugo")),
)


@pytest.mark.parametrize(
    ("text", "mode", "directory", "expected"),
    [
        ("0", 0o755, False, 0),
        ("755", 0o600, False, 0o755),
        ("0755", 0o600, True, 0o755),
        ("4711", 0o600, False, 0o4711),
        ("7777", 0, False, 0o7777),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("a+x", 0o644, False, 0o755),
        ("+x", 0o644, False, 0o755),
        ("u+s,g+s,+t", 0o755, False, 0o7755),
        ("g=u", 0o640, False, 0o660),
        ("u=rw-w+x", 0o777, False, 0o577),
        ("=", 0o7777, False, 0),
    ],
)
def test_modes(text: str, mode: int, directory: bool, expected: int) -> None:
    assert parse_chmod(text)(mode, directory) == expected


@pytest.mark.parametrize(
    "text",
    ["888", "10000", "-1", "rwx", "u", "z+x", "u+q", "u+x,", ",", "u +x", "0x1", "755\n", "٣"],
)
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="invalid chmod parameter"):
        parse_chmod(text)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chmod") / "file"
    path.touch()
    return path


@settings(max_examples=400 if SOAK else 40, deadline=None)
@given(text=st.lists(clauses, min_size=1, max_size=3).map(",".join), mode=st.integers(0, 0o777))
def test_it_does_what_the_program_does(file: Path, text: str, mode: int) -> None:
    file.chmod(mode)
    subprocess.run(["chmod", "--", text, file], check=True, preexec_fn=lambda: os.umask(0))
    # Where one clause makes it executable, a later X means another thing to the program.
    if "X" not in text:
        assert parse_chmod(text)(mode, False) == file.stat().st_mode & 0o7777
