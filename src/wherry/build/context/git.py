"""A commit of a git repository as a context: its files, straight from git's objects.

What is fetched lies in a folder while it is looked into, and is gone afterwards; the files are in a
spool like those of an archive. No git program is needed: dulwich speaks the protocol, which comes
with `pip install wherry[git]`.
"""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit

from wherry import errdefs
from wherry.build.context.context import Context
from wherry.build.context.giturl import GitSource, parse_git
from wherry.build.context.index import Index
from wherry.build.context.spool import Spool
from wherry.layers.tar import DIRECTORY, SYMLINK, Entry
from wherry.layers.tar.names import MAX_COMPONENT, quoted

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
_SSH: Final = "ssh -o BatchMode=yes -o ConnectTimeout=30"


def fetch_git(
    source: GitSource,
    folder: Path,
    *,
    keep_git_dir: bool = False,
    token: str = "",
    check: Callable[[], None] = lambda: None,
) -> Context:
    """Fetch one commit, without its history, and what its submodules are at. Blocks.

    Files are root's, as git's modes have them (0644, 0755), and as old as the commit. With
    `keep_git_dir` there is a `.git` too. `token` is sent as the password where there is none.
    `check` raises when nobody wants it any more. Raises NotFound for a repository, a ref or a
    folder that does not exist, Forbidden where a password is asked for, Unavailable where nobody
    answers, NotImplemented without dulwich.
    """
    _require_dulwich()
    spool = Spool(folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="git-") as work:
            checkout = _Checkout(spool, Path(work), token, check)
            checkout.add(source, b"", keep_git_dir or bool(source.keep_git_dir))
        return Context(checkout.index.tree(spool))
    except BaseException:
        spool.close()
        raise


def _require_dulwich() -> None:
    try:
        import dulwich  # noqa: F401
    except ImportError:
        raise errdefs.not_implemented(
            "git repositories are fetched by dulwich, which is not installed:"
            " pip install 'wherry[git]'"
        ) from None


class _Checkout:
    """Files of a commit, and of those of its submodules, on their way into a spool."""

    def __init__(self, spool: Spool, work: Path, token: str, check: Callable[[], None]) -> None:
        self.index = Index()
        self._spool = spool
        self._work = work
        self._token = token
        self._check = check
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
        def progress(_: bytes) -> None:
            self._check()

        self._check()
        client, path = _client(source, self._token)
        client.fetch(path.encode(), repo, choose, progress, depth=depth)

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
                self._check()
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
                    self.index.add(Entry(path, DIRECTORY, 0o755, mtime_ns=mtime_ns))
                    todo.append((found, path, inside))
                elif isinstance(found, Blob):
                    self._file(path, mode, found.data, mtime_ns)

    def _file(self, path: bytes, mode: int, data: bytes, mtime_ns: int) -> None:
        if stat.S_ISLNK(mode):
            if not 0 < len(data) <= 4095 or b"\0" in data:
                raise errdefs.invalid(f"{quoted(path)} is a symlink to what no path can be")
            self.index.add(Entry(path, SYMLINK, 0o777, mtime_ns=mtime_ns, link=data))
            return
        offset = self._spool.size
        self._spool.write(data)
        # An empty file's place must be its own too, and a byte is what that costs.
        if not data:
            self._spool.write(b"\0")
        permissions = 0o755 if mode & 0o100 else 0o644
        self.index.add(
            Entry(path, mode=permissions, mtime_ns=mtime_ns, size=len(data), offset=offset)
        )

    def _submodule(
        self, source: GitSource, path: bytes, url: str | None, commit: str, mtime_ns: int
    ) -> None:
        self.index.add(Entry(path, DIRECTORY, 0o755, mtime_ns=mtime_ns))
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
                self.index.add(Entry(name, DIRECTORY, 0o755, mtime_ns=mtime_ns))
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


def _client(source: GitSource, token: str) -> tuple[GitClient, str]:
    """It reads no configuration of the user that runs the daemon: that could rewrite URLs."""
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
        ssh_command=_SSH if parts.scheme == "ssh" else None,
        quiet=True,
    )


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
