"""The images that tests/golden/dockerfiles builds upon, the same bytes on every engine.

Only what busybox brings along differs from machine to machine; no case looks at that.
"""

import functools
import hashlib
import json

import archives
import buildcases
import busybox
from buildcases import Member

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www:x:33:33:www:/srv:/bin/false
bob:x:1000:1000:Bob:/home/bob:/bin/sh
alice:x:1001:1002::/home/alice:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = """\
root:x:0:
daemon:x:1:
wheel:x:10:bob
www:x:33:
staff:x:50:alice,bob
bob:x:1000:
crew:x:1002:
nobody:x:65534:
"""


def _file(path: str, text: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Member:
    return Member(path, "file", mode, text.encode(), "", uid, gid)


def _dir(path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Member:
    return Member(path, "dir", mode, b"", "", uid, gid)


def _link(path: str, target: str) -> Member:
    return Member(path, "symlink", 0o777, b"", target, 0, 0)


FURNITURE = [
    _dir("etc"), _file("etc/passwd", PASSWD), _file("etc/group", GROUP),
    _file("etc/motd", "ahoy\n"),
    _dir("run"), _dir("var"), _link("var/run", "/run"), _dir("var/lib"),
    _dir("var/lib/data", 0o750, 33, 33), _file("var/lib/data/seed", "seed\n", 0o640, 33, 33),
    _dir("usr"), _dir("usr/lib"), _link("lib", "usr/lib"), _file("usr/lib/library", "library\n"),
    _dir("home"), _dir("home/bob", 0o700, 1000, 1000),
    _dir("opt"), _dir("opt/app"),
    _file("opt/app/config", "config\n", 0o600, 1000, 1000),
    _file("opt/app/setuid", "setuid\n", 0o4755),
    _file("opt/app/readonly", "readonly\n", 0o444),
    _dir("opt/app/shared", 0o2775, 0, 50),
    _file("opt/app/one", "two names\n"),
    Member("opt/app/two", "hardlink", 0o644, b"", "opt/app/one", 0, 0),
    _dir("opt/app/deep"), _dir("opt/app/deep/er"), _file("opt/app/deep/er/file", "deep\n"),
    _dir("opt/sticky", 0o1777),
    _link("opt/link", "app"), _link("opt/absolute", "/opt/app"), _link("opt/dangling", "nowhere"),
    _link("opt/loop", "loop"), _link("opt/config", "app/config"), _link("opt/up", "../../../etc"),
]  # fmt: skip


@functools.cache
def layers() -> list[bytes]:
    return [archives.busybox_layer(), buildcases.tar(FURNITURE)]


@functools.cache
def images() -> dict[str, bytes]:
    """A docker-archive by the name of the image in it."""
    bare = layers()[:1]
    configured = archives.config(
        layers(),
        Entrypoint=["echo", "entry"],
        Cmd=["command"],
        Env=["PATH=/bin:/usr/bin", "HULL=wood", "MASTS=2"],
        User="bob",
        WorkingDir="/opt/app",
        Labels={"of": "configured", "kept": "yes"},
        ExposedPorts={"80/tcp": {}},
        Volumes={"/var/lib/data": {}},
        StopSignal="SIGINT",
        Healthcheck={"Test": ["CMD", "true"], "Interval": 5_000_000_000},
        Shell=["/bin/sh", "-e", "-c"],
    )
    triggers = ["ENV TRIGGERED=yes", "COPY trigger /triggered/", "RUN cat /triggered/* > /ran"]
    return {
        "bare": archives.docker_archive(["bare:latest"], bare, archives.config(bare)),
        "base": archives.docker_archive(["base:latest"], layers(), archives.config(layers())),
        "configured": archives.docker_archive(["configured:latest"], layers(), configured),
        "onbuild": archives.docker_archive(
            ["onbuild:latest"], layers(), archives.config(layers(), OnBuild=triggers)
        ),
    }


def diff_ids() -> list[str]:
    """Of the layers that all of them share, bottom first."""
    config = json.loads(archives.config(layers()))
    return list(config["rootfs"]["diff_ids"])


@functools.cache
def busybox_digest() -> str:
    return hashlib.sha256(busybox.find().read_bytes()).hexdigest()
