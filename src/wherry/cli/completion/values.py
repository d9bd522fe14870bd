"""What an argument or an option's value may be: fixed words, files, or what the daemon has."""

from __future__ import annotations

from wherry.cli.errors import CliError, engine_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.cli.command import Context

FILES, DIRECTORIES = ":files", ":directories"
CONTAINERS, RUNNING, STOPPED, IMAGES = ":containers", ":running", ":stopped", ":images"

# What a command's arguments are, the last of them standing for all that follow.
ARGUMENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "attach": ((RUNNING,), ()),
    "build": ((DIRECTORIES,), ()),
    "completion": (("bash", "fish", "zsh"), ()),
    "container inspect": ((CONTAINERS,),),
    "create": ((IMAGES,), (FILES,)),
    "history": ((IMAGES,), ()),
    "image inspect": ((IMAGES,),),
    "images": ((IMAGES,), ()),
    "import": ((FILES,), ()),
    "inspect": ((CONTAINERS, IMAGES),),
    "kill": ((RUNNING,),),
    "logs": ((CONTAINERS,), ()),
    "rename": ((CONTAINERS,), ()),
    "restart": ((CONTAINERS,),),
    "rm": ((CONTAINERS,),),
    "rmi": ((IMAGES,),),
    "run": ((IMAGES,), (FILES,)),
    "save": ((IMAGES,),),
    "start": ((STOPPED,),),
    "stop": ((RUNNING,),),
    "system migrate-storage": (("erofs", "native", "overlay"), ()),
    "tag": ((IMAGES,), ()),
    "wait": ((CONTAINERS,),),
}

_SIGNALS = ("HUP", "INT", "KILL", "QUIT", "STOP", "TERM", "USR1", "USR2", "WINCH")
_FORMATS = ("json", "table")

# What an option's values are, wherever it means the same.
OPTIONS: dict[str, tuple[str, ...]] = {
    "attach": ("stdin", "stdout", "stderr"),
    "cgroupns": ("host", "private"),
    "cidfile": (FILES,),
    "data-root": (DIRECTORIES,),
    "device": (FILES,),
    "env-file": (FILES,),
    "format": _FORMATS,
    "iidfile": (FILES,),
    "input": (FILES,),
    "ipc": ("host", "none", "private", "shareable"),
    "label-file": (FILES,),
    "log-driver": ("json-file", "none"),
    "metadata-file": (FILES,),
    "network": ("host", "none"),
    "output": (FILES,),
    "pid": ("host",),
    "progress": ("auto", "plain", "quiet", "rawjson", "tty"),
    "pull": ("always", "missing", "never"),
    "restart": ("always", "no", "on-failure", "unless-stopped"),
    "signal": _SIGNALS,
    "stop-signal": _SIGNALS,
    "type": ("container", "image"),
    "userns": ("host",),
    "uts": ("host",),
    "volume": (FILES,),
    "volumes-from": (CONTAINERS,),
}
# Where a command's option means something of its own.
OWN_OPTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("build", "file"): (FILES,),
    ("build", "pull"): (),
    ("inspect", "format"): ("json",),
    ("container inspect", "format"): ("json",),
    ("image inspect", "format"): ("json",),
    ("events", "format"): ("json",),
    ("info", "format"): ("json",),
    ("version", "format"): ("json",),
    ("system check", "format"): ("json",),
}

FILTERS: dict[str, dict[str, tuple[str, ...]]] = {
    "ps": {
        "ancestor": (IMAGES,),
        "before": (CONTAINERS,),
        "exited": (),
        "id": (),
        "label": (),
        "name": (CONTAINERS,),
        "network": ("host", "none"),
        "since": (CONTAINERS,),
        "status": ("created", "dead", "exited", "paused", "removing", "restarting", "running"),
    },
    "images": {
        "before": (IMAGES,),
        "dangling": ("false", "true"),
        "label": (),
        "reference": (IMAGES,),
        "since": (IMAGES,),
        "until": (),
    },
    "events": {
        "container": (CONTAINERS,),
        "event": (
            "attach", "create", "delete", "destroy", "detach", "die", "import", "kill", "load",
            "oom", "prune", "rename", "resize", "restart", "save", "start", "stop", "tag", "untag",
        ),
        "image": (IMAGES,),
        "label": (),
        "scope": ("local",),
        "type": ("builder", "container", "daemon", "image", "network", "volume"),
    },
    "builder ls": {
        "description": (), "id": (), "inuse": ("false", "true"), "shared": ("false", "true"),
        "type": ("exec.cachemount", "regular", "source.local"),
    },
    "builder prune": {"id": (), "inuse": ("false", "true"), "type": (), "until": ()},
}  # fmt: skip


def expand(context: Context, kinds: Iterable[str]) -> list[str]:
    """The candidates of these kinds; what the daemon is not there to say is left out."""
    found: list[str] = []
    for kind in kinds:
        if kind in (CONTAINERS, RUNNING, STOPPED):
            found += _asked(context, kind)
        elif kind == IMAGES:
            found += _asked(context, IMAGES)
        else:
            found.append(kind)
    return found


def _asked(context: Context, kind: str) -> list[str]:
    try:
        return _images(context) if kind == IMAGES else _containers(context, kind)
    except (CliError, engine_error()):
        return []


def _containers(context: Context, kind: str) -> list[str]:
    filters = {"status": ["created", "exited"]} if kind == STOPPED else None
    summaries = context.client.containers(kind != RUNNING, filters=filters)
    return [
        f"{name.removeprefix('/')}\t{summary['Image']}, {summary['Status']}"
        for summary in summaries
        for name in (summary["Names"] or [])[:1]
    ]


def _images(context: Context) -> list[str]:
    names = {name for image in context.client.images() for name in image["RepoTags"] or []}
    return sorted(name for name in names if "<none>" not in name)
