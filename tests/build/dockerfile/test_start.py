"""The daemon's start is a budget, and the language is no part of it."""

import subprocess
import sys

PROGRAM = """
import sys, wherry.engine.engine
print([name for name in sys.modules if name.startswith("wherry.build.dockerfile")])
"""


def test_an_engine_is_there_before_the_language() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
