"""An image of programs of this host: no registry, no archive, one layer.

The programs come with their interpreter and libraries (read from the ELF files; nothing is run for
that), the interpreter of a script, the standard library of a Python, the applets of a busybox; and
with the few files that programs expect: /etc/passwd, /etc/group, /tmp, /root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.errdefs import EngineError, Kind
from wherry.images.found import FoundImage, FoundLayer
from wherry.images.host_tree import HostTree
from wherry.images.image import Image
from wherry.images.libraries import Libraries
from wherry.images.load import register
from wherry.images.store import ImageStore
from wherry.reference import parse
from wherry.spec import media, platform
from wherry.spec.image import (
    Descriptor,
    History,
    ImageConfig,
    Manifest,
    RootFS,
    RunConfig,
    encode,
)

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_EPOCH: Final = "1970-01-01T00:00:00Z"
_PASSWD: Final = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP: Final = b"root:x:0:\nnogroup:x:65534:\n"
_PYTHON: Final = re.compile(r"python(3(\.\d+)?)?\Z")
_NOT_COPIED: Final = frozenset(
    ("test", "tests", "idle_test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip",
     "site-packages", "dist-packages")
)  # fmt: skip


def build(store: ImageStore, programs: Sequence[str], name: str, cmd: Sequence[str] = ()) -> Image:
    """Make an image of the host's `programs` (names in PATH, or absolute paths) called `name`.

    `cmd` is what it runs; the first program by default. The same files give the same image. Raises
    NotFound for a program or a library that is not there.
    """
    reference = parse(name).tagged()
    if not programs:
        raise errdefs.invalid("an image of host programs needs at least one program")
    tree, paths = _tree(programs)
    with store.collector.lease("load") as lease:
        with store.collector.content.ingest(f"the layer of {name}") as ingest:
            tree.write(ingest)
            size = ingest.size
            diff_id = lease.commit(ingest)
        config = _config(RootFS("layers", (diff_id,)), tuple(cmd) or (paths[0],), paths)
        config_id = lease.put(encode(config), f"the config of {name}")
        manifest = encode(
            Manifest(
                2,
                Descriptor(media.OCI_CONFIG, config_id, len(encode(config))),
                (Descriptor(media.OCI_LAYER, diff_id, size),),
                media_type=media.OCI_MANIFEST,
            )
        )
        manifest_id = lease.put(manifest, f"the manifest of {name}")
        image = FoundImage(
            config_id,
            config,
            Descriptor(media.OCI_MANIFEST, manifest_id, len(manifest)),
            manifest_id,
            (FoundLayer(diff_id, diff_id, size, media.OCI_LAYER, f"layer of {name}"),),
            frozenset({config_id, manifest_id, diff_id}),
            (reference,),
        )
        register([image], store.collector, lease, lambda layer, done, total: None)
    return store.resolve(config_id)


def _tree(programs: Sequence[str]) -> tuple[HostTree, list[str]]:
    """The files of the image, and where the programs are in it."""
    tree = HostTree()
    tree.add_directory("/tmp", 0o1777)  # the image's, not ours
    tree.add_directory("/root", 0o700)
    tree.add_file("/etc/passwd", _PASSWD)
    tree.add_file("/etc/group", _GROUP)
    for directory in ("/bin", "/sbin", "/lib", "/lib64"):
        # On a host whose /bin is /usr/bin, scripts still say /bin/sh.
        tree.add_links_to(directory)
    libraries = Libraries()
    paths = [_found(program) for program in programs]
    for path in paths:
        _add_program(tree, libraries, path)
    return tree, paths


def _found(program: str) -> str:
    path = program if os.path.isabs(program) else shutil.which(program, path=_search_path())
    if path is None or not os.access(path, os.X_OK) or os.path.isdir(path):
        raise errdefs.not_found(f"this host has no program {program!r}")
    return os.path.normpath(path)


def _search_path() -> str:
    return f"{os.environ.get('PATH', '')}:{_PATH}"


def _add_program(tree: HostTree, libraries: Libraries, path: str) -> None:
    real = tree.add_from_host(path)
    for library in sorted(libraries.needed_by(Path(real))):
        tree.add_from_host(library)
    interpreter = _script_interpreter(real)
    if interpreter:
        _add_program(tree, libraries, interpreter)
    elif _PYTHON.match(os.path.basename(real)):
        _add_standard_library(tree, libraries, real)
    elif os.path.basename(real) == "busybox":
        _add_applets(tree, real)


def _script_interpreter(path: str) -> str:
    """The program that runs a script, looked up for `env`; empty for what is no script."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError as error:
        raise errdefs.from_os_error(f"reading {path}", error) from error
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if len(words) > 1 and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
    return _found(words[0]) if words else ""


def _add_applets(tree: HostTree, busybox: str) -> None:
    directory = tree.add_links_to("/bin")
    for applet in _output(busybox, "--list").split():
        link = f"{directory}/{applet}"
        if link not in tree:
            tree.add_link(link, busybox)


def _add_standard_library(tree: HostTree, libraries: Libraries, python: str) -> None:
    """The modules of a Python, those in C with their libraries."""
    say = (
        "import json, sysconfig; "
        "print(json.dumps([sysconfig.get_path(key) for key in ('stdlib', 'platstdlib')]))"
    )
    for directory in sorted(set(json.loads(_output(python, "-I", "-c", say)))):
        for path in _modules(directory):
            try:
                needed = libraries.needed_by(Path(path)) if path.endswith(".so") else set()
            except EngineError as error:
                if error.kind is Kind.NOT_FOUND:
                    continue  # a module that the host cannot import either
                raise
            for each in (path, *sorted(needed)):
                tree.add_from_host(each)


def _modules(directory: str) -> Iterator[str]:
    for where, directories, files in os.walk(directory):
        directories[:] = sorted(
            name
            for name in directories
            if name not in _NOT_COPIED and not name.startswith("config-")
        )
        # Of the compiled ones, those of -O are not what anybody runs by default.
        yield from (
            os.path.join(where, name)
            for name in sorted(files)
            if name.endswith((".py", ".pyc", ".so")) and ".opt-" not in name
        )


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise errdefs.unavailable(f"{command[0]} does not run on this host: {error}") from error


def _config(rootfs: RootFS, cmd: tuple[str, ...], programs: Sequence[str]) -> ImageConfig:
    here = platform.host()
    known = _PATH.split(":")
    others = sorted({os.path.dirname(path) for path in programs} - set(known))
    return ImageConfig(
        rootfs,
        here.architecture,
        here.os,
        variant=here.variant,
        created=_EPOCH,
        config=RunConfig(env=("PATH=" + ":".join([*known, *others]),), cmd=cmd, working_dir="/"),
        history=(History(_EPOCH, f"wherry: {' '.join(programs)} from this host"),),
    )
