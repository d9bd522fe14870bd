"""What is opened at run time, by names that stand in no ELF file."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Callable, Iterator
from typing import Final

from wherry import errdefs
from wherry.hostimage.libraries import Libraries
from wherry.hostimage.tree import HostTree

EXTRAS: Final = {
    "certs": "certificate authorities, for TLS",
    "gconv": "conversions between character sets, for iconv",
    "locale": "the host's locales",
    "nss": "the host's nsswitch.conf with all of its modules",
    "zones": "time zones, and the host's own",
}
"""What is added when it is asked for, and what it is."""

_NSSWITCH: Final = "/etc/nsswitch.conf"
# Those that need no service of the host: the others would only wait for one in a container.
_ALONE: Final = ("files", "dns", "compat", "db")
_DEFAULT_NSS: Final = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_TERMINFO: Final = ("/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo")
_TERMINALS: Final = (
    "ansi", "dumb", "linux", "screen", "screen-256color", "tmux", "tmux-256color", "vt100",
    "vt220", "xterm", "xterm-256color", "xterm-color",
)  # fmt: skip
_ZONES: Final = "/usr/share/zoneinfo"
_LOCALES: Final = "/usr/lib/locale"


@dataclasses.dataclass(slots=True)
class Found:
    """Files of the host and files that are made, why, and what the environment has to say."""

    why: str
    files: list[str] = dataclasses.field(default_factory=list)
    made: dict[str, bytes] = dataclasses.field(default_factory=dict)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    group: str = ""


class Finder:
    """Looks on the host for what the files of `tree` will open."""

    def __init__(self, tree: HostTree, libraries: Libraries) -> None:
        self._tree = tree
        self._libraries = libraries

    def find(self, name: str) -> Found:
        """Raises InvalidArgument for a name that is not in `EXTRAS`."""
        ways: dict[str, Callable[[], Found]] = {
            "libc": self._libc,
            "terminals": self._terminals,
            "certs": self._certificates,
            "gconv": self._conversions,
            "locale": self._locales,
            "nss": self._all_name_services,
            "zones": self._zones,
        }
        if name not in ways:
            raise errdefs.invalid(f"there is no {name!r} to add: it is one of {', '.join(EXTRAS)}")
        return ways[name]()

    def _libc(self) -> Found:
        """glibc loads modules to look up users and hosts, and libgcc_s when a thread ends."""
        libc = self._holds("libc.so.6")
        found = Found("glibc, at run time")
        if not libc:
            return found
        config = _name_services(alone=True)
        found.made[_NSSWITCH] = config.encode()
        found.files = self._modules(config, libc)
        threads = self._libraries.named("libgcc_s.so.1", libc)
        return dataclasses.replace(found, files=[*found.files, *([threads] if threads else [])])

    def _all_name_services(self) -> Found:
        libc = self._holds("libc.so.6")
        config = _name_services(alone=False)
        modules = self._modules(config, libc) if libc else []
        return Found("--with nss", modules, {_NSSWITCH: config.encode()})

    def _modules(self, config: str, libc: str) -> list[str]:
        services = {
            word
            for line in config.splitlines()
            for word in line.partition(":")[2].split()
            if word.isidentifier()
        }
        names = (f"libnss_{service}.so.2" for service in sorted(services))
        found = (self._libraries.named(name, libc) for name in names)
        return [path for path in found if path]

    def _terminals(self) -> Found:
        """What ncurses knows of the terminals that people have."""
        found = Found("terminals, for ncurses")
        if self._holds("libtinfo") or self._holds("libncurses"):
            candidates = (
                f"{directory}/{name[0]}/{name}" for directory in _TERMINFO for name in _TERMINALS
            )
            found.files = [path for path in candidates if os.path.isfile(path)]
        if found.files:
            found.group = os.path.dirname(os.path.dirname(found.files[-1]))
        return found

    def _certificates(self) -> Found:
        found = Found("--with certs")
        found.files = [path for path in _BUNDLES if os.path.isfile(path)][:1]
        if found.files:
            # Where a program's own library looks differs from host to host; this all understand.
            found.environment["SSL_CERT_FILE"] = found.files[0]
        else:
            found.warnings.append(f"this host has no certificates in {', '.join(_BUNDLES)}")
        return found

    def _conversions(self) -> Found:
        libc = self._holds("libc.so.6")
        directory = os.path.join(os.path.dirname(libc), "gconv") if libc else ""
        return Found("--with gconv", list(_files(directory)), group=directory)

    def _locales(self) -> Found:
        return Found("--with locale", list(_files(_LOCALES)), group=_LOCALES)

    def _zones(self) -> Found:
        found = Found("--with zones", group=_ZONES)
        # Those with leap seconds are for clocks that count them.
        found.files = [path for path in _files(_ZONES) if not path.startswith(f"{_ZONES}/right/")]
        found.files += [path for path in ("/etc/localtime",) if os.path.isfile(path)]
        if not found.files:
            found.warnings.append(f"this host has no time zones in {_ZONES}")
        return found

    def _holds(self, start: str) -> str:
        """The first file in the tree whose name begins so; empty if there is none."""
        return next(
            (
                node.path
                for node in self._tree.nodes()
                if os.path.basename(node.path).startswith(start) and os.path.isfile(node.path)
            ),
            "",
        )


def _name_services(alone: bool) -> str:
    """nsswitch.conf, if `alone` with those services only that need nobody outside."""
    try:
        with open(_NSSWITCH, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return _DEFAULT_NSS
    if not alone:
        return text
    lines = []
    for line in text.splitlines():
        database, colon, rest = line.partition("#")[0].partition(":")
        words = [word for word in rest.split() if word in _ALONE]
        if colon and words:
            lines.append(f"{database.strip()}: {' '.join(words)}\n")
    return "".join(lines) or _DEFAULT_NSS


def _files(directory: str) -> Iterator[str]:
    for path in sorted(glob.glob(f"{glob.escape(directory)}/**", recursive=True)):
        if os.path.isfile(path):
            yield path
