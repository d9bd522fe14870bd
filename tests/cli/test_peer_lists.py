"""`ps`, `images` and `inspect` beside the stock CLI, over the same canned answers."""

import random
import time

import pytest

pytestmark = pytest.mark.peer

NOW = int(time.time())
CONTAINERS = [
    {
        "Id": "8dfafdbc3a40" + "0" * 52,
        "Names": ["/boring_feynman", "/other/alias"],
        "Image": "ubuntu:latest@sha256:" + "a" * 64,
        "ImageID": "sha256:" + "d" * 64,
        "Command": 'sh -c "echo 1\t2; sleep 100"',
        "Created": NOW - 1030,
        "Ports": [
            {"PrivatePort": 2222, "PublicPort": 3333, "Type": "tcp", "IP": "0.0.0.0"},
            {"PrivatePort": 80, "PublicPort": 80, "Type": "tcp", "IP": "0.0.0.0"},
            {"PrivatePort": 81, "PublicPort": 81, "Type": "tcp", "IP": "0.0.0.0"},
            {"PrivatePort": 80, "PublicPort": 80, "Type": "tcp", "IP": "::"},
            {"PrivatePort": 53, "Type": "udp"},
            {"PrivatePort": 54, "Type": "udp"},
            {"PrivatePort": 99, "Type": "udp"},
        ],
        "Labels": {"z": "1", "com.example.vendor": "Acme, Inc."},
        "State": "running",
        "Status": "Up 20 seconds (healthy)",
        "SizeRw": 12288,
        "SizeRootFs": 4_262_000,
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "Mounts": [
            {"Type": "volume", "Name": "fac362bba9e3e5c2a1f1", "Source": "", "Destination": "/data",
             "Driver": "local", "Mode": "z", "RW": True},
            {"Type": "bind", "Source": "/srv/a/very/long/path", "Destination": "/x"},
        ],
    },
    {
        "Id": "9cd87474be90" + "1" * 52,
        "Names": ["/coolName"],
        "Image": "sha256:" + "d" * 64,
        "ImageID": "sha256:" + "d" * 64,
        "Command": "échø \x1b[1m unprintable and long",
        "Created": NOW - 100_000,
        "Ports": [],
        "Labels": {},
        "State": "exited",
        "Status": "Exited (0) 3 hours ago",
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    },
    {
        "Id": "3176a2479c92" + "2" * 52,
        "Names": [],
        "Image": "",
        "ImageID": "",
        "Command": "",
        "Created": 0,
        "Ports": None,
        "Labels": None,
        "State": "created",
        "Status": "Created",
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    },
]  # fmt: skip
IMAGES = [
    {
        "Id": "sha256:" + "e" * 64, "ParentId": "", "Created": NOW - 700_000, "Size": 172_064_416,
        "SharedSize": -1, "Containers": -1, "Labels": {},
        "RepoTags": ["ubuntu:12.04", "ubuntu:precise"],
        "RepoDigests": ["ubuntu@sha256:" + "9" * 64],
    },
    {
        "Id": "sha256:" + "c" * 64, "ParentId": "", "Created": NOW - 8_000_000, "Size": 5,
        "SharedSize": -1, "Containers": -1, "Labels": {},
        "RepoTags": ["localhost:5000/a/b:x"], "RepoDigests": None,
    },
    {
        "Id": "sha256:" + "f" * 64, "ParentId": "", "Created": NOW - 1040, "Size": 0,
        "SharedSize": 0, "Containers": 2, "Labels": None, "RepoTags": [], "RepoDigests": [],
    },
    {
        "Id": "sha256:" + "1" * 64, "ParentId": "", "Created": NOW - 90_000_000, "Size": 999_949,
        "SharedSize": 49, "Containers": 0, "Labels": None,
        "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"],
    },
]  # fmt: skip

LIST_OPTIONS = [
    ["-a"],
    ["-a", "--no-trunc"],
    ["-q"],
    ["-q", "--no-trunc"],
    ["-as"],
    ["--format", "table"],
    ["--format", "json"],
    ["--format", "{{json .}}"],
    ["--format", "{{json .Names}} {{json .Labels}}"],
    ["--no-trunc", "--format", "json"],
    ["--format", "table {{.ID}}\\t{{.Names}}\\t{{.Ports}}"],
    ["--format", "table {{.Mounts}}\\t{{.LocalVolumes}}\\t{{.Networks}}"],
    ["--format", '{{.Label "z"}}|{{.Labels}}|{{upper .State}}'],
    ["--format", 'table {{.ID}}\\t{{.Label "z"}}\\t{{.Label "com.example.vendor"}}'],
    ["--format", '{{if eq .State "running"}}{{.Names}}{{else}}-{{end}}'],
    ["--format", "{{.Image}} {{.Command}} {{.CreatedAt}} {{.Size}} {{.Status}}"],
    ["--format", '{{truncate .ID 4}}{{pad .State 1 2}}{{join (split .Image ":") "+"}}'],
    ["--format", "{{with .Ports}}{{.}}{{else}}none{{end}}{{println}}"],
    ["--format", '{{printf "%-12s|%5s|%q" .State .ID .Names}}{{len .ID}}'],
    ["-q", "--format", "x{{.ID}}"],
]


@pytest.mark.parametrize("options", LIST_OPTIONS, ids=" ".join)
def test_ps(canned, wherry, docker, options: list[str]) -> None:
    canned.answers["GET", "/containers/json"] = (200, CONTAINERS)
    theirs, ours = docker("ps", *options), wherry("ps", *options)
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert ours.returncode == theirs.returncode == 0


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-a"],
        ["-n", "3"],
        ["-l"],
        ["-n3", "-l"],
        ["-s"],
        ["-f", "status=exited"],
        ["-f", "label=a=b", "--filter=label=c", "-f", "Name=x"],
        ["--last=-1"],
    ],
    ids=" ".join,
)
def test_ps_asks_for_the_same(canned, wherry, docker, options: list[str]) -> None:
    canned.answers["GET", "/containers/json"] = (200, [])
    docker("ps", *options)
    wherry("ps", *options)
    theirs, ours = (_question(request[2]) for request in canned.requests)
    assert ours == theirs


def _question(query: dict[str, list[str]]) -> dict[str, object]:
    """A query's meaning: the stock CLI writes filters as sets, and now and then a default."""
    import json

    meaning: dict[str, object] = dict(query)
    if "filters" in query:
        filters = json.loads(query["filters"][0])
        meaning["filters"] = {name: sorted(values) for name, values in filters.items()}
    return {name: value for name, value in meaning.items() if value not in (["0"], ["-1"], {})}


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-a"],
        ["--no-trunc"],
        ["--digests"],
        ["-q"],
        ["-q", "--no-trunc"],
        ["--format", "json"],
        ["--format", "{{json .}}"],
        ["--format", "table {{.Repository}}\\t{{.Digest}}"],
        ["--format", "{{.ID}} {{.Tag}} {{.CreatedAt}} {{.Size}} {{.Containers}}"],
    ],
    ids=" ".join,
)
def test_images(canned, wherry, docker, options: list[str]) -> None:
    canned.answers["GET", "/images/json"] = (200, IMAGES)
    theirs, ours = docker("images", *options), wherry("images", *options)
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert ours.returncode == theirs.returncode == 0


HISTORY = [
    {"Id": "sha256:" + "e" * 64, "Created": NOW - 700_000, "CreatedBy": "CMD [\"a\"]\t# b",
     "Tags": ["a:1"], "Size": 172_064_416, "Comment": "by hand"},
    {"Id": "<missing>", "Created": NOW - 8_000_000, "CreatedBy": "RUN <<E\nlines\nE" + "x" * 50,
     "Tags": None, "Size": 5, "Comment": ""},
    {"Id": "<missing>", "Created": 0, "CreatedBy": "", "Tags": None, "Size": 0, "Comment": ""},
    {"Id": "<missing>", "Created": -62135596800, "CreatedBy": "", "Tags": None, "Size": 0,
     "Comment": ""},
]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--no-trunc"],
        ["-q"],
        ["-q", "--no-trunc"],
        ["-H=false"],
        ["--human=false", "--no-trunc"],
        ["--format", "json"],
        ["--format", "table {{.ID}}\\t{{.CreatedSince}}\\t{{.CreatedAt}}"],
        ["-H=false", "--format", "table {{.CreatedSince}}\\t{{.Size}}"],
        ["--format", "{{.ID}}|{{.CreatedAt}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}"],
    ],
    ids=" ".join,
)
def test_history(canned, wherry, docker, options: list[str]) -> None:
    canned.answers["GET", "/images/a/b/history"] = (200, HISTORY)
    theirs, ours = docker("history", *options, "a/b"), wherry("history", *options, "a/b")
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert ours.returncode == theirs.returncode == 0


def test_random_ports(canned, wherry, docker) -> None:
    choose = random.Random(7)
    containers = []
    for _ in range(150):
        ports = [
            {"PrivatePort": choose.randrange(1, 9), "Type": choose.choice(["tcp", "udp"])}
            for _ in range(choose.randrange(6))
        ]
        for port in ports:
            if choose.random() < 0.7:
                port["IP"] = choose.choice(["0.0.0.0", "::", "127.0.0.1"])
                port["PublicPort"] = choose.choice([port["PrivatePort"], choose.randrange(1, 9)])
        containers.append({**CONTAINERS[1], "Ports": ports})
    canned.answers["GET", "/containers/json"] = (200, containers)
    theirs, ours = (cli("ps", "-a", "--format", "{{.Ports}}") for cli in (docker, wherry))
    assert ours.stdout.decode().splitlines() == theirs.stdout.decode().splitlines()


def test_random_sizes_and_times(canned, wherry, docker) -> None:
    choose = random.Random(11)
    images = [
        # Away from the boundaries, which the clock may cross between the two programs.
        {**IMAGES[1], "Size": int(10 ** choose.uniform(0, 18)),
         "Created": NOW - int(10 ** choose.uniform(2, 9)) // 60 * 60 - 30}
        for _ in range(200)
    ]  # fmt: skip
    canned.answers["GET", "/images/json"] = (200, images)
    form = "{{.Size}}\t{{.CreatedSince}}\t{{.CreatedAt}}"
    theirs, ours = (cli("images", "--format", form) for cli in (docker, wherry))
    assert ours.stdout.decode().splitlines() == theirs.stdout.decode().splitlines()


DOCUMENT = (
    b'{"Id":"abc","Name":"/x","Args":[],"State":{"Pid":1,"Error":"<a>&\\u2028\\"\\\\"},'
    b'"Size":1e+06,"Empty":{},"Float":1.50,"Config":{"Labels":{"b":"2","a":"1"},"Cmd":["x","y"]},'
    b'"HostConfig":{}, "Nested":[[],[{}],[1, 2]]}\n'
)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-f", "json"],
        ["-f", "{{.Id}} {{.State.Pid}}"],
        ["-f", "{{json .Config.Cmd}}"],
        ["-f", "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}"],
        ["-f", "{{.Config.Cmd}} {{.Config.Labels}} {{index .Config.Cmd 1}}"],
    ],
    ids=" ".join,
)
def test_inspect(canned, wherry, docker, options: list[str]) -> None:
    canned.answers["GET", "/containers/x/json"] = (200, DOCUMENT)
    theirs, ours = docker("inspect", *options, "x"), wherry("inspect", *options, "x")
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert ours.returncode == theirs.returncode == 0


def test_inspect_of_one_kind_finds_no_other(canned, wherry, docker) -> None:
    canned.answers["GET", "/containers/x/json"] = (200, DOCUMENT)
    canned.answers["GET", "/images/y/json"] = (200, {"Id": "sha256:1"})
    for kind, name, code in (
        ("container", "x", 0), ("container", "y", 1), ("image", "x", 1), ("image", "y", 0),
    ):  # fmt: skip
        theirs, ours = docker(kind, "inspect", name), wherry(kind, "inspect", name)
        assert ours.stdout.decode() == theirs.stdout.decode()
        assert ours.returncode == theirs.returncode == code


@pytest.mark.parametrize(
    "command",
    [
        ["stop", "a", "b"],
        ["kill", "a", "b"],
        ["rm", "a", "b"],
        ["rmi", "a", "b"],
        ["wait", "a", "b"],
        ["inspect", "a", "b"],
        ["inspect", "--type", "image", "a"],
        ["inspect", "--type", "nothing", "a"],
        ["container", "inspect", "a"],
        ["image", "inspect", "a", "b"],
        ["logs", "a"],
        ["attach", "a"],
        ["start", "a", "b"],
        ["start", "-a", "a"],
        ["start", "-a", "a", "b"],
        ["tag", "a", "b"],
        ["tag", "a"],
        ["rm"],
        ["ps", "x"],
        ["ps", "--no"],
        ["ps", "-f", "x"],
        ["ps", "--format", "{{"],
        ["images", "a", "b"],
        ["run"],
        ["run", "--foo", "a"],
        ["run", "-m", "x", "a"],
        ["run", "-it", "a"],
        ["run", "-d", "-a", "stdout", "a"],
        ["run", "--pull", "sometimes", "a"],
        ["run", "-d", "--pull", "never", "a"],
        ["create", "--pull", "never", "a"],
        ["run", "--name"],
        ["nothing"],
        ["run", "--rm", "--restart", "always", "a"],
        ["run", "--env-file", "/nowhere", "a"],
        ["load", "-i", "/nowhere"],
        ["save"],
        ["history"],
        ["history", "a"],
        ["history", "a", "b"],
        ["save", "-o", "/nowhere/x.tar", "a"],
        ["save", "-o", "/tmp", "a"],
        ["import"],
        ["import", "a", "b", "c"],
        ["import", "/nowhere"],
        ["logs", "--foo", "a"],
        ["container", "ls", "x"],
        ["image", "nothing"],
        ["--nothing", "ps"],
        ["run", "--detach-keys", "ctrl-1", "a"],
        ["inspect", "-f", "{{foo}}", "a"],
    ],
    ids=" ".join,
)
def test_failures_have_the_same_exit_code(canned, wherry, docker, command: list[str]) -> None:
    theirs, ours = docker(*command), wherry(*command)
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert ours.returncode == theirs.returncode != 0
    ours_begins = (b"wherry: ", b"Error response from daemon: ", b"Unable to find image")
    assert ours.stderr.startswith(ours_begins)
