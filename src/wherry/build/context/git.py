"""A commit of a git repository as a context: what a process of its own fetches (`checkout`)."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

from wherry import errdefs
from wherry.build.context.context import Context
from wherry.build.context.giturl import GitSource
from wherry.build.context.upload import open_upload
from wherry.build.threads import Stop
from wherry.errdefs import EngineError, Kind

PREFIX: Final = "git-"
"""Begins the names of folders in which something is fetched."""

_RESERVE: Final = 256 << 20  # bytes of the disk that are not to be filled
_LEAST: Final = 1 << 20
_REFUSAL_MAX: Final = 1 << 16
_BOOTSTRAP: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from wherry.build.context.checkout import main; main()"
)


def fetch_git(
    source: GitSource,
    folder: Path,
    *,
    keep_git_dir: bool = False,
    token: str = "",
    agent: Path | None = None,
    stop: Stop | None = None,
) -> Context:
    """Fetch one commit, without its history, and what its submodules are at. Blocks.

    Files are root's, as git's modes have them (0644, 0755), and as old as the commit. With
    `keep_git_dir` there is a `.git` too. `token` is sent as the password where there is none, and
    `agent` is the only one that ssh asks for keys. `stop` breaks it off. Raises NotFound for a
    repository, a ref or a folder that does not exist, Forbidden where a password is asked for,
    Unavailable where nobody answers, ResourceExhausted for one that is too large, NotImplemented
    without dulwich.
    """
    _require_dulwich()
    stop = stop or Stop()
    stop.check()
    asked = {
        "source": dataclasses.asdict(source),
        "keep_git_dir": keep_git_dir or bool(source.keep_git_dir),
        "token": token,
        "agent": os.fspath(agent) if agent else "",
        "room": max(shutil.disk_usage(folder).free - _RESERVE, _LEAST),
    }
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=PREFIX) as work:
            return _fetched(asked, source, folder, Path(work), stop)
    except OSError as error:
        raise errdefs.from_os_error(f"fetching {source.shown}", error) from error


def _fetched(
    asked: dict[str, object], source: GitSource, folder: Path, work: Path, stop: Stop
) -> Context:
    with (
        tempfile.TemporaryFile() as refusal,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(refusal.fileno(),),
            cwd=work,
            start_new_session=True,  # ssh is to end with it
        ) as process,
        stop.ending(lambda: _kill(process)),
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        failure: EngineError | None = None
        try:
            with process.stdin as order:
                order.write(json.dumps({**asked, "refusal": refusal.fileno()}).encode())
            context = open_upload(process.stdout, folder, f"fetching {source.shown}")
            # What was cut short between two files looks whole.
            if process.wait() == 0:
                return context
            context.close()
        except EngineError as error:
            failure = error
        finally:
            _kill(process)
        stop.check()
        raise _refusal(refusal, source) or failure or _died(source)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It, and an ssh of it, if it has not ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _refusal(file: IO[bytes], source: GitSource) -> EngineError | None:
    file.seek(0)
    text = file.read(_REFUSAL_MAX)
    if not text:
        return None
    try:
        told = json.loads(text)
        return EngineError(Kind[told["kind"]], told["message"])
    except (ValueError, KeyError, TypeError):
        return _died(source)


def _died(source: GitSource) -> EngineError:
    return errdefs.unavailable(f"fetching {source.shown}: what fetches it has ended unexpectedly")


def _require_dulwich() -> None:
    try:
        import dulwich  # noqa: F401
    except ImportError:
        raise errdefs.not_implemented(
            "git repositories are fetched by dulwich, which is not installed:"
            " pip install 'wherry[git]'"
        ) from None
