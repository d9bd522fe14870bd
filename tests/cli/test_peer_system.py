"""`events`, `system df`, `restart` and `rename` beside the stock CLI, by the same answers."""

import json
import time

import pytest

pytestmark = pytest.mark.peer

NOW = int(time.time())
EVENTS = [
    {
        "status": "create", "id": "a" * 64, "from": "box", "Type": "container", "Action": "create",
        "Actor": {"ID": "a" * 64, "Attributes": {"name": "web", "image": "box", "x": "y"}},
        "scope": "local", "time": 1795448468, "timeNano": 1795448468336803505,
    },
    {
        "Type": "network", "Action": "connect",
        "Actor": {"ID": "n", "Attributes": {"container": "a", "type": "null"}},
        "scope": "local", "time": 1795448468, "timeNano": 1795448468000000000,
    },
    {
        "status": "prune", "Type": "image", "Action": "prune",
        "Actor": {"ID": "", "Attributes": {"reclaimed": "0"}},
        "scope": "local", "time": 1795448469, "timeNano": 1795448469060646593,
    },
    {"Type": "daemon", "Action": "reload", "Actor": {"ID": "d", "Attributes": {}}, "time": 5},
]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--format", "json"],
        ["--format", "{{json .}}"],
        ["--format", "{{.Time}} {{.TimeNano}} {{.Type}} {{.Action}} {{.Scope}}"],
        ["--format", "{{.Status}}|{{.ID}}|{{.From}}|{{.Actor.ID}}"],
        ["--format", "{{.Actor.Attributes.name}}|{{json .Actor.Attributes}}|{{len .Actor.ID}}"],
        ["--format", '{{index .Actor.Attributes "image"}}|{{.Actor.Attributes.nothing}}'],
        ["--format", "{{range $k, $v := .Actor.Attributes}}{{$k}}={{$v}} {{end}}"],
    ],
    ids=" ".join,
)
def test_events(canned, wherry, docker, options: list[str]) -> None:
    lines = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)
    canned.answers["GET", "/events"] = (200, lines)
    theirs, ours = docker("events", *options), wherry("events", *options)
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert ours.returncode == theirs.returncode == 0, ours.stderr


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--since", "1795448468"],
        ["--since", "1795448468.5", "--until", "2026-11-23T15:41:07Z"],
        ["-f", "type=container", "-f", "event=die", "--filter", "event=start"],
    ],
    ids=" ".join,
)
def test_events_are_asked_for_alike(canned, wherry, docker, options: list[str]) -> None:
    canned.answers["GET", "/events"] = (200, b"")
    docker("events", *options)
    wherry("events", *options)
    theirs, ours = (meaning(request[2]) for request in canned.requests)
    assert ours == theirs


def meaning(query: dict[str, list[str]]) -> dict[str, object]:
    told: dict[str, object] = dict(query)
    if "filters" in query:
        filters = json.loads(query["filters"][0])
        told["filters"] = {name: sorted(values) for name, values in filters.items()}
    for name in ("since", "until"):
        if name in query:
            told[name] = float(query[name][0])
    return {name: value for name, value in told.items() if value != {}}


def image(number: int, **members: object) -> dict[str, object]:
    return {
        "Id": f"sha256:{number:064x}", "ParentId": "", "Created": NOW - 700_000, "Size": 1_984_249,
        "SharedSize": 0, "Containers": 0, "Labels": None, "RepoTags": [f"box:{number}"],
        "RepoDigests": [], **members,
    }  # fmt: skip


def container(number: int, **members: object) -> dict[str, object]:
    return {
        "Id": f"{number:064x}", "Names": [f"/c{number}"], "Image": "box:1",
        "ImageID": "sha256:" + "e" * 64,
        "Command": "sh -c 'sleep 1000; echo and more'", "Created": NOW - 5000, "Ports": [],
        "SizeRw": 1000 * number, "SizeRootFs": 2_000_000, "Labels": {}, "State": "exited",
        "Status": "Exited (0) 3 hours ago", "NetworkSettings": {"Networks": {}}, "Mounts": [],
        **members,
    }  # fmt: skip


def cache(number: int, **members: object) -> dict[str, object]:
    return {
        "ID": f"{number}abcdefghijklmnopqrstuvwx", "Parents": None, "Type": "regular",
        "Description": "RUN x", "InUse": False, "Shared": False, "Size": 12_345 * number,
        "CreatedAt": f"2026-01-01T00:00:0{number}Z", "LastUsedAt": None, "UsageCount": number,
        **members,
    }  # fmt: skip


USAGES = {
    "empty": {"LayersSize": 0, "Images": [], "Containers": [], "Volumes": [], "BuildCache": []},
    "nulls": {
        "LayersSize": 0, "Images": None, "Containers": None, "Volumes": None, "BuildCache": None,
    },
    "full": {
        "LayersSize": 20_000_000,
        "Images": [
            image(1, Containers=2, SharedSize=500_000),
            image(2, RepoTags=["a:1", "b:2"], Containers=1, SharedSize=0),
            image(3, RepoTags=[], RepoDigests=[], Size=17_000_000),
            image(4, RepoTags=None, Size=0, SharedSize=-1),
        ],
        "Containers": [
            container(1, State="running", Status="Up 2 hours"),
            container(2),
            container(3, State="paused"),
            container(4, Mounts=[{"Type": "volume", "Name": "v", "Driver": "local"}]),
        ],
        "Volumes": [
            {"Name": "v", "Driver": "local", "Mountpoint": "/v", "Labels": {"a": "b"},
             "Scope": "local", "Options": None, "UsageData": {"Size": 4096, "RefCount": 1}},
            {"Name": "w", "Driver": "local", "Mountpoint": "/w", "Labels": None,
             "Scope": "local", "Options": None, "UsageData": {"Size": 999, "RefCount": 0}},
        ],
        "BuildCache": [
            cache(1, InUse=True, LastUsedAt="2026-02-01T00:00:00Z"),
            cache(2, Shared=True, Parents=["p1", "p2"]),
            cache(3, LastUsedAt="2026-03-01T00:00:00.5Z", InUse=True, Shared=True),
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--format", "table"],
        ["--format", "json"],
        ["--format", "{{json .}}"],
        ["--format", "{{.Type}}: {{.Active}} of {{.TotalCount}}, {{.Size}} {{.Reclaimable}}"],
        ["--format", "table {{.Type}}\\t{{.Reclaimable}}"],
        ["-v"],
        ["-v", "--format", "json"],
        ["-v", "--format", "{{range .Images}}{{.ID}} {{.Repository}} {{.UniqueSize}};{{end}}"],
        ["-v", "--format", "{{range .BuildCache}}{{.ID}} {{.Size}} {{.Parent}};{{end}}"],
        ["-v", "--format", "{{range .Containers}}{{.ID}} {{.Names}} {{.Size}};{{end}}"],
        ["-v", "--format", "{{range .Volumes}}{{.Name}} {{.Size}} {{.Links}};{{end}}"],
    ],
    ids=" ".join,
)
def test_disk_usage(canned, wherry, docker, usage: str, options: list[str]) -> None:
    canned.answers["GET", "/system/df"] = (200, USAGES[usage])
    theirs, ours = (cli("system", "df", *options) for cli in (docker, wherry))
    # The stock CLI leaves its JSON's line without an end.
    assert ours.stdout.decode().rstrip("\n") == theirs.stdout.decode().rstrip("\n")
    assert ours.returncode == theirs.returncode == 0, ours.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["restart", "a"],
        ["restart", "-t", "3", "a"],
        ["restart", "-s", "INT", "--timeout=-1", "a"],
        ["rename", "a", "b"],
        ["container", "rename", "a", "b"],
    ],
    ids=" ".join,
)
def test_they_ask_for_the_same(canned, wherry, docker, command: list[str]) -> None:
    canned.answers["POST", "/containers/a/restart"] = (204, b"")
    canned.answers["POST", "/containers/a/rename"] = (204, b"")
    theirs, ours = docker(*command), wherry(*command)
    assert ours.stdout == theirs.stdout
    assert ours.returncode == theirs.returncode == 0
    first, second = ((path, query) for _, path, query, _ in canned.requests)
    assert first == second


@pytest.mark.parametrize(
    "command",
    [
        ["restart"],
        ["restart", "a", "b"],
        ["rename", "a"],
        ["rename", "a", "b"],
        ["rename", "a", " "],
        ["events", "x"],
        ["events", "--since", "nonsense"],
        ["events", "-f", "x"],
        ["events", "--format", "{{.Foo}}"],
        ["events", "--format", "{{"],
        ["system", "df", "x"],
        ["system", "df", "--format", "{{"],
        ["system", "nothing"],
        ["ps", "--format", "{{.Foo}}"],
    ],
    ids=" ".join,
)
def test_failures_have_the_same_exit_code(canned, wherry, docker, command: list[str]) -> None:
    canned.answers["GET", "/containers/json"] = (200, [])
    canned.answers["GET", "/events"] = (200, b"")
    theirs, ours = docker(*command), wherry(*command)
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert ours.returncode == theirs.returncode != 0
    assert ours.stderr


@pytest.mark.parametrize("command", [["rm", "-f"], ["rmi", "-f"]], ids=" ".join)
def test_what_is_gone_already_is_no_failure(canned, wherry, docker, command: list[str]) -> None:
    canned.answers["DELETE", "/containers/there"] = (204, b"")
    canned.answers["DELETE", "/images/there"] = (200, [{"Untagged": "there:latest"}])
    canned.answers["DELETE", "/containers/used"] = (409, {"message": "used"})
    canned.answers["DELETE", "/images/used"] = (409, {"message": "used"})
    for names in (["gone"], ["gone", "there", "gone2"], ["gone", "used", "there"]):
        theirs, ours = docker(*command, *names), wherry(*command, *names)
        assert ours.stdout == theirs.stdout
        assert ours.returncode == theirs.returncode == ("used" in names)
        assert sorted(ours.stderr.splitlines()) == sorted(theirs.stderr.splitlines())
