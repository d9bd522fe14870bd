"""What comes before a container's first process."""

import os

from wherry.libcontainer import create
from wherry.libcontainer.blueprint import Blueprint
from wherry.linux import syscalls as sc

PR_GET_DUMPABLE = 3


def test_who_is_born_in_a_joined_namespace_is_out_of_reach_from_the_first() -> None:
    """CVE-2016-9962: a midwife's children are as dumpable as she is."""
    reader, writer = os.pipe()

    def look() -> Blueprint:
        os.write(writer, b"%d" % sc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
        raise EOFError

    expected = create.deliver(create.Orders(look, lambda shim, pid: None))
    assert os.read(reader, 1) == b"0"
    expected.cancel()
    os.close(reader)
    os.close(writer)
