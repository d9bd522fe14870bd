"""Configuration and history of images without files: ours, and those of dockerd's own BuildKit."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dockerd
import pytest
from programs import Program

from wherry.build.dockerfile import (
    Arg,
    Cmd,
    Maintainer,
    configure,
    environment,
    expand,
    global_arguments,
    history_of,
    parse,
    resolve,
)
from wherry.spec.image import RunConfig, encode

pytestmark = [
    pytest.mark.peer,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as dockerd does"),
    pytest.mark.skipif(shutil.which("dockerd", path=dockerd.PATH) is None, reason="no dockerd"),
    pytest.mark.skipif(not Path("/usr/bin/docker").exists(), reason="docker is not installed"),
]

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_OURS = (
    "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin",
    "StdinOnce", "Image",
)  # fmt: skip

DOCKERFILES = {
    "environment": r"""
ARG GLOBAL=one
FROM scratch
ENV A=1 B="two words" C='$A' D=a\ b
ENV OLD the   rest "of it"
ENV A=${A}2 E=${A}x F="\$A" G=\$A H="a\b"
ENV I=${X:-def}${A:+set} J=${X:+no}y K=${EMPTY:-${A:+n}}
ARG GLOBAL=two
ARG LOCAL=$GLOBAL-${A}
ARG NONE
ENV L=$LOCAL M=$NONE.
ENV N='it'"'"'s' O="a  b" P=é
LABEL a.b=c "d e"='f g' h="\"" i=$A
LABEL old with $A words
LABEL multi="one \
two" after=1
USER $A:$LOCAL
""",
    "commands": r"""
FROM scratch
CMD echo $HOME  "two"
ENTRYPOINT ["/bin/a", "b c", "\"\t\u00e9\u0001"]
SHELL ["/bin/bash", "-c", "a b"]
CMD echo again
ENTRYPOINT exec it
CMD ["x"]
ENTRYPOINT ["y"]
""",
    "bare": "FROM scratch\nCMD\nENTRYPOINT\n",
    "empty": 'FROM scratch\nENTRYPOINT ["a"]\nCMD []\nENTRYPOINT []\n',
    "health": r"""
FROM scratch
HEALTHCHECK --interval=5s --timeout=1h2m3.5s --start-period=1500us --retries=3 CMD a "b" c
HEALTHCHECK --interval=1500ms --retries=65 CMD ["a", "b c"]
HEALTHCHECK --retries=10 CMD x
HEALTHCHECK --timeout=90m CMD x
HEALTHCHECK NONE
""",
    "others": r"""
FROM scratch
ENV PORTS="80 90/udp"
EXPOSE 8080 $PORTS 7000-7002/tcp 1.2.3.4:5:6
VOLUME /a /b
VOLUME ["/c d", "/e"]
VOLUME $PORTS
STOPSIGNAL SIGTERM
STOPSIGNAL 9
WORKDIR /
USER me:you
MAINTAINER Some One <some@example.org>
ONBUILD RUN  a   b
onbuild copy --from=x a b
ONBUILD ENTRYPOINT ["a"]
""",
}


@pytest.fixture(scope="module")
def docker() -> Iterator[dockerd.Dockerd]:
    with dockerd.running() as found:
        yield found


def ours(text: str) -> tuple[dict[str, object], list[str], str]:
    file = parse(text.encode())
    global_args = global_arguments(file.meta_args, {}, {})
    config, seen, author = RunConfig(env=(PATH,), working_dir="/"), {}, ""
    history: list[str] = []
    cmd_is_set = False
    for written in file.stages[0].instructions:
        # A variable of the image goes before an argument.
        env = {**seen, **environment(config.env)}
        if isinstance(written, Arg):
            instruction = resolve(written, env, global_args, {})
            seen |= {one.name: one.value for one in instruction.arguments if one.value is not None}
        else:
            instruction = expand(written, env)
        config = configure(config, instruction, cmd_is_set=cmd_is_set)
        cmd_is_set = cmd_is_set or isinstance(instruction, Cmd)
        if isinstance(instruction, Maintainer):
            author = instruction.maintainer
        entry = history_of(instruction, config)
        history += [entry] if entry is not None else []
    return json.loads(encode(config)), history, author


def theirs(docker: dockerd.Dockerd, text: str, folder: Path):
    (folder / "Dockerfile").write_text(text)
    builder = Program("docker", "/usr/bin/docker", docker.docker.address, {"DOCKER_BUILDKIT": "1"})
    builder.ok("build", "-q", "-t", "it", str(folder))
    (image,) = json.loads(docker.docker.ok("inspect", "it"))
    config = {key: value for key, value in image["Config"].items() if value}
    entries = docker.docker.ok("history", "--no-trunc", "--format", "{{json .CreatedBy}}", "it")
    history = [json.loads(line) for line in entries.splitlines()][::-1]
    return (
        {key: value for key, value in config.items() if key not in NOT_OURS},
        history,
        image["Author"],
    )


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_configured_as_buildkit_does(docker, tmp_path, name) -> None:
    text = DOCKERFILES[name]
    assert ours(text) == theirs(docker, text, tmp_path)
