"""A running container, as the daemon sees it: one connection to its shim."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from wherry import errdefs
from wherry.shim import clock, wire
from wherry.shim.wire import AttachFlags, ExitDocument, Message


@dataclass(frozen=True)
class Exit:
    """How a container ended. `code` is the status, or 128 and the signal's number."""

    code: int
    oom_killed: bool
    finished_at: str
    error: str = ""


class StartError(errdefs.EngineError):
    """The program was not started; `exit_code` is 126, 127 or 128 for State.ExitCode."""

    def __init__(self, kind: errdefs.Kind, message: str, exit_code: int) -> None:
        super().__init__(kind, message)
        self.exit_code = exit_code


@dataclass
class Attach:
    """A stream to join: `socket` is the shim's end of a pair; the daemon's copy is closed once
    it was handed over."""

    socket: socket.socket
    stdin: bool
    stdout: bool
    stderr: bool

    @property
    def flags(self) -> AttachFlags:
        return {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}


def exit_from(document: ExitDocument) -> Exit:
    return Exit(
        document["code"], document["oom_killed"], document["finished_at"], document["error"]
    )


def read_exit(run_dir: str) -> Exit | None:
    """What the shim left behind, or None if it did not get that far."""
    try:
        with open(f"{run_dir}/exit.json", "rb") as file:
            return exit_from(json.load(file))
    except (FileNotFoundError, ValueError, KeyError):
        return None


class Task:
    """One container's process. Made by `Runtime.start` or `Runtime.adopt`."""

    def __init__(
        self,
        container_id: str,
        control: socket.socket,
        on_lost: Callable[["Task"], "asyncio.Task[Exit]"],
    ) -> None:
        self.id = container_id
        self.pid = 0
        self.started_at = ""
        self._control = control
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._last = 0
        self._gone = asyncio.Event()
        control.setblocking(False)
        self._loop.add_reader(control.fileno(), self._hear)

    async def wait(self) -> Exit:
        """How it ended; any number of callers may wait."""
        return await asyncio.shield(self._exit)

    async def kill(self, signal: int) -> None:
        """Send a signal to the first process. Conflict if it has ended."""
        await self._ask({"op": "kill", "signal": signal})

    async def resize(self, height: int, width: int) -> None:
        """Set the terminal's size in rows and columns. InvalidArgument without a terminal."""
        await self._ask({"op": "resize", "height": height, "width": width})

    async def attach(self, stream: Attach) -> None:
        """Join the container's streams from now on."""
        try:
            await self._ask({"op": "attach", "attach": stream.flags}, (stream.socket.fileno(),))
        finally:
            stream.socket.close()

    async def started(self) -> None:
        """Return when the program runs. Raises StartError, ConnectionError if no shim came."""
        await asyncio.shield(self._started)

    def let_go(self) -> None:
        """Tell a shim that was to wait for it that the program may run."""
        with contextlib.suppress(OSError):  # it has failed, and says why
            self._control.send(wire.GO)

    async def recall(self) -> None:
        """Ask a shim that this daemon did not start for what it knows."""
        state = await self._ask({"op": "state"})
        self.pid, self.started_at = state["pid"], clock.text(state["started_ns"])
        ended = state["exit"]
        if ended is not None:
            self._settle(exit_from(ended))

    async def gone(self) -> None:
        """Return when its shim is no more, or was let go: it holds nothing of the container's."""
        await self._gone.wait()

    def close(self) -> None:
        """Let go of the shim; the container goes on."""
        self._gone.set()
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    async def _ask(self, message: Message, fds: tuple[int, ...] = ()) -> Message:
        if self._control.fileno() < 0:
            raise errdefs.conflict(f"container {self.id[:12]} is not running")
        self._last += 1
        number = self._last
        reply: asyncio.Future[Message] = self._loop.create_future()
        self._replies[number] = reply
        try:
            wire.send(self._control, {"id": self.id, "n": number, **message}, fds)
            answer = await reply
        except OSError as error:
            raise errdefs.conflict(f"container {self.id[:12]} is not running") from error
        finally:
            del self._replies[number]
        if "kind" in answer:
            raise errdefs.EngineError(errdefs.Kind[answer["kind"]], answer["message"])
        return answer

    def _hear(self) -> None:
        try:
            message, fds = self._receive()
        except BlockingIOError:
            return
        except (OSError, ValueError):
            message, fds = None, []
        for fd in fds:
            os.close(fd)  # a shim sends none
        if message is None:
            self._lose()
        else:
            self._take(message)

    def _receive(self) -> tuple[Message | None, list[int]]:
        try:
            return wire.receive(self._control)
        except ConnectionResetError:
            # It left something unread, as `GO` after a failure; what it said itself comes now.
            return wire.receive(self._control)

    def _take(self, message: Message) -> None:
        match message["op"]:
            case "reply":
                reply = self._replies.get(message["n"])
                if reply and not reply.done():
                    reply.set_result(message)
            case "started":
                self.pid = message["pid"]
                self.started_at = clock.text(message["started_ns"])
                if not self._started.done():
                    self._started.set_result(None)
            case "failed":
                kind = errdefs.Kind[message["kind"]]
                self._fail(StartError(kind, message["message"], message["exit_code"]))
            case "exit" if (ended := message["exit"]) is not None:
                self._settle(exit_from(ended))

    def _fail(self, error: errdefs.EngineError) -> None:
        if not self._started.done():
            self._started.set_exception(error)
        self.close()

    def _settle(self, ended: Exit) -> None:
        if not self._exit.done():
            self._exit.set_result(ended)

    def _lose(self) -> None:
        """The shim's end is closed: after an exit that is its good right, else it has died."""
        self.close()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(errdefs.conflict(f"container {self.id[:12]} is not running"))
        if not self._started.done() and not self.pid:
            self._started.set_exception(ConnectionResetError("no shim has answered"))
            return
        if not self._exit.done():
            lost = self._on_lost(self)
            lost.add_done_callback(self._mourned)

    def _mourned(self, found: "asyncio.Task[Exit]") -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._settle(found.result())
