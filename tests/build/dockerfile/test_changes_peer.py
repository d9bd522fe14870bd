"""Random changes, made by us and by dockerd: the same configuration, or a refusal by both."""

import http.client
import json
import os
import shutil
import socket
from collections.abc import Iterator
from urllib.parse import urlencode

import dockerd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.build.dockerfile import apply_changes, working_directory
from wherry.errdefs import EngineError
from wherry.spec.image import RunConfig, encode

pytestmark = [
    pytest.mark.peer,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as dockerd does"),
    pytest.mark.skipif(shutil.which("dockerd", path=dockerd.PATH) is None, reason="no dockerd"),
    pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed"),
]
SOAK = bool(os.environ.get("WHERRY_SOAK"))

EMPTY_TAR = bytes(1024)
# What dockerd's containers have and images do not.
NOT_OURS = (
    "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin",
    "StdinOnce", "Image",
)  # fmt: skip

# Those that dockerd 20.10 knows, some of them with a beginning that leads further in.
BEGINNINGS = [
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "USER", "VOLUME",
    "WORKDIR", "HEALTHCHECK CMD", "ENV A=", "LABEL a=", "VOLUME [", "CMD [", "ENV A=x\nENV B=",
    "WORKDIR /a\nWORKDIR", "bogus",
]  # fmt: skip
PARTS = [
    *"ABab12 =\\'\"${}:-+?[],/\t`", "$A", "${A", "${B:-x}", '["a"', '"]', "--", "--interval=5s ",
    "80", "/tcp", "-90", "\\\n", "\n", "\nENV A=1\n", "\n# c\n",
]  # fmt: skip
# dockerd 20.10 takes a line that is continued by nothing for an instruction without a name.
CHANGES = st.builds(
    "{}{}{}".format,
    st.sampled_from(BEGINNINGS),
    st.sampled_from(["", " ", " ", "  "]),
    st.lists(st.sampled_from(PARTS), max_size=14).map(lambda parts: "".join(parts).rstrip("\\\n")),
)


class Docker:
    def __init__(self, path: str) -> None:
        self._path = path

    def config(self, change: str) -> dict[str, object] | None:
        """What an image of nothing is configured as by the change; None if it is refused."""
        query = urlencode({"fromSrc": "-", "changes": change})
        status, said = self._request("POST", f"/images/create?{query}", EMPTY_TAR)
        if status != 200:
            assert status == 400, said
            return None
        image = f"/images/{said['status']}"
        config = self._request("GET", f"{image}/json")[1]["Config"]
        self._request("DELETE", f"{image}?force=1")
        found = {key: value for key, value in config.items() if value and key not in NOT_OURS}
        if directory := found.get("WorkingDir"):
            # BuildKit cleans it since; dockerd 20.10 keeps an absolute one as it is written.
            found["WorkingDir"] = working_directory("/", directory)
        return found

    def _request(self, method: str, path: str, body: bytes | None = None):
        connection = http.client.HTTPConnection("docker")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self._path)
        connection.request(method, f"/v1.41{path}", body, {"Content-Type": "application/x-tar"})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    with dockerd.running() as found:
        yield Docker(str(found.folder / "d.sock"))


@pytest.mark.timeout(600)
@settings(max_examples=3000 if SOAK else 60, deadline=None, derandomize=not SOAK)
@given(CHANGES)
def test_a_random_change_does_the_same_as_in_docker(docker: Docker, change: str) -> None:
    try:
        ours = json.loads(encode(apply_changes(RunConfig(), [change])))
    except EngineError as error:
        if "can not be blank" in error.message:
            return  # dockerd looks before it expands variables, and lets such names pass
        ours = None
    assert ours == docker.config(change)
