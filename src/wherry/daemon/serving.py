"""The daemon's life: own its folders, open the engine, serve, end."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from wherry import __version__, errdefs
from wherry.api.application import Api
from wherry.api.http.server import Server
from wherry.daemon import logformat
from wherry.daemon.activation import Inherited, ServiceManager
from wherry.daemon.listeners import Listener, judge_access, open_listener
from wherry.daemon.options import Options
from wherry.daemon.pidfile import PidFile
from wherry.daemon.reloading import as_told, reload
from wherry.engine.engine import Engine
from wherry.engine.ownership import Lock
from wherry.engine.settings import Settings
from wherry.linux import memory

log = logging.getLogger("wherry.daemon")

# How many clients may be slow at once: each upload has a thread that waits for its bytes, and so
# has each look at a file system that does not answer. Threads come into being when they are needed.
_THREADS = 64
# Who asks so often does not want to wait for anything any more.
_INSISTING = 3


def serve(options: Options, read_anew: Callable[[], Options]) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status.

    On SIGHUP `read_anew` gives the options as they are then, or raises EngineError.
    """
    inherited, manager = Inherited(os.environ), ServiceManager(os.environ)
    logformat.set_up(options.log_level)
    os.umask(0o022)
    memory.keep_little()
    _raise_file_limit()
    try:
        asyncio.run(_Daemon(options, read_anew, inherited, manager).run())
    except errdefs.EngineError as error:
        print(f"failed to start daemon: {error.message}", file=sys.stderr)
        return 1
    return 0


def _raise_file_limit() -> None:
    """Each container and each client takes a descriptor or more; many shells give 1,024.

    Containers are not to inherit it: see `spawn_launcher`.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Daemon:
    def __init__(
        self,
        options: Options,
        read_anew: Callable[[], Options],
        inherited: Inherited,
        manager: ServiceManager,
    ) -> None:
        self._options = options
        self._read_anew = read_anew
        self._inherited = inherited
        self._manager = manager
        self._context: ssl.SSLContext | None = None
        self._stop = asyncio.Event()
        self._times_asked = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_exception)
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "wherryd"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        # Until there is something to change it must not end the daemon.
        loop.add_signal_handler(signal.SIGHUP, log.info, "nothing to reload yet")
        if os.geteuid() != 0:
            raise errdefs.forbidden("wherryd needs to be run as root")
        async with contextlib.AsyncExitStack() as undo:
            for root in {self._options.data_root, self._options.exec_root}:
                undo.callback(Lock(root, self._notes()).release)
            undo.callback(PidFile(self._options.pidfile).remove)
            engine = await Engine.open(_settings(self._options))
            undo.push_async_callback(engine.close)
            await self._serve(engine)
        log.info("daemon ended")

    def _notes(self) -> dict[str, str]:
        """For who comes next, and for who has to be told that we are here."""
        return {
            "exec-root": str(self._options.exec_root),
            "cgroup-parent": self._options.cgroup_parent,
            "host": str(self._options.hosts[0]),
        }

    async def _serve(self, engine: Engine) -> None:
        api = Api(engine)
        server = Server(api)
        listeners: list[Listener] = []
        try:
            if self._options.tls is not None:
                self._context = self._options.tls.context()
            for host in self._options.hosts:
                listeners.append(open_listener(host, self._options.group, self._inherited))  # noqa: PERF401 - those before a failure are withdrawn
            for listener in listeners:
                await self._listen(server, listener)
            self._be_ready(engine)
            await self._stop.wait()
            log.info("daemon is ending")
            self._manager.stopping()
        finally:
            for listener in listeners:
                listener.withdraw()
            server.stop_accepting()
            if not self._options.live_restore:
                await _stop_containers(engine, self._options.shutdown_timeout)
            await api.settle(self._options.shutdown_timeout)
            await server.close(0.2)

    async def _listen(self, server: Server, listener: Listener) -> None:
        tls = self._options.tls
        verified = tls is not None and tls.ca is not None
        judge_access(listener, verified, self._options.unverified)
        for bound in listener.sockets:
            plain = tls is None or bound.family is socket.AF_UNIX
            await server.listen(bound, None if plain else self._secure)
        log.info("API listens", extra={"fields": {"at": listener.name}})

    def _secure(self) -> ssl.SSLContext:
        assert self._context is not None
        return self._context

    def _be_ready(self, engine: Engine) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload, engine)
        log.info("daemon is ready", extra={"fields": {"version": __version__}})
        self._manager.ready(f"Wherry {__version__}")
        _settle_memory()

    def _asked_to_stop(self) -> None:
        self._stop.set()
        self._times_asked += 1
        if self._times_asked == _INSISTING:
            log.warning("asked to stop three times: ending at once")
            os._exit(1)

    def _reload(self, engine: Engine) -> None:
        """Read the configuration anew. What is wrong with it is said, and changes nothing."""
        self._manager.reloading()
        try:
            wanted = self._read_anew()
            context = None if self._options.tls is None else self._options.tls.context()
        except errdefs.EngineError as error:
            log.error("configuration not reloaded", extra={"fields": {"error": error.message}})
        else:
            # Certificates are read anew even where their paths are the same: they run out.
            self._context = context
            self._options, changed, postponed = reload(self._options, wanted)
            logformat.set_level(self._options.log_level)
            engine.reconfigure(_settings(self._options))
            engine.system.reloaded(as_told(self._options))
            log.info("configuration reloaded", extra={"fields": {"changed": ",".join(changed)}})
            if postponed:
                what = {"fields": {"unchanged": ",".join(postponed)}}
                log.warning("some of the configuration waits for the next start", extra=what)
        self._manager.ready(f"Wherry {__version__}")


async def _stop_containers(engine: Engine, timeout: int) -> None:
    """All at once, as `live-restore: false` asks for."""
    running = await engine.containers.list(False, 0, False, {})
    stops = (engine.containers.stop(container.id, timeout, None) for container in running)
    for result in await asyncio.gather(*stops, return_exceptions=True):
        if isinstance(result, BaseException):
            log.error("container not stopped", extra={"fields": {"error": str(result)}})


def _settle_memory() -> None:
    """What is there now stays: the collector, off until here, need not look at it again.

    A collection first would take 25 ms, and there is next to nothing to collect.
    """
    gc.freeze()
    gc.enable()


def _settings(options: Options) -> Settings:
    return Settings(
        data_root=options.data_root,
        exec_root=options.exec_root,
        cgroup_parent=options.cgroup_parent,
        storage_driver=options.storage_driver,
        log_driver=options.log_driver,
        log_opts=options.log_opts,
        labels=options.labels,
        shutdown_timeout=options.shutdown_timeout,
        live_restore=options.live_restore,
        debug=options.log_level == "debug",
    )


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Errors that no one awaits: one line each."""
    error = context.get("exception")
    what = f"{type(error).__name__}: {error}" if error is not None else ""
    fields = {"what": context.get("message"), "error": what}
    log.error("unexpected error", extra={"fields": fields})
