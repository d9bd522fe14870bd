"""A commit of a git repository as a tar, straight from git's objects: a process of its own.

Neither servers nor what they send can be trusted with the engine's: a few bytes may stand for more
than there is memory, and an answer may never come. What was fetched lies in the working directory.
No git program is needed: dulwich speaks the protocol, which comes with `pip install wherry[git]`.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit

from wherry import errdefs, failure
from wherry.build.context.giturl import GitSource, parse_git
from wherry.errdefs import EngineError, Kind
from wherry.layers.tar import DIRECTORY, SYMLINK, Entry, TarWriter
from wherry.layers.tar.names import MAX_COMPONENT, quoted
from wherry.linux import syscalls

if TYPE_CHECKING:
    from dulwich.client import DetermineWantsFunc, GitClient
    from dulwich.objects import Commit, ObjectID, Tree
    from dulwich.refs import Ref
    from dulwich.repo import Repo

_GIT: Final = b".git"
_SUBMODULE: Final = 0o160000
_MAX_SUBMODULES: Final = 100
_MAX_DEPTH: Final = 1000
_HEX: Final = frozenset("0123456789abcdef")
_BUFFER: Final = 1 << 18
MEMORY: Final = 4 << 30
"""Bytes of address space that the process may have."""


def main() -> None:
    """What is asked for comes as JSON on standard input, the archive goes to standard output, and a
    refusal as JSON to the descriptor that is named. Whatever else it ends of is no good either.
    """
    asked = json.load(sys.stdin.buffer)
    try:
        _limit(asked["room"])
        with os.fdopen(1, "wb", _BUFFER) as stream:
            archive = TarWriter(stream)
            checkout = Checkout(archive, Path.cwd(), asked["token"], asked["agent"])
            checkout.add(GitSource(**asked["source"]), b"", asked["keep_git_dir"])
            archive.finish()
    except EngineError as error:
        _refuse(asked["refusal"], error.kind, error.message)
    except MemoryError:
        large = f"the repository takes more than {MEMORY >> 30} GB of memory"
        _refuse(asked["refusal"], Kind.RESOURCE_EXHAUSTED, large)


def _limit(room: int) -> None:
    """What is packed may be a million times as large; and the disk is not this repository's."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then write(2) fails


def _refuse(descriptor: int, kind: failure.Kind, message: str) -> None:
    os.write(descriptor, json.dumps({"kind": kind.name, "message": message}).encode())
    os._exit(1)  # nothing of what is buffered is any good


class Checkout:
    """Files of a commit, and of those of its submodules, on their way into an archive."""

    def __init__(self, archive: TarWriter, work: Path, token: str, agent: str) -> None:
        self._archive = archive
        self._work = work
        self._token = token
        self._agent = agent
        self._fetched = 0

    def add(self, source: GitSource, prefix: bytes, keep_git_dir: bool) -> None:
        """The files of `source`, below `prefix`."""
        from dulwich.objects import Tree

        path = self._work / str(self._fetched)
        self._fetched += 1
        if self._fetched > _MAX_SUBMODULES:
            raise errdefs.invalid(f"{source.shown} has more than {_MAX_SUBMODULES} submodules")
        with _translated(source), _repository(path) as repo:
            commit = self._fetch(repo, source)
            root = repo[commit.tree]
            assert isinstance(root, Tree)
            tree = _below(repo, root, source)
            modules = _submodules(repo, root) if source.submodules else {}
            self._files(repo, source, commit, tree, prefix, modules)
            if keep_git_dir:
                self._git_dir(repo, path, commit, prefix)

    # --- fetching ------------------------------------------------------------------------------

    def _fetch(self, repo: Repo, source: GitSource) -> Commit:
        from dulwich.errors import GitProtocolError
        from dulwich.objects import Commit

        try:
            wanted = self._fetch_one(repo, source)
        except GitProtocolError:
            if not _is_commit(source.ref):
                raise
            # Not every server gives a commit that it has no name for.
            wanted = self._fetch_all(repo, source)
        found = repo[wanted]
        while not isinstance(found, Commit):
            target = getattr(found, "object", None)  # an annotated tag's
            if target is None:
                raise errdefs.invalid(f"{_named(source)} of {source.shown} is not a commit")
            found = repo[target[1]]
        commit = found.id.decode()
        if not commit.startswith(source.commit):
            raise errdefs.invalid(
                f"{_named(source)} of {source.shown} is {commit}, but {source.commit} was asked for"
            )
        return found

    def _fetch_one(self, repo: Repo, source: GitSource) -> ObjectID:
        wanted: list[ObjectID] = []

        def choose(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            wanted[:] = [_chosen(refs, source)]
            return wanted

        self._fetch_pack(repo, source, choose, depth=1)
        return wanted[0]

    def _fetch_all(self, repo: Repo, source: GitSource) -> ObjectID:
        def choose(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            named = (b"refs/heads/", b"refs/tags/")
            return sorted({sha for ref, sha in refs.items() if ref.startswith(named)})

        self._fetch_pack(repo, source, choose, depth=None)
        wanted = _object_id(source.ref)
        if wanted not in repo.object_store:
            raise errdefs.not_found(
                f"{source.shown} has no commit {source.ref} on any branch or tag"
            )
        return wanted

    def _fetch_pack(
        self, repo: Repo, source: GitSource, choose: DetermineWantsFunc, depth: int | None
    ) -> None:
        client, path = _client(source, self._token, self._agent)
        client.fetch(path.encode(), repo, choose, lambda _: None, depth=depth)

    # --- files ---------------------------------------------------------------------------------

    def _files(
        self,
        repo: Repo,
        source: GitSource,
        commit: Commit,
        tree: Tree,
        prefix: bytes,
        modules: dict[bytes, str],
    ) -> None:
        from dulwich.objects import Blob, Tree

        mtime_ns = commit.commit_time * 1_000_000_000
        in_tree = source.folder.encode(errors="surrogateescape")
        todo = [(tree, prefix, in_tree)]
        while todo:
            tree, above, in_repository = todo.pop()
            if above.count(b"/") > _MAX_DEPTH:
                raise errdefs.invalid(f"{source.shown}: its folders are over {_MAX_DEPTH} deep")
            for item in tree.iteritems():
                name, mode, sha = item.path, item.mode, item.sha
                assert name is not None and mode is not None and sha is not None  # noqa: PT018
                _judge_name(name, source)
                path = above + b"/" + name if above else name
                inside = in_repository + b"/" + name if in_repository else name
                if mode == _SUBMODULE:
                    self._submodule(source, path, modules.get(inside), sha.decode(), mtime_ns)
                    continue
                found = repo[sha]
                if isinstance(found, Tree):
                    self._archive.add(Entry(path, DIRECTORY, 0o755, mtime_ns=mtime_ns))
                    todo.append((found, path, inside))
                elif isinstance(found, Blob):
                    self._file(path, mode, found.data, mtime_ns)

    def _file(self, path: bytes, mode: int, data: bytes, mtime_ns: int) -> None:
        if stat.S_ISLNK(mode):
            if not 0 < len(data) <= 4095 or b"\0" in data:
                raise errdefs.invalid(f"{quoted(path)} is a symlink to what no path can be")
            self._archive.add(Entry(path, SYMLINK, 0o777, mtime_ns=mtime_ns, link=data))
            return
        permissions = 0o755 if mode & 0o100 else 0o644
        self._archive.add(Entry(path, mode=permissions, mtime_ns=mtime_ns, size=len(data)), data)

    def _submodule(
        self, source: GitSource, path: bytes, url: str | None, commit: str, mtime_ns: int
    ) -> None:
        self._archive.add(Entry(path, DIRECTORY, 0o755, mtime_ns=mtime_ns))
        if not source.submodules:
            return
        if url is None:
            raise errdefs.invalid(
                f"{source.shown}: .gitmodules does not say where {quoted(path)} is"
            )
        if url.startswith(("./", "../")):
            url = urljoin(source.remote.rstrip("/") + "/", url)
        try:
            module = parse_git(url.partition("#")[0])
        except errdefs.EngineError as error:
            raise errdefs.invalid(f"the submodule {quoted(path)}: {error.message}") from None
        if urlsplit(module.remote).netloc != urlsplit(source.remote).netloc:
            self._token = ""  # it is for nobody else; and who comes after may be anybody
        self.add(GitSource(module.remote, commit), path, keep_git_dir=False)

    def _git_dir(self, repo: Repo, path: Path, commit: Commit, prefix: bytes) -> None:
        """What git needs to know that this is the commit, with its objects."""
        (path / "HEAD").write_bytes(commit.id + b"\n")
        _write_index(repo, path / "index", commit)
        top = prefix + b"/" + _GIT if prefix else _GIT
        mtime_ns = commit.commit_time * 1_000_000_000
        for file in sorted(path.rglob("*")):
            name = top + b"/" + str(file.relative_to(path)).encode()
            if file.is_dir():
                self._archive.add(Entry(name, DIRECTORY, 0o755, mtime_ns=mtime_ns))
            elif file.name == "config":
                text = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
                self._file(name, 0o644, text, mtime_ns)
            else:
                self._file(name, 0o644, file.read_bytes(), mtime_ns)


def _chosen(refs: Mapping[Ref, ObjectID], source: GitSource) -> ObjectID:
    """The object that the remote has under the name that is asked for."""
    from dulwich.refs import Ref

    name = source.ref or "HEAD"
    candidates = [name] if name == "HEAD" or name.startswith("refs/") else []
    candidates += [f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}"]
    for candidate in candidates:
        found = refs.get(Ref(candidate.encode(errors="surrogateescape")))
        if found:
            return found
    if _is_commit(name):
        return _object_id(name)
    raise errdefs.not_found(
        f"{source.shown} has neither a branch nor a tag {name!r}"
        if source.ref
        else f"{source.shown} has no commit yet, or no default branch: name one behind `#`"
    )


def _is_commit(ref: str) -> bool:
    return len(ref) == 40 and _HEX.issuperset(ref)


def _object_id(ref: str) -> ObjectID:
    from dulwich.objects import ObjectID

    return ObjectID(ref.encode())


def _named(source: GitSource) -> str:
    return source.ref or "the default branch"


def _client(source: GitSource, token: str, agent: str) -> tuple[GitClient, str]:
    """It reads no configuration of the user that runs the daemon: that could rewrite URLs. Nor has
    ssh the keys of that user, for whoever wrote the Dockerfile: it asks the build's agent alone.
    """
    from dulwich.client import get_transport_and_path_from_url
    from dulwich.config import ConfigFile

    parts = urlsplit(source.remote)
    username, password = parts.username, parts.password
    if token and username is None and parts.scheme in ("http", "https"):
        username, password = "x-access-token", token
    return get_transport_and_path_from_url(
        source.remote,
        config=ConfigFile(),
        username=unquote(username) if username else None,
        password=unquote(password) if password else None,
        ssh_command=_ssh(agent) if parts.scheme == "ssh" else None,
        quiet=True,
    )


def _ssh(agent: str) -> str:
    """ssh's command line. Hosts are known by what the daemon's user, and the host, know of them."""
    asked = agent.replace("%", "%%") if agent else "none"
    options = ["BatchMode=yes", "ConnectTimeout=30", "IdentityFile=none", f"IdentityAgent={asked}"]
    return shlex.join(["ssh", "-F", "none", *(word for one in options for word in ("-o", one))])


@contextmanager
def _repository(path: Path) -> Iterator[Repo]:
    from dulwich.repo import Repo

    repo = Repo.init_bare(path, mkdir=True)
    try:
        yield repo
    finally:
        repo.close()


@contextmanager
def _translated(source: GitSource) -> Iterator[None]:
    """dulwich's errors, without the URLs that are in some of them, and in these the passwords."""
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, NotGitRepository

    what = f"fetching {source.shown}"
    try:
        yield
    except NotGitRepository:
        raise errdefs.not_found(f"{what}: there is no git repository") from None
    except HTTPUnauthorized:
        raise errdefs.forbidden(f"{what}: the server wants a user's name and password") from None
    except (GitProtocolError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = reason.replace(source.remote, source.shown)
        if "://" in reason:
            reason = type(error).__name__
        raise errdefs.unavailable(f"{what}: {reason}") from None
    except (KeyError, ValueError, AssertionError) as error:
        # What a broken or a hostile server sends ends in one of these.
        raise errdefs.unavailable(
            f"{what}: the server does not give what it has, or what it gives is damaged"
            f" ({type(error).__name__})"
        ) from error


def _below(repo: Repo, root: Tree, source: GitSource) -> Tree:
    from dulwich.objects import Tree

    if not source.folder:
        return root
    try:
        _, sha = root.lookup_path(repo.__getitem__, source.folder.encode(errors="surrogateescape"))
        found = repo[sha]
    except (KeyError, ValueError, OSError):
        found = None
    if not isinstance(found, Tree):
        raise errdefs.not_found(f"{source.shown} has no folder {source.folder!r}")
    return found


def _write_index(repo: Repo, path: Path, commit: Commit) -> None:
    """Without it every file would count as new; one whose times git does not know it looks into."""
    from dulwich.index import Index, IndexEntry
    from dulwich.object_store import iter_tree_contents
    from dulwich.objects import Blob

    index = Index(path, read=False)
    for item in iter_tree_contents(repo.object_store, commit.tree):
        assert item.path is not None and item.mode is not None and item.sha is not None  # noqa: PT018
        blob = repo[item.sha] if item.mode != _SUBMODULE else None
        size = blob.raw_length() if isinstance(blob, Blob) else 0
        index[item.path] = IndexEntry((0, 0), (0, 0), 0, 0, item.mode, 0, 0, size, item.sha)
    index.write()


def _submodules(repo: Repo, root: Tree) -> dict[bytes, str]:
    """Where the repositories of submodules are, by their paths."""
    from io import BytesIO

    from dulwich.config import ConfigFile, parse_submodules
    from dulwich.objects import Blob

    if b".gitmodules" not in root:
        return {}
    blob = repo[root[b".gitmodules"][1]]
    if not isinstance(blob, Blob):
        return {}
    listed = parse_submodules(ConfigFile.from_file(BytesIO(blob.data)))
    return {path: url.decode(errors="replace") for path, url, _ in listed}


def _judge_name(name: bytes, source: GitSource) -> None:
    """Names that git itself refuses to check out, and names that would be paths."""
    if (
        not name
        or name in (b".", b"..")
        or name.lower() == _GIT
        or b"/" in name
        or b"\0" in name
        or len(name) > MAX_COMPONENT
    ):
        raise errdefs.invalid(f"{source.shown} has a file with the name {quoted(name)}")
