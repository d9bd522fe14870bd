"""The daemon's life: own its folders, open the engine, serve, end."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

from wherry import __version__, errdefs
from wherry.api.application import Api
from wherry.api.http.server import Server
from wherry.daemon import logformat
from wherry.daemon.listeners import Listener
from wherry.daemon.options import Options
from wherry.daemon.ownership import Lock, PidFile
from wherry.engine.engine import Engine
from wherry.engine.settings import Settings
from wherry.linux import memory

log = logging.getLogger("wherry.daemon")

# How many clients may be slow at once: each upload has a thread that waits for its bytes, and so
# has each look at a file system that does not answer. Threads come into being when they are needed.
_THREADS = 64


def serve(options: Options) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    logformat.set_up(options.log_level)
    os.umask(0o022)
    memory.keep_little()
    _raise_file_limit()
    try:
        asyncio.run(_Daemon(options).run())
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
    def __init__(self, options: Options) -> None:
        self._options = options
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_exception)
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "wherryd"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, log.info, "nothing is reloaded on SIGHUP")
        if os.geteuid() != 0:
            raise errdefs.forbidden("wherryd needs to be run as root")
        async with contextlib.AsyncExitStack() as undo:
            for root in {self._options.data_root, self._options.exec_root}:
                undo.callback(Lock(root).release)
            undo.callback(PidFile(self._options.pidfile).remove)
            engine = await Engine.open(_settings(self._options))
            undo.push_async_callback(engine.close)
            await self._serve(engine)
        log.info("daemon ended")

    async def _serve(self, engine: Engine) -> None:
        api = Api(engine)
        server = Server(api)
        listeners: list[Listener] = []
        try:
            for path in self._options.sockets:
                listener = Listener(path, self._options.group)
                listeners.append(listener)
            for listener in listeners:
                await server.listen(listener.socket)
                log.info("API listens", extra={"fields": {"at": f"unix://{listener.path}"}})
            log.info("daemon is ready", extra={"fields": {"version": __version__}})
            _tell_service_manager("READY=1")
            _settle_memory()
            await self._stop.wait()
            log.info("daemon is ending")
            _tell_service_manager("STOPPING=1")
        finally:
            for listener in listeners:
                listener.unlink()
            server.stop_accepting()
            if not self._options.live_restore:
                await _stop_containers(engine, self._options.shutdown_timeout)
            await api.settle(self._options.shutdown_timeout)
            await server.close(0.2)


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
        debug=options.log_level == "debug",
    )


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Errors that no one awaits: one line each."""
    error = context.get("exception")
    what = f"{type(error).__name__}: {error}" if error is not None else ""
    fields = {"what": context.get("message"), "error": what}
    log.error("unexpected error", extra={"fields": fields})


def _tell_service_manager(state: str) -> None:
    """The protocol of sd_notify(3), where a service manager asks for it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify,
    ):
        notify.sendto(state.encode(), address)
