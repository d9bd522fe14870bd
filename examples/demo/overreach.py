"""Reaches for more than a container may have, and says what came of it: JSON of [what, result]."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def memory() -> str:
    hungry = subprocess.run([sys.executable, "-c", "b'x' * (512 << 20)"], check=False)
    return f"killed by {signal.Signals(-hungry.returncode).name}" if hungry.returncode else "got it"


def processes() -> str:
    children: list[subprocess.Popen[bytes]] = []
    try:
        while len(children) < 500:
            children.append(subprocess.Popen(["sleep", "60"]))
    except OSError as error:
        return f"the {len(children) + 1}th: {error.strerror}"
    finally:
        for child in children:
            child.kill()
            child.wait()
    return "got them"


def processor() -> str:
    begin = time.monotonic()
    while time.monotonic() - begin < 1:
        pass
    return f"got {time.process_time():.2f} s"


def attempt(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return error.strerror or str(error)
    return "done"


# Time of the processor first: process_time counts what came before.
results = [
    ("a second of a whole processor", processor()),
    ("512 MB of memory", memory()),
    ("500 processes", processes()),
    ("write to the image", attempt(lambda: Path("/etc/passwd").write_text(""))),
    (
        "set the kernel's parameters",
        attempt(lambda: Path("/proc/sys/kernel/panic").write_text("1")),
    ),
    ("rename the machine", attempt(lambda: socket.sethostname("mine"))),
    ("set the clock", attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, 0))),
    ("reach the network", attempt(lambda: socket.create_connection(("192.0.2.1", 80), 1))),
]
print(json.dumps(results))
