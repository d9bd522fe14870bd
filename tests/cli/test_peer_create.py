"""What `create` and `run` ask of the daemon, beside what the stock CLI asks for the same words."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.peer

# What the stock CLI always sends, and what it means: nothing.
_NOTHING = (None, "", 0, False, [], {}, -1)
_DEFAULTS = {
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "LogConfig": {"Type": "", "Config": {}},
    "NetworkMode": "default",
    "ConsoleSize": [0, 0],
}


def meaning(value: object) -> object:
    """A request without whatever says nothing, and without an order where there is none."""
    if isinstance(value, dict):
        told = {name: member for name, member in value.items() if member != _DEFAULTS.get(name)}
        for name in told.keys() & {"Binds", "Env", "ExposedPorts", "Volumes"}:
            told[name] = sorted(told[name] or [])
        if told.get("Ulimits"):
            told["Ulimits"] = sorted(told["Ulimits"], key=lambda limit: limit["Name"])
        found = {name: meaning(member) for name, member in told.items()}
        return {name: member for name, member in found.items() if not _says_nothing(member)}
    if isinstance(value, list):
        return [meaning(element) for element in value]
    return value


def _says_nothing(value: object) -> bool:
    return any(value == nothing and type(value) is type(nothing) for nothing in _NOTHING)


CASES = [
    "",
    "-it",
    "-i",
    "-t",
    "-a stdin -a stdout -i",
    "-a STDERR",
    "--name x --platform linux/amd64",
    "-e A=b -e C= -e NOT_SET --env HOME",
    "-u 1:2 -w /w -h box --domainname dom",
    "--entrypoint /bin/x",
    "--entrypoint=",
    "-l a=b -l c --label d=e=f",
    "-v /a:/b -v /c:/d:ro,z -v name:/e -v /anonymous",
    "--mount type=bind,source=/a,target=/b,readonly,bind-propagation=rshared",
    "--mount type=volume,src=v,dst=/c,volume-nocopy,volume-label=a=b,volume-driver=local",
    "--mount type=volume,dst=/c,volume-opt=type=nfs,volume-opt=o=addr=1",
    "--mount type=tmpfs,destination=/t,tmpfs-size=64m,tmpfs-mode=1770",
    '--mount type=bind,"source=/a,b",target=/b,ro=false',
    "--mount type=bind,source=/a,target=/b,bind-nonrecursive",
    "--tmpfs /t --tmpfs /u:size=1m,mode=700",
    "--read-only --privileged --init --rm",
    "--cap-add ALL --cap-add NET_ADMIN --cap-drop CAP_CHOWN",
    "-m 64m --memory-swap -1 --memory-reservation 32m --memory-swappiness 10 --shm-size 1g",
    "--cpus 1.5 --cpu-shares 512 -c 100 --cpuset-cpus 0-1 --cpuset-mems 0",
    "--cpu-period 100000 --cpu-quota 50000 --cpu-rt-period 1 --cpu-rt-runtime 2",
    "--pids-limit 100 --oom-kill-disable --oom-score-adj 500",
    "--blkio-weight 300 --blkio-weight-device /dev/sda:200",
    "--device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:100",
    "--ulimit nofile=1024:2048 --ulimit core=0 --ulimit nproc=5",
    "--device /dev/fuse --device /dev/a:/dev/b --device /dev/c:/dev/d:r --device /dev/e:rw",
    "--add-host b=1.2.3.4 --add-host c:[::1] --add-host d=::1",
    "--cap-add net_admin --cap-add all --cap-add CAP_NET_ADMIN --cap-drop b --cap-drop a",
    "--security-opt no-new-privileges --security-opt label=disable",
    "--security-opt seccomp=unconfined",
    "--security-opt systempaths=unconfined",
    "--sysctl net.core.somaxconn=1024 --sysctl kernel.msgmax=1",
    "--stop-signal SIGINT --stop-timeout 5",
    "--pid host --ipc host --uts host --cgroupns private --userns host --cgroup-parent /p",
    "--group-add 5 --group-add audio --add-host a:1.2.3.4",
    "--dns 1.1.1.1 --dns-search example --dns-option ndots:1 --dns-opt x",
    "--network none",
    "--net host",
    "--network mine --network-alias a --net-alias b --ip 10.0.0.5",
    "--network name=mine,alias=a,alias=b,ip=10.0.0.5,driver-opt=x=y",
    "--network a --network b",
    "--expose 80 --expose 100-102/udp",
    "-p 80 -p 8080:80 -p 127.0.0.1:53:53/udp -p 9000-9001:7000-7001 -P",
    "-p [::1]:80:80 -p 1-2:1",
    "--log-driver json-file --log-opt max-size=1m --log-opt max-file=3",
    "--restart always",
    "--restart on-failure:3",
    "--runtime runc --volume-driver local --volumes-from a --storage-opt size=1g",
    "--health-cmd true --health-interval 5s --health-retries 3 --health-timeout 1m30s",
    "--no-healthcheck",
    "--annotation a=b",
    "--link other:alias",
    "--kernel-memory 4m",
    "--disable-content-trust",
]


@pytest.mark.parametrize("options", CASES)
def test_create(canned, wherry, docker, options: str) -> None:
    canned.answers["POST", "/containers/create"] = (201, {"Id": "f" * 64, "Warnings": ["careful"]})
    words = ["create", *options.split(), "image:1", "command", "-x", "--flag"]
    theirs, ours = docker(*words), wherry(*words)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), ours.stderr
    assert ours.stderr == theirs.stderr
    first, second = canned.requests
    assert first[1] == second[1] == "/containers/create"
    assert second[2] == first[2]
    assert meaning(json.loads(second[3])) == meaning(json.loads(first[3]))


@pytest.mark.parametrize(
    "options",
    [
        "-m 1x",
        "--cpus x",
        "--cpus 1.0000000001",
        "--pids-limit x",
        "--mount target",
        "--mount type=tmpfs",
        "--mount type=bind,source=/a,target=/b,tmpfs-size=1",
        "--mount nothing=1",
        "--network a=b",
        "--ulimit nofile",
        "--ulimit nofile=2:1",
        "--restart on-failure:x",
        "--security-opt x",
        "--device-read-bps x:1",
        "-p x",
        "--device-cgroup-rule x",
        "--add-host x",
        "-l =x",
        "--expose x",
        "-a nothing",
        "--blkio-weight-device /dev/x:5",
        "--device :x",
        "--network a --network a",
        "--rm --restart always",
        "--env-file /nowhere",
        "-e =x",
    ],
)
def test_what_is_refused_before_anything_is_asked(canned, wherry, docker, options: str) -> None:
    canned.answers["POST", "/containers/create"] = (201, {"Id": "f" * 64, "Warnings": None})
    canned.answers["POST", f"/containers/{'f' * 64}/start"] = (204, b"")
    theirs = docker("run", "-d", *options.split(), "image")
    canned.requests.clear()
    ours = wherry("run", "-d", *options.split(), "image")
    assert ours.returncode == theirs.returncode == 125
    assert not canned.requests
    assert ours.stderr.startswith(b"wherry: ")


@pytest.mark.parametrize("options", ["-v a:", "-v :a:", "--mount type=bind,target=/x", "-p 0"])
def test_what_only_we_refuse_early(canned, wherry, options: str) -> None:
    result = wherry("run", "-d", *options.split(), "image")
    assert (result.returncode, canned.requests) == (125, [])


def test_files(canned, wherry, docker, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("\ufeff# remark\n\nA=b\n  C=d e \nHOME\nNOT_SET\nE=x=y\n")
    (tmp_path / "labels").write_text("one=1\n#no\ntwo\n")
    (tmp_path / "seccomp").write_text('{ "defaultAction" : "SCMP_ACT_ALLOW" }')
    options = [
        "--env-file", f"{tmp_path}/env", "-e", "Z=last", "--label-file", f"{tmp_path}/labels",
        "-l", "three=3", "--security-opt", f"seccomp={tmp_path}/seccomp",
    ]  # fmt: skip
    canned.answers["POST", "/containers/create"] = (201, {"Id": "f" * 64, "Warnings": None})
    for cli in (docker, wherry):
        assert cli("create", *options, "image").returncode == 0
    first, second = (meaning(json.loads(request[3])) for request in canned.requests)
    assert second == first


def test_bytes_that_are_no_text(canned, wherry, docker) -> None:
    canned.answers["POST", "/containers/create"] = (201, {"Id": "f" * 64, "Warnings": None})
    for cli in (docker, wherry):
        assert cli("create", "-e", "A=\udcff", "image", "é\udcff", "<&>").returncode == 0
    first, second = (json.loads(request[3]) for request in canned.requests)
    assert (second["Env"], second["Cmd"]) == (first["Env"], first["Cmd"])


def test_a_cidfile_is_written_once(canned, wherry, tmp_path: Path) -> None:
    canned.answers["POST", "/containers/create"] = (201, {"Id": "f" * 64, "Warnings": None})
    path = tmp_path / "cid"
    assert wherry("create", "--cidfile", str(path), "image").returncode == 0
    assert path.read_text() == "f" * 64
    again = wherry("run", "-d", "--cidfile", str(path), "image")
    assert again.returncode == 125
    assert b"container ID file found" in again.stderr
    assert len(canned.requests) == 1


def test_a_missing_image_is_pulled_or_the_refusal_shown(canned, wherry) -> None:
    canned.answers["POST", "/containers/create"] = (404, {"message": "No such image: a:latest"})
    canned.answers["POST", "/images/create"] = (501, {"message": "pulling is not supported yet"})
    result = wherry("run", "a")
    assert result.returncode == 125
    assert result.stderr.decode().splitlines() == [
        "Unable to find image 'a:latest' locally",
        "wherry: Error response from daemon: pulling is not supported yet",
        "",
        "Run 'wherry run --help' for more information",
    ]
    assert canned.requests[1][2] == {"fromImage": ["a"], "tag": ["latest"]}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("stat /x: no such file or directory", 127),
        ('exec: "/tmp": permission denied', 126),
        ('exec: "/tmp": is a directory', 126),
        ("no space left on device", 125),
    ],
)
def test_the_exit_code_tells_why_it_did_not_start(canned, wherry, docker, message, code) -> None:
    canned.answers["POST", "/containers/create"] = (201, {"Id": "x", "Warnings": None})
    canned.answers["POST", "/containers/x/start"] = (400, {"message": message})
    assert wherry("run", "-d", "a").returncode == docker("run", "-d", "a").returncode == code
