"""Names as Docker reads them: the examples of its own documentation, and properties."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.reference import Pattern, Reference, is_identifier, parse
from wherry.spec.digest import Digest

T = TypeVar("T")
HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
EXAMPLES = 2000 if os.environ.get("WHERRY_SOAK") else 100

NORMALISED = [
    # what is written, canonical, familiar
    ("alpine", "docker.io/library/alpine", "alpine"),
    ("alpine:3.19", "docker.io/library/alpine:3.19", "alpine:3.19"),
    ("library/alpine", "docker.io/library/alpine", "alpine"),
    ("docker.io/alpine", "docker.io/library/alpine", "alpine"),
    ("index.docker.io/alpine", "docker.io/library/alpine", "alpine"),
    ("index.docker.io/library/alpine", "docker.io/library/alpine", "alpine"),
    ("library/a/b", "docker.io/library/a/b", "library/a/b"),
    ("dmcgowan/myapp:v1", "docker.io/dmcgowan/myapp:v1", "dmcgowan/myapp:v1"),
    ("quay.io/podman/hello", "quay.io/podman/hello", "quay.io/podman/hello"),
    ("localhost/x", "localhost/x", "localhost/x"),
    ("localhost:5000/x", "localhost:5000/x", "localhost:5000/x"),
    ("x:5000/y:1", "x:5000/y:1", "x:5000/y:1"),
    ("127.0.0.1:5000/x/y", "127.0.0.1:5000/x/y", "127.0.0.1:5000/x/y"),
    ("[2001:db8::1]:5000/x", "[2001:db8::1]:5000/x", "[2001:db8::1]:5000/x"),
    ("Host/x", "Host/x", "Host/x"),
    ("xn--n3h.com/x", "xn--n3h.com/x", "xn--n3h.com/x"),
    ("a__b/c---d.e_f", "docker.io/a__b/c---d.e_f", "a__b/c---d.e_f"),
    (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
    (f"x:t@{DIGEST}", f"docker.io/library/x:t@{DIGEST}", f"x:t@{DIGEST}"),
    ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128, "x:" + "t" * 128),
    ("sub-dom1.foo.com/bar/baz/quux:some_Tag-1.", "sub-dom1.foo.com/bar/baz/quux:some_Tag-1.",
     "sub-dom1.foo.com/bar/baz/quux:some_Tag-1."),
    (HEX[:63], f"docker.io/library/{HEX[:63]}", HEX[:63]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "canonical", "familiar"), NORMALISED)
def test_a_name_is_normalised_and_shortened(text: str, canonical: str, familiar: str) -> None:
    reference = parse(text)
    assert str(reference) == canonical
    assert reference.familiar() == familiar
    assert parse(canonical) == parse(familiar) == reference


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Alpine", "invalid reference format: repository name (library/Alpine) must be lowercase"),
        ("a/B:tag", "invalid reference format: repository name (a/B) must be lowercase"),
        ("quay.io/Foo/bar", "repository name (Foo/bar) must be lowercase"),
        (f"Alpine@{DIGEST}", "repository name (library/Alpine) must be lowercase"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("a" * 256, "repository name must not be more than 255 characters"),
        ("x/" + "a" * 10_000, "characters are too many"),
        (f"x@sha512:{HEX}{HEX}", "the algorithm sha512 is not supported"),
        (f"x@sha256:{HEX[:40]}", "sha256 has 64"),
        *(
            (text, "invalid reference format")
            for text in (
                "", ":", ":x", "@", "x:", "x@", "/x", "x/", "a//b", "-x", "x-", "_x", "x_", ".x",
                "a___b", "a..b", "a._b", "x y", "x\n", "x:t\n", "x:-t", "x:.t", "x:" + "t" * 129,
                "https://github.com/docker/docker", "docker/Docker:x y", "x@sha256:abc", "-a.com/b",
                "a-.com/b", "a.com:/b", "a.com:x/b", "[::1/b", "[fe80::1%eth0]:5000/x", "é", "x:é",
                "x@y", "aa/asdf$$^/aa", "xn--n3h.com/xn--n3h.com.",
            )
        ),
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str, says: str) -> None:
    with pytest.raises(EngineError) as caught:
        parse(text)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert says in caught.value.message


def test_the_default_tag_is_given_only_where_nothing_says_which() -> None:
    assert str(parse("x").tagged()) == "docker.io/library/x:latest"
    assert str(parse("x:1").tagged()) == "docker.io/library/x:1"
    assert parse(f"x@{DIGEST}").tagged().tag is None
    assert parse("x").tag_or_default == "latest"
    assert parse("x:1").tag_or_default == "1"
    assert parse("x").is_name_only


def test_a_tag_and_a_digest_replace_what_was_there() -> None:
    reference = parse(f"x:1@{DIGEST}")
    assert str(reference.with_tag("2")) == "docker.io/library/x:2"
    assert str(reference.with_digest(Digest(DIGEST))) == f"docker.io/library/x@{DIGEST}"
    with pytest.raises(EngineError, match="invalid tag format"):
        reference.with_tag("no tag")


def test_an_identifier_is_64_lower_case_digits() -> None:
    assert is_identifier(HEX)
    assert not is_identifier(HEX[:63])
    assert not is_identifier(HEX.upper())


word = st.text(alphabet="ab09", min_size=1, max_size=4)
component = st.builds("{}{}{}".format, word, st.sampled_from(["", "_", "__", "-", "---"]), word)
domains = st.builds(
    "{}.{}{}".format,
    st.text(alphabet="aZ0", min_size=1, max_size=4),
    word,
    st.sampled_from(["", ":5000", ".x:1"]),
)
references = st.builds(
    Reference,
    st.one_of(st.sampled_from(["docker.io", "index.docker.io", "localhost", "h:1"]), domains),
    st.lists(component, min_size=1, max_size=4).map("/".join),
    st.one_of(st.none(), st.text(alphabet="aZ09_.-", min_size=1, max_size=6).map("_{}".format)),
    st.one_of(st.none(), st.just(Digest(DIGEST))),
)


def accepted(make: Callable[[], T]) -> T | None:
    """What was made, or None where the argument was refused as invalid."""
    try:
        return make()
    except EngineError as error:
        if error.kind is not Kind.INVALID_ARGUMENT:
            raise
        return None


@given(references)
@settings(max_examples=EXAMPLES)
def test_both_forms_read_back_to_the_same(reference: Reference) -> None:
    # What Docker Hub calls `x` is `library/x`, and the old host is the new one.
    canonical = parse(str(reference))
    assert parse(canonical.familiar()) == canonical
    assert parse(str(canonical)) == canonical
    if reference.domain not in ("docker.io", "index.docker.io"):
        assert canonical == reference


@given(st.text(max_size=80))
@settings(max_examples=EXAMPLES)
def test_any_text_is_a_name_or_an_invalid_argument(text: str) -> None:
    reference = accepted(lambda: parse(text))
    assert reference is None or parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("busybox", "busybox:latest", True),
        ("busybox:latest", "busybox:latest", True),
        ("busy*", "busybox:latest", True),
        ("*", "busybox:1", True),
        ("*", "a/b:1", False),
        ("*/*", "a/b:1", True),
        ("a/*:1", "a/b:1", True),
        ("?/b", "a/b:1", True),
        ("docker.io/library/busybox", "busybox:latest", False),
        ("b[tu]sy[a-c]ox", "busybox:1", True),
        ("b[^u]sybox", "busybox:1", False),
        ("b[^x]sybox", "busybox:1", True),
        (r"busy\box", "busybox:1", True),
        (r"busy\*", "busybox:1", False),
        ("[z-a]usybox", "busybox:1", False),
        ("[^z-a]usybox", "busybox:1", True),
        ("***box*", "busybox:1", True),
        ("*us*b*:1", "busybox:1", True),
        ("*us*us*", "busybox:1", False),
        ("*a" * 200, "a" * 150, False),
        ("", "busybox:1", False),
        ("x.y/a", "xzy/a:1", False),
    ],
)
def test_a_filter_matches_familiar_names(pattern: str, name: str, fits: bool) -> None:
    assert Pattern(pattern).matches(parse(name)) is fits


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "[a-", "[a-]", "[-a]", "a\\", "[^]", "[\\"])
def test_a_malformed_filter_is_refused(pattern: str) -> None:
    with pytest.raises(EngineError, match="syntax error in pattern") as caught:
        Pattern(pattern)
    assert caught.value.kind is Kind.INVALID_ARGUMENT


@given(st.text(alphabet="ab[]^-\\*?/", max_size=12))
@settings(max_examples=EXAMPLES)
def test_any_filter_is_a_pattern_or_an_invalid_argument(text: str) -> None:
    pattern = accepted(lambda: Pattern(text))
    assert pattern is None or pattern.matches(parse("a/b:a")) in (True, False)
