"""The `wherry` command. Starting fast is one of its features, so nothing is imported for nothing.

`wherry --version` answers before any import; every other command imports its own module and what
that needs. `tests/cli/test_startup.py` counts the modules.
"""

from wherry import __version__


def main(argv: list[str]) -> int:
    """Run the command line `argv` (without the program's name); the exit code."""
    if argv in (["--version"], ["-v"]):
        print(f"Wherry version {__version__}")
        return 0
    from wherry.cli.program import run_program

    return run_program(argv)
