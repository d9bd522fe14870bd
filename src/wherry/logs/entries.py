"""From lines of a json-file log to the bytes that the Engine API sends. No input or output here."""

import calendar
import datetime
import struct
import time
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries of a log are wanted, and in which form.

    `tail` counts lines of the log before anything else is chosen, as dockerd's does; None is all.
    `details` are an entry's attributes, of which there are none yet, and a space.
    `since` and `until` are nanoseconds of the epoch, both inclusive; None is no limit.
    With `framed` each entry has Docker's header of eight bytes (stream, three zeros, big-endian
    length); without, which is how a terminal's log is sent, entries just follow each other.
    """

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False
    details: bool = False
    tail: int | None = None
    since: int | None = None
    until: int | None = None
    framed: bool = True


class _Entry(msgspec.Struct, gc=False):
    log: str = ""
    stream: str = "stdout"
    time: str = ""


_decoder = msgspec.json.Decoder(_Entry)
_header = struct.Struct(">BxxxI")


class Renderer:
    """Turns blocks of whole lines into what the client gets; remembers whether `until` passed."""

    def __init__(self, wanted: Wanted) -> None:
        self.past_until = False
        self._wanted = wanted
        self._clock = _Clock()
        self._timed = wanted.since is not None or wanted.until is not None

    def render(self, block: bytes) -> bytes:
        """The wanted entries of `block`, which ends with a newline. A corrupt line is left out."""
        wanted = self._wanted
        entries = _decode(block)
        if not (wanted.stdout and wanted.stderr):
            kept = {"stdout": wanted.stdout, "stderr": wanted.stderr}
            entries = [entry for entry in entries if kept.get(entry.stream, False)]
        if self._timed:
            entries = self._in_time(entries)
        parts: list[bytes] = []
        for entry in entries:
            text = f" {entry.log}" if wanted.details else entry.log
            if wanted.timestamps:
                text = f"{with_nine_digits(entry.time)} {text}"
            data = text.encode("utf-8", "replace")
            if wanted.framed:
                parts.append(_header.pack(2 if entry.stream == "stderr" else 1, len(data)))
            parts.append(data)
        return b"".join(parts)

    def _in_time(self, entries: list[_Entry]) -> list[_Entry]:
        since, until = self._wanted.since, self._wanted.until
        chosen = []
        for entry in entries:
            at = self._clock.nanoseconds(entry.time)
            if at is None or (since is not None and at < since):
                continue
            if until is not None and at > until:
                self.past_until = True
                break
            chosen.append(entry)
        return chosen


def _decode(block: bytes) -> list[_Entry]:
    try:
        return _decoder.decode_lines(block)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_each(block)


def _decode_each(block: bytes) -> list[_Entry]:
    """The slow way, for a block with a corrupt line: only that line is lost."""
    entries = []
    for line in block.split(b"\n"):
        try:
            entries.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return entries


class _Clock:
    """Reads the log's times. Neighbours share their second, which is read once."""

    def __init__(self) -> None:
        self._text = ""
        self._seconds = 0

    def nanoseconds(self, text: str) -> int | None:
        """Of the epoch; None if `text` is no RFC 3339 time."""
        if text[-1:] != "Z":
            return _any_rfc3339(text)
        if text[:19] != self._text:
            try:
                parsed = time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
            except ValueError:
                return None
            self._seconds = calendar.timegm(parsed)
            self._text = text[:19]
        fraction = text[20:-1]
        if fraction and not (fraction.isascii() and fraction.isdigit()):
            return None
        return self._seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))


def _any_rfc3339(text: str) -> int | None:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    seconds = calendar.timegm(moment.utctimetuple())
    return seconds * 1_000_000_000 + moment.microsecond * 1000


def with_nine_digits(text: str) -> str:
    """An RFC 3339 time in UTC with all nine digits: how `--timestamps` shows it."""
    if len(text) == 30 or text[-1:] != "Z" or len(text) < 20:
        return text
    return f"{text[:19]}.{text[20:-1].ljust(9, '0')}Z"
