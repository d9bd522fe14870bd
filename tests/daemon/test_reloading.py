"""What SIGHUP changes, and what it says of the rest."""

from pathlib import Path

from wherry.daemon import flags, options
from wherry.daemon.reloading import as_told, reload


def options_of(folder: Path, text: str) -> options.Options:
    file = folder / "daemon.json"
    file.write_text(text)
    return options.resolve(flags.parse(["--config-file", str(file)]))


def test_what_can_change_and_what_cannot(tmp_path: Path) -> None:
    before = options_of(tmp_path, "{}")
    wanted = options_of(
        tmp_path,
        '{"debug": true, "labels": ["a=b"], "live-restore": false, "shutdown-timeout": 3,'
        ' "data-root": "/elsewhere", "hosts": ["unix:///x"], "tls": true}',
    )
    done = reload(before, wanted)
    assert set(done.changed) == {"log-level", "labels", "live-restore", "shutdown-timeout"}
    assert set(done.postponed) == {"data-root", "hosts", "tls..."}
    assert done.options.data_root == before.data_root
    assert as_told(done.options) == {
        "debug": "true",
        "labels": '["a=b"]',
        "live-restore": "false",
        "shutdown-timeout": "3",
    }


def test_nothing_to_change(tmp_path: Path) -> None:
    before = options_of(tmp_path, "{}")
    assert reload(before, before) == (before, (), ())
