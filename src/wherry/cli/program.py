"""From a command line to a command: the table of commands, global options, and how errors end."""

from __future__ import annotations

import os

from wherry.cli.command import Command, Context
from wherry.cli.errors import CLI_FAILED, FAILED, CliError, UsageError, engine_error, told
from wherry.cli.flags import Flag, parse
from wherry.cli.output import complain, err_line, out_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Each command's module in `wherry.cli.commands`, the name in it, and what it does.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("run", "RUN", "Create and run a new container from an image"),
    "ps": ("ps", "PS", "List containers"),
    "images": ("images", "IMAGES", "List images"),
    "logs": ("logs", "LOGS", "Fetch the logs of a container"),
    "attach": ("attach", "ATTACH", "Attach this terminal to a running container"),
    "create": ("run", "CREATE", "Create a new container"),
    "start": ("start", "START", "Start one or more stopped containers"),
    "restart": ("stop", "RESTART", "Restart one or more containers"),
    "stop": ("stop", "STOP", "Stop one or more running containers"),
    "kill": ("stop", "KILL", "Kill one or more running containers"),
    "rename": ("rename", "RENAME", "Give a container another name"),
    "rm": ("remove", "RM", "Remove one or more containers"),
    "wait": ("wait", "WAIT", "Wait until containers stop, then print their exit codes"),
    "inspect": ("inspect", "INSPECT", "Show everything about containers and images"),
    "container inspect": ("inspect", "INSPECT_CONTAINER", "Show everything about containers"),
    "image inspect": ("inspect", "INSPECT_IMAGE", "Show everything about images"),
    "image from-host": (
        "from_host",
        "FROM_HOST",
        "Make an image of programs of this host, with all that they need",
    ),
    "build": ("build", "BUILD", "Build an image from a Dockerfile"),
    "builder ls": ("builder", "LS", "List what builds have left for the next"),
    "builder prune": ("builder", "PRUNE", "Remove what builds have left for the next"),
    "load": ("load", "LOAD", "Load images from a tar archive or standard input"),
    "history": ("history", "HISTORY", "Show the steps that made an image"),
    "save": ("save", "SAVE", "Save images to a tar archive"),
    "import": ("import_", "IMPORT", "Make an image of a root file system's tar archive"),
    "tag": ("tag", "TAG", "Give an image another name"),
    "rmi": ("remove", "RMI", "Remove one or more images"),
    "version": ("version", "VERSION", "Show the versions of client and daemon"),
    "info": ("info", "INFO", "Show the state of the whole system"),
    "events": ("events", "EVENTS", "Show what happens, as it happens"),
    "system df": ("df", "DF", "Show what takes how much of the disk"),
    "system check": ("system", "CHECK", "Verify what a data root keeps, and repair it"),
    "system migrate-storage": ("system", "MIGRATE", "Move a data root to another storage driver"),
    "system install-units": (
        "system",
        "INSTALL",
        "Write units for systemd, so that it starts the daemon",
    ),
    "system dial-stdio": ("dial", "DIAL", "Join standard input and output to the daemon"),
    "daemon": ("daemon", "DAEMON", "Run the daemon, as wherryd does"),
    "daemon status": ("daemon", "STATUS", "Say whether the daemon runs, and which"),
    "daemon stop": ("daemon", "STOP", "Stop the daemon; containers go on"),
    "daemon logs": ("daemon", "LOGS", "Show what the daemon has logged"),
    "completion": ("completion", "COMPLETION", "Make a shell complete this program's commands"),
}

# Asked by shells, while somebody types.
HIDDEN: dict[str, tuple[str, str, str]] = {
    "__complete": ("completion", "COMPLETE", "Say what could stand at a command line's end"),
}

# What Docker's groups call the same commands.
GROUPS: dict[str, dict[str, str]] = {
    "container": {
        "attach": "attach", "create": "create", "inspect": "container inspect",
        "kill": "kill", "list": "ps", "logs": "logs", "ls": "ps", "ps": "ps", "remove": "rm",
        "rename": "rename", "restart": "restart", "rm": "rm", "run": "run", "start": "start",
        "stop": "stop", "wait": "wait",
    },
    "builder": {
        "build": "build", "list": "builder ls", "ls": "builder ls", "prune": "builder prune",
    },
    "image": {
        "build": "build", "from-host": "image from-host", "history": "history",
        "import": "import", "inspect": "image inspect",
        "list": "images", "load": "load", "ls": "images",
        "remove": "rmi", "rm": "rmi", "save": "save", "tag": "tag",
    },
    "system": {
        "check": "system check", "df": "system df", "dial-stdio": "system dial-stdio",
        "events": "events", "info": "info", "install-units": "system install-units",
        "migrate-storage": "system migrate-storage",
    },
    "daemon": {"logs": "daemon logs", "status": "daemon status", "stop": "daemon stop"},
}  # fmt: skip

# Docker's, and not ours yet: named, so that nobody searches for a typing error.
NOT_YET = frozenset(
    (
        "bake", "buildx", "checkpoint", "commit", "compose", "config", "context", "cp",
        "diff", "exec", "export", "login", "logout", "manifest",
        "network", "node", "pause", "plugin", "port", "prune", "pull", "push",
        "search", "secret", "service", "stack", "stats", "swarm", "top",
        "trust", "unpause", "update", "volume",
    )
)  # fmt: skip

GLOBAL_FLAGS = (
    Flag("config", "", "The docker CLI's folder (default ~/.docker)", "string"),
    Flag("context", "c", "A context of the docker CLI, instead of a host", "string"),
    Flag("host", "H", "The daemon: unix:///path, tcp://host:port or ssh://user@host", "address"),
    Flag("tls", "", "Use TLS; implied by --tlsverify"),
    Flag("tlscacert", "", "Who may have signed the daemon's certificate", "string"),
    Flag("tlscert", "", "This client's certificate (default ~/.docker/cert.pem)", "string"),
    Flag("tlskey", "", "Its key (default ~/.docker/key.pem)", "string"),
    Flag("tlsverify", "", "Use TLS and verify the daemon"),
    Flag("version", "v", "Print the version and quit"),
    # Docker's, which scripts pass: they change nothing here.
    Flag("debug", "D", hidden=True),
    Flag("log-level", "l", metavar="string", hidden=True),
)


def run_program(argv: Sequence[str]) -> int:
    """Run one command line; the exit code. Nothing escapes but bugs."""
    context = Context()
    try:
        return _dispatch(context, argv)
    except UsageError as error:
        _explain(error)
        return error.code
    except CliError as error:
        if error.message:
            complain(error.message)
        return error.code
    except engine_error() as error:
        err_line(told(error))
        return FAILED
    except BrokenPipeError:
        return _die_of_broken_pipe()
    except KeyboardInterrupt:
        return 130
    finally:
        context.close()


def _dispatch(context: Context, argv: Sequence[str]) -> int:
    options = parse(GLOBAL_FLAGS, argv, interspersed=False)
    context.host = options.text("host") or None
    context.options = options
    if options.switch("version"):
        from wherry import __version__

        out_line(f"Wherry version {__version__}")
        return 0
    words = options.arguments
    if options.switch("help") or not words or words == ["help"]:
        from wherry.cli.usage import program_usage

        out_line(program_usage(COMMANDS, GROUPS, GLOBAL_FLAGS, NOT_YET))
        return 0
    if words[0] == "help":
        words = [*words[1:], "--help"]
    group = words[0] in GROUPS and words[0] not in COMMANDS
    if group and (not words[1:] or words[1] in ("--help", "-h")):
        from wherry.cli.usage import group_usage

        out_line(group_usage(words[0], GROUPS[words[0]], COMMANDS))
        return 0
    return _run_command(context, words)


def _run_command(context: Context, words: list[str]) -> int:
    name, target, rest = resolve(words)
    command = find_command(target)
    if command.passed_on and rest[:1] != ["--"]:
        rest = ["--", *rest]
    try:
        parsed = parse(command.flags, rest, interspersed=command.interspersed)
        if parsed.switch("help"):
            from wherry.cli.usage import command_usage

            out_line(command_usage(command, aliases(target)))
            return 0
        command.check_arguments(name, len(parsed.arguments))
    except UsageError as error:
        error.command = command
        error.code = error.code if command.usage_code is None else command.usage_code
        raise
    return command.run(context, parsed)


def resolve(words: list[str]) -> tuple[str, str, list[str]]:
    """The name as typed, the command it means, and the words after it.

    Raises CliError for a name that is no command, with the one that was probably meant.
    """
    first, *rest = words
    if rest and rest[0] in GROUPS.get(first, ()):
        return f"{first} {rest[0]}", GROUPS[first][rest[0]], rest[1:]
    if first in COMMANDS or first in HIDDEN:
        return first, first, rest
    if first not in GROUPS:
        raise _unknown(first, [*COMMANDS, *GROUPS])
    raise _unknown(" ".join(words[:2]), [f"{first} {name}" for name in GROUPS[first]])


def _unknown(name: str, known: list[str]) -> CliError:
    if name in NOT_YET or name.partition(" ")[2] in NOT_YET:
        return CliError(f"'wherry {name}' is not supported yet", CLI_FAILED)
    from wherry.cli.nearness import nearest

    close = nearest(name, known)
    hint = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
    group = f"{name.partition(' ')[0]} " if " " in name else ""
    problem = f"unknown command: wherry {name}{hint}"
    return CliError(f"{problem}\n\nRun 'wherry {group}--help' for more information")


def aliases(target: str) -> list[str]:
    """All the names that the command `target` has, itself the first."""
    names = [
        f"{group} {name}"
        for group, members in GROUPS.items()
        for name, member in members.items()
        if member == target and f"{group} {name}" != target
    ]
    return [target, *names]


def find_command(name: str) -> Command:
    """The declaration behind a name of `COMMANDS`; imports its module."""
    module_name, attribute, _ = COMMANDS.get(name) or HIDDEN[name]
    module = __import__(f"wherry.cli.commands.{module_name}", fromlist=[attribute])
    command = getattr(module, attribute)
    assert isinstance(command, Command)
    return command


def _explain(error: UsageError) -> None:
    complain(error.message)
    if error.command is None:
        err_line("\nUsage:  wherry [OPTIONS] COMMAND\n\nRun 'wherry --help' for more information")
        return
    name = " ".join(word for word in error.command.usage.split() if word.islower())
    err_line(f"\nUsage:  {error.command.usage}\n\nRun '{name} --help' for more information")


def _die_of_broken_pipe() -> int:
    """End as a program ends whose reader went away, so that pipelines see what they expect."""
    import signal

    # What is still buffered has nobody to go to, and must not be tried again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return 128 + signal.SIGPIPE
