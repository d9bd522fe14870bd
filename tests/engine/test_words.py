"""What people read and write: names, signals, sizes, time spans, files in /etc."""

import re
import signal
import time

import pytest

from wherry.engine import names, networking
from wherry.engine.document import Life, timestamp
from wherry.engine.logging_options import read_log_config
from wherry.engine.model import ContainerConfig, HostConfig, LogConfig
from wherry.engine.roster import Roster
from wherry.engine.views import human_duration, shown_command, status_text
from wherry.errdefs import EngineError, Kind
from wherry.linux.signals import parse_signal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("term", 15),
        ("9", 9),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX-1", signal.SIGRTMAX - 1),
        ("64", 64),
    ],
)
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "9999999999", "SIGNONE", "SIG_IGN", "RTMIN+99", "٣", "SIGSIGHUP"]
)
def test_no_signals(text: str) -> None:
    with pytest.raises(EngineError, match="Invalid signal"):
        parse_signal(text)


def test_made_up_names_can_be_given_too() -> None:
    for _ in range(50):
        name = names.made_up()
        assert names.check_name(name) == name
        assert re.fullmatch(r"[a-z]+_[a-z]+", name)


def test_made_up_names_never_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_first", ["calm"])
    monkeypatch.setattr(names, "_second", ["cook"])
    roster = Roster()
    given = {roster.reserve(None, f"id{number}") for number in range(30)}
    assert len(given) == 30
    assert all(names.check_name(name) for name in given)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LogConfig(), ("json-file", 10_000_000, 3)),
        (LogConfig(type="none"), ("none", 10_000_000, 3)),
        (
            LogConfig(type="json-file", config={"max-size": "1.5k", "max-file": "7"}),
            ("json-file", 1500, 7),
        ),
        (LogConfig(config={"max-size": "2GB", "compress": "false"}), ("json-file", 2 * 10**9, 3)),
    ],
)
def test_log_options(config: LogConfig, expected: tuple[str, int, int]) -> None:
    plan = read_log_config(config)
    assert (plan.driver, plan.max_size, plan.max_files) == expected


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (LogConfig(type="syslog"), Kind.NOT_IMPLEMENTED),
        (LogConfig(type="nonsense"), Kind.INVALID_ARGUMENT),
        (LogConfig(config={"compress": "true"}), Kind.NOT_IMPLEMENTED),
        (LogConfig(config={"labels": "a"}), Kind.NOT_IMPLEMENTED),
        (LogConfig(config={"bogus": "a"}), Kind.INVALID_ARGUMENT),
        (LogConfig(config={"max-size": "-1"}), Kind.INVALID_ARGUMENT),
        (LogConfig(config={"max-size": "0"}), Kind.INVALID_ARGUMENT),
        (LogConfig(config={"max-size": "big"}), Kind.INVALID_ARGUMENT),
        (LogConfig(config={"max-file": "0"}), Kind.INVALID_ARGUMENT),
        (LogConfig(config={"max-file": "x"}), Kind.INVALID_ARGUMENT),
    ],
)
def test_log_options_that_cannot_be(config: LogConfig, kind: Kind) -> None:
    with pytest.raises(EngineError) as caught:
        read_log_config(config)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (179, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_time_spans_in_dockers_words(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


def test_status_texts() -> None:
    now = time.time()
    ago = timestamp(int((now - 300) * 1e9))
    assert status_text(Life(), now) == "Created"
    assert status_text(Life(status="running", started_at=ago), now) == "Up 5 minutes"
    ended = Life(status="exited", exit_code=2, finished_at=ago)
    assert status_text(ended, now) == "Exited (2) 5 minutes ago"


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "shown"),
    [
        (None, ["sh", "-c", "exit 3"], "sh -c 'exit 3'"),
        (["echo"], ["a", "b"], "echo a b"),
        (None, ["a program"], "a program"),
        (None, ["say", "it's", ""], "say it's "),
    ],
)
def test_commands_in_a_list(entrypoint: list[str] | None, cmd: list[str], shown: str) -> None:
    assert shown_command(ContainerConfig(entrypoint=entrypoint, cmd=cmd)) == shown


def test_timestamps_have_nine_digits() -> None:
    assert timestamp(1_767_323_045_000_000_006) == "2026-01-02T03:04:05.000000006Z"


def test_the_hosts_file_and_the_resolvers() -> None:
    host_config = HostConfig(
        network_mode="none",
        extra_hosts=["db:10.0.0.5", "six:2001:db8::1"],
        dns=["9.9.9.9"],
        dns_search=["example.org", "example.com"],
        dns_options=["ndots:2"],
    )
    etc = networking.etc(ContainerConfig(domainname="example.org"), host_config, "boat")
    assert etc.hostname == "boat.example.org\n"
    assert etc.hosts.endswith("10.0.0.5\tdb\n2001:db8::1\tsix\n")
    assert etc.resolv_conf.endswith(
        "nameserver 9.9.9.9\nsearch example.org example.com\noptions ndots:2\n"
    )
    assert etc.resolv_conf.count("nameserver") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra_hosts": ["db"]}, "bad format for add-host"),
        ({"extra_hosts": ["db:nowhere"]}, "invalid IP address in add-host"),
        ({"extra_hosts": ["db:host-gateway"]}, "host-gateway"),
        ({"extra_hosts": ["db:1.2.3.4\nevil"]}, "invalid IP address"),
        ({"dns": ["resolver"]}, "invalid nameserver address"),
        ({"dns_search": ["a\nnameserver 6.6.6.6"]}, "one line"),
        ({"extra_hosts": ["a b\n1.1.1.1 c:1.2.3.4"]}, "bad format for add-host"),
    ],
)
def test_what_cannot_go_into_a_file(options: dict[str, list[str]], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        networking.etc(ContainerConfig(), HostConfig(network_mode="none", **options), "boat")


@pytest.mark.parametrize(
    ("config", "host_config", "expected"),
    [
        ({}, {}, "0123456789ab"),
        ({"hostname": "boat"}, {}, "boat"),
        ({}, {"network_mode": "host"}, "thishost"),
        ({}, {"uts_mode": "host"}, "thishost"),
    ],
)
def test_hostnames(config: dict[str, str], host_config: dict[str, str], expected: str) -> None:
    found = networking.hostname(
        ContainerConfig(**config), HostConfig(**host_config), "thishost", "0123456789ab"
    )
    assert found == expected


@pytest.mark.parametrize(
    ("config", "host_config"),
    [
        ({"hostname": "a"}, {"uts_mode": "host"}),
        ({"hostname": "a" * 65}, {}),
        ({"hostname": "a\nb"}, {}),
    ],
)
def test_hostnames_that_cannot_be(config: dict[str, str], host_config: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="hostname"):
        networking.hostname(ContainerConfig(**config), HostConfig(**host_config), "h", "d")


@pytest.mark.parametrize(
    ("asked", "mode", "warned"),
    [
        ("", "none", True),
        ("default", "none", True),
        ("bridge", "none", True),
        ("host", "host", False),
    ],
)
def test_network_modes(asked: str, mode: str, warned: bool) -> None:
    settled, warnings = networking.settle_mode(
        ContainerConfig(), HostConfig(network_mode=asked), {asked or "default": None}
    )
    assert (settled, bool(warnings)) == (mode, warned)
    disabled = ContainerConfig(network_disabled=True)
    assert networking.settle_mode(disabled, HostConfig(network_mode=asked), {}) == ("none", [])


def test_who_shares_a_network_shares_its_names() -> None:
    shared = HostConfig(network_mode="container:c1", dns=["1.1.1.1"])
    with pytest.raises(EngineError, match="conflicting options: dns and the network mode"):
        networking.settle_mode(ContainerConfig(), shared, {})
    with pytest.raises(EngineError, match="network other not found"):
        networking.settle_mode(ContainerConfig(), HostConfig(network_mode="none"), {"other": None})
