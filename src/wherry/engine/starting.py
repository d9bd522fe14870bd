"""From a created or ended container to a running one, and from a running one to its end."""

from wherry import errdefs
from wherry.engine import marker, networking, securing
from wherry.engine.container import Container
from wherry.engine.document import Document
from wherry.engine.logging_options import read_log_config
from wherry.engine.roster import Roster
from wherry.engine.runtime_spec import build, mounts, sources
from wherry.engine.stores import Stores, log
from wherry.faults import fault
from wherry.linux.mounts import RootMount
from wherry.shim.runtime import Exit, Start, StartError, Task
from wherry.spec.runtime import Spec
from wherry.threads import to_thread

# Where nothing better is known of why a container did not start; Docker's number.
_FAILED_START = 128

_JOINED = {"net": "network", "pid": "PID namespace"}


class Starter:
    """Starts containers and sees them to their end.

    `on_exit` is called, with the container's lock free, after each end was recorded.
    """

    def __init__(self, stores: Stores, roster: Roster) -> None:
        self._stores = stores
        self._roster = roster

    async def start(self, container: Container) -> None:
        """Return when the program runs. The caller holds the lock.

        Raises NotModified if it runs, Conflict if it is going away, StartError if its program
        can't be run; a failed start is recorded in the container's state.
        """
        if container.running:
            raise errdefs.EngineError(
                errdefs.Kind.NOT_MODIFIED, f"Container {container.id} is already running"
            )
        if container.removing:
            raise errdefs.conflict("container is marked for removal and cannot be started")
        try:
            await self._start(container)
        except errdefs.EngineError as error:
            life = container.document.life
            life.exit_code = error.exit_code if isinstance(error, StartError) else _FAILED_START
            life.error = error.message
            container.close_waiting()
            await self.save(container)
            raise

    async def _start(self, container: Container) -> None:
        document = container.document
        rootfs, spec = await to_thread(self._prepare, document)
        plan = read_log_config(document.host_config.log_config)
        start = Start(
            id=document.id,
            bundle=self._stores.folder(document.id),
            spec=spec,
            rootfs=rootfs,
            log_path=None if plan.driver == "none" else self._stores.log_path(document.id),
            log_max_size=plan.max_size,
            log_max_files=plan.max_files,
            open_stdin=document.config.open_stdin,
            stdin_once=document.config.stdin_once,
            attaches=container.take_waiting(),
            ready=securing.needed(self._stores, container),
        )
        await container.left()
        fault("container.start.before-process")
        try:
            task = await container.attempt(self._stores.runtime.start(start))
        except errdefs.EngineError:
            for attach in start.attaches:
                attach.socket.close()
            raise
        fault("container.start.after-process")
        container.began(task)
        self._stores.in_background(self._note_start(container))

    async def _note_start(self, container: Container) -> None:
        """Write down that it runs, behind the answer: who finds its shim knows it as well."""
        try:
            await self.save(container)
        except errdefs.EngineError as error:
            log.error("container %s: its start was not recorded: %s", container.id[:12], error)
        fault("container.start.after-record")

    def _prepare(self, document: Document) -> tuple[RootMount, Spec]:
        """In a worker thread: what blocks. Writes the bundle, answers the root's mount."""
        folder = self._stores.folder(document.id)
        etc_folder = str(self._stores.folder(document.etc_of))
        planned = mounts.plan(document.host_config)
        plan = build.Plan(
            id=document.id,
            config=document.config,
            host_config=document.host_config,
            host=self._stores.host,
            hostname=document.hostname,
            planned=planned,
            files=networking.files_in(etc_folder),
            cgroup_parent=self._stores.settings.cgroup_parent,
        )
        spec = build.build(plan, self._namespace_of)
        sources.check(planned)
        sources.make_missing(planned.made)
        try:
            fault("container.start.before-bundle")
            (folder / "config.json").write_bytes(build.encode(spec))
            fault("container.start.after-bundle")
        except OSError as error:
            raise errdefs.from_os_error(f"starting container {document.name}", error) from error
        root = self._stores.snapshots.mounts(document.id)
        return marker.marked(self._stores.settings.data_root, root), spec

    def _namespace_of(self, container_id: str, kind: str) -> str:
        donor = self._roster.find(container_id)
        if donor.task is None:
            raise errdefs.conflict(
                f"cannot join {_JOINED[kind]} of a non running container: {container_id}"
            )
        return f"/proc/{donor.task.pid}/ns/{kind}"

    async def resume(self, container: Container, task: Task) -> None:
        """Take up one that runs already. The caller holds the lock."""
        container.began(task)
        await self.save(container)

    async def save(self, container: Container) -> None:
        """Write the state down. Not durably: after a power cut nothing runs anyway."""
        record = container.document.record()
        await self._stores.database.write_async(lambda tx: tx.put_container(record), durable=False)

    def _tell_end(self, document: Document) -> None:
        if document.life.oom_killed:
            self._stores.events.container(document, "oom")
        details = {
            "exitCode": str(document.life.exit_code),
            "execDuration": str(document.life.seconds()),
        }
        self._stores.events.container(document, "die", **details)

    async def watch(self, container: Container, task: Task) -> None:
        """Wait for the end and record it."""
        ended = await task.wait()
        async with container.lock:
            await self.record_end(container, ended)

    async def record_end(self, container: Container, ended: Exit) -> None:
        """Who waits is told first: the shim's own record outlives us until `forget`."""
        fault("container.exit.before-record")
        container.finished(ended)
        self._tell_end(container.document)
        try:
            await self.save(container)
        except errdefs.EngineError as error:
            log.error("container %s: its end was not recorded: %s", container.id[:12], error)
            return
        fault("container.exit.after-record")
        self._stores.runtime.forget(container.id)
        fault("container.exit.after-forget")
