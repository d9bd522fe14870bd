r"""The grammar of a canonical reference, after distribution/reference's `reference.go`.

    reference        := name [ ":" tag ] [ "@" digest ]
    name             := [ domain "/" ] path
    domain           := host [ ":" digits ]
    host             := domain-name | "[" IPv6 address "]"
    domain-name      := component ( "." component )*
    component        := letters, digits and inner hyphens
    path             := path-component ( "/" path-component )*
    path-component   := alphanumeric ( separator alphanumeric )*
    alphanumeric     := [a-z0-9]+
    separator        := "." | "_" | "__" | "-"+
    tag              := [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
    digest           := algorithm ":" at least 32 hexadecimal digits

The expressions have no nested ambiguity, so that matching stays linear on hostile input.
"""

import re
from typing import Final

PATH_MAX: Final = 255
"""Bytes of a path (`library/alpine`), by the distribution project's rule."""

REFERENCE_MAX: Final = 4096
"""Bytes of anything that is looked at; no valid reference is near it."""

_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])"
_DOMAIN = rf"{_HOST}(?::[0-9]+)?"
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_ALGORITHM = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*"
_DIGEST = rf"{_ALGORITHM}:[0-9a-fA-F]{{32,}}"

REFERENCE: Final = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?\Z"
)
"""A reference with its domain, which normalisation has always put there."""

TAG: Final = re.compile(rf"{_TAG}\Z")

IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}\Z")
"""An image's whole ID: no name may look like it."""
