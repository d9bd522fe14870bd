"""The stock command line on Wherry beside what it did on dockerd (`make diff` records that).

What is to differ is listed here with the reason, and fails when it no longer does.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import archives
import daemons
import differential
import pytest
from differential import Outcome
from programs import Program, find

pytestmark = [pytest.mark.root, pytest.mark.peer]


# --- What is to differ ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Words:
    """The same said in other words, wherever it is said."""

    reason: str
    dockerd: str
    ours: str


CAUSE = "the cause and the way out are said too (docs/start-failures.md)"
PATH = "/bin:/usr/bin"
NEWER = "dockerd 20.10 was recorded; so it is said since 23 and later"
WORDS = [
    Words(
        "there is no containerd and no runc whose names could be told",
        r"failed to create shim task: OCI runtime create failed: runc create failed: (.*): unknown",
        r"\1",
    ),
    Words(NEWER, r"Invalid filter '", "invalid filter '"),
    Words(NEWER, r"name must be lowercase", "name (Name) must be lowercase"),
    Words(NEWER, r"no such image: nothing: No such image: nothing", "No such image: nothing"),
    Words(NEWER, r'exec: "/etc": permission denied', 'exec: "/etc": is a directory'),
    Words(NEWER, r"No command specified", "no command specified"),
    Words(NEWER, r"Unable to find group", "unable to find group"),
    Words(NEWER, r"Range of CPUs", "range of CPUs"),
    Words(NEWER, r"Cannot kill container", "cannot kill container"),
    Words(NEWER, r": Container <id> is not running", ": container <id> is not running"),
    Words(
        NEWER,
        r"You cannot remove a running container <id>\. "
        r"Stop the container before attempting removal or force remove",
        'cannot remove container "/two": container is running: '
        "stop the container before removing or force remove",
    ),
    Words(
        "nothing runs for a step that runs nothing, and what does run has no name of its own",
        r" ---> Running in <short id>\n|Removing intermediate container <short id>\n",
        "",
    ),
    Words(NEWER, r"( container die <id> \(.*?)exitCode=", r"\1execDuration=0, exitCode="),
    Words("a quote of Go's slices", r"dangling=\[nonsense\]", "dangling=nonsense"),
    Words("a quote of Go's slices", r'option \["nonsense"\]', 'option "nonsense"'),
    Words("one wording for all", r"no such container nothing", "No such container: nothing"),
    Words(
        "a word of Go's library is no explanation",
        r'strconv\.Atoi: parsing "nonsense": invalid syntax',
        "invalid filter 'exited=nonsense'",
    ),
    Words(
        "no number, so a name",
        r"uids and gids must be in range 0-2147483647",
        "unable to find user -5: no matching entries in passwd file",
    ),
    Words(
        "the working directory is made inside, by what will run there",
        r"Cannot mkdir: /etc/passwd is not a directory",
        "working directory /etc/passwd: not a directory (a file stands in its way: another "
        "--workdir)",
    ),
    Words(
        CAUSE,
        r'("nothing": executable file not found in \$PATH)',
        rf"\1 (it is in none of PATH='{PATH}')",
    ),
    Words(
        CAUSE,
        r'("sh": executable file not found in \$PATH)',
        r"\1 (none of the directories in PATH='/nowhere' is in the image)",
    ),
    Words(
        CAUSE,
        r'("": executable file not found in \$PATH)',
        r"\1 (the program's name is empty)",
    ),
    Words(CAUSE, r"(stat /no/thing: no such file or directory)", r"\1 (the image has no /no)"),
    Words(
        CAUSE,
        r'("/etc/passwd": permission denied)',
        r"\1 (it is not executable, mode 0644: chmod +x, or COPY --chmod=755)",
    ),
    Words(
        CAUSE,
        r"(unable to find user \S+: no matching entries in passwd file)",
        r"\1 (it has root, bob; a number needs no entry)",
    ),
    Words(
        CAUSE,
        r"(unable to find group \S+: no matching entries in group file)",
        r"\1 (it has root, bob, wheel, audio; a number needs no entry)",
    ),
]

MOUNT_POINTS = (
    'run --rm @none box sh -c \'cut -d" " -f2 /proc/mounts | '
    'grep -E "^/($|dev|etc|proc/sys|proc/interrupts)" | sort\''
)
IMAGES = "images --format '{{.Repository}}:{{.Tag}}'"
AS_GIVEN: tuple[str, dict[str, str | int]] = (
    "the name as it was given",
    {"err": "Error response from daemon: No such image: nothing\n"},
)
IN_FULL: tuple[str, dict[str, str | int]] = (
    "the name in full",
    {"err": "Error response from daemon: No such image: nothing:latest\n"},
)
PLACE = "the place in the Dockerfile is shown, and told in BuildKit's words"
# What the command line says by itself.
OLD_BUILDER = (
    "DEPRECATED: The legacy builder is deprecated and will be removed in a future release.\n"
    "  BuildKit is currently disabled; enable it by removing the DOCKER_BUILDKIT=0\n"
    "  environment-variable.\n\n"
)
SENT = "Sending build context to Docker daemon  <size>\r\r\n"
DIFFERENCES: dict[tuple[str, str], tuple[str, dict[str, str | int]]] = {
    ("load what is no image", "load -i @folder/text"): (
        "the entry is named, and what is wrong with it",
        {
            "err": "tar entry '"
            + "not an archive\\n" * 6
            + "not an arc' at byte 0: its header has no checksum: this is not a tar archive\n"
        },
    ),
    ("sysctls", "run --rm @none --sysctl net.nothing=1 box true"): (
        "127 means that the program is missing; dockerd's command line is misled by the words",
        {
            "code": 125,
            "err": "docker: Error response from daemon: sysctl net.nothing=1: No such file or "
            "directory\n\nRun 'docker run --help' for more information\n",
        },
    ),
    ("inspect a container", "inspect -f '{{json .HostConfig.MaskedPaths}}' one"): (
        "the paths that Docker masks since 28 are masked, in the order of the alphabet",
        {
            "out": '["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys",'
            '"/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list",'
            '"/proc/timer_stats","/sys/devices/virtual/powercap","/sys/firmware"]\n'
        },
    ),
    ("file system", MOUNT_POINTS): (
        "/proc/interrupts is masked since 28",
        {
            "out": "/\n/dev\n/dev/mqueue\n/dev/pts\n/dev/shm\n/etc/hostname\n/etc/hosts\n"
            "/etc/resolv.conf\n/proc/interrupts\n/proc/sys\n"
        },
    ),
    (
        "events",
        "events --since 1h --until 0s --filter container=eve --filter type=image",
    ): ("a container's name is not an image's that begins so", {"out": ""}),
    ("ps with more filters", "ps -a --format '{{.Names}}' --filter health=nonsense"): (
        "one wording for all filters",
        {"err": "Error response from daemon: invalid filter 'health=nonsense'\n"},
    ),
    ("ps with more filters", "ps -a --format '{{.Names}}' --filter expose=80"): (
        "a port is exposed by a container that has no network too",
        {"out": "new\n"},
    ),
    ("images with filters", f"{IMAGES} --filter before=nothing"): AS_GIVEN,
    ("images with filters", f"{IMAGES} --filter since=nothing"): AS_GIVEN,
    ("images with filters", f"{IMAGES} --filter reference=["): (
        "the filter is named",
        {
            "err": "Error response from daemon: invalid reference filter '[': "
            "syntax error in pattern\n"
        },
    ),
    ("save what is not there", "save -o @folder/nothing.tar nothing"): IN_FULL,
    ("save what is not there", "save -o @folder/nothing.tar box nothing"): IN_FULL,
    ("import", "import @folder/text"): (
        "the entry is named, and what is wrong with it",
        {
            "err": "Error response from daemon: the archive's root file system: tar entry '"
            + "not an archive\\n" * 6
            + "not an arc' at byte 0: its header has no checksum: this is not a tar archive\n"
        },
    ),
    ("build", "history --no-trunc --format '{{.CreatedBy}}' made:1"): (
        "in BuildKit's words",
        {
            "out": 'CMD ["cat" "/file"]\nRUN /bin/sh -c cat /file # buildkit\n'
            "COPY file /file # buildkit\nLABEL a=b\na test\n"
        },
    ),
    (
        "build with options",
        "build @none -q --target nothing - <<< FROM box AS first\\n",
    ): (
        "the stages that there are are named",
        {
            "err": f"{OLD_BUILDER}{SENT}Error response from daemon: target stage "
            '"nothing" could not be found (there are: first)\n'
        },
    ),
    (
        "build that fails",
        "build @none -t made:1 - <<< FROM box\\nRUN echo before; exit 3\\nRUN echo after\\n",
    ): (
        PLACE,
        {
            "out": f"{SENT}Step 1/3 : FROM box\n ---> <short id>\n"
            "Step 2/3 : RUN echo before; exit 3\nbefore\nDockerfile:2\n----\n"
            "  1 |  FROM box\n  2 | >>> RUN echo before; exit 3\n  3 |  RUN echo after\n----\n"
        },
    ),
    ("build that fails", "build @none - <<< FROM box\\nNONSENSE x\\n"): (
        PLACE,
        {
            "err": f"{OLD_BUILDER}Error response from daemon: dockerfile parse error on line 2: "
            "unknown instruction: NONSENSE\nDockerfile:2:1\n  2 | NONSENSE x\n  | ^\n"
        },
    ),
    ("build that fails", "build @none - <<< FROM box\\nCOPY nothing /\\n"): (
        PLACE,
        {
            "out": f"{SENT}Step 1/2 : FROM box\n ---> <short id>\nStep 2/2 : COPY nothing /\n"
            "Dockerfile:2\n----\n  1 |  FROM box\n  2 | >>> COPY nothing /\n----\n",
            "err": f'{OLD_BUILDER}"/nothing": not found in the build context\n',
        },
    ),
    ("build that fails", "build @none - <<< FROM\\n"): (
        PLACE,
        {
            "err": f"{OLD_BUILDER}Error response from daemon: dockerfile parse error on line 1: "
            "FROM requires either one or three arguments\nDockerfile:1:1\n  1 | FROM\n  | ^\n"
        },
    ),
    ("build that fails", "build @none - <<< RUN true\\n"): (
        PLACE,
        {
            "err": f"{OLD_BUILDER}Error response from daemon: no build stage in current context: "
            "only ARG may stand before the first FROM\nDockerfile:1:1\n  1 | RUN true\n  | ^\n"
        },
    ),
    ("networks, volumes and plugins of a plain engine", "network inspect nothing"): (
        "the networks that there are are named",
        {
            "err": "Error response from daemon: network nothing not found: "
            "there are none and host so far\n"
        },
    ),
    ("attach", "attach one <<< word\\n"): (
        "dockerd ends an attachment with its input; here the output still comes",
        {"out": "got word\n"},
    ),
}

# --- The comparison -------------------------------------------------------------------------------

RECORDING = json.loads((differential.GOLDEN / "differential.json").read_text())
RECORDED: dict[str, list[Outcome]] = {
    name: [Outcome(**outcome) for outcome in outcomes]
    for name, outcomes in RECORDING["scenarios"].items()
}


def expected(scenario: str, recorded: Outcome) -> Outcome:
    """What dockerd did, with what is to differ."""
    out, err = recorded.out, recorded.err
    for words in WORDS:
        out, err = (re.sub(words.dockerd, words.ours, text) for text in (out, err))
    told = replace(recorded, out=out, err=err)
    _, changes = DIFFERENCES.get((scenario, recorded.command), ("", {}))
    return replace(told, **changes)


@pytest.fixture(scope="module")
def docker_and_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Path]]:
    folder = tmp_path_factory.mktemp("differential")
    differential.fill(folder)
    with daemons.running() as daemon:
        docker = find("docker", f"unix://{daemon.socket}", **differential.ENVIRONMENT)
        assert daemon.load(archives.image("box:latest")).status == 200
        yield docker, folder


@pytest.fixture
def own_daemon(
    docker_and_folder: tuple[Program, Path], scenario: str
) -> Iterator[tuple[Program, Path]]:
    yield docker_and_folder
    differential.tidy(docker_and_folder[0], differential.scenarios()[scenario])


def recorded_by() -> str:
    return str(RECORDING["docker"]).partition(".")[0]


def test_the_recording_is_of_these_scenarios() -> None:
    """If not: `make diff`."""
    commands = {name: [one.command for one in outcomes] for name, outcomes in RECORDED.items()}
    for name, steps in differential.scenarios().items():
        done = [step for step in steps if not step.startswith("until ")]
        # What runs beside the others ends last.
        done.sort(key=lambda step: step.startswith("& "))
        assert commands.pop(name) == done
    assert not commands
    assert sum(map(len, RECORDED.values())) >= 60


def test_every_difference_is_one() -> None:
    texts = [
        text for outcomes in RECORDED.values() for one in outcomes for text in (one.out, one.err)
    ]
    for words in WORDS:
        assert any(re.search(words.dockerd, text) for text in texts), words
    done = {(name, one.command): one for name, outcomes in RECORDED.items() for one in outcomes}
    for key in DIFFERENCES:
        assert expected(key[0], done[key]) != done[key], key


@pytest.mark.parametrize("scenario", RECORDED)
def test_as_dockerd_does(own_daemon: tuple[Program, Path], scenario: str) -> None:
    docker, folder = own_daemon
    version = subprocess.run([docker.path, "--version"], capture_output=True, text=True).stdout
    if f" version {recorded_by()}." not in version:
        pytest.skip(f"the recording is of a docker command line {recorded_by()}: {version.strip()}")
    outcomes = differential.play(docker, differential.scenarios()[scenario], folder)
    wanted = [expected(scenario, recorded) for recorded in RECORDED[scenario]]
    assert outcomes == wanted
