"""A start request: what the shim is to do, what its child is to do, and a system call filter.

Three parts, divided by zero bytes::

    version, id, run_dir, cgroup, traits, log, size, files, attaches      the shim's: nine fields
    {"bundle": ..., "rootfs": ..., "seccomp_flags": ..., ...}             its child's: JSON
    the compiled filter                                                   the rest: any bytes

The first part is no JSON: a shim keeps each page of Python that it touches, for months, and a
parser touches many. No field can hold a zero byte, since paths can't.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from wherry.linux.mounts import ImagesRoot, RootMountDocument, root_mount_from_json
from wherry.shim.wire import VERSION, AttachFlags

_FIELDS = 9
_TRAITS = (
    *("terminal", "shares_pids", "special", "open_stdin", "stdin_once", "lends", "patient"),
    *("held", "keeps_mounts"),
)


@dataclass
class Order:
    """What a shim needs to know of the container it is to start.

    `special`: not what a waiting child can become, see `libcontainer.create.expect`. `lends`: a
    root stands on images that the launcher mounts and lends (`lending`). `patient`: at the end,
    clients are given all the time they want to take what is theirs. `held`: the program is not to
    run before the daemon has said `wire.GO`. `keeps_mounts`: the
    kernel need not take down its mounts before it can say that the container has ended. An empty
    `log` path means that nothing is logged. `attaches` are in the order of their descriptors; those
    that come after them are the child's.
    """

    id: str
    run_dir: str
    cgroup: str
    terminal: bool = False
    shares_pids: bool = False
    special: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    lends: bool = False
    patient: bool = False
    held: bool = False
    keeps_mounts: bool = False
    log: str = ""
    log_max_size: int = 0
    log_max_files: int = 0
    attaches: list[AttachFlags] = field(default_factory=list)


class Details(TypedDict):
    """What the child needs beyond that: where the spec is, and what it does not say.

    Without a `bundle` the spec is in the first of the child's own descriptors; the others have the
    contents that its mounts speak of, as `layers` are the roots that these do. `notes` is whether
    the mount points that are made in the root are written down, see `libcontainer.mountpoints`.
    """

    bundle: str
    rootfs: RootMountDocument
    seccomp_flags: int
    layers: NotRequired[list[RootMountDocument]]
    notes: NotRequired[bool]


def encode(order: Order, details: Details, program: bytes) -> bytes:
    traits = "".join("y" if getattr(order, trait) else "n" for trait in _TRAITS)
    attaches = ",".join(_words(flags) for flags in order.attaches)
    log = (order.log, str(order.log_max_size), str(order.log_max_files))
    head = (str(VERSION), order.id, order.run_dir, order.cgroup, traits, *log, attaches)
    text = "\0".join((*head, json.dumps(details), ""))
    return text.encode(errors="surrogateescape") + program


def _words(flags: AttachFlags) -> str:
    return "".join(name if on else "-" for name, on in zip("ioe", flags.values(), strict=True))


def read_order(data: bytes) -> Order:
    """In few words, see above: one shim runs this once."""
    _, own, run_dir, cgroup, traits, log, size, files, attaches, _ = data.split(b"\0", _FIELDS)
    terminal, shares_pids, special, open_stdin, stdin_once, lends, patient, held, keeps = (
        y == 121 for y in traits
    )
    return Order(
        own.decode(),
        run_dir.decode(errors="surrogateescape"),
        cgroup.decode(errors="surrogateescape"),
        terminal,
        shares_pids,
        special,
        open_stdin,
        stdin_once,
        lends,
        patient,
        held,
        keeps,
        log.decode(errors="surrogateescape"),
        int(size),
        int(files),
        [
            {"stdin": b"i" in word, "stdout": b"o" in word, "stderr": b"e" in word}
            for word in (attaches.split(b",") if attaches else ())
        ],
    )


def images_in(details: Details) -> Iterator[ImagesRoot]:
    """The roots of an order that stand on images, in the order in which these are lent."""
    for document in (details["rootfs"], *details.get("layers", [])):
        root = root_mount_from_json(document)
        if isinstance(root, ImagesRoot):
            yield root


def read_details(data: bytes) -> tuple[Details, bytes]:
    """The child's part, and the filter."""
    text, program = data.split(b"\0", _FIELDS + 1)[-2:]
    details: Details = json.loads(text)
    return details, program
