"""The extractor's child: imports all, shuts itself in, then reads the archive.

Standard input is the tar, standard output takes one JSON report, standard error is kept by the
daemon for what should never happen.
"""

import gc
import json
import os
import resource
import signal
import sys

from wherry import errdefs
from wherry.layers.tar import TarReader
from wherry.linux import capabilities, syscalls
from wherry.snapshots.extractor.report import Refusal, Report
from wherry.snapshots.extractor.unpack import Unpacker

_KEPT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_MKNOD",
    "CAP_SETFCAP",
)
_MEMORY = 1 << 30  # the names of a layer's directories and whiteouts are what grows
_DESCRIPTORS = 256


def main(arguments: list[str]) -> None:
    """`arguments`: the target directory, "devices" or "report" for whiteouts, most entries."""
    target, whiteout_form, max_entries = arguments
    answer: Report | Refusal
    gc.disable()  # nothing here makes cycles
    try:
        confine(target)
        unpacker = Unpacker(
            os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC),
            whiteout_devices=whiteout_form == "devices",
            max_entries=int(max_entries),
        )
        with open(0, "rb", buffering=0, closefd=False) as stream:
            answer = unpacker.unpack(TarReader(stream))
    except errdefs.EngineError as error:
        answer = Refusal(kind=error.kind.name, message=error.message)
    except MemoryError:
        message = "its names take more memory than an extractor may have"
        answer = Refusal(kind=errdefs.Kind.RESOURCE_EXHAUSTED.name, message=message)
    with open(1, "wb", closefd=False) as report:
        report.write(json.dumps(answer).encode())


def confine(target: str) -> None:
    """Leave this process nothing but `target` as its root, and its three standard streams.

    Raises EngineError naming the step that the kernel refused.
    """
    step = "limiting the extractor"
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        syscalls.close_range(3)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
        step = "giving the extractor namespaces of its own"
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC)
        step = f"making {target} the extractor's root"
        _enter(target)
        step = "dropping the extractor's capabilities"
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        _drop_capabilities()
    except OSError as error:
        raise errdefs.from_os_error(step, error) from error
    os.umask(0)
    sys.path.clear()
    sys.meta_path.clear()


def _enter(target: str) -> None:
    """Make `target` the root, from which nothing is executed and no device opened."""
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount(target, target, None, syscalls.MS_BIND)
    os.chdir(target)
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount(None, ".", None, syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")


def _drop_capabilities() -> None:
    had = capabilities.get().permitted
    kept = [name for name in _KEPT if had >> capabilities.NUMBERS[name] & 1]
    capabilities.drop_bounding(kept)
    capabilities.set_all(effective=kept, permitted=kept, inheritable=(), ambient=())
