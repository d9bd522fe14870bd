"""What instructions make of a configuration, and what the history says of them.

The texts are what dockerd 20.10's BuildKit wrote; `test_buildkit_peer.py` asks it again.
"""

# ruff: noqa: E501
import pytest

from wherry.build.dockerfile import (
    Cmd,
    DockerfileError,
    configure,
    expand,
    history_of,
    parse,
    working_directory,
)
from wherry.build.dockerfile.history import duration
from wherry.spec.image import RunConfig


def instructions(text: str):
    return parse(f"FROM a\n{text}\n".encode()).stages[0].instructions


def configured(text: str, config: RunConfig | None = None) -> RunConfig:
    config, cmd_is_set = config or RunConfig(), False
    for instruction in instructions(text):
        config = configure(config, expand(instruction, {}), cmd_is_set=cmd_is_set)
        cmd_is_set = cmd_is_set or isinstance(instruction, Cmd)
    return config


def entry(line: str, config: RunConfig | None = None, arguments=()) -> str | None:
    (instruction,) = instructions(line)
    instruction = expand(instruction, {})
    return history_of(instruction, configure(config or RunConfig(), instruction), arguments)


def test_an_entrypoint_takes_the_command_that_was_not_meant_for_it() -> None:
    inherited = RunConfig(cmd=("old",))
    assert configured('ENTRYPOINT ["e"]', inherited).cmd == ()
    assert configured('CMD ["new"]\nENTRYPOINT ["e"]', inherited).cmd == ("new",)
    assert configured('ENTRYPOINT ["e"]\nCMD ["new"]', inherited).cmd == ("new",)


def test_the_shell_runs_what_is_no_json() -> None:
    config = configured('CMD a\nSHELL ["/bin/bash", "-c"]\nENTRYPOINT b')
    assert config.cmd == ("/bin/sh", "-c", "a")
    assert config.entrypoint == ("/bin/bash", "-c", "b")
    assert config.args_escaped


def test_a_variable_stays_in_its_place() -> None:
    config = RunConfig(env=("A=1", "B=2"))
    assert configured("ENV C=3 A=4", config).env == ("A=4", "B=2", "C=3")


@pytest.mark.parametrize(
    ("current", "path", "result"),
    [
        ("", "a", "/a"),
        ("/x", "a/../b/", "/x/b"),
        ("/x", "/a//b/.", "/a/b"),
        ("/x", "..", "/"),
        ("/x", "../../..", "/"),
        ("x", "y", "/x/y"),
        ("/", "//a", "/a"),
    ],
)
def test_a_working_directory_is_absolute_and_clean(current, path, result) -> None:
    assert working_directory(current, path) == result


@pytest.mark.parametrize(
    "line", ["STOPSIGNAL SIGFOO", "EXPOSE 80/x", "EXPOSE 99999999999999999999999"]
)
def test_a_bad_value_is_refused_with_its_place(line) -> None:
    with pytest.raises(DockerfileError) as caught:
        configured(line)
    assert caught.value.location.line == 2


@pytest.mark.parametrize("line", ["RUN a", "COPY a b", "ADD a b", "ARG a", "MAINTAINER a"])
def test_what_configures_nothing(line) -> None:
    config = RunConfig(user="x")
    assert configured(line, config) is config


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ENV A=b C='d e'", "ENV A=b C=d e"),
        ("LABEL a b  c", "LABEL a=b  c"),
        ("RUN echo hi", "RUN /bin/sh -c echo hi # buildkit"),
        ('RUN ["a", "b c"]', "RUN a b c # buildkit"),
        ("RUN <<EOF\na\nEOF", "RUN /bin/sh -c a\n # buildkit"),
        ("RUN <<EOF\n#!/x\nEOF", "RUN /bin/sh -c /dev/pipes/EOF # buildkit"),
        ("RUN cat <<EOF\na\nEOF", "RUN /bin/sh -c cat <<EOF\na\nEOF # buildkit"),
        ("COPY --chown=1:2 --chmod=7 --from=x --link a b /c", "COPY --chown=1:2 --chmod=7 a b /c # buildkit"),
        ("COPY --parents a /c", "COPY --parents a /c # buildkit"),
        ("ADD <<E /c\nE", "ADD <<E /c # buildkit"),
        ("WORKDIR x/", "WORKDIR /x"),
        ("CMD x", 'CMD ["/bin/sh" "-c" "x"]'),
        ('CMD ["a\\"b", "\\u00e9\\u0001\\u2028"]', 'CMD ["a\\"b" "é\\x01\\u2028"]'),
        ("ENTRYPOINT []", "ENTRYPOINT []"),
        ("EXPOSE 81 80/udp", "EXPOSE map[80/udp:{} 81/tcp:{}]"),
        ("VOLUME /a /b", "VOLUME [/a /b]"),
        ("USER a:b", "USER a:b"),
        ("STOPSIGNAL 9", "STOPSIGNAL 9"),
        ('SHELL ["a", "b"]', "SHELL [a b]"),
        ("MAINTAINER a <b>", "MAINTAINER a <b>"),
        ("ARG a b=c", "ARG a b=c"),
        ("ONBUILD RUN a", None),
        ("HEALTHCHECK --interval=90s --retries=3 CMD a", 'HEALTHCHECK &{["CMD-SHELL" "a"] "1m30s" "0s" "0s" \'\\x03\'}'),
        ("HEALTHCHECK --start-interval=1s NONE", "HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" '\\x00'}"),
        ("HEALTHCHECK --start-interval=1s CMD a", 'HEALTHCHECK &{["CMD-SHELL" "a"] "0s" "0s" "0s" "1s" \'\\x00\'}'),
        ("HEALTHCHECK --retries=39 CMD a", 'HEALTHCHECK &{["CMD-SHELL" "a"] "0s" "0s" "0s" \'\\\'\'}'),
    ],
)  # fmt: skip
def test_history(line, text) -> None:
    assert entry(line) == text


def test_a_run_s_history_has_its_arguments() -> None:
    arguments = [("A", "1"), ("B", ""), ("A", "2")]
    assert entry("RUN x", arguments=arguments) == "RUN |2 A=2 B= /bin/sh -c x # buildkit"
    config = RunConfig(shell=("bash", "-ec"))
    assert entry("RUN x", config) == "RUN bash -ec x # buildkit"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (10**6, "1ms"), (999_999_999, "999.999999ms"),
        (10**9, "1s"), (61 * 10**9, "1m1s"), (3600 * 10**9, "1h0m0s"),
        (3_723_500_000_000, "1h2m3.5s"), (10**9 + 1, "1.000000001s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_go_does(nanoseconds, text) -> None:
    assert duration(nanoseconds) == text
