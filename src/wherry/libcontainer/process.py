"""Who the container's process is and what it may do, up to execve(2)."""

import errno
import os
import resource
import signal
import stat

from wherry import errdefs
from wherry.libcontainer import failures, passwd
from wherry.libcontainer.blueprint import Blueprint
from wherry.libcontainer.inroot import Root
from wherry.libcontainer.passwd import Identity
from wherry.libcontainer.sync import StartFailure
from wherry.linux import capabilities, seccomp
from wherry.linux import syscalls as sc
from wherry.spec.runtime import Process, Rlimit

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def identify(root: Root, process: Process) -> Identity:
    """The numbers behind `process.user`; a `username` is looked up inside the root."""
    user = process.get("user", {})
    groups = tuple(str(gid) for gid in user.get("additionalGids", []))
    wanted = user.get("username")
    if wanted is None:
        wanted = f"{user.get('uid', 0)}:{user.get('gid', 0)}"
    return passwd.resolve(root, wanted, groups + tuple(user.get("additionalGroups", [])))


def environment(process: Process, identity: Identity) -> dict[str, str]:
    """`process.env` as a mapping, later entries win; HOME as /etc/passwd says, if not given."""
    env: dict[str, str] = {}
    for entry in process.get("env", []):
        name, _, value = entry.partition("=")
        if name:
            env[name] = value
    env.setdefault("HOME", identity.home)
    return env


def limit(rlimits: list[Rlimit]) -> None:
    """Set resource limits. Raises InvalidArgument naming the one that the kernel refused."""
    for rlimit in rlimits:
        number = getattr(resource, rlimit["type"], None)
        if number is None:
            raise errdefs.invalid(f"there is no resource limit {rlimit['type']!r}")
        pair = tuple(-1 if n >= 2**63 - 1 or n < 0 else n for n in (rlimit["soft"], rlimit["hard"]))
        try:
            resource.setrlimit(number, (pair[0], pair[1]))
        except (ValueError, OSError) as error:
            raise errdefs.invalid(
                f"{rlimit['type']} {rlimit['soft']}:{rlimit['hard']} can't be set: {error}; "
                "the engine's own hard limit is the ceiling without CAP_SYS_RESOURCE"
            ) from error


# What Python ignores, and what a shim does; the launcher has reset all others at its start.
_CHANGED_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)


def reset_signals() -> None:
    """As a fresh program expects them."""
    for number in _CHANGED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def become(process: Process, identity: Identity, blueprint: Blueprint) -> None:
    """Take on user, groups, capabilities, no_new_privs and the system call filter.

    Without no_new_privs the kernel lets only CAP_SYS_ADMIN install a filter, so it comes before
    the capabilities go; with it, it comes last and filters least of our own calls.
    """
    caps = process.get("capabilities", {})
    no_new_privs = process.get("noNewPrivileges", False)
    available = capabilities.get().permitted
    capabilities.drop_bounding(caps.get("bounding", []))
    if no_new_privs:
        sc.prctl(sc.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    elif blueprint.seccomp:
        seccomp.install(blueprint.seccomp, blueprint.seccomp_flags)
    sc.prctl(sc.PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        what = f"becoming uid {identity.uid}, gid {identity.gid}"
        if error.errno == errno.EINVAL:
            raise errdefs.invalid(f"{what}: not mapped in the user namespace") from error
        raise errdefs.from_os_error(what, error) from error
    sc.prctl(sc.PR_SET_KEEPCAPS, 0, 0, 0, 0)
    # The bounding set stays for what a setuid program may regain; an ordinary user holds none.
    root = identity.uid == 0
    ambient = _held(caps.get("ambient", []), available)
    capabilities.set_all(
        effective=_union(_held(caps.get("effective", []), available) if root else [], ambient),
        permitted=_union(_held(caps.get("permitted", []), available) if root else [], ambient),
        inheritable=_union(_held(caps.get("inheritable", []), available), ambient),
        ambient=ambient,
    )
    if no_new_privs and blueprint.seccomp:
        seccomp.install(blueprint.seccomp, blueprint.seccomp_flags)


def _held(names: list[str], available: int) -> list[str]:
    """Those that the engine has to give: it may run without some, as in a container itself."""
    return [name for name in names if available >> capabilities.NUMBERS.get(name, 63) & 1]


def _union(left: list[str], right: list[str]) -> list[str]:
    return list(dict.fromkeys([*left, *right]))


def find_program(name: str, env: dict[str, str]) -> str:
    """The path that execve(2) takes for `name`, in the words and codes of Docker's errors.

    A name with a slash is taken as it is, another is looked for along the container's PATH.
    Raises StartFailure: 127 if there is none, 126 if it is there and can't be executed.
    """
    path = env.get("PATH", _DEFAULT_PATH)
    if "/" in name:
        problem = _unfit(name)
        if problem:
            raise _unfit_refusal(name, path, *problem)
        return name
    denied = ""
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        problem = _unfit(candidate)
        if problem is None:
            return candidate
        if problem[0] == errno.EACCES:
            denied = denied or candidate
    if denied:
        why = f"{denied}: {failures.why_denied(denied)}"
        raise _refusal(name, errno.EACCES, "permission denied", why)
    why = failures.why_not_on_path(name, path)
    raise _refusal(name, errno.ENOENT, "executable file not found in $PATH", why)


def _unfit(path: str) -> tuple[int, str] | None:
    try:
        status = os.stat(path)
    except OSError as error:
        said = (error.strerror or "").lower()
        return error.errno or errno.ENOENT, f"stat {path}: {said}"
    if stat.S_ISDIR(status.st_mode):
        return errno.EISDIR, "is a directory"
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        return errno.EACCES, "permission denied"
    return None


def _unfit_refusal(name: str, search: str, code: int, said: str) -> StartFailure:
    why = ""
    if code == errno.EACCES:
        why = failures.why_denied(name)
    elif code == errno.ENOENT:
        why = failures.why_missing(name, search)
    return _refusal(name, code, said, why)


def _refusal(name: str, code: int, said: str, why: str) -> StartFailure:
    missing = code in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
    reason = f" ({why})" if why else ""
    return StartFailure(
        errdefs.Kind.INVALID_ARGUMENT,
        f'unable to start container process: exec: "{name}": {said}{reason}',
        NOT_FOUND if missing else NOT_EXECUTABLE,
    )


def exec_refused(name: str, path: str, error: OSError) -> StartFailure:
    """What execve(2) itself said of `path`, after `find_program` had found nothing wrong."""
    code = error.errno or errno.EACCES
    said = (error.strerror or str(error)).lower()
    return _refusal(name, code, said, failures.why_refused(path, code))
