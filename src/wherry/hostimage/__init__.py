"""Images of programs of this host, without a registry: `collect` finds what the programs need,
`Archive` is one of it that any engine loads.

Nothing of an engine is needed for that, no root and no network, so whoever talks to an engine can
do it: the programs are those of the client's host.
"""

from wherry.hostimage.archive import Archive, RunConfig, image_name
from wherry.hostimage.collecting import Collected, Wanted, collect
from wherry.hostimage.extras import EXTRAS

__all__ = ["EXTRAS", "Archive", "Collected", "RunConfig", "Wanted", "collect", "image_name"]
