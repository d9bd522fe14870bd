"""Why a container did not start: a test for each row of docs/start-failures.md."""

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import elves
import pytest
from bundles import Yard
from elves import make_elf

from wherry.errdefs import EngineError
from wherry.libcontainer import process
from wherry.linux.mounts import OverlayRoot

TABLE = Path(__file__).parents[2] / "docs" / "start-failures.md"
OTHER = elves.ARM64 if elves.HOST == elves.AMD64 else elves.AMD64
NAMES = {elves.AMD64: "amd64", elves.ARM64: "arm64"}
GLIBC, MUSL = "/lib64/ld-linux-none.so.2", "/lib/ld-musl-none.so.1"
ALICE = {"uid": 4711, "gid": 4711}

File = tuple[bytes | str, int]
"""Content, or the target of a link, and a mode."""


def script(text: str, mode: int = 0o755) -> File:
    return text.encode(), mode


def elf(*args: Any, **options: Any) -> File:
    return make_elf(*args, **options), 0o755


@dataclass
class Case:
    row: str
    args: list[str]
    code: int
    words: str
    files: dict[str, File] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)
    change: Callable[[dict[str, Any], Path], None] | None = None
    bare: bool = False
    """The image is nothing but `files`."""


def bind_an_empty_folder(spec: dict[str, Any], base: Path) -> None:
    bind(spec, base, [])


def bind_noexec(spec: dict[str, Any], base: Path) -> None:
    bind(spec, base, ["noexec"])
    (base / "source/tool").write_text("#!/bin/sh\n")
    (base / "source/tool").chmod(0o755)


def bind(spec: dict[str, Any], base: Path, options: list[str]) -> None:
    (base / "source").mkdir()
    mount = {"destination": "/app", "type": "bind", "source": str(base / "source")}
    spec["mounts"].append({**mount, "options": ["rbind", *options]})


def bind_read_only(spec: dict[str, Any], base: Path) -> None:
    bind(spec, base, ["ro"])


NOT_FOUND = r'exec: "{}": executable file not found in \$PATH '
CASES = [
    Case("no such program", ["nosuch"], 127, r"\(it is in none of PATH='/bin:/usr/bin'\)"),
    Case("another name or version", ["python"], 127, r"\(the image has python3\.11\)",
         {"/bin/python3.11": script("")}),
    Case("another name or version", ["bash"], 127, r"\(the image has ash\)"),
    Case("a command line as one word", ["ls -l /"], 127,
         r'\(it is taken as one word.*: write \["ls", "-l", "/"\]\)'),
    Case("a command line as one word", ["/bin/ls -l"], 127,
         r'no such file or directory \(it is taken as one word.*write \["/bin/ls", "-l"\]\)'),
    Case("an option after the image", ["-it"], 127, "options stand before the image's name"),
    Case("a command of the shell", ["cd", "/"], 127, 'run it by sh -c "cd ..."'),
    Case("a program beside", ["tool"], 127, r"working directory, .*: \./tool",
         {"/srv/tool": script("#!/bin/sh\n")}, {"cwd": "/srv"}),
    Case("a PATH that leads nowhere", ["ls"], 127, "none of the directories in PATH='/no:/where'",
         process={"env": ["PATH=/no:/where"]}),
    Case("no name", [""], 127, r"\(the program's name is empty\)"),
    Case("no shell", ["/bin/sh", "-c", "true"], 127,
         r"stat /bin/sh: no such file or directory \(the image has no /bin/sh: use the exec form",
         {"/etc/os-release": script("")}, bare=True),
    Case("no such file", ["/app/bin/tool"], 127,
         r"stat /app/bin/tool: no such file or directory \(the image has no /app/bin\)",
         {"/app/x": script("")}),
    Case("no such file", ["/bin/nosuch"], 127, r"\(the image has no such file\)"),
    Case("a link that leads nowhere", ["/bin/tool"], 127,
         r"\(/bin/tool is a link to '/opt/tool', which is not there\)",
         {"/bin/tool": ("/opt/tool", 0)}),
    Case("hidden by a mount", ["/app/tool"], 127, "; the mount at /app hides what the image has",
         {"/app/tool": script("#!/bin/sh\n")}, change=bind_an_empty_folder),
    Case("not executable", ["/app/tool"], 126,
         r'exec: "/app/tool": permission denied \(it is not executable, mode 0644: chmod \+x',
         {"/app/tool": script("#!/bin/sh\n", 0o644)}),
    Case("not executable", ["text"], 126,
         r'exec: "text": permission denied \(/bin/text: it is not executable',
         {"/bin/text": script("", 0o644)}),
    Case("a directory", ["/etc"], 126, 'exec: "/etc": is a directory'),
    Case("no regular file", ["/dev/null"], 126, r"permission denied \(it is no regular file\)"),
    Case("not for this user", ["/app/tool"], 126,
         r"\(uid 4711 may not execute it, mode 0700, owner 0:0: chmod",
         {"/app/tool": script("#!/bin/sh\n", 0o700)}, {"user": ALICE}),
    Case("behind a closed directory", ["/app/tool"], 126,
         r"permission denied \(uid 4711 may not enter /app, mode 0700, owner 0:0\)",
         {"/app": ("", 0o700), "/app/tool": script("#!/bin/sh\n")}, {"user": ALICE}),
    Case("a mount with noexec", ["/app/tool"], 126,
         r"permission denied \(it lies on a mount with noexec, /app: mount it with exec\)",
         change=bind_noexec),
    Case("CRLF", ["/tool"], 127,
         r"no such file or directory \(its first line ends in CRLF.*'/bin/sh\\r': save it with",
         {"/tool": script("#!/bin/sh\r\necho hi\r\n")}),
    Case("no interpreter", ["/tool"], 127,
         r"no such file or directory \(the interpreter of its first line, '/bin/bash', is not in",
         {"/tool": script("#!/bin/bash -e\n")}),
    Case("no interpreter", ["/tool"], 127, r"is not in the image, /bin/py is a link to 'gone'",
         {"/tool": script("#!/bin/py\n"), "/bin/py": ("gone", 0)}),
    Case("an interpreter that may not run", ["/tool"], 126,
         r"permission denied \(its interpreter /bin/perl: it is not executable, mode 0644",
         {"/tool": script("#!/bin/perl\n"), "/bin/perl": script("x", 0o644)}),
    Case("an interpreter that may not run", ["/tool"], 127,
         rf"\(its interpreter /bin/perl: its loader '{GLIBC}' is not in the image",
         {"/tool": script("#!/bin/perl\n"), "/bin/perl": elf(GLIBC)}),
    Case("another architecture", ["/tool"], 126,
         rf'exec: "/tool": exec format error \(it is built for linux/{NAMES[OTHER]}, and this '
         rf"machine is linux/{NAMES[elves.HOST]}: take the image for --platform",
         {"/tool": elf(machine=OTHER)}),
    Case("another architecture", ["/tool"], 126, "built for linux/riscv64",
         {"/tool": elf(machine=elves.RISCV)}),
    Case("built for glibc", ["/tool"], 127,
         rf"no such file or directory \(its loader '{GLIBC}' is not in the image: it is built for "
         r"glibc, and the image has musl; build it for that, or statically, or take",
         {"/tool": elf(GLIBC), "/lib/ld-musl-other.so.1": script("")}),
    Case("built for musl", ["/tool"], 127, "built for musl, and the image has glibc",
         {"/tool": elf(MUSL), "/lib64/ld-linux-other.so.2": script("")}),
    Case("no loader", ["/tool"], 127,
         rf"its loader '{GLIBC}' is not in the image: add it with the program's libraries",
         {"/tool": elf(GLIBC)}),
    Case("no first line", ["/tool"], 126, r"exec format error \(it is text without a first line",
         {"/tool": script("echo hi\n")}),
    Case("something before the first line", ["/tool"], 126, "its #! line must be the first",
         {"/tool": script("\n#!/bin/sh\n")}),
    Case("something before the first line", ["/tool"], 126, "a byte order mark before its #!",
         {"/tool": script("\ufeff#!/bin/sh\n")}),
    Case("an empty first line", ["/tool"], 126, "is #! without the path of an interpreter",
         {"/tool": script("#! \n")}),
    Case("too long a first line", ["/tool"], 126, "longer than the 256 bytes",
         {"/tool": script(f"#!/{'x' * 300}\n")}),
    Case("an empty file", ["/tool"], 126, r"exec format error \(the file is empty\)",
         {"/tool": script("")}),
    Case("for another system", ["/tool"], 126, r"exec format error \(it is a Windows program\)",
         {"/tool": (b"MZ\x90\0", 0o755)}),
    Case("for another system", ["/tool"], 126, "it is compressed with gzip",
         {"/tool": (b"\x1f\x8b\x08\0", 0o755)}),
    Case("no program at all", ["/tool"], 126, "neither an ELF program nor a script",
         {"/tool": (b"\0\1\2\3", 0o755)}),
    Case("not linked", ["/tool"], 126, "it is an object file", {"/tool": elf(type_=1)}),
    Case("a damaged program", ["/tool"], 126, r"exec format error \(it is a damaged ELF file",
         {"/tool": (make_elf()[:80], 0o755)}),
    Case("scripts without end", ["/tool"], 127, r"symbolic links \(the interpreter of its #! line",
         {"/tool": script("#!/tool\n")}),
    Case("too many arguments", ["/bin/true", "x" * 140_000], 126,
         r"argument list too long \(arguments and environment are more"),
    Case("a file for working directory", ["true"], 128,
         r"working directory /etc/passwd: not a directory \(a file stands in its way",
         process={"cwd": "/etc/passwd"}),
    Case("no working directory, and none can be made", ["true"], 128,
         r"working directory /app/new: read-only file system \(it is not there, and what is mount",
         process={"cwd": "/app/new"}, change=bind_read_only),
    Case("no such user", ["true"], 128,
         r"unable to find user carol: no matching entries in passwd file \(it has root, bob; a num",
         process={"user": {"username": "carol"}}),
    Case("no such user", ["/tool"], 128, r"\(the image has no /etc/passwd with entries; a number",
         {"/tool": elf()}, {"user": {"username": "carol"}}, bare=True),
    Case("no such group", ["true"], 128,
         r"unable to find group crew: no matching entries in group file \(it has root, bob, wheel",
         process={"user": {"username": "bob:crew"}}),
]  # fmt: skip

# What is hard to bring about: only what would be said then.
RARE = [
    ("too many processes", errno.EAGAIN, "its user has as many processes as --ulimit nproc"),
    ("a file that is being written", errno.ETXTBSY, "something has the file open for writing"),
    ("too little memory", errno.ENOMEM, "there is too little memory"),
    ("forbidden", errno.EPERM, "a security module of the host or the seccomp profile"),
]


def fill(root: Path, files: dict[str, File]) -> None:
    for name, (content, mode) in files.items():
        path = root / name.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
            path.chmod(mode)
        elif content:
            path.symlink_to(content)
        else:
            path.mkdir()
            path.chmod(mode)


@pytest.mark.root
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row.replace(" ", "-"))
async def test_the_cause_is_named(passable_yard: Yard, case: Case) -> None:
    yard = passable_yard
    spec = yard.spec(*case.args)
    spec["process"].update(case.process)
    bundle, root = yard.bundle(spec, Path(spec["linux"]["cgroupsPath"]).name)
    fill(Path(root.upper), case.files)
    if case.bare:
        (bundle / "empty").mkdir()
        root = OverlayRoot((str(bundle / "empty"),), root.upper, root.work)
    if case.change:
        case.change(spec, yard.base)
    with pytest.raises(EngineError) as caught:
        await yard.start(spec, rootfs=root)
    assert re.search(case.words, caught.value.message), caught.value.message
    assert getattr(caught.value, "exit_code", 128) == case.code


@pytest.mark.parametrize(("row", "code", "words"), RARE)
def test_what_is_rare_is_told_too(row: str, code: int, words: str) -> None:
    refusal = process.exec_refused("x", "/x", OSError(code, os.strerror(code)))
    assert f'exec: "x": {os.strerror(code).lower()} ({words}' in refusal.message
    assert refusal.exit_code == 126


def test_each_row_of_the_table_has_its_test() -> None:
    rows = re.findall(r"^\| ([^|`]+?) \| (\d+)", TABLE.read_text(), re.MULTILINE)
    tested = {(case.row, str(case.code)) for case in CASES} | {(row, "126") for row, _, _ in RARE}
    assert {row for row, _ in rows} == {row for row, _ in tested}
    assert set(rows) <= tested
