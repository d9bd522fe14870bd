"""Which extended attributes are a layer's content. Light to import: the extractor does."""

from typing import Final

_ACL: Final = ("system.posix_acl_access", "system.posix_acl_default")
_CAPABILITY: Final = "security.capability"

# Kernels that mount overlays in user namespaces read their own signs from here.
_OVERLAY: Final = "user.overlay."


def is_content(name: str) -> bool:
    """Whether the attribute belongs to the file, rather than to the host that it was on.

    The rule and its reason stand in the tutorial (snapshots/protocol.py, "How a layer is
    read").
    """
    if name.startswith("user."):
        return not name.startswith(_OVERLAY)
    return name == _CAPABILITY or name in _ACL
