"""Capabilities, seccomp, and what of /proc and /sys a container sees."""

from dataclasses import dataclass

from wherry import errdefs
from wherry.engine import seccomp_profile
from wherry.engine.host import Host
from wherry.engine.model import HostConfig
from wherry.engine.runtime_spec.paths import check_length
from wherry.linux import capabilities
from wherry.spec import runtime as oci

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""What tells about the host or reaches into its hardware; Docker's list."""

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Options:
    """`--security-opt`, read. `seccomp` is "" for the default, "unconfined", or a profile."""

    no_new_privileges: bool = False
    seccomp: str = ""


def parse_options(options: list[str] | None, host: Host) -> Options:
    """Raises InvalidArgument for what isn't known, NotImplemented for what this host lacks."""
    no_new_privileges = False
    seccomp = ""
    for option in options or []:
        key, value = _split(option)
        if key == "no-new-privileges":
            if value not in ("", "true", "false"):
                raise errdefs.invalid(f'invalid --security-opt 2: "{option}"')
            no_new_privileges = value != "false"
        elif key == "seccomp" and value:
            seccomp = "" if value == "builtin" else value
        elif key == "apparmor" and value:
            _refuse_module("AppArmor", option, value == "unconfined", host.apparmor)
        elif key == "label" and value:
            _refuse_module("SELinux", option, value == "disable", host.selinux)
        else:
            raise errdefs.invalid(f'invalid --security-opt 2: "{option}"')
    if seccomp not in ("", "unconfined"):
        seccomp_profile.load_profile(seccomp)
    return Options(no_new_privileges, seccomp)


def _split(option: str) -> tuple[str, str]:
    """`key=value`, and the older `key:value`."""
    if "=" in option:
        key, _, value = option.partition("=")
    else:
        key, _, value = option.partition(":")
    return key, value


def _refuse_module(module: str, option: str, means_none: bool, present: bool) -> None:
    """ "No such confinement" is what there is, unless the kernel would confine by itself."""
    if means_none and not present:
        return
    reason = "is not supported yet" if present else "is not enabled on this host"
    raise errdefs.not_implemented(f"security option {option!r}: {module} {reason}")


def capability_set(config: HostConfig, host: Host) -> list[str]:
    """What the container may have: Docker's rules, and never more than the daemon has itself."""
    wanted = capabilities.merge(config.cap_add or [], config.cap_drop or [], config.privileged)
    return [name for name in wanted if host.has_capability(name)]


def refuse_missing_capabilities(config: HostConfig, host: Host) -> None:
    """Raises InvalidArgument for a capability that is asked for by its name and can't be given."""
    for text in config.cap_add or []:
        name = capabilities.parse(text, "CapAdd")
        if name != capabilities.ALL and not host.has_capability(name):
            raise errdefs.invalid(
                f"capability {name}: this daemon does not have it itself, so no container of it "
                "can; leave it out (ALL and privileged give all that there are)"
            )


def missing_capabilities(config: HostConfig, host: Host) -> list[str]:
    """What Docker gives by default, or for ALL or `privileged`, that this host can't give."""
    wanted = capabilities.merge(config.cap_add or [], config.cap_drop or [], config.privileged)
    return sorted(set(wanted) - set(capability_set(config, host)))


def seccomp(config: HostConfig, options: Options, bounding: list[str]) -> oci.Seccomp | None:
    """The filter's section; None for none, which is what a privileged container has."""
    if options.seccomp == "unconfined" or (config.privileged and not options.seccomp):
        return None
    if options.seccomp:
        profile = seccomp_profile.load_profile(options.seccomp)
        return seccomp_profile.resolve(profile, bounding)
    return seccomp_profile.default_profile(bounding)


def paths(config: HostConfig) -> tuple[list[str], list[str]]:
    """(masked, read-only) paths: what was said, or Docker's; none for a privileged container."""
    if config.privileged:
        return [], []
    masked = MASKED_PATHS if config.masked_paths is None else config.masked_paths
    read_only = READONLY_PATHS if config.readonly_paths is None else config.readonly_paths
    for path in (*masked, *read_only):
        check_length("masked or read-only path", path)
    return list(masked), list(read_only)
