"""The daemon's side of the extractor: starts the child, feeds it, checks the bytes on their way."""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal

import wherry
from wherry import errdefs
from wherry.snapshots.extractor.report import Refusal, Report
from wherry.spec.digest import Digest

WhiteoutForm = Literal["devices", "report"]

_CHUNK: Final = 1 << 18
_PIPE: Final = 1 << 20
_MAX_REPORT: Final = 1 << 28
# A layer that lies about its digest is mostly refused for nonsense in it before its end. The lie is
# the better answer, so the rest is read, but no more than this: it may be a bomb.
_READ_AFTER_REFUSAL: Final = 1 << 28

_BOOTSTRAP: Final = """\
import sys
sys.path.insert(0, sys.argv[1])
from wherry.snapshots.extractor.child import main
main(sys.argv[2:])
"""
# An interpreter may need it to find its own library; nothing else of ours is the child's business.
_ENVIRONMENT: Final = {
    name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"
}
_SOURCE: Final = str(Path(wherry.__file__).parent.parent)


def extract(
    tar: BinaryIO,
    expected: Digest,
    target: Path,
    *,
    whiteouts: WhiteoutForm,
    max_entries: int,
) -> Report:
    """Unpack `tar` into the empty directory `target`, which may be half full after an error.

    Raises DataLoss if the stream's digest is not `expected`, and what made the child refuse it
    otherwise. Errors of reading `tar` itself pass through.
    """
    hasher = hashlib.sha256()
    spare = _READ_AFTER_REFUSAL
    with _Child(target, whiteouts, max_entries) as child:
        while spare > 0 and (chunk := tar.read(_CHUNK)):
            hasher.update(chunk)
            if not child.feed(chunk):
                spare -= len(chunk)
        child.end_of_tar()
        if spare > 0 and hasher.hexdigest() != expected.hex:
            raise errdefs.data_loss(
                f"layer {expected}: its bytes have the digest sha256:{hasher.hexdigest()}; "
                "fetch or load the image again"
            )
        answer = child.answer()
    if "kind" in answer:
        raise errdefs.EngineError(
            errdefs.Kind[answer["kind"]], f"layer {expected}: {answer['message']}"
        )
    return answer


class _Child:
    """The confined process, from its start to its burial."""

    def __init__(self, target: Path, whiteouts: WhiteoutForm, max_entries: int) -> None:
        self._stderr = os.memfd_create("wherry-extractor-errors", os.MFD_CLOEXEC)
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", "-c", _BOOTSTRAP, _SOURCE),
                    *(str(target), whiteouts, str(max_entries)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                cwd="/",
                env=_ENVIRONMENT,
            )
        except OSError as error:
            os.close(self._stderr)
            raise errdefs.from_os_error("starting the extractor", error) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        with contextlib.suppress(OSError):  # over the user's limit for pipes: slower, that is all
            fcntl.fcntl(self._stdin.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)

    def __enter__(self) -> "_Child":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stdin.close()
        self._stdout.close()
        self._process.kill()
        self._process.wait()
        os.close(self._stderr)

    def feed(self, chunk: bytes) -> bool:
        """Waits while the child has enough to do; False if it wants no more."""
        if self._stdin.closed:
            return False
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._stdin.fileno(), rest) :]
        except BrokenPipeError:
            self._stdin.close()
            return False
        return True

    def end_of_tar(self) -> None:
        self._stdin.close()

    def answer(self) -> Report | Refusal:
        """What the child said before it ended. Raises Internal if it was killed, or broke."""
        said = bytearray()
        while len(said) < _MAX_REPORT and (chunk := os.read(self._stdout.fileno(), _CHUNK)):
            said += chunk
        self._stdout.close()
        status = self._process.wait()
        if status != 0:
            raise errdefs.internal(f"the layer's extractor {self._end(status)}")
        # A child that was taken over can lie in it, but about its own layer only.
        try:
            answer: Report | Refusal = json.loads(said)
        except ValueError:
            raise errdefs.internal("the layer's extractor gave no report") from None
        return answer

    def _end(self, status: int) -> str:
        if status < 0:
            return f"was killed by signal {-status}: is the machine out of memory?"
        last = os.pread(self._stderr, 1 << 16, 0).decode(errors="replace").strip()
        return f"failed: {last.splitlines()[-1] if last else f'exit status {status}'}"
