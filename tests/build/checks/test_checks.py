"""Each rule: what breaks it, and what is near and does not."""

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.build.checks import Settings, Surroundings, check, parse
from wherry.build.checks.rules import RULES
from wherry.build.dockerfile import DockerfileError
from wherry.build.dockerfile import parse as parse_dockerfile
from wherry.errdefs import EngineError

ALL = Settings(experimental=frozenset({"all"}))
IMAGES: Mapping[str, tuple[str, ...]] = {"base": ("HOME_OF=base",)}


def findings(
    text: str, settings: Settings = ALL, given: Mapping[str, str] | None = None
) -> list[tuple[str, int, str]]:
    dockerfile = parse_dockerfile(text.encode())
    around = Surroundings(
        needed=range(len(dockerfile.stages)),
        always={"TARGETPLATFORM": "linux/amd64", "BUILDPLATFORM": "linux/amd64"},
        given=given or {},
        image_environment=IMAGES.get,
        is_ignored=lambda path: path.startswith("secret"),
    )
    return [
        (finding.rule.name, finding.location.line, finding.message)
        for finding in check(dockerfile, settings, around)
    ]


BROKEN = [
    ("FROM base AS Builder", 1, "StageNameCasing", "Stage name 'Builder' should be lowercase"),
    ("FROM base as one", 1, "FromAsCasing", "'as' and 'FROM' keywords' casing do not match"),
    ("from base AS one", 1, "FromAsCasing", "'AS' and 'from' keywords' casing do not match"),
    ("FROM base\nRUN a \\\n\n  b", 4, "NoEmptyContinuation", "Empty continuation line"),
    (
        "FROM base\nrun a\nRUN b",
        2,
        "ConsistentInstructionCasing",
        "Command 'run' should match the case of the command majority (uppercase)",
    ),
    (
        "from base\nrun a\nRun b",
        3,
        "ConsistentInstructionCasing",
        "Command 'Run' should match the case of the command majority (lowercase)",
    ),
    (
        "FROM base AS a\nFROM base AS a",
        2,
        "DuplicateStageName",
        'Duplicate stage name "a", stage names should be unique',
    ),
    (
        "FROM base AS scratch",
        1,
        "ReservedStageName",
        'Stage name should not use the same name as reserved stage "scratch"',
    ),
    (
        "FROM base\nCMD run me",
        2,
        "JSONArgsRecommended",
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
    ),
    (
        "FROM base\nMAINTAINER me",
        2,
        "MaintainerDeprecated",
        "Maintainer instruction is deprecated in favor of using label",
    ),
    (
        "ARG VARIANT\nFROM base${VARIANTS}",
        2,
        "UndefinedArgInFrom",
        "FROM argument 'VARIANTS' is not declared (did you mean VARIANT?)",
    ),
    (
        "FROM base\nWORKDIR a",
        2,
        "WorkdirRelativePath",
        'Relative workdir "a" can have unexpected results if the base image changes',
    ),
    ("FROM base\nCOPY $a /", 2, "UndefinedVar", "Usage of undefined variable '$a'"),
    (
        "FROM base\nARG name\nLABEL a=$nane",
        3,
        "UndefinedVar",
        "Usage of undefined variable '$nane'",
    ),
    (
        'FROM base\nCMD ["a"]\nCMD ["b"]',
        2,
        "MultipleInstructionsDisallowed",
        (
            "Multiple CMD instructions should not be used in the same stage because only the last "
            "one will be used"
        ),
    ),
    (
        "FROM base\nENV A b",
        2,
        "LegacyKeyValueFormat",
        '"ENV key=value" should be used instead of legacy "ENV key value" format',
    ),
    (
        "FROM --platform=$TARGETPLATFORM base",
        1,
        "RedundantTargetPlatform",
        (
            "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the "
            "default behavior"
        ),
    ),
    (
        "FROM base\nARG API_KEY",
        2,
        "SecretsUsedInArgOrEnv",
        'Do not use ARG or ENV instructions for sensitive data (ARG "API_KEY")',
    ),
    (
        "ARG TAG\nFROM base:${TAG}",
        2,
        "InvalidDefaultArgInFrom",
        "Default value for ARG base:${TAG} results in empty or invalid base image name",
    ),
    (
        "FROM --platform=linux/amd64 base",
        1,
        "FromPlatformFlagConstDisallowed",
        'FROM --platform flag should not use constant value "linux/amd64"',
    ),
    (
        "FROM base\nCOPY secret.txt /",
        2,
        "CopyIgnoredFile",
        'Attempting to Copy file "secret.txt" that is excluded by .dockerignore',
    ),
    (
        "# something else\nARG NAME\nFROM base",
        2,
        "InvalidDefinitionDescription",
        "Comment for ARG should follow the format: `# NAME <description>`",
    ),
    (
        "FROM base\nEXPOSE 80/TCP",
        2,
        "ExposeProtoCasing",
        "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
    ),
    (
        "FROM base\nEXPOSE 127.0.0.1:80:80",
        2,
        "ExposeInvalidFormat",
        (
            "EXPOSE instruction should not define an IP address or host-port mapping, found "
            "'127.0.0.1:80:80'"
        ),
    ),
]


@pytest.mark.parametrize(("text", "line", "rule", "message"), BROKEN)
def test_a_broken_rule_is_told_in_buildkits_words(
    text: str, line: int, rule: str, message: str
) -> None:
    given = {"TAG": "1"} if rule == "InvalidDefaultArgInFrom" else {}
    assert (rule, line, message) in [
        (name, at, told) for name, at, told in findings(text, given=given) if name == rule
    ]


def test_every_rule_has_a_case_but_the_one_that_needs_an_image() -> None:
    assert {rule for _, _, rule, _ in BROKEN} | {"InvalidBaseImagePlatform"} == {
        rule.name for rule in RULES
    }
    assert len(RULES) == 22


@pytest.mark.parametrize(
    "text",
    [
        "FROM base AS one\nFROM one\n",
        "from base as one\nrun x\n",
        "FROM base\nRUN a \\\n  # a comment\n  b\n",
        'FROM base\nENTRYPOINT ["x"]\nCMD ["y"]\n',
        'FROM base\nSHELL ["/bin/sh", "-c"]\nCMD run me\n',
        "FROM base\nWORKDIR /a\nWORKDIR b\n",
        "FROM base\nENV A=1\nCOPY $A $HOME_OF $PATH /\n",
        "FROM base\nARG a\nCOPY $a /\n",
        "FROM unknown\nCOPY $a /\n",
        "FROM base\nRUN echo $undefined\n",
        "ARG TAG=1\nFROM base:$TAG\n",
        "FROM --platform=$BUILDPLATFORM base\n",
        "FROM base\nARG PUBLIC_KEY\nENV MONKEY=1 TOKENS=2\n",
        "FROM base AS b\nFROM base\nCOPY --from=b /secret /\n",
        "FROM base\nCOPY . /\nCOPY public /\n",
        "# NAME is a name\nARG NAME\n# free\n\nFROM base\n",
        "FROM base\nEXPOSE 80 80/udp 1000-2000\n",
    ],
)
def test_what_is_well_is_left_alone(text: str) -> None:
    assert findings(text) == []


def test_only_the_stages_of_the_build_are_looked_at() -> None:
    dockerfile = parse_dockerfile(b"FROM base AS a\nWORKDIR x\nFROM base AS b\nWORKDIR y\n")
    around = Surroundings(needed=[1], always={}, given={})
    assert [finding.location.line for finding in check(dockerfile, ALL, around)] == [4]


def test_settings_choose() -> None:
    text = "# odd\nFROM base AS One\nMAINTAINER me\n"
    assert {rule for rule, *_ in findings(text, parse(""))} == {
        "StageNameCasing",
        "MaintainerDeprecated",
    }
    assert [rule for rule, *_ in findings(text, parse("skip=StageNameCasing"))] == [
        "MaintainerDeprecated"
    ]
    assert findings(text, parse("skip=all;error=true")) == []
    experimental = findings(text, parse("experimental=InvalidDefinitionDescription;skip=A,B"))
    assert "InvalidDefinitionDescription" in {rule for rule, *_ in experimental}
    assert parse("error=true").error


@pytest.mark.parametrize("text", ["skip", "eror=true", "error=maybe", "=x"])
def test_settings_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(EngineError):
        parse(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "FROM base AS A",
                "ARG X=${Y:-$X}",
                "ENV A=$A B=${C#*/}",
                "COPY $X secret /",
                "RUN x",
                "CMD $X",
                "WORKDIR $A",
                "EXPOSE $X 80/TCP",
                "ONBUILD RUN x",
                "ENV ${x:?no}",
            ]
        ),
        max_size=12,
    )
)
def test_whatever_parses_can_be_checked(lines: list[str]) -> None:
    with contextlib.suppress(DockerfileError):
        findings("\n".join(["FROM base", *lines]))
