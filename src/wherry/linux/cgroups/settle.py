"""Writing a group's limits, and saying in one sentence why the kernel would not take one."""

import errno
import os
from collections.abc import Iterable

from wherry import errdefs
from wherry.linux.cgroups import files
from wherry.linux.cgroups.limits import Setting


def settle(path: str, settings: Iterable[tuple[str, Setting]]) -> None:
    """Write each (directory, setting) for the group `path`.

    The kernel holds limits to each other (memory to memory and swap, burst to quota), so the right
    order depends on what was there before: what is refused as EINVAL is tried again after
    the others, as long as that gets any further.
    """
    pending = list(settings)
    while pending:
        refusals: list[tuple[str, Setting]] = []
        first: OSError | None = None
        for directory, setting in pending:
            try:
                _write(directory, setting)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise _refusal(path, setting, error) from error
                first = first or error
                refusals.append((directory, setting))
        if first is not None and len(refusals) == len(pending):
            raise _refusal(path, refusals[0][1], first) from first
        pending = refusals


def missing_controller(setting: Setting, path: str, why: str) -> errdefs.EngineError:
    return errdefs.not_implemented(
        f"{setting.limit} of cgroup {path} needs the {setting.controller} controller, {why}"
    )


def _write(directory: str, setting: Setting) -> None:
    for file, value in setting.choices:
        try:
            files.write(f"{directory}/{file}", value)
        except FileNotFoundError:
            continue
        return
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENODEV, os.strerror(errno.ENODEV), directory)
    if not setting.implied:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)


def _refusal(path: str, setting: Setting, error: OSError) -> errdefs.EngineError:
    file, value = setting.choices[0]
    asked = f"{setting.limit} of cgroup {path}"
    if error.errno == errno.ENODEV and isinstance(error, FileNotFoundError):
        return errdefs.not_found(f"no such cgroup: {path} (setting {setting.limit})")
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
        return errdefs.not_implemented(
            f"{asked} can't be kept: this kernel's {setting.controller} controller"
            f" does not have {file}; leave it out"
        )
    if error.errno == errno.EBUSY and setting.controller == "memory":
        return errdefs.conflict(
            f"{asked} can't be {value}: more is in use, and the kernel can't take it back"
        )
    if error.errno == errno.ENODEV:
        return errdefs.invalid(f"{asked} names a device that is not there: {value.split()[0]}")
    if error.errno in (errno.EINVAL, errno.ERANGE, errno.EACCES, errno.ENOSPC):
        return errdefs.invalid(f"{asked} can't be {value}: {_REASONS.get(setting.limit, _OTHER)}")
    return errdefs.from_os_error(f"{asked} can't be {value}", error)


_OTHER = "the kernel refuses it"
_WITHIN = "it must be within what the parent group has"
_REASONS = {
    "cpu.cpus": f"{_WITHIN}, and in use by no exclusive group",
    "cpu.mems": _WITHIN,
    "cpu.quota": "it is at least 1000 us, and within the parent group's share",
    "cpu.period": "it is 1000 to 1000000 us",
    "cpu.burst": "it can't be more than cpu.quota",
    "cpu.realtimeRuntime": f"{_WITHIN} (its cpu.rt_runtime_us)",
    "memory.limit": "it can't be more than memory.swap, which counts memory and swap together",
    "memory.swap": "it can't be less than memory.limit: it counts memory and swap together",
}
