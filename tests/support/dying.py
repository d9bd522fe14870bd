"""Work on a data root that is killed at whichever fault point's turn it is."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# One process imports, and a child of it works and dies, over and over. The child notes each fault
# point that it comes to, and dies at the one whose turn it is.
_WORKER = """
import json, os, sys
from contextlib import closing
from pathlib import Path
from wherry import faults
from wherry.content import disk

os.fsync = lambda fd: None  # a killed process loses nothing that the kernel has
disk.syncfs = lambda fd: None

class Turn(str):
    def __new__(cls, turn, log):
        self = super().__new__(cls)
        self.turn, self.log = turn, log
        return self
    def __eq__(self, name):
        os.write(self.log, name.encode() + b"\\n")
        self.turn -= 1
        return self.turn == 0
    __hash__ = None

{work}

for line in sys.stdin:
    root, argument, turn = json.loads(line)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        faults._armed = Turn(turn, write)
        code = 1
        try:
            work(Path(root), argument)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as log:
        names = log.read().split()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([code, names]), flush=True)
"""


class Worker:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, root: Path, argument: str = "", turn: int = 0) -> tuple[bool, list[str]]:
        """Whether it was killed, at the fault point whose turn it was; those that it came to."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(root), argument, turn]) + "\n")
        self._process.stdin.flush()
        code, names = json.loads(self._process.stdout.readline())
        assert code in (0, -signal.SIGKILL), code
        return code != 0, names


@contextlib.contextmanager
def worker(work: str) -> Iterator[Worker]:
    """`work` is source that defines work(root: Path, argument: str)."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    program = _WORKER.replace("{work}", work)
    with subprocess.Popen([sys.executable, "-c", program], text=True, **pipes) as process:
        yield Worker(process)
