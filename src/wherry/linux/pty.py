"""Pseudo-terminals, made from a devpts instance that we mounted ourselves."""

import fcntl
import os
import struct
import termios

_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_pair(devpts_fd: int) -> tuple[int, int]:
    """(master, slave) of a new terminal in the devpts mount that `devpts_fd` refers to.

    The slave is opened from the master (TIOCGPTPEER), never by a path that a container could
    have put something else at.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = os.open("ptmx", flags, dir_fd=devpts_fd)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, flags)
    return master, slave


def set_size(master: int, height: int, width: int) -> None:
    """Tell the terminal its rows and columns; the foreground group gets SIGWINCH."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def number(master: int) -> int:
    """The slave's name in its devpts: /dev/pts/N."""
    raw = fcntl.ioctl(master, 0x80045430, struct.pack("I", 0))  # TIOCGPTN
    return int(struct.unpack("I", raw)[0])


def make_controlling(slave: int) -> None:
    """Make the terminal the controlling one of the calling session's leader."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
