"""Image references: parsed, normalised and shortened as Docker does it.

The grammar is the distribution project's, in `grammar.py`. What people write is *familiar*
(`alpine`); what is stored is *canonical* (`docker.io/library/alpine:latest`).
"""

from wherry.reference.name import (
    DEFAULT_DOMAIN,
    DEFAULT_TAG,
    Reference,
    is_identifier,
    parse,
)
from wherry.reference.pattern import Pattern

__all__ = ["DEFAULT_DOMAIN", "DEFAULT_TAG", "Pattern", "Reference", "is_identifier", "parse"]
