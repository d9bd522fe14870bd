"""Flags and the configuration file, together."""

import json
from pathlib import Path

import pytest

from wherry.daemon import flags, options
from wherry.daemon.hosts import UnixHost
from wherry.errdefs import EngineError


def resolve(*argv: str, file: object = None, folder: Path) -> options.Options:
    config = folder / "daemon.json"
    config.write_text(file if isinstance(file, str) else json.dumps({} if file is None else file))
    return options.resolve(flags.parse([*argv, "--config-file", str(config)]))


def refusal(*argv: str, file: object = None, folder: Path) -> str:
    with pytest.raises(EngineError) as caught:
        resolve(*argv, file=file, folder=folder)
    return caught.value.message


def test_defaults_follow_the_exec_root(tmp_path: Path) -> None:
    found = resolve("--exec-root", "/run/other", folder=tmp_path)
    assert found.data_root == Path("/var/lib/wherry")
    assert found.hosts == (UnixHost("/run/other/wherry.sock"),)
    assert found.pidfile == Path("/run/other/wherryd.pid")
    assert (found.log_driver, found.log_opts) == ("json-file", {})
    assert found.live_restore
    assert found.cgroup_parent == "/wherry"


@pytest.mark.parametrize(
    "argv",
    [
        ["--log-level", "warn"],
        ["--log-level=warn"],
        ["-l", "warn"],
        ["-lwarn"],
        ["-l=warn"],
    ],
)
def test_ways_to_write_a_flag(argv: list[str], tmp_path: Path) -> None:
    assert resolve(*argv, folder=tmp_path).log_level == "warn"


def test_flags_that_repeat(tmp_path: Path) -> None:
    argv = ["-H", "unix:///a", "-Hunix:///b", "--label", "x=1", "--label=y="]
    found = resolve(*argv, "--log-opt", "max-size=1m", "--log-opt=max-file=5", folder=tmp_path)
    assert found.hosts == (UnixHost("/a"), UnixHost("/b"))
    assert found.labels == ("x=1", "y=")
    assert found.log_opts == {"max-size": "1m", "max-file": "5"}


def test_booleans_take_a_value_in_the_same_word_only(tmp_path: Path) -> None:
    assert resolve("-D", folder=tmp_path).log_level == "debug"
    assert resolve("--debug=false", folder=tmp_path).log_level == "info"
    assert not resolve("--live-restore=false", "--iptables=false", folder=tmp_path).live_restore


def test_the_file_has_dockerds_keys(tmp_path: Path) -> None:
    file = {
        "data-root": "/d",
        "hosts": ["unix:///s"],
        "log-opts": {"max-size": "5k"},
        "labels": ["a=b"],
        "shutdown-timeout": 3,
        "storage-driver": "native",
        "group": None,
    }
    found = resolve(file=file, folder=tmp_path)
    assert found.data_root == Path("/d")
    assert found.hosts == (UnixHost("/s"),)
    assert found.log_opts == {"max-size": "5k"}
    assert (found.shutdown_timeout, found.storage_driver, found.group) == (3, "native", None)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--nope=1"], "unknown flag: --nope"),
        (["-z"], "unknown flag: -z"),
        (["--data-root"], "flag needs an argument: --data-root"),
        (["--iptables=maybe"], 'invalid argument "maybe" for "--iptables" flag'),
        (["--shutdown-timeout", "x"], "must be a whole number"),
        (["--log-opt", "x"], "must be key=value"),
        (["extra"], "accepts no arguments"),
    ],
)
def test_usage_errors(argv: list[str], words: str) -> None:
    with pytest.raises(flags.UsageError, match=words):
        flags.parse(argv)


@pytest.mark.parametrize(
    ("argv", "file", "words"),
    [
        ([], {"foo": 1, "bar": 2}, "don't match any configuration option: bar, foo"),
        ([], {"debug": "x"}, "debug: must be a bool"),
        ([], {"hosts": ["unix:///a", 1]}, "hosts: must be a list"),
        ([], {"log-opts": {"max-size": 1}}, "log-opts: must be a map"),
        ([], {"shutdown-timeout": True}, "shutdown-timeout: must be a int"),
        ([], [], "not a JSON object"),
        ([], "{", "not JSON"),
        (
            ["--log-level", "debug"],
            {"log-level": "info"},
            'both as a flag and in the configuration file: log-level: (from flag: "debug"',
        ),
        (["--log-level", "loud"], {}, "loud is none of debug"),
        (["--iptables"], {}, "iptables: true is not supported"),
        (["--bridge", "br0"], {}, "bridge: br0 is not supported"),
        (["--log-driver", "syslog"], {}, "syslog: only json-file and none are supported"),
        (["--exec-opt", "native.cgroupdriver=systemd"], {}, "exec-opts: native.cgroupdriver"),
        (["-H", "npipe:////./pipe/x"], {}, "npipe:////./pipe/x is not supported"),
        (["-H", "unix://relative"], {}, "not an absolute path"),
        (["-H", "unix:///" + "x" * 108], {}, "at most 107 bytes"),
        (["--data-root", "here"], {}, "not an absolute path"),
        (["--log-opt", "mode=x"], {}, "log opt mode is not supported"),
        (["--log-opt", "max-size=0"], {}, "is a size such as 10m"),
        (["--log-opt", "max-file=0"], {}, "is a number from 1"),
        (["--label", "x"], {}, "not like key=value"),
    ],
)
def test_refusals_name_the_directive(
    argv: list[str], file: object, words: str, tmp_path: Path
) -> None:
    assert words in refusal(*argv, file=file, folder=tmp_path)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such file"):
        options.resolve(flags.parse(["--config-file", str(tmp_path / "none.json")]))


def test_usage_names_every_flag() -> None:
    text = flags.usage()
    assert all(f"--{flag.name}" in text for flag in flags.FLAGS)
    assert max(len(line) for line in text.splitlines()) <= 110


def test_modes_end_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from wherry.daemon import main

    config = tmp_path / "daemon.json"
    config.write_text("{}")
    assert main(["--version"]) == 0
    assert "Wherry version" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert main(["--validate", "--config-file", str(config)]) == 0
    assert "configuration OK" in capsys.readouterr().out
    config.write_text('{"nope": 1}')
    assert main(["--validate", "--config-file", str(config)]) == 1
    assert "nope" in capsys.readouterr().err
    assert main(["--nope"]) == 125


@pytest.mark.parametrize("written", ["/a/b", "a/b", "//a//b/"])
def test_the_cgroup_above_all_containers(written: str, tmp_path: Path) -> None:
    assert resolve("--cgroup-parent", written, folder=tmp_path).cgroup_parent == "/a/b"


@pytest.mark.parametrize("written", ["/", "/a/../b", "machine.slice"])
def test_what_is_no_cgroup_is_refused(written: str, tmp_path: Path) -> None:
    assert "cgroup-parent" in refusal("--cgroup-parent", written, folder=tmp_path)
