"""What Wherry knows: one SQLite database, changed by whole transactions only.

A `Database` runs functions: `read` gives them a consistent view in the calling thread, `write`
a transaction in the one writer thread. What a function raises undoes all that it did.
"""

from wherry.metadata.builds import BuildRecord
from wherry.metadata.containers import ContainerRecord
from wherry.metadata.database import Database
from wherry.metadata.images import ImageRecord, LayerRecord, NameRecord
from wherry.metadata.leases import LeaseRecord, Resource
from wherry.metadata.transaction import Transaction

__all__ = [
    "BuildRecord",
    "ContainerRecord",
    "Database",
    "ImageRecord",
    "LayerRecord",
    "LeaseRecord",
    "NameRecord",
    "Resource",
    "Transaction",
]
