"""A container's first process, from the fork to execve(2).

It runs in a fork of a Python that has all it needs: nothing is imported here any more
(`shim.launcher` closes the import system). It is not dumpable from its first breath, so that
nobody already inside a namespace that it joins can look into it.
"""

import errno
import os
import signal
import stat
from collections.abc import Callable, Collection
from typing import NoReturn

from wherry import errdefs
from wherry.libcontainer import devices, process, sysctls
from wherry.libcontainer.blueprint import Blueprint
from wherry.libcontainer.inroot import Root
from wherry.libcontainer.namespaces import Namespaces
from wherry.libcontainer.prepared import Prepared
from wherry.libcontainer.rootfs import RootFilesystem
from wherry.libcontainer.sync import Channel, ClosedError, StartFailure
from wherry.linux import netlink, pty
from wherry.linux import syscalls as sc
from wherry.spec.runtime import Process

_UNSTARTED = 128
_WAYS_OUT = {
    errno.ENOTDIR: " (a file stands in its way: another --workdir)",
    errno.EROFS: " (it is not there, and what is mounted there is read-only)",
}


def guard(channel: Channel, work: Callable[[], NoReturn]) -> NoReturn:
    """Do the `work` of becoming a container's program, or tell why not. Never returns.

    EOFError from it means that there is nothing to do.
    """
    code = _UNSTARTED
    try:
        work()
    except StartFailure as failure:
        code = failure.exit_code
        channel.fail(failure, code)
    except errdefs.EngineError as error:
        channel.fail(error, code)
    except OSError as error:
        channel.fail(errdefs.from_os_error("unable to start container process", error), code)
    except (EOFError, ClosedError):
        pass  # the shim is gone: so are we
    except Exception as error:  # noqa: BLE001 - a child must never run its parent's code
        channel.fail(errdefs.internal(f"init: {type(error).__name__}: {error}"), code)
    finally:
        os._exit(code)


def set_apart() -> None:
    """In its own session, out of reach for ptrace(2); it dies with the shim, whose child it is."""
    sc.prctl(sc.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    sc.prctl(sc.PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.setsid()
    process.reset_signals()


def set_oom_score(process: Process) -> None:
    """Who the kernel ends first when memory is short; children inherit it."""
    score = process.get("oomScoreAdj")
    if score is not None:
        _write("/proc/self/oom_score_adj", str(score))


class Init:
    """The container's first process, after `set_apart`.

    `announce` tells that it is ready, with the terminal's master or -1; `kept` are descriptors
    that stay open until execve(2) closes them.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        namespaces: Namespaces,
        prepared: Prepared,
        channel: Channel,
        announce: Callable[[int], None],
        root_mount: int = -1,
        kept: Collection[int] = (),
    ) -> None:
        self.blueprint = blueprint
        self.spec = blueprint.spec
        self.process = blueprint.spec["process"]
        self.namespaces = namespaces
        self.prepared = prepared
        self.channel = channel
        self.announce = announce
        self.root_mount = root_mount
        self.kept = kept
        self.console = -1

    def execute(self) -> NoReturn:
        self._take_place()
        self._enter_namespaces()
        filesystem = self._make_filesystem()
        os.umask(0o022)
        filesystem.finish()
        self._run_program()

    def _take_place(self) -> None:
        """Under its own limits, with its own streams and none of the shim's descriptors."""
        if not self.blueprint.in_user_namespace:
            self.blueprint.join_cgroup()
            set_oom_score(self.process)
        kept = {0, 1, 2, self.channel.socket.fileno(), *self.kept, *self.prepared.descriptors}
        kept.update(self.namespaces.joined.values())
        kept.update(self.blueprint.given.contents)
        if self.root_mount >= 0:
            kept.add(self.root_mount)
        if self.blueprint.stdio:
            self._place_stdio(self.blueprint.stdio)
        sc.close_all_but(kept)
        sc.join_session_keyring(self.blueprint.id)

    def _enter_namespaces(self) -> None:
        self.prepared.fit(self.spec, self.namespaces)
        self.namespaces.enter(self.prepared.entered)
        self.prepared.go_home(self.namespaces.created | self.namespaces.joined_mask)
        self._name_host()
        sysctls.write(self._missing_sysctls())
        if self.namespaces.creates("cgroup"):
            sc.unshare(sc.CLONE_NEWCGROUP)
        self.namespaces.close()

    @staticmethod
    def _place_stdio(stdio: tuple[int, int, int]) -> None:
        for target, fd in enumerate(stdio):
            if fd >= 0:
                os.dup2(fd, target)

    def _missing_sysctls(self) -> dict[str, str]:
        """Those that are not set yet."""
        there = self.prepared.sysctls
        wanted = self.spec.get("linux", {}).get("sysctl", {})
        return {name: value for name, value in wanted.items() if there.get(name) != value}

    def _name_host(self) -> None:
        if self.namespaces.creates("network") and not self.prepared.entered & sc.CLONE_NEWNET:
            with netlink.RouteSocket() as route:
                route.link_up("lo")
        if self.namespaces.creates("uts"):
            sc.sethostname(self.spec.get("hostname", ""))
            sc.setdomainname(self.spec.get("domainname", ""))

    def _make_filesystem(self) -> RootFilesystem:
        os.umask(0)
        blueprint = self.blueprint
        filesystem = RootFilesystem(
            self.spec, blueprint.staging, self.prepared.trees, blueprint.given, blueprint.notes
        )
        filesystem.detach_from_host()
        if self.root_mount < 0:
            self.root_mount = self._open_root()
        filesystem.attach_root(self.root_mount)
        private = self.namespaces.creates("cgroup")
        filesystem.attach_mounts(blueprint.cgroup_mounts(private))
        if "/dev" not in self.prepared.trees and devices.has_own_dev(self.spec):
            devices.make_devices(filesystem.root, self.spec, blueprint.in_user_namespace)
        self._make_directory(filesystem.root)
        if self.process.get("terminal"):
            self._make_terminal(filesystem)
        filesystem.pivot()
        return filesystem

    def _make_directory(self, root: Root) -> None:
        cwd = self.process.get("cwd") or "/"
        try:
            os.close(root.make_directory(cwd))
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise errdefs.invalid(
                f"working directory {cwd}: {said}{_WAYS_OUT.get(error.errno or 0, '')}"
            ) from error

    def _open_root(self) -> int:
        try:
            return self.blueprint.root.open()
        except OSError as error:
            described = self.blueprint.root.describe()
            raise errdefs.from_os_error(
                f"mounting the root file system {described}", error
            ) from error

    def _make_terminal(self, filesystem: RootFilesystem) -> None:
        master, slave = devices.open_console(filesystem.root, filesystem.devpts_fd)
        size = self.process.get("consoleSize")
        if size and size["height"] and size["width"]:
            pty.set_size(master, size["height"], size["width"])
        self.console = master
        for target in (0, 1, 2):
            os.dup2(slave, target)
        os.close(slave)
        pty.make_controlling(0)

    def _run_program(self) -> NoReturn:
        root = Root(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        identity = process.identify(root, self.process)
        env = process.environment(self.process, identity)
        if self.blueprint.stdio and self.blueprint.stdio[0] < 0:
            _open_null(root)
        process.limit(self.process.get("rlimits", []))
        _own_stdio(identity.uid, identity.gid)
        os.umask(self.process.get("user", {}).get("umask", 0o022))
        entered = self._enter_directory(required=False)
        process.become(self.process, identity, self.blueprint)
        if not entered:
            self._enter_directory(required=True)
        arguments = self.process["args"]
        path = process.find_program(arguments[0], env)
        sc.prctl(sc.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # the change of user reset it
        self.announce(self.console)
        self.channel.expect("go")
        try:
            os.execve(path, arguments, env)
        except OSError as error:
            raise process.exec_refused(arguments[0], path, error) from error

    def _enter_directory(self, required: bool) -> bool:
        """Go to the working directory: by name in the new root, with every descriptor of the
        host closed, so that it can't lie outside (CVE-2024-21626)."""
        cwd = self.process.get("cwd") or "/"
        try:
            os.chdir(cwd)
            os.getcwd()
        except PermissionError:
            if not required:
                return False
            raise errdefs.invalid(f"working directory {cwd}: permission denied") from None
        except OSError as error:
            raise errdefs.invalid(f"working directory {cwd}: {error.strerror}") from error
        return True


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise errdefs.invalid(
            f"{path}: {text} is refused by the kernel: {error.strerror}"
        ) from error
    finally:
        os.close(fd)


def _open_null(root: Root) -> None:
    """Standard input without a client: the container's own /dev/null, if it is the true one."""
    try:
        fd = root.open("/dev/null", os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would be waited for
        status = os.fstat(fd)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
            os.close(fd)
            raise FileNotFoundError
    except OSError:
        fd, writer = os.pipe()
        os.close(writer)
    if fd != 0:
        os.dup2(fd, 0)
        os.close(fd)


def _own_stdio(uid: int, gid: int) -> None:
    """Let the user reopen /dev/stdout, as `docker run --user` does; /dev/null stays root's."""
    null = os.makedev(1, 3)
    for fd in (0, 1, 2):
        if os.fstat(fd).st_rdev != null:
            try:
                os.fchown(fd, uid, gid if not os.isatty(fd) else -1)
            except OSError:
                continue  # a file system that has no owners to change
