"""Each option of the stock command line is known to ours: it works, or it says why not."""

import re
import subprocess

import pytest

from wherry.cli.program import COMMANDS, GROUPS, find_command, resolve
from wherry.cli.usage import member_summaries

pytestmark = pytest.mark.peer

# One is in the help of `run` and `create` alone, and does there what it does everywhere.
_EVERYWHERE = {"help"}
_OPTION = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: (\S+))?(?:   .*)?$", re.MULTILINE)
# What there is only here.
_OURS = {"builder", "completion", "daemon", "image from-host", "system"}

NAMES = sorted(
    {name for name in COMMANDS if " " not in name}
    | {
        f"{group} {name}"
        for group, members in GROUPS.items()
        for name in member_summaries(members, COMMANDS)
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_known(docker, name: str) -> None:
    environment = {**docker.environment, "DOCKER_BUILDKIT": "0" if "build" in name else ""}
    command = [*docker.command[:1], *name.split(), "--help"]
    told = subprocess.run(command, capture_output=True, text=True, env=environment)
    if not told.stdout.startswith((f"Usage:  docker {name} ", f"Usage:  docker {name}\n")):
        assert _OURS & {name, name.partition(" ")[0]}, f"Docker has no {name}"
        return
    ours = {flag.name: flag for flag in find_command(resolve(name.split())[1]).flags}
    options = _OPTION.findall(told.stdout)
    for short, long, value in options:
        if long in _EVERYWHERE:
            continue
        assert long in ours, f"--{long}"
        assert ours[long].short == short, f"--{long}"
        # What is refused need not be read.
        assert bool(ours[long].metavar) == bool(value) or ours[long].refused, f"--{long}"
    assert len(options) == len(re.findall(r"^ +(?:-\w, )?--[a-z]", told.stdout, re.MULTILINE))
