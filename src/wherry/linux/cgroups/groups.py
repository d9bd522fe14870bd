"""What v1 and v2 have in common: paths, walking, waiting, ending processes, removing."""

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from wherry import errdefs
from wherry.linux.cgroups import files


def checked(path: str) -> str:
    """A group's path as this room takes it, absolute and plain; else INVALID_ARGUMENT."""
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]):
        raise errdefs.invalid(
            f"invalid cgroup path {path!r}: it is absolute and plain, such as /wherry/name"
        )
    return path


def checked_pid(pid: int) -> None:
    """Raise INVALID_ARGUMENT for 0, by which the kernel means the writer itself, and below."""
    if pid <= 0:
        raise errdefs.invalid(f"invalid process id {pid}: it is positive")


def refused(tried: str, path: str, error: OSError) -> errdefs.EngineError:
    """The kernel's refusal about the group `path` as one sentence."""
    if error.errno in (errno.ENOENT, errno.ENODEV):
        return errdefs.not_found(f"no such cgroup: {path} ({tried})")
    if error.errno == errno.EROFS:
        return errdefs.unavailable(
            f"{tried} cgroup {path}: the cgroup file system is mounted read-only here"
            f" ({error.filename})"
        )
    return errdefs.from_os_error(f"{tried} cgroup {path}", error)


@contextlib.contextmanager
def probe(directory: str) -> Iterator[None]:
    """Have the group there to be looked at. One that was not there before goes again."""
    try:
        os.mkdir(directory)
    except FileExistsError:
        yield
        return
    try:
        yield
    finally:
        # Unless somebody has moved in meanwhile.
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def children(directory: str) -> list[str]:
    """The groups right below; none if the directory is gone."""
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def members(directory: str) -> set[int]:
    """The processes of the group and of all below it; empty if it is gone."""
    found: set[int] = set()
    try:
        found.update(int(line) for line in files.read(f"{directory}/cgroup.procs").split())
    except OSError as error:
        # EOPNOTSUPP: a threaded group of v2, whose processes are listed by its domain.
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            raise
    for child in children(directory):
        found |= members(child)
    found.discard(0)  # a process that this process' pid namespace does not see
    return found


def pauses(timeout: float) -> Iterator[None]:
    """Yield after growing pauses, from half a millisecond to 20, until `timeout` seconds are over.

    The kernel has no event for these ends on v1, and they mostly come within a millisecond.
    """
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while True:
        yield
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.02)


def wait_event(events: str, key: str, value: int, timeout: float) -> bool:
    """Wait until `key` is `value` in a v2 cgroup.events file, by its poll notification."""
    deadline = time.monotonic() + timeout
    fd = os.open(events, os.O_RDONLY | os.O_CLOEXEC)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLPRI)
        while True:
            if files.parse_keyed(os.pread(fd, 4096, 0).decode()).get(key) == value:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
    finally:
        os.close(fd)


def refuse_own_group(path: str, pids: set[int], verb: str) -> None:
    """Raise INVALID_ARGUMENT if the caller itself is among `pids`: it would not come back."""
    if os.getpid() in pids:
        raise errdefs.invalid(f"cannot {verb} cgroup {path} from a process inside it")


def signal_all(pids: set[int]) -> None:
    """SIGKILL each. Just listed, and frozen: a pid is not reused in between."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def end_all(
    path: str, directory: str, timeout: float, still: Callable[[], None], go: Callable[[], None]
) -> None:
    """SIGKILL all in `directory` until none is left, frozen by `still` and thawed by `go`.

    A frozen process can't fork, and dies when it is thawed. `still` need not succeed: the rounds
    go on, and each finds fewer.
    """
    pids = members(directory)
    refuse_own_group(path, pids, "kill")
    deadline = time.monotonic() + timeout
    while pids:
        if time.monotonic() > deadline:
            raise left_behind("processes do not end in", path, pids)
        still()
        try:
            signal_all(members(directory))
        finally:
            go()
        # Time to die in: who is frozen again on the way out takes another round.
        for _ in pauses(0.2):
            pids = members(directory)
            if not pids:
                break


def clear_leftover(path: str, pids: Sequence[int], remove: Callable[[], None]) -> None:
    """Make way for a new group where there is one already: a crash's leftover, if it is empty."""
    if pids:
        raise errdefs.conflict(
            f"cgroup {path} is in use by pids {', '.join(map(str, pids[:10]))}: take another"
            " name, or end them"
        )
    remove()


def left_behind(trouble: str, path: str, pids: set[int]) -> errdefs.EngineError:
    shown = ", ".join(map(str, sorted(pids)[:10]))
    return errdefs.unavailable(f"{trouble} cgroup {path}: pids {shown} (see /proc/PID/stack)")


def remove(path: str, directories: Sequence[str], timeout: float) -> None:
    """Remove `path`'s directories and all below them; raises CONFLICT if one stays busy."""
    left = list(directories)
    try:
        for _ in pauses(timeout):
            left = [directory for directory in left if not _removed(directory)]
            if not left:
                return
    except OSError as error:
        raise errdefs.from_os_error(f"removing cgroup {path}", error) from error
    pids = set[int]().union(*(members(directory) for directory in left))
    who = f"used by pids {', '.join(map(str, sorted(pids)[:10]))}" if pids else "busy"
    raise errdefs.conflict(f"cannot remove cgroup {path}: {left[0]} is {who}")


def _removed(directory: str) -> bool:
    """Try once. True if the directory is gone now, False if it is still in use."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
    else:
        return True
    gone = [_removed(child) for child in children(directory)]
    return bool(gone) and all(gone) and _removed(directory)
