"""Fault points: named places before and after every durable or kernel change.

A test enumerates the names in the source, runs the daemon with `WHERRY_FAULT=<name>` in its
environment, and the daemon kills itself there, as a power switch would. Without the variable a
point costs one comparison.
"""

import os
import signal

_armed = os.environ.get("WHERRY_FAULT", "")


def fault(name: str) -> None:
    """Die here, without any clean-up, if a test armed this point."""
    if _armed == name:
        os.kill(os.getpid(), signal.SIGKILL)
