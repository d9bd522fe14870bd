"""What all objects of the Engine API share: how their names and their absence are written."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["UNSET", "EmptyObject", "Int64", "Object", "UInt16", "UInt64", "UnsetType", "Zero"]

# The ranges of Go's types, which the reference implementation decodes into.
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
UInt64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
UInt16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]

# A moment that has not come, as Go writes it.
Zero = "0001-01-01T00:00:00Z"


class Object(Struct, rename="pascal", kw_only=True):
    """A JSON object of the Engine API.

    Attributes are the snake_case of the JSON names. A field that may be `None` is written as
    `null`; a field that may be `UNSET` (which is falsy) is left out of the JSON, as Docker
    leaves out what Go calls empty.
    """


class EmptyObject(Struct):
    """`{}`: the value of JSON objects that are used as sets, such as `Volumes`."""
