"""One line per event, as `time="..." level=info msg="..." key=value`."""

import logging
import re
import sys
import time

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
_NAMES = {number: name for name, number in _LEVELS.items()} | {logging.WARNING: "warning"}
_PLAIN = re.compile(r"[A-Za-z0-9_./@^+:-]+")


class LineFormatter(logging.Formatter):
    """logfmt. A record's own values come by `extra={"fields": {...}}`.

    Whatever a message holds, it stays one line: control characters are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        seconds = int(record.created)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        nanos = int((record.created - seconds) * 1_000_000) * 1000
        parts = [
            f'time="{moment}.{nanos:09}Z"',
            f"level={_NAMES.get(record.levelno, record.levelname.lower())}",
            f"msg={_quoted(record.getMessage())}",
        ]
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            parts += [f"{key}={_value(str(value))}" for key, value in fields.items()]
        if record.exc_info:
            parts.append(f"trace={_quoted(self.formatException(record.exc_info))}")
        return " ".join(parts)


def set_up(level: str) -> None:
    """Send all logging of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)


def set_level(level: str) -> None:
    """Log from this level on."""
    logging.getLogger().setLevel(_LEVELS[level])
    logging.getLogger("asyncio").setLevel(max(_LEVELS[level], logging.WARNING))


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if not escaped.isprintable():
        escaped = "".join(c if c.isprintable() else _escape(c) for c in escaped)
    return f'"{escaped}"'


def _escape(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\u{ord(character):04x}")
