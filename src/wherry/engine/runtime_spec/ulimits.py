"""Resource limits of a container's processes (getrlimit(2))."""

from wherry import errdefs
from wherry.engine.host import RLIM_INFINITY, Host
from wherry.engine.model import HostConfig
from wherry.spec import runtime as oci

# Docker's names, with the kernel's numbers (asm-generic/resource.h).
_NUMBERS = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}


def rlimits(config: HostConfig, host: Host) -> list[oci.Rlimit]:
    """The limits that were asked for; all others are inherited from the daemon.

    One that is given twice counts as it was given last. Raises InvalidArgument for a name that is
    none, a soft limit above the hard one, and a hard one above the daemon's own if it may not
    raise that, or above what the kernel lets anybody have.
    """
    result: dict[str, oci.Rlimit] = {}
    for ulimit in config.ulimits or []:
        number = _NUMBERS.get(ulimit.name)
        if number is None:
            raise errdefs.invalid(f"invalid ulimit type: {ulimit.name}")
        soft, hard = _value(ulimit.soft), _value(ulimit.hard)
        if soft > hard:
            raise errdefs.invalid(
                f"ulimit soft limit must be less than or equal to hard limit: "
                f"{ulimit.soft} > {ulimit.hard}"
            )
        ours = host.hard_limits.get(number, RLIM_INFINITY)
        if hard > ours and not host.may_raise_limits:
            raise errdefs.invalid(
                f"ulimit {ulimit.name}: the hard limit {ulimit.hard} is above the daemon's own, "
                f"{ours}, and it lacks CAP_SYS_RESOURCE to raise that; ask for at most {ours}"
            )
        if ulimit.name == "nofile" and hard > host.most_files:
            raise errdefs.invalid(
                f"ulimit nofile: the hard limit {ulimit.hard} is above what the kernel lets any "
                f"process have; ask for at most {host.most_files} (fs.nr_open)"
            )
        kind = f"RLIMIT_{ulimit.name.upper()}"
        result[kind] = {"type": kind, "hard": hard, "soft": soft}
    return list(result.values())


def _value(limit: int) -> int:
    return RLIM_INFINITY if limit < 0 else limit
