"""What the Cgroups protocol promises, held by every version that this host has.

A hybrid host shows both: v1 with its controllers, and v2's core files in its `unified` mount.
"""

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wherry import errdefs
from wherry.linux import syscalls
from wherry.linux.cgroups import Cgroups, CgroupsV1, CgroupsV2
from wherry.linux.cgroups.hierarchies import parse

pytestmark = pytest.mark.root

CLONE_INTO_CGROUP = 0x200000000


def versions() -> dict[str, Cgroups]:
    known = Path("/proc/cgroups")
    mountinfo = Path("/proc/self/mountinfo").read_text()
    found = parse(mountinfo, known.read_text() if known.exists() else "")
    v1 = [one for one in found if any("name=" not in name for name in one.controllers)]
    v2 = [one for one in found if one.unified]
    answer: dict[str, Cgroups] = {}
    if v1:
        answer["v1"] = CgroupsV1([one for one in found if not one.unified])
    if v2:
        answer["v2"] = CgroupsV2(v2[0].mount)
    return answer


@pytest.fixture(params=["v1", "v2"])
def cgroups(request: pytest.FixtureRequest) -> Cgroups:
    found = versions()
    if request.param not in found:
        pytest.skip(f"cgroup {request.param} is not mounted")
    return found[request.param]


@pytest.fixture
def path(cgroups: Cgroups, request: pytest.FixtureRequest) -> Iterator[str]:
    """A group's path of our own, gone afterwards with all that runs in it."""
    top = f"/wherry-test-{os.getpid()}-{abs(hash(request.node.name)) % 10**6}"
    yield f"{top}/box"
    cgroups.remove_tree(top)
    assert not cgroups.exists(top)


@pytest.fixture
def start(cgroups: Cgroups) -> Iterator[Callable[..., int]]:
    """start(path, work) forks a child that joins the group and does `work`, then waits forever."""
    children: list[int] = []

    def start(path: str, work: Callable[[], object] = lambda: None) -> int:
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                cgroups.join(path)
                work()
                os.write(told, b".")
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(told)
        children.append(pid)
        said = os.read(ready, 1)
        os.close(ready)
        assert said == b".", "the child could not join its group"
        return pid

    yield start
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.001)


def refusal(kind: errdefs.Kind, call: Callable[[], object]) -> str:
    with pytest.raises(errdefs.EngineError) as refused:
        call()
    assert refused.value.kind is kind, refused.value.message
    return refused.value.message


def test_a_life(cgroups: Cgroups, path: str, start: Callable[..., int]) -> None:
    assert not cgroups.exists(path)
    cgroups.create(path)
    assert cgroups.exists(path)
    assert cgroups.pids(path) == []
    first, second = start(path), start(path)
    assert cgroups.pids(path) == sorted([first, second])
    cgroups.kill(path)
    assert (code(first), code(second)) == (-signal.SIGKILL, -signal.SIGKILL)
    assert cgroups.pids(path) == []
    assert cgroups.oom_kills(path) == 0
    cgroups.remove(path)
    assert not cgroups.exists(path)
    cgroups.remove(path)


def test_a_process_inside_is_in_every_hierarchy(
    cgroups: Cgroups, path: str, start: Callable[..., int]
) -> None:
    cgroups.create(path)
    pid = start(path)
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    ours = [line for line in lines if line.startswith("0::") == (cgroups.version == 2)]
    assert ours
    assert all(line.endswith(path) for line in ours), lines


def test_another_process_is_added(cgroups: Cgroups, path: str, start: Callable[..., int]) -> None:
    cgroups.create(path)
    cgroups.create(path + "-other")
    pid = start(path)
    cgroups.add(path + "-other", pid)
    assert cgroups.pids(path) == []
    assert cgroups.pids(path + "-other") == [pid]


def test_a_process_that_is_gone_can_not_be_added(cgroups: Cgroups, path: str) -> None:
    cgroups.create(path)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert str(pid) in refusal(errdefs.Kind.NOT_FOUND, lambda: cgroups.add(path, pid))
    refusal(errdefs.Kind.INVALID_ARGUMENT, lambda: cgroups.add(path, 0))


def test_what_runs_below_counts_too(cgroups: Cgroups, path: str, start: Callable[..., int]) -> None:
    cgroups.create(path + "/inner/most")
    pid = start(path + "/inner/most")
    assert cgroups.pids(path) == [pid]
    cgroups.remove_tree(path)
    assert code(pid) == -signal.SIGKILL
    assert not cgroups.exists(path)


def test_frozen_processes_stand_still_until_thawed(
    cgroups: Cgroups, path: str, start: Callable[..., int]
) -> None:
    cgroups.create(path)
    # A signal with a handler: one that is deadly kills a frozen process of v2 at once.
    pid = start(path, lambda: signal.signal(signal.SIGUSR1, lambda *_: os._exit(7)))
    cgroups.freeze(path)
    os.kill(pid, signal.SIGUSR1)
    time.sleep(0.02)  # to be wrong in, if it were not frozen
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    cgroups.freeze(path)
    cgroups.thaw(path)
    assert code(pid) == 7


def test_a_frozen_group_is_killed(cgroups: Cgroups, path: str, start: Callable[..., int]) -> None:
    cgroups.create(path + "/outer")
    cgroups.create(path + "/inner")
    outer, inner = start(path + "/outer"), start(path + "/inner")
    cgroups.freeze(path + "/inner")  # by itself, as a container in a container would
    cgroups.freeze(path)
    cgroups.kill(path)
    assert (code(outer), code(inner)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_a_fork_bomb_is_killed_whole(
    cgroups: Cgroups, path: str, start: Callable[..., int]
) -> None:
    cgroups.create(path, {"pids": {"limit": 60}} if "pids" in cgroups.controllers else {})

    def bomb() -> None:
        if os.fork() != 0:
            return
        generations = 0
        while generations < 2000:  # an end of its own, should the kill fail
            if os.fork() != 0:
                os._exit(0)
            generations += 1
        os._exit(0)

    pid = start(path, bomb)
    cgroups.kill(path)
    assert code(pid) == -signal.SIGKILL
    assert cgroups.pids(path) == []
    cgroups.remove(path)


def test_a_caller_inside_is_not_killed(cgroups: Cgroups, path: str) -> None:
    cgroups.create(path)
    pid = os.fork()
    if pid == 0:
        refusals = 0
        try:
            cgroups.join(path)
            for verb in (cgroups.kill, cgroups.freeze):
                try:
                    verb(path)
                except errdefs.EngineError as error:
                    refusals += error.kind is errdefs.Kind.INVALID_ARGUMENT
        finally:
            os._exit(refusals)
    assert code(pid) == 2


def test_a_group_in_use_is_neither_made_nor_removed(
    cgroups: Cgroups, path: str, start: Callable[..., int]
) -> None:
    cgroups.create(path)
    pid = start(path)
    assert str(pid) in refusal(errdefs.Kind.CONFLICT, lambda: cgroups.create(path))
    assert str(pid) in refusal(errdefs.Kind.CONFLICT, lambda: cgroups.remove(path, timeout=0.01))
    assert cgroups.pids(path) == [pid]
    cgroups.create(path, shared=True)
    assert cgroups.pids(path) == [pid]


def test_an_empty_leftover_is_made_anew(
    cgroups: Cgroups, path: str, start: Callable[..., int]
) -> None:
    cgroups.create(path + "/inner")
    cgroups.create(path)
    assert not cgroups.exists(path + "/inner")


def test_remove_waits_for_a_process_that_is_ending(
    cgroups: Cgroups, path: str, start: Callable[..., int]
) -> None:
    cgroups.create(path)
    pid = start(path)
    os.kill(pid, signal.SIGKILL)
    cgroups.remove(path)
    assert code(pid) == -signal.SIGKILL


def test_a_group_that_is_not_there(cgroups: Cgroups, path: str) -> None:
    assert cgroups.pids(path) == []
    cgroups.kill(path)
    cgroups.remove(path)
    cgroups.remove_tree(path)
    for call in (
        lambda: cgroups.join(path),
        lambda: cgroups.add(path, os.getpid()),
        lambda: cgroups.stats(path),
        lambda: cgroups.thaw(path),
        lambda: cgroups.freeze(path),
        lambda: (
            cgroups.update(path, {"unified": {"cgroup.max.depth": "1"}})
            if cgroups.version == 2
            else cgroups.update(path, {"cpu": {"shares": 10}})
        ),
    ):
        assert path in refusal(errdefs.Kind.NOT_FOUND, call)


@pytest.mark.parametrize("bad", ["", "/", "relative", "/a//b", "/../x", "/a/..", "/a/"])
def test_paths_are_absolute_and_plain(cgroups: Cgroups, bad: str) -> None:
    calls: list[Callable[[str], object]] = [
        *(cgroups.create, cgroups.join, cgroups.exists, cgroups.pids, cgroups.kill),
        *(cgroups.freeze, cgroups.thaw, cgroups.remove, cgroups.remove_tree, cgroups.stats),
        *(cgroups.oom_kills, cgroups.clone_fd),
    ]
    for call in calls:
        refusal(errdefs.Kind.INVALID_ARGUMENT, lambda call=call: call(bad))


def test_nothing_is_left_of_what_could_not_be_made(cgroups: Cgroups, path: str) -> None:
    cgroups.create(path + "-sister")
    nonsense = {"unified": {"cgroup.max.depth": "much"}}
    if cgroups.version == 1:
        nonsense = {"cpu": {"cpus": "4000"}}
    message = refusal(errdefs.Kind.INVALID_ARGUMENT, lambda: cgroups.create(path, nonsense))
    assert path in message
    assert not cgroups.exists(path)


def test_a_child_is_born_inside(cgroups: Cgroups, path: str) -> None:
    cgroups.create(path)
    fd = cgroups.clone_fd(path)
    if cgroups.version == 1:
        assert fd is None
        return
    assert fd is not None
    arguments = struct.pack("=11Q", CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, *[0] * 5, fd)
    pid = syscalls.call("clone3", arguments, len(arguments))
    if pid == 0:
        signal.pause()
        os._exit(0)
    os.close(fd)
    assert cgroups.pids(path) == [pid]
    cgroups.kill(path)
    assert code(pid) == -signal.SIGKILL


def test_stats_count_processor_time(cgroups: Cgroups, path: str, start: Callable[..., int]) -> None:
    cgroups.create(path)

    def work() -> None:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    start(path, work)
    stats = cgroups.stats(path)
    assert stats.cpu is not None
    assert stats.cpu.total_ns > 10_000_000
    for name, value in (("memory", stats.memory), ("pids", stats.pids)):
        assert (value is not None) == (name in cgroups.controllers)


def test_joining_needs_no_system_wide_lock(
    cgroups: Cgroups, path: str, start: Callable[..., int]
) -> None:
    """The reason for `join`: after an idle time, moving costs a grace period, joining does not."""
    if cgroups.version == 2:
        pytest.skip("v2 has no such way: children are cloned into the group")
    cgroups.create(path)
    took: list[float] = []
    for _ in range(5):
        time.sleep(0.1)  # for the kernel to fall back to its slow way
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            before = time.perf_counter()
            cgroups.join(path)
            os.write(told, struct.pack("d", time.perf_counter() - before))
            os._exit(0)
        os.close(told)
        took += struct.unpack("d", os.read(ready, 8))
        os.close(ready)
        os.waitpid(pid, 0)
    assert min(took) < 0.003, f"join took {took} s"
