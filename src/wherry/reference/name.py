"""A reference's parts, and the way from what people write to what is stored."""

from dataclasses import dataclass, replace
from typing import Final

from wherry import errdefs
from wherry.reference.grammar import IDENTIFIER, PATH_MAX, REFERENCE, REFERENCE_MAX, TAG
from wherry.spec.digest import Digest

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_LEGACY_DOMAIN: Final = "index.docker.io"
_OFFICIAL: Final = "library/"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A normalised name: `domain` and `path` always, `tag` and `digest` as they were given.

    `str()` is the canonical form, which `parse` reads back to an equal value.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.repository + self._suffix()

    @property
    def repository(self) -> str:
        """The name without tag and digest: `docker.io/library/alpine`."""
        return f"{self.domain}/{self.path}"

    @property
    def tag_or_default(self) -> str:
        return self.tag or DEFAULT_TAG

    @property
    def is_name_only(self) -> bool:
        return self.tag is None and self.digest is None

    def tagged(self) -> "Reference":
        """With the tag `latest` if neither a tag nor a digest was given."""
        return replace(self, tag=DEFAULT_TAG) if self.is_name_only else self

    def with_tag(self, tag: str) -> "Reference":
        """The repository with another tag and no digest; raises InvalidArgument on a bad tag."""
        if not TAG.match(tag):
            raise errdefs.invalid(f"invalid tag format: {tag!r}")
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> "Reference":
        """The repository at exactly this digest, without a tag."""
        return replace(self, tag=None, digest=digest)

    def familiar(self) -> str:
        """The shortest form that parses to the same value: what people are shown."""
        return self.familiar_name() + self._suffix()

    def familiar_name(self) -> str:
        """The familiar form of the repository, without tag and digest."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        official = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in official else official

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def parse(text: str) -> Reference:
    """The normalised reference that `text` names, as Docker understands it.

    Raises InvalidArgument in Docker's words. The absence of a tag is kept: see `tagged()`.
    """
    if not text:
        raise errdefs.invalid("invalid reference format: the name is empty")
    if len(text) > REFERENCE_MAX:
        raise errdefs.invalid(f"invalid reference format: {len(text)} characters are too many")
    if IDENTIFIER.match(text):
        raise errdefs.invalid(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, remainder = _split_domain(text)
    remote = remainder.partition("@")[0].partition(":")[0]
    if remote.lower() != remote:
        raise errdefs.invalid(
            f"invalid reference format: repository name ({remote}) must be lowercase"
        )
    match = REFERENCE.match(f"{domain}/{remainder}")
    if match is None:
        raise errdefs.invalid(f"invalid reference format: {text!r} is not NAME[:TAG][@DIGEST]")
    path = match["path"]
    if len(path) > PATH_MAX:
        raise errdefs.invalid(
            f"invalid reference format: repository name must not be more than {PATH_MAX} characters"
        )
    digest = Digest.parse(match["digest"]) if match["digest"] else None
    return Reference(match["domain"], path, match["tag"], digest)


def is_identifier(text: str) -> bool:
    """Whether `text` is an image's whole ID without `sha256:`, which no name may look like."""
    return IDENTIFIER.match(text) is not None


def _split_domain(name: str) -> tuple[str, str]:
    """The domain, Docker Hub's where none is written, and the rest of the reference."""
    first, slash, rest = name.partition("/")
    if not slash:
        # Never host:port: "alpine:3" is a name and its tag.
        return DEFAULT_DOMAIN, _OFFICIAL + name
    # A first component in capitals cannot be a path, so it is a host.
    is_domain = first == "localhost" or "." in first or ":" in first or first.lower() != first
    domain, remainder = (first, rest) if is_domain else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder
