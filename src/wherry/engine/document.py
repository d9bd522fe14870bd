"""What the database keeps of a container."""

import calendar
import time

import msgspec
from msgspec import Struct, field

from wherry import errdefs
from wherry.engine.model import ContainerConfig, HostConfig, State, Zero
from wherry.metadata import ContainerRecord
from wherry.spec.digest import Digest

CREATED = "created"
RUNNING = "running"
EXITED = "exited"
REMOVING = "removing"
"""Marked before anything of the container is removed: recovery finishes what this began."""


class Life(Struct, kw_only=True):
    """How far a container has come. Times are RFC 3339, `Zero` where they have not come.

    `running` here is a note for people who look into the database: what really runs, the shim
    knows.
    """

    status: str = CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = Zero
    finished_at: str = Zero

    @property
    def running(self) -> bool:
        return self.status == RUNNING

    def seconds(self) -> int:
        """How long the run took that has ended."""
        return (nanoseconds(self.finished_at) - nanoseconds(self.started_at)) // 1_000_000_000

    def state(self) -> State:
        """As `inspect` shows it."""
        return State(
            status=self.status,
            running=self.running,
            dead=False,
            oom_killed=self.oom_killed,
            pid=self.pid,
            exit_code=self.exit_code,
            error=self.error,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )


class Document(Struct, kw_only=True):
    """One container. `config` is merged with its image's and `host_config` has no open fields.

    `image` is the image's ID, `layers` are its diffIDs, bottom first. `etc_of` is the container
    whose /etc/hosts, hostname and resolv.conf are used: its own, or the one whose network it
    shares.
    """

    version: int = 1
    id: str
    name: str
    image: str
    created: str
    created_ns: int
    hostname: str
    layers: list[str]
    etc_of: str
    config: ContainerConfig
    host_config: HostConfig
    life: Life = field(default_factory=Life)

    @property
    def diff_ids(self) -> list[Digest]:
        return [Digest(layer) for layer in self.layers]

    def record(self) -> ContainerRecord:
        # A container that is going away has given its name back.
        name = self.id if self.life.status == REMOVING else self.name
        return ContainerRecord(self.id, name, _encoder.encode(self))


def read_document(record: ContainerRecord) -> Document:
    """Raises DataLoss if the document is damaged or of a newer Wherry."""
    try:
        document = _decoder.decode(record.document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errdefs.data_loss(f"the record of container {record.id[:12]}: {error}") from error
    if document.version != 1:
        raise errdefs.data_loss(
            f"the record of container {record.id[:12]} was written by a newer Wherry"
        )
    return document


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def nanoseconds(text: str) -> int:
    """Of the epoch; the reverse of `timestamp`."""
    seconds = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int(text[20:-1][:9].ljust(9, "0"))


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Document)
