"""Making a container: everything but running it.

The order of the durable changes is what recovery relies on::

    1. snapshot          a writable directory, still empty
    2. folder            /etc files
    3. the record        one transaction, durable: from here on the container exists
    4. `secure`          the snapshot is brought to the disk, behind the answer (`securing`)

The record alone is waited for: 1 and 2 follow from it, and recovery makes anew what a power cut
has taken of them. No program runs before 4, so this is never done to what a container has written.
Whatever a crash leaves of 1 and 2 without a record was never started; it is removed.
"""

import shutil
import time
from dataclasses import dataclass

from wherry import errdefs
from wherry.engine import networking
from wherry.engine.container import Container
from wherry.engine.document import Document, timestamp
from wherry.engine.fields import refuse_unsupported
from wherry.engine.model import CreateRequest
from wherry.engine.names import new_id
from wherry.engine.roster import Roster
from wherry.engine.runtime_spec import build, limits, namespaces
from wherry.engine.settling import Settled, settle, with_donors
from wherry.engine.stores import Stores, log
from wherry.faults import fault
from wherry.images.image import Image
from wherry.linux import seccomp
from wherry.spec import platform


@dataclass(frozen=True)
class Wish:
    """A create request whose name is reserved and whose donors are known.

    `etc_of` is the container whose /etc files it shares, "" for its own.
    """

    id: str
    name: str
    request: CreateRequest
    platform: str | None
    etc_of: str


def begin(roster: Roster, name: str | None, request: CreateRequest, wanted: str | None) -> Wish:
    """On the loop: what needs all containers at once. The name is reserved from here on."""
    refuse_unsupported(request)
    donors: dict[str, str] = {}
    for field in ("network_mode", "pid_mode"):
        mode = namespaces.parse(getattr(request.host_config, field))
        if mode.kind == "container" and mode.container:
            donors[field] = f"container:{_donor(roster, mode.container).id}"
    shared = namespaces.parse(donors.get("network_mode", ""))
    etc_of = ""
    if shared.kind == "container":
        donor = roster.get(shared.container)
        etc_of = donor.document.etc_of if donor else ""
    container_id = new_id()
    taken = roster.reserve(name, container_id)
    return Wish(container_id, taken, with_donors(request, donors), wanted, etc_of)


def _donor(roster: Roster, ref: str) -> Container:
    try:
        return roster.find(ref)
    except errdefs.EngineError as error:
        # Not as NotFound: of a creation that means the image, and clients go and pull it.
        raise errdefs.invalid(error.message) from None


def make(stores: Stores, wish: Wish) -> tuple[Document, list[str]]:
    """In a worker thread: everything that blocks. On failure nothing is left."""
    image = stores.images.resolve(wish.request.image)
    _check_platform(image, wish)
    settled = settle(wish.request, image.config.config, wish.id[:12], stores.host, stores.settings)
    document = _document(wish, image, settled)
    _try_spec(stores, document, settled)
    etc = networking.etc(settled.config, settled.host_config, settled.hostname)
    try:
        _make(stores, document, etc)
    except OSError as error:
        undo(stores, wish.id)
        raise errdefs.from_os_error(f"creating container {wish.name}", error) from error
    except BaseException:
        undo(stores, wish.id)
        raise
    return document, settled.warnings


def _make(stores: Stores, document: Document, etc: networking.Etc) -> None:
    folder = stores.folder(document.id)
    fault("container.create.before-snapshot")
    stores.snapshots.prepare(document.id, document.diff_ids)
    fault("container.create.after-snapshot")
    folder.mkdir(0o710, parents=True)
    etc.write(folder)
    fault("container.create.after-folder")
    stores.database.write(lambda tx: tx.put_container(document.record()), durable=True)
    fault("container.create.after-record")


def undo(stores: Stores, container_id: str) -> None:
    """Remove what a creation that failed has made."""
    shutil.rmtree(stores.folder(container_id), ignore_errors=True)
    try:
        stores.snapshots.remove(container_id)
    except errdefs.EngineError as error:
        log.warning("container %s: %s", container_id[:12], error.message)


def _document(wish: Wish, image: Image, settled: Settled) -> Document:
    now = time.time_ns()
    return Document(
        id=wish.id,
        name=wish.name,
        image=str(image.id),
        created=timestamp(now),
        created_ns=now,
        hostname=settled.hostname,
        layers=[str(layer) for layer in image.diff_ids],
        etc_of=wish.etc_of or wish.id,
        config=settled.config,
        host_config=settled.host_config,
    )


def _try_spec(stores: Stores, document: Document, settled: Settled) -> None:
    """What would fail at the start because of the request fails now."""
    plan = build.Plan(
        id=document.id,
        config=document.config,
        host_config=document.host_config,
        host=stores.host,
        hostname=document.hostname,
        planned=settled.planned,
        cgroup_parent=stores.settings.cgroup_parent,
    )
    spec = build.build(plan, lambda container, kind: f"/proc/{container}/ns/{kind}")
    linux = spec["linux"]
    limits.check_kept(linux["resources"], stores.host)
    if document.host_config.security_opt and "seccomp" in linux:
        seccomp.compile_filter(linux["seccomp"])  # a profile of the client's own


def _check_platform(image: Image, wish: Wish) -> None:
    if not wish.platform:
        return
    actual = image.config.platform
    if platform.parse(wish.platform).rank(actual) is None:
        raise errdefs.not_found(
            f"image with reference {wish.request.image} was found but does not match the specified "
            f"platform: wanted {wish.platform}, actual: {actual}"
        )
