"""Why a program did not start: looked for only after the kernel has said no.

Docker's words come first in every message, since people and scripts search for them; what is found
here follows in parentheses: the cause, and the way out (docs/start-failures.md has them all). It
runs as the container's user in the container's root, and nothing that it finds there is trusted: a
file is read in part and only if it is regular, and its text is quoted. An answer is empty where
nothing was found. None may hold words that Docker's command line makes an exit code of.
"""

import errno
import os
import stat
from itertools import islice

from wherry import errdefs
from wherry.linux.elf import MAGIC, Elf, native_architecture, read_elf

_HEAD = 256  # BINPRM_BUF_SIZE: what the kernel looks at
_INTERPRETERS_MAX = 5
_NAMES_MAX = 5000
_SHELLS = ("bash", "ash", "dash", "ksh", "zsh", "sh")
_BUILTINS = frozenset(
    ("alias", "cd", "eval", "exec", "exit", "export", "read", "set", "shift", "source", "trap",
     "ulimit", "umask", "unset", ".", ":")
)  # fmt: skip
_LOADERS = (("ld-musl-", "musl"), ("ld-linux", "glibc"), ("ld64.so", "glibc"), ("ld.so", "glibc"),
            ("ld-uClibc", "uClibc"), ("linker", "Android"))  # fmt: skip
_LIBRARY_DIRECTORIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_FOREIGN = (
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a macOS program or a Java class"),
    (b"!<arch>", "an archive of object files"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\xef\xbb\xbf#!", "a script with a byte order mark before its #!: save it without"),
)
_SAID = {
    errno.E2BIG: "arguments and environment are more than the kernel hands over: "
    "give them in a file or by standard input",
    errno.ETXTBSY: "something has the file open for writing: close it before it is run",
    errno.EAGAIN: "its user has as many processes as --ulimit nproc allows",
    errno.ENOMEM: "there is too little memory for it: see the container's limit, --memory",
    errno.ELOOP: "the interpreter of its #! line is a script, whose interpreter is a script, "
    "and so on: name a program there",
    errno.EPERM: "a security module of the host or the seccomp profile forbids it",
}


def why_not_on_path(name: str, path: str) -> str:
    """Of a name without a slash that is in no directory of `path`."""
    directories = [each for each in path.split(":") if each]
    if not name:
        return "the program's name is empty"
    if name.startswith("-"):
        return "options stand before the image's name, what follows it is the program"
    joined = _one_word(name, directories)
    if joined:
        return joined
    if name in _BUILTINS:
        return f'{name} is a command of the shell: run it by sh -c "{name} ..."'
    if _is_program(f"./{name}"):
        return f"it is in the working directory, which is not searched: ./{name}"
    near = _near(name, directories)
    if near:
        return f"the image has {near}"
    if not any(os.path.isdir(each) for each in directories):
        return f"none of the directories in PATH={path!r} is in the image"
    return f"it is in none of PATH={path!r}"


def why_missing(path: str, search: str) -> str:
    """Of a path that leads nowhere; `search` is PATH."""
    joined = _one_word(path, search.split(":"))
    if joined:
        return joined
    if path == "/bin/sh":
        return 'the image has no /bin/sh: use the exec form, ["program", "argument"]'
    gap, link = _gap(path)
    if link:
        said = f"{gap} is a link to {link!r}, which is not there"
    elif gap == path:
        said = "the image has no such file"
    else:
        said = f"the image has no {gap}"
    hiding = _mount_above(path)
    if hiding:
        return f"{said}; the mount at {hiding} hides what the image has there"
    return said


def why_denied(path: str) -> str:
    """Of a file that is there and may not be executed."""
    closed = _closed_directory(path)
    if closed:
        return closed
    try:
        status = os.stat(path)
        noexec = os.statvfs(path).f_flag & os.ST_NOEXEC
    except OSError:
        return ""
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
    if not status.st_mode & 0o111:
        return f"it is not executable, {mode}: chmod +x, or COPY --chmod=755"
    if noexec:
        return f"it lies on a mount with noexec, {_mount_above(path) or '/'}: mount it with exec"
    if not os.access(path, os.X_OK):
        owner = f"{mode}, owner {status.st_uid}:{status.st_gid}"
        return f"uid {os.geteuid()} may not execute it, {owner}: chmod +x for all, or --user"
    return ""


def why_refused(path: str, code: int) -> str:
    """Of a file in which nothing was wrong until execve(2) refused it with the errno `code`."""
    if code in _SAID:
        return _SAID[code]
    at, chain = path, ""
    for _ in range(_INTERPRETERS_MAX):
        try:
            head = _head(at)
            if head is None:
                return chain
            if head[:4] == MAGIC:
                return chain + _why_no_elf(read_elf(at), code)
        except OSError:
            return f"{chain}the file cannot be read to see why"
        except errdefs.EngineError as error:
            return chain + error.message.replace(at, "it", 1)
        if head[:2] != b"#!":
            return chain + _why_no_script(head)
        interpreter = _interpreter(head)
        said = _why_no_interpreter(interpreter, head)
        if said:
            return chain + said
        at = interpreter
        chain = f"its interpreter {interpreter}: "
    return ""


def _one_word(name: str, directories: list[str]) -> str:
    """Whether a whole command line was given as the program's name."""
    words = name.split()
    if len(words) < 2 or not (_is_program(words[0]) or _on_path(words[0], directories)):
        return ""
    listed = ", ".join(f'"{word}"' for word in words)
    return f"it is taken as one word, the name of a program: write [{listed}]"


def _is_program(path: str) -> bool:
    return "/" in path and os.path.isfile(path) and os.access(path, os.X_OK)


def _on_path(name: str, directories: list[str]) -> bool:
    return any(_is_program(f"{each}/{name}") for each in directories)


def _near(name: str, directories: list[str]) -> str:
    """A program that was probably meant: `python3` for `python`, `sh` for `bash`."""
    if name in _SHELLS:
        return next((each for each in _SHELLS if _on_path(each, directories)), "")
    for directory in directories:
        try:
            with os.scandir(directory) as entries:
                names = sorted(entry.name for entry in islice(entries, _NAMES_MAX))
        except OSError:
            continue
        for each in names:
            longer, shorter = (each, name) if len(each) > len(name) else (name, each)
            version = longer[len(shorter) :].lstrip("-.")
            if longer.startswith(shorter) and version.replace(".", "").isdecimal():
                return each
    return ""


def _gap(path: str) -> tuple[str, str]:
    """The first part of `path` that is not there; for a link that leads nowhere, whereto."""
    at = "/" if path.startswith("/") else ""
    for name in path.split("/"):
        if not name:
            continue
        at += name
        if not os.path.lexists(at):
            return at, ""
        if not os.path.exists(at):
            return at, os.readlink(at)
        at += "/"
    return path, ""


def _closed_directory(path: str) -> str:
    """The first directory on the way that this user may not search."""
    at = "/" if path.startswith("/") else ""
    for name in path.split("/")[:-1]:
        at += name
        directory = at or "/"
        if os.path.isdir(directory) and not os.access(directory, os.X_OK):
            status = os.stat(directory)
            mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
            owner = f"owner {status.st_uid}:{status.st_gid}"
            return f"uid {os.geteuid()} may not enter {directory}, {mode}, {owner}"
        if not at.endswith("/"):
            at += "/"
    return ""


def _mount_above(path: str) -> str:
    """The deepest mount that `path` lies in; empty for the root, and if nobody tells."""
    real = os.path.realpath(path)
    found = ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                place = _unescaped(line.split(" ")[4])
                if real.startswith(f"{place}/") and len(place) > len(found):
                    found = place
    except (OSError, IndexError):
        return ""
    return found


def _unescaped(text: str) -> str:
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, char)
    return text


def _head(path: str) -> bytes | None:
    """What the kernel looks at first; None for what is no regular file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        return os.pread(fd, _HEAD, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def _interpreter(head: bytes) -> str:
    """As fs/binfmt_script.c reads it."""
    line = head[2:].split(b"\n")[0].strip(b" \t")
    return os.fsdecode(line.split(b" ")[0].split(b"\t")[0].split(b"\0")[0])


def _why_no_interpreter(interpreter: str, head: bytes) -> str:
    if not interpreter:
        return "its first line is #! without the path of an interpreter"
    if interpreter.endswith("\r"):
        return (
            f"its first line ends in CRLF, so that it asks for {interpreter!r}: "
            "save it with Unix line endings"
        )
    if len(head) == _HEAD and b"\n" not in head:
        return "its first line is longer than the 256 bytes that the kernel reads"
    if not os.path.exists(interpreter):
        gap, link = _gap(interpreter)
        leads = f", {gap} is a link to {link!r}" if link else ""
        return (
            f"the interpreter of its first line, {interpreter!r}, is not in the image{leads}: "
            "install it, or name one that is there"
        )
    denied = why_denied(interpreter) if os.path.isfile(interpreter) else "it is no regular file"
    return f"its interpreter {interpreter}: {denied}" if denied else ""


def _why_no_script(head: bytes) -> str:
    if not head:
        return "the file is empty"
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            return f"it is {what}"
    if head.lstrip()[:2] == b"#!":
        return "its #! line must be the first, without anything before it"
    if head.isascii() and b"\0" not in head:
        return "it is text without a first line such as #!/bin/sh, which names its interpreter"
    return "it is neither an ELF program nor a script with #!"


def _why_no_elf(elf: Elf | None, code: int) -> str:
    if elf is None:
        return ""
    ours = native_architecture()
    if elf.architecture != ours and code == errno.ENOEXEC:
        return (
            f"it is built for linux/{elf.architecture}, and this machine is linux/{ours}: "
            f"take the image for --platform linux/{ours}, or build it for that"
        )
    if not elf.runs:
        return "it is an object file or a core dump, not a linked program"
    if elf.interpreter and not os.path.exists(elf.interpreter):
        return _why_no_loader(elf.interpreter)
    if elf.interpreter:
        return why_denied(elf.interpreter)
    return ""


def _why_no_loader(loader: str) -> str:
    said = f"its loader {loader!r} is not in the image"
    wanted = _libc_of(os.path.basename(loader))
    has = sorted(_libcs() - {wanted})
    if wanted and has:
        return (
            f"{said}: it is built for {wanted}, and the image has {' and '.join(has)}; "
            f"build it for that, or statically, or take an image with {wanted}"
        )
    return f"{said}: add it with the program's libraries, or build the program statically"


def _libc_of(name: str) -> str:
    return next((libc for start, libc in _LOADERS if name.startswith(start)), "")


def _libcs() -> set[str]:
    """The C libraries whose loaders the image has."""
    found: set[str] = set()
    for directory in _LIBRARY_DIRECTORIES:
        try:
            with os.scandir(directory) as entries:
                names = [entry.name for entry in islice(entries, _NAMES_MAX)]
        except OSError:
            continue
        found.update(_libc_of(name) for name in names if name.startswith("ld"))
    return found - {""}
