"""How people name a git repository that is a context: `https://host/repo.git#ref:folder`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from wherry import errdefs

_SCP: Final = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_.-]+)@)(?P<host>[A-Za-z0-9_.-]+):(?P<path>[^:].*)"
)
_SCHEMES: Final = ("http", "https", "git", "ssh")
_TRUE: Final = ("", "1", "t", "true")
_FALSE: Final = ("0", "f", "false")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class GitSource:
    """A repository and what is wanted of it.

    `remote` is a URL of http, https, git or ssh. `ref` is a branch, a tag, a full ref or a commit,
    "" for what the remote has checked out. `folder` is a path in it, "" for all of it. `commit`, if
    given, is what the ref has to be (`checksum`), whole or its beginning.
    """

    remote: str
    ref: str = ""
    folder: str = ""
    commit: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True

    @property
    def shown(self) -> str:
        """For people and logs: without a password."""
        parts = urlsplit(self.remote)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_git(text: str) -> bool:
    """Whether Docker takes `text` for a repository, and not for another URL or a folder."""
    if text.startswith(("git://", "ssh://", "github.com/")) or _SCP.fullmatch(text):
        return True
    try:
        path = urlsplit(text).path
    except ValueError:
        return False  # it is no URL at all, and whoever fetches it says so
    return text.startswith(("http://", "https://")) and path.endswith(".git")


def parse_git(text: str) -> GitSource:
    """Raises InvalidArgument for what is no repository, and for what cannot be asked of one."""
    if text.startswith("github.com/"):
        text = "https://" + text
    if scp := _SCP.fullmatch(text.partition("#")[0]):
        text = f"ssh://{scp['user']}@{scp['host']}/{scp['path']}" + text[scp.end() :]
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for what is no number
        # What begins with a dash would be an option of ssh's.
        names = (parts.hostname or "", unquote(parts.username or ""))
        dashed = any(name.startswith("-") for name in names)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and not dashed
    except ValueError:
        valid = False
    if not valid:
        raise errdefs.invalid(
            "this is no git repository that can be fetched: its URL begins with https://, http://,"
            " git:// or ssh://, or is user@host:path"
        )
    remote = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    ref, _, folder = parts.fragment.partition(":")
    source = _with_query(GitSource(remote, ref, folder), parts.query)
    return replace(source, folder=_judged_folder(source.folder))


def _with_query(source: GitSource, query: str) -> GitSource:
    """What is asked for behind `?`, as BuildKit has it since its version 0.24."""
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in ("ref", "branch", "tag"):
            prefix = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(key, "")
            if source.ref:
                raise errdefs.invalid(f"the git context {source.shown} names two refs")
            source = replace(source, ref=prefix + value.removeprefix(prefix))
        elif key == "subdir":
            if source.folder:
                raise errdefs.invalid(f"the git context {source.shown} names two folders")
            source = replace(source, folder=value)
        elif key in ("checksum", "commit"):
            if not _COMMIT.fullmatch(value):
                raise errdefs.invalid(
                    f"{key} of {source.shown}: a commit has 40 hexadecimal digits"
                )
            source = replace(source, commit=value)
        elif key == "keep-git-dir":
            source = replace(source, keep_git_dir=_boolean(source, key, value))
        elif key == "submodules":
            source = replace(source, submodules=_boolean(source, key, value))
        else:
            raise errdefs.invalid(f"the git context {source.shown} asks for an unknown {key!r}")
    return source


def _boolean(source: GitSource, key: str, value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise errdefs.invalid(f"{key} of {source.shown} is {value!r}, neither true nor false")
    return value.lower() in _TRUE


def _judged_folder(folder: str) -> str:
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise errdefs.invalid(f"the folder {folder!r} of a git context leads out of it")
    return "/".join(parts)
