"""Contexts from git repositories, served on the loopback by dulwich."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from wherry.build.context import git
from wherry.build.context.git import fetch_git
from wherry.build.context.giturl import GitSource, is_git, parse_git
from wherry.build.threads import Stop
from wherry.errdefs import EngineError, Kind
from wherry.layers.files import Node, walk

pytest.importorskip("dulwich", reason="dulwich is not installed: pip install wherry[git]")

from dulwich.objects import Blob, Commit, Tag, Tree
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

WHEN = 1_700_000_000


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class Served:
    """Repositories by name, behind HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repos: dict[str, Repo] = {}
        self.seen: list[str] = []
        chain = make_wsgi_chain(DictBackend(self.repos))

        def application(environ, start_response):
            self.seen.append(environ.get("HTTP_AUTHORIZATION", ""))
            if environ["PATH_INFO"].startswith("/private"):
                start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
                return [b""]
            return chain(environ, start_response)

        self._server = make_server("127.0.0.1", 0, application, WSGIServer, _Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for repo in self.repos.values():
            repo.close()

    def commit(self, name: str, files: dict[str, tuple[int, bytes]], branch: str = "main") -> bytes:
        """Add a commit of exactly these files; a mode of 0o160000 has a commit for its content."""
        repo = self.repos.get(f"/{name}.git")
        if repo is None:
            repo = Repo.init_bare(str(self.folder / name), mkdir=True)
            repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")
            self.repos[f"/{name}.git"] = repo
        commit = Commit()
        commit.tree = self._tree(repo, files)
        commit.author = commit.committer = b"A <a@example.org>"
        commit.author_time = commit.commit_time = WHEN
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"m"
        repo.object_store.add_object(commit)
        repo.refs[f"refs/heads/{branch}".encode()] = commit.id
        return commit.id

    def _tree(self, repo: Repo, files: dict[str, tuple[int, bytes]]) -> bytes:
        tree = Tree()
        folders: dict[str, dict[str, tuple[int, bytes]]] = {}
        for path, (mode, data) in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(first, {})[rest] = mode, data
            elif mode == 0o160000:
                tree.add(first.encode(), mode, data)
            else:
                blob = Blob.from_string(data)
                repo.object_store.add_object(blob)
                tree.add(first.encode(), mode, blob.id)
        for first, inside in folders.items():
            tree.add(first.encode(), 0o040000, self._tree(repo, inside))
        repo.object_store.add_object(tree)
        return tree.id


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "repositories").mkdir()
    server = Served(tmp_path / "repositories")
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "spool"
    path.mkdir()
    yield path
    assert os.listdir(path) == []


def names(source: str, folder: Path, **options: bool) -> list[str]:
    with fetch_git(parse_git(source), folder, **options) as context:
        return [path.decode() for path, _ in walk(context.tree) if path]


def refused(source: str, folder: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        fetch_git(parse_git(source), folder)
    return caught.value


PLAIN = {
    "Dockerfile": (0o100644, b"FROM a\n"),
    "bin/run": (0o100755, b"#!/bin/sh\n"),
    "bin/link": (0o120000, b"run"),
    "empty": (0o100644, b""),
    "empty2": (0o100644, b""),
}


def test_files_of_the_default_branch(served: Served, folder: Path) -> None:
    served.commit("app", PLAIN)
    with fetch_git(parse_git(f"{served.url}/app.git"), folder) as context:
        tree = context.tree
        when = WHEN * 1_000_000_000
        assert tree.node(b"Dockerfile") == Node("file", 0o644, mtime_ns=when, size=7)
        assert tree.node(b"bin") == Node("dir", 0o755, mtime_ns=when)
        assert tree.node(b"bin/run") == Node("file", 0o755, mtime_ns=when, size=10)
        assert tree.node(b"bin/link") == Node("symlink", 0o777, mtime_ns=when, link=b"run")
        assert tree.open(b"bin/run").read() == b"#!/bin/sh\n"
        assert tree.open(b"empty").read() == b""
        assert tree.content_digest(b"Dockerfile") != tree.content_digest(b"bin/run")
        assert tree.content_digest(b"empty") == tree.content_digest(b"empty2")


def test_refs_and_folders(served: Served, folder: Path) -> None:
    first = served.commit("app", PLAIN)
    served.commit("app", {"main": (0o100644, b"")})
    served.commit("app", {"other/x/y": (0o100644, b"")}, "feature/x")
    repo = served.repos["/app.git"]
    tag = Tag()
    tag.name, tag.object, tag.message, tag.tagger = b"v1", (Commit, first), b"m", b"A <a@b>"
    tag.tag_time, tag.tag_timezone = WHEN, 0
    repo.object_store.add_object(tag)
    repo.refs[b"refs/tags/v1"] = tag.id
    url = f"{served.url}/app.git"
    every = ["Dockerfile", "bin", "bin/link", "bin/run", "empty", "empty2"]
    assert names(url, folder) == ["main"]
    assert names(f"{url}#v1", folder) == every
    assert names(f"{url}#refs/tags/v1", folder) == every
    assert names(f"{url}#{first.decode()}", folder) == every
    assert names(f"{url}#v1:bin", folder) == ["link", "run"]
    assert names(f"{url}#:", folder) == ["main"]
    assert names(f"{url}#feature/x:/other/x/", folder) == ["y"]
    assert names(f"{url}?branch=feature/x&subdir=other", folder) == ["x", "x/y"]
    assert names(f"{url}?tag=v1&commit={first.decode()}", folder) == every


def test_what_is_not_there(served: Served, folder: Path) -> None:
    first = served.commit("app", PLAIN)
    url = f"{served.url}/app.git"
    for source, words in [
        (f"{served.url}/none.git", "there is no git repository"),
        (f"{url}#nope", "has neither a branch nor a tag 'nope'"),
        (f"{url}#main:nope", "has no folder 'nope'"),
        (f"{url}#main:Dockerfile", "has no folder 'Dockerfile'"),
    ]:
        error = refused(source, folder)
        assert error.kind is Kind.NOT_FOUND, source
        assert words in error.message
    wrong = first.decode().translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    assert "was asked for" in refused(f"{url}?checksum={wrong}", folder).message
    assert refused(f"{url}#{wrong}", folder).kind in (Kind.NOT_FOUND, Kind.UNAVAILABLE)
    assert refused("http://127.0.0.1:1/app.git", folder).kind is Kind.UNAVAILABLE


def test_passwords_are_sent_and_never_said(served: Served, folder: Path) -> None:
    served.commit("app", PLAIN)
    host = served.url.removeprefix("http://")
    assert "Dockerfile" in names(f"http://me:s%65cret@{host}/app.git", folder)
    assert any(served.seen)
    for source in (f"http://me:secret@{host}/private/x.git", "http://me:secret@127.0.0.1:1/a.git"):
        error = refused(source, folder)
        assert error.kind in (Kind.FORBIDDEN, Kind.UNAVAILABLE)
        assert "secret" not in error.message
        assert "me:" not in error.message
        assert "127.0.0.1" in error.message
    served.seen.clear()
    with pytest.raises(EngineError):
        fetch_git(parse_git(f"{served.url}/private/x.git"), folder, token="tok")
    assert any(served.seen)


def test_submodules(served: Served, folder: Path) -> None:
    inner = served.commit("inner", {"deep": (0o100644, b"i")})
    library = served.commit(
        "library",
        {
            ".gitmodules": (0o100644, b'[submodule "i"]\n\tpath = i\n\turl = ../inner.git\n'),
            "i": (0o160000, inner),
            "lib.c": (0o100644, b"l"),
        },
    )
    url = f"{served.url}/library.git".encode()
    served.commit(
        "app",
        {
            ".gitmodules": (0o100644, b'[submodule "x"]\n\tpath = sub/x\n\turl = ' + url + b"\n"),
            "sub/x": (0o160000, library),
        },
    )
    app = f"{served.url}/app.git"
    below = [".gitmodules", "i", "i/deep", "lib.c"]
    assert names(app, folder) == [".gitmodules", "sub", "sub/x", *(f"sub/x/{n}" for n in below)]
    assert names(f"{app}#main:sub", folder) == ["x", *(f"x/{name}" for name in below)]
    assert names(f"{app}?submodules=0", folder) == [".gitmodules", "sub", "sub/x"]


@pytest.mark.parametrize("url", ["file:///etc", "/etc", "-x", "ext::sh -c id", "ssh://-oA=b/x"])
def test_a_submodule_leads_to_no_file_here(served: Served, folder: Path, url: str) -> None:
    listed = f'[submodule "x"]\n\tpath = x\n\turl = {url}\n'.encode()
    served.commit("app", {".gitmodules": (0o100644, listed), "x": (0o160000, b"1" * 40)})
    error = refused(f"{served.url}/app.git", folder)
    assert error.kind is Kind.INVALID_ARGUMENT
    assert "the submodule 'x'" in error.message


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", "."])
def test_names_that_git_would_not_write(served: Served, folder: Path, name: str) -> None:
    served.commit("app", {f"a/{name}/x": (0o100644, b"")})
    error = refused(f"{served.url}/app.git", folder)
    assert error.kind is Kind.INVALID_ARGUMENT
    assert repr(name) in error.message


def test_the_git_directory_is_kept_when_it_is_wanted(served: Served, folder: Path) -> None:
    head = served.commit("app", PLAIN)
    with fetch_git(parse_git(f"{served.url}/app.git"), folder, keep_git_dir=True) as context:
        assert context.tree.open(b".git/HEAD").read().strip() == head
        assert context.tree.node(b".git/objects/pack") is not None
        assert context.tree.node(b".git/index") is not None
        assert context.tree.open(b".git/shallow").read().strip() == head
    assert ".git/HEAD" in names(f"{served.url}/app.git?keep-git-dir=true", folder)


def test_cancelling_ends_it(served: Served, folder: Path) -> None:
    served.commit("app", PLAIN)
    stop = Stop()
    stop.set()
    with pytest.raises(EngineError, match="cancelled"):
        fetch_git(parse_git(f"{served.url}/app.git"), folder, stop=stop)


def test_cancelling_does_not_wait_for_a_silent_server(folder: Path) -> None:
    stop = Stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def cancel() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1)
                stop.set()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(EngineError, match="cancelled"):
            fetch_git(
                parse_git(f"git://127.0.0.1:{listener.getsockname()[1]}/x"), folder, stop=stop
            )
        thread.join()


def test_a_repository_larger_than_memory_is_refused(
    served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MB of zeros are 64 KB in the pack."""
    monkeypatch.setattr(
        "wherry.build.context.git._BOOTSTRAP",
        git._BOOTSTRAP.replace(
            "main; main()",
            "main; from wherry.build.context import checkout; checkout.MEMORY = 160 << 20; main()",
        ),
    )
    served.commit("app", {"zeros": (0o100644, bytes(1 << 26))})
    error = refused(f"{served.url}/app.git", folder)
    assert error.kind in (Kind.RESOURCE_EXHAUSTED, Kind.UNAVAILABLE)


def test_what_fetches_is_killed(served: Served, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "wherry.build.context.git._BOOTSTRAP",
        git._BOOTSTRAP.replace("main; main()", "os; os.kill(os.getpid(), 9)"),
    )
    served.commit("app", PLAIN)
    assert "ended unexpectedly" in refused(f"{served.url}/app.git", folder).message


def test_ssh_asks_the_build_s_agent_alone(folder: Path, monkeypatch, tmp_path: Path) -> None:
    """And not the keys, the settings or the agent of whoever runs the daemon."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for agent, expected in ((None, "none"), (Path("/run/a b/%x"), "/run/a b/%%x")):
        with pytest.raises(EngineError):
            fetch_git(parse_git("git@example.invalid:a.git"), folder, agent=agent)
        said = (tmp_path / "said").read_text().splitlines()
        assert said[:2] == ["-F", "none"]
        assert "IdentityFile=none" in said
        assert f"IdentityAgent={expected}" in said


def test_without_dulwich(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dulwich", None)
    with pytest.raises(EngineError, match=r"pip install 'wherry\[git\]'"):
        fetch_git(GitSource("https://example.org/a.git"), folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/a.git", GitSource("https://h/a.git")),
        ("https://h/a.git#v1:x/y", GitSource("https://h/a.git", "v1", "x/y")),
        ("git://h/a#:x", GitSource("git://h/a", "", "x")),
        ("git@h:me/a.git#main", GitSource("ssh://git@h/me/a.git", "main")),
        ("ssh://git@h:22/a", GitSource("ssh://git@h:22/a")),
        ("github.com/me/a", GitSource("https://github.com/me/a")),
        ("https://h/a.git?tag=v1", GitSource("https://h/a.git", "refs/tags/v1")),
    ],
)
def test_how_repositories_are_named(text: str, expected: GitSource) -> None:
    assert is_git(text)
    assert parse_git(text) == expected


@pytest.mark.parametrize(
    "text", ["http://[/a.git", "https://h/a", "https://h/a.tar.gz", "./a.git", "/a.git", "a.git"]
)
def test_what_is_no_repository(text: str) -> None:
    assert not is_git(text)


@pytest.mark.parametrize(
    "text",
    [
        "file:///a.git",
        "git@-oProxyCommand=x:a",
        "ssh://-oProxyCommand=x/a",
        "ssh://-u@h/a",
        "ssh://%2doProxyCommand=x@h/a",
        "https://h:port/a.git",
        "https://h/a.git#main:../x",
        "https://h/a.git?nope=1",
        "https://h/a.git?tag=a#b",
        "https://h/a.git?commit=abc",
        "https://h/a.git?submodules=perhaps",
        "https:///a.git",
        "/etc",
        "",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(EngineError) as caught:
        parse_git(text)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
