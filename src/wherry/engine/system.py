"""What the engine says of itself: `version` and `info`."""

import asyncio
import os
import platform
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import wherry
from wherry.engine.containers import Containers
from wherry.engine.disk_usage import Accounts
from wherry.engine.events import Listener
from wherry.engine.model import (
    Commit,
    DiskUsage,
    EventOptions,
    IndexInfo,
    PluginsInfo,
    RegistryConfig,
    RuntimeInfo,
    SystemInfo,
    SystemVersion,
    VersionComponent,
    VersionPlatform,
)
from wherry.engine.stores import Stores
from wherry.threads import to_thread

API_VERSION = "1.51"
MIN_API_VERSION = "1.24"

# Each limit that can be missing, and Docker's words for it.
_WARNINGS = {
    "memory.limit": "WARNING: No memory limit support",
    "memory.swap": "WARNING: No swap limit support",
    "memory.disableOOMKiller": "WARNING: No oom kill disable support",
    "cpu.quota": "WARNING: No cpu cfs quota support",
    "cpu.shares": "WARNING: No cpu shares support",
    "cpu.cpus": "WARNING: No cpuset support",
    "pids.limit": "WARNING: No pids limit support",
    "blockIO.weight": "WARNING: No blkio weight support",
}


class System:
    """The engine as a whole."""

    def __init__(
        self, stores: Stores, containers: Containers, accounts: Accounts, engine_id: str
    ) -> None:
        self._stores = stores
        self._containers = containers
        self._accounts = accounts
        self._id = engine_id

    async def disk_usage(self, kinds: Collection[str]) -> DiskUsage:
        """See `SystemBackend.disk_usage`."""
        return await self._accounts.take(kinds)

    def events(self, options: EventOptions) -> Listener:
        """See `SystemBackend.events`."""
        return self._stores.events.listen(options)

    def end_events(self) -> None:
        """See `SystemBackend.end_events`."""
        self._stores.events.close()

    def reloaded(self, settings: Mapping[str, str]) -> None:
        """Tell that the configuration was read anew; `settings` are in Docker's words."""
        attributes = {**settings, "name": self._stores.host.hostname}
        self._stores.events.publish("daemon", "reload", self._id, attributes)

    async def version(self) -> SystemVersion:
        host = self._stores.host
        details = {
            "ApiVersion": API_VERSION,
            "Arch": host.architecture,
            "Experimental": "false",
            "KernelVersion": host.kernel,
            "MinAPIVersion": MIN_API_VERSION,
            "Os": "linux",
        }
        python = VersionComponent(name="python", version=platform.python_version())
        engine = VersionComponent(name="Engine", version=wherry.__version__, details=details)
        return SystemVersion(
            platform=VersionPlatform(name="Wherry"),
            components=[engine, python],
            version=wherry.__version__,
            api_version=API_VERSION,
            min_api_version=MIN_API_VERSION,
            os="linux",
            arch=host.architecture,
            kernel_version=host.kernel,
        )

    async def info(self) -> SystemInfo:
        stores, host = self._stores, self._stores.host
        images = await to_thread(stores.images.list)
        states = [container.document.life.status for container in self._containers.roster]
        missing = host.missing_limits
        name, version = _operating_system()
        return SystemInfo(
            id=self._id,
            containers=len(states),
            containers_running=states.count("running"),
            containers_stopped=len(states) - states.count("running"),
            images=len(images),
            driver=stores.snapshots.name,
            driver_status=stores.snapshots.status(),
            plugins=PluginsInfo(volume=[], network=["host", "null"], log=["json-file", "none"]),
            memory_limit="memory.limit" not in missing,
            swap_limit="memory.swap" not in missing,
            cpu_cfs_period="cpu.quota" not in missing,
            cpu_cfs_quota="cpu.quota" not in missing,
            cpu_shares="cpu.shares" not in missing,
            cpu_set="cpu.cpus" not in missing,
            pids_limit="pids.limit" not in missing,
            ipv4_forwarding=_first_line("/proc/sys/net/ipv4/ip_forward") == "1",
            debug=stores.settings.debug,
            n_fd=len(os.listdir("/proc/self/fd")),
            oom_kill_disable="memory.disableOOMKiller" not in missing,
            n_events_listener=len(stores.events),
            n_goroutines=len(asyncio.all_tasks()),
            system_time=datetime.now(UTC).isoformat(),
            logging_driver=stores.settings.log_driver,
            cgroup_driver="cgroupfs",
            cgroup_version=str(host.cgroup_version),
            kernel_version=host.kernel,
            operating_system=name,
            os_version=version,
            architecture=os.uname().machine,
            index_server_address="https://index.docker.io/v1/",
            registry_config=RegistryConfig(
                index_configs={"docker.io": IndexInfo(name="docker.io", official=True)}
            ),
            ncpu=len(host.cpus),
            mem_total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            docker_root_dir=str(stores.settings.data_root),
            name=host.hostname,
            labels=list(stores.settings.labels),
            server_version=wherry.__version__,
            runtimes={"wherry": RuntimeInfo(path=sys.executable)},
            default_runtime="wherry",
            live_restore_enabled=stores.settings.live_restore,
            runc_commit=Commit(id=wherry.__version__),
            security_options=_security_options(),
            warnings=self._warnings(),
        )

    def _warnings(self) -> list[str] | None:
        """What this host lacks and people will notice."""
        host = self._stores.host
        warnings = [text for limit, text in _WARNINGS.items() if limit in host.missing_limits]
        if not host.may_raise_limits:
            warnings.append(
                "WARNING: No CAP_SYS_RESOURCE: ulimits above the daemon's own and negative OOM "
                "scores are refused"
            )
        return warnings or None


def _security_options() -> list[str]:
    options = ["name=seccomp,profile=builtin"]
    if os.path.exists("/proc/self/ns/cgroup"):
        options.append("name=cgroupns")
    return options


def _operating_system() -> tuple[str, str]:
    """(pretty name, version) as os-release(5) has them."""
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        return "Linux", ""
    return facts.get("PRETTY_NAME", "Linux"), facts.get("VERSION_ID", "")


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""
