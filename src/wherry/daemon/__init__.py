"""wherryd: reads its configuration, opens the engine, and serves the Engine API.

main -> options (flags, configuration file) -> serve
                                                |-- ownership: lock, pid file
                                                |-- Engine.open
                                                |-- listeners: sockets, once all is ready
                                                |-- reloading: what SIGHUP changes
                                                `-- until SIGTERM or SIGINT

`wherryd check` and `wherryd migrate-storage` are other programs (upkeep.py), for a data root whose
daemon does not run, and `wherryd install-units` (units/) makes a service of it; `wherry system`
executes them.
"""

import gc
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run the daemon with these flags, or another program; returns its exit status."""
    if argv and argv[0] in ("check", "migrate-storage"):
        from wherry.daemon import upkeep

        return upkeep.main(argv[0], argv[1:])
    if argv and argv[0] == "install-units":
        from wherry.daemon import units

        return units.main(argv[1:])
    from wherry.daemon import flags, options
    from wherry.errdefs import EngineError

    try:
        given = flags.parse(argv)
        if given.asks_for_help:
            print(flags.usage(), end="")
            return 0
        if given.asks_for_version:
            from wherry import __version__

            print(f"Wherry version {__version__}")
            return 0
        settings = options.resolve(given)
    except flags.UsageError as error:
        print(f"{error}\nSee 'wherryd --help'.", file=sys.stderr)
        return 125
    except EngineError as error:
        print(error.message, file=sys.stderr)
        return 1
    if given.only_validates:
        print("configuration OK")
        return 0

    # Nothing becomes garbage while modules load: looking for some is a tenth of the start.
    # `serving` turns the collector on again.
    gc.disable()
    from wherry.daemon.serving import serve

    return serve(settings, lambda: options.resolve(given))
