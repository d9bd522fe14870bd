"""The identity of a stack of layers."""

import hashlib
from collections.abc import Sequence

from wherry import errdefs
from wherry.spec.digest import Digest


def chain_id(diff_ids: Sequence[Digest]) -> Digest:
    """The ChainID of layers from the bottom up (OCI image specification, config.md).

    One layer's is its diffID; each further layer's is the digest of the chain so far, a space, and
    its diffID, both written out with their algorithm. Raises InvalidArgument for no layers.
    """
    if not diff_ids:
        raise errdefs.invalid("an empty stack of layers has no chain ID")
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = Digest.from_hex(hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest())
    return chain
