"""Objects that are used together, laid side by side in memory.

A fork shares its parent's pages until it writes to them, and CPython writes to a function and to
its code whenever it calls them: it counts references. Import leaves the few dozen functions that a
shim calls spread over as many pages of 4 KB, among thousands that it does not call; and what a
shim allocates goes into the gaps between them, a page for each. Both are mended before the first
fork: a tenth of a megabyte less for each container.
"""

import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType

# What must not be freed: a gap in the allocator's pages would be filled by every fork anew.
_KEPT: list[object] = []
# Eight addresses in a row are a fresh pool; no size class has as many gaps as `_MOST`.
_ROW, _MOST = 8, 4000
_BYTES_HEAD = sys.getsizeof(b"")
# obmalloc.c: sizes of 16 to 512 bytes, in steps of 16, have pools of their own.
_SIZES = range(48, 513, 16)


def called_in(work: Callable[[], None]) -> list[CodeType]:
    """Do the work, and answer the code of each Python function that it called."""
    called: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called[frame.f_code] = None

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return list(called)


def codes_of(*homes: object) -> list[CodeType]:
    """The code of each function of these modules and classes."""
    return [
        value.__code__
        for home in homes
        for value in vars(home).values()
        if isinstance(value, FunctionType)
    ]


def gather(codes: list[CodeType]) -> None:
    """Copy the functions of these codes, in this order, and let all modules and classes have the
    copies. What holds a function in another way keeps the old one, which does the same."""
    homes = _namespaces()
    functions: dict[CodeType, FunctionType] = {}
    for home in homes:
        for value in vars(home).values():
            if isinstance(value, FunctionType):
                functions.setdefault(value.__code__, value)
    _KEPT.extend(functions.values())
    copies = {id(functions[code]): _copy(functions[code]) for code in codes if code in functions}
    for home in homes:
        for name, value in list(vars(home).items()):
            copy = copies.get(id(value))
            if copy is not None:
                setattr(home, name, copy)


def _namespaces() -> list[object]:
    modules = [module for module in sys.modules.values() if module is not None]
    classes = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__flags__ & (1 << 9)  # Py_TPFLAGS_HEAPTYPE
    }
    return [*modules, *classes.values()]


def _copy(function: FunctionType) -> FunctionType:
    copy = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__dict__.update(function.__dict__)
    return copy


def plug() -> None:
    """Fill the gaps in the allocator's pages, so that what a fork allocates lies together too.

    For each size class: allocate until addresses follow one another, as in a fresh pool.
    """
    for size in _SIZES:
        row, last = 0, 0
        for _ in range(_MOST):
            block = bytes(size - _BYTES_HEAD)
            _KEPT.append(block)
            row = row + 1 if id(block) == last + size else 0
            last = id(block)
            if row == _ROW:
                break
