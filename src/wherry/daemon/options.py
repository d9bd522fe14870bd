"""The daemon's configuration: flags and file put together and judged."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from wherry import errdefs
from wherry.daemon.credentials import TlsFiles
from wherry.daemon.flags import FLAGS, Given, Kind, Value, key_of
from wherry.daemon.hosts import Host, UnixHost, parse_host
from wherry.engine.logging_options import read_log_config
from wherry.engine.model import LogConfig

DEFAULT_CONFIG_FILE = "/etc/wherry/daemon.json"
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
_FLAGS_BY_KEY = {key_of(flag): flag for flag in FLAGS if flag.name != "config-file"}


class Options(msgspec.Struct, frozen=True):
    """What the daemon does.

    `tls` is for TCP hosts; `unverified` says that somebody accepts, in so many words, clients that
    show no certificate. `group` None means that nobody named one.
    """

    data_root: Path
    exec_root: Path
    pidfile: Path
    cgroup_parent: str
    hosts: tuple[Host, ...]
    tls: TlsFiles | None
    unverified: bool
    group: str | None
    log_level: str
    storage_driver: str | None
    log_driver: str
    log_opts: dict[str, str]
    labels: tuple[str, ...]
    live_restore: bool
    shutdown_timeout: int


def resolve(given: Given) -> Options:
    """Read the configuration file that the flags name, and make one set of options of both.

    EngineError (invalid) names the directive that is unknown, of the wrong type, given twice, or
    asks for something that Wherry does not do.
    """
    flags = dict(given.values)
    named = flags.pop("config-file", None)
    path = Path(str(named or DEFAULT_CONFIG_FILE))
    try:
        from_file = read_file(path, must_exist=named is not None)
        _refuse_conflicts(flags, from_file)
    except errdefs.EngineError as error:
        raise errdefs.invalid(
            f"unable to configure the daemon with file {path}: {error.message}"
        ) from error
    return _options({**from_file, **flags})


def read_file(path: Path, must_exist: bool) -> dict[str, Value]:
    """A configuration file's directives. EngineError (invalid) if it is not what it should be."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if must_exist:
            raise errdefs.invalid("there is no such file") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise errdefs.invalid(f"it can't be read: {error}") from error
    if not text.strip():
        return {}
    try:
        plain: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errdefs.invalid(f"it is not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise errdefs.invalid("it is not a JSON object")
    unknown = sorted(set(plain) - set(_FLAGS_BY_KEY))
    if unknown:
        raise errdefs.invalid(
            f"the following directives don't match any configuration option: {', '.join(unknown)}"
        )
    return {key: _typed(key, value) for key, value in plain.items() if value is not None}


def _typed(key: str, value: object) -> Value:
    kind = _FLAGS_BY_KEY[key].kind
    if kind is Kind.TEXT and isinstance(value, str):
        return value
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        return value
    if kind is Kind.NUMBER and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is Kind.LIST and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return list(value)
    if (
        kind is Kind.MAP
        and isinstance(value, dict)
        and all(isinstance(v, str) for v in value.values())
    ):
        return dict(value)
    raise errdefs.invalid(f"{key}: must be a {kind.value}, not {_shown(value)}")


def _refuse_conflicts(flags: Mapping[str, Value], from_file: Mapping[str, Value]) -> None:
    twice = [
        f"{key}: (from flag: {_shown(flags[key])}, from file: {_shown(from_file[key])})"
        for key in flags
        if key in from_file
    ]
    if twice:
        raise errdefs.invalid(
            "the following directives are specified both as a flag and in the configuration "
            f"file: {', '.join(twice)}"
        )


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()


class _Values:
    """Directives by their types, which `_typed` and the flags' parser have seen to."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def given(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        return value if isinstance(value, str) and value else None

    def boolean(self, key: str, default: bool) -> bool:
        value = self._values.get(key, default)
        return value if isinstance(value, bool) else default

    def number(self, key: str, default: int) -> int:
        value = self._values.get(key, default)
        return value if isinstance(value, int) else default

    def words(self, key: str) -> list[str]:
        value = self._values.get(key)
        return value if isinstance(value, list) else []

    def pairs(self, key: str) -> dict[str, str]:
        value = self._values.get(key)
        return value if isinstance(value, dict) else {}


def _options(plain: Mapping[str, Value]) -> Options:
    _refuse_what_is_not_done(plain)
    values = _Values(plain)
    exec_root = _absolute("exec-root", values.text("exec-root") or "/run/wherry")
    log_level = values.text("log-level") or "info"
    if log_level not in LOG_LEVELS:
        raise errdefs.invalid(f"log-level: {log_level} is none of {', '.join(LOG_LEVELS)}")
    log_driver = values.text("log-driver") or "json-file"
    log_opts = values.pairs("log-opts")
    read_log_config(LogConfig(type=log_driver, config=log_opts))
    tls = _tls(values)
    hosts = [parse_host(host, tls is not None) for host in values.words("hosts")]
    labels = values.words("labels")
    for label in labels:
        if not label.partition("=")[1]:
            raise errdefs.invalid(f"labels: {label} is not like key=value")
    return Options(
        data_root=_absolute("data-root", values.text("data-root") or "/var/lib/wherry"),
        exec_root=exec_root,
        pidfile=_absolute("pidfile", values.text("pidfile") or str(exec_root / "wherryd.pid")),
        cgroup_parent=_cgroup(values.text("cgroup-parent") or "/wherry"),
        hosts=tuple(dict.fromkeys(hosts)) or (UnixHost(str(exec_root / "wherry.sock")),),
        tls=tls,
        unverified=False in (plain.get("tls"), plain.get("tlsverify")),
        group=values.text("group"),
        log_level="debug" if values.boolean("debug", default=False) else log_level,
        storage_driver=values.text("storage-driver"),
        log_driver=log_driver,
        log_opts=log_opts,
        labels=tuple(labels),
        live_restore=values.boolean("live-restore", default=True),
        shutdown_timeout=values.number("shutdown-timeout", 15),
    )


def _tls(values: _Values) -> TlsFiles | None:
    """As Docker has it: to speak of `tlsverify` at all, be it to say no, is to ask for TLS."""
    verify = values.boolean("tlsverify", default=False)
    if not values.boolean("tls", default=verify or values.given("tlsverify")):
        return None
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    return TlsFiles(
        cert=Path(values.text("tlscert") or folder / "cert.pem"),
        key=Path(values.text("tlskey") or folder / "key.pem"),
        ca=Path(values.text("tlscacert") or folder / "ca.pem") if verify else None,
    )


def _refuse_what_is_not_done(plain: Mapping[str, Value]) -> None:
    """A directive that asks for something Wherry does not do is refused by name, not ignored."""
    switches = ("iptables", "ip6tables", "ip-forward", "ip-masq", "ipv6", "userland-proxy")
    for key in (*switches, "experimental"):
        if plain.get(key):
            raise errdefs.invalid(f"{key}: true is not supported yet (false is)")
    if plain.get("bridge", "none") not in ("none", ""):
        raise errdefs.invalid(f"bridge: {plain['bridge']} is not supported yet (none is)")
    for option in _Values(plain).words("exec-opts"):
        if option != "native.cgroupdriver=cgroupfs":
            raise errdefs.invalid(
                f"exec-opts: {option} is not supported (native.cgroupdriver=cgroupfs is)"
            )


def _absolute(key: str, path: str) -> Path:
    if not path.startswith("/"):
        raise errdefs.invalid(f"{key}: {path} is not an absolute path")
    return Path(path)


def _cgroup(path: str) -> str:
    """From the hierarchies' root, as dockerd's cgroupfs driver has it: the first slash may lack."""
    parts = [part for part in path.split("/") if part]
    if not parts or not {".", ".."}.isdisjoint(parts) or path.endswith(".slice"):
        raise errdefs.invalid(f"cgroup-parent: {path} is not the path of a cgroup, like /wherry")
    return "/" + "/".join(parts)
