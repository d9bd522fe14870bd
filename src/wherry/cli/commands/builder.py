"""`wherry builder ls` and `wherry builder prune`: what builds leave for the next."""

from __future__ import annotations

from wherry.cli.command import Command, Context
from wherry.cli.errors import CLI_FAILED, CliError
from wherry.cli.flags import FILTER, FORMAT_HELP, Flag, Parsed, filter_pair, filters_of
from wherry.cli.listing import print_rows
from wherry.cli.output import out, out_line
from wherry.cli.terminal import is_terminal
from wherry.cli.timestamps import seconds_since
from wherry.cli.units import human_duration, human_size, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.listing import Row
    from wherry.client.building import CacheEntry

_COLUMNS = ("ID", "Type", "Size", "LastUsedSince", "UsageCount", "Description")
_HEADERS = {
    "ID": "ID",
    "Type": "TYPE",
    "Size": "SIZE",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "LastUsedAt": "LAST USED AT",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "InUse": "IN USE",
    "Shared": "SHARED",
    "Parents": "PARENTS",
    "Description": "DESCRIPTION",
}
_WIDTH = 50


def _list(context: Context, parsed: Parsed) -> int:
    entries = context.client.build_cache()
    wanted = filters_of(parsed.texts("filter"))
    entries = [entry for entry in entries if _matches(entry, wanted)]
    whole = parsed.switch("no-trunc")
    if parsed.switch("quiet"):
        for entry in entries:
            out_line(entry["ID"] if whole else entry["ID"][:12])
        return 0
    print_rows([_row(entry, whole) for entry in entries], parsed.text("format"), _COLUMNS, _HEADERS)
    if not parsed.text("format"):
        reclaimable = sum(
            entry["Size"] for entry in entries if not entry["InUse"] and not entry["Shared"]
        )
        total = sum(entry["Size"] for entry in entries)
        out_line(f"\nTotal: {human_size(total)}, {human_size(reclaimable)} can be reclaimed")
    return 0


def _matches(entry: CacheEntry, wanted: dict[str, list[str]]) -> bool:
    facts = {
        "id": entry["ID"],
        "type": entry["Type"],
        "description": entry["Description"],
        "inuse": str(entry["InUse"]).lower(),
        "shared": str(entry["Shared"]).lower(),
    }
    for name, values in wanted.items():
        if name not in facts:
            known = ", ".join(facts)
            raise CliError(f"invalid filter {name!r} (there are {known})", CLI_FAILED)
        if not any(_agrees(name, facts[name], value) for value in values):
            return False
    return True


def _agrees(name: str, fact: str, value: str) -> bool:
    if name == "id":
        return fact.startswith(value)
    return value in fact if name == "description" else fact == value


def _row(entry: CacheEntry, whole: bool) -> Row:
    description = entry["Description"]
    if not whole and len(description) > _WIDTH:
        description = description[: _WIDTH - 1] + "…"
    return {
        "ID": lambda: entry["ID"] if whole else entry["ID"][:12],
        "Type": lambda: entry["Type"],
        "Size": lambda: human_size(entry["Size"], 3),
        "CreatedAt": lambda: entry["CreatedAt"],
        "CreatedSince": lambda: _since(entry["CreatedAt"]),
        "LastUsedAt": lambda: entry["LastUsedAt"] or "",
        "LastUsedSince": lambda: _since(entry["LastUsedAt"]),
        "UsageCount": lambda: entry["UsageCount"],
        "InUse": lambda: entry["InUse"],
        "Shared": lambda: entry["Shared"],
        "Parents": lambda: " ".join(entry["Parents"] or []),
        "Description": lambda: description,
    }


def _since(moment: str | None) -> str:
    if not moment:
        return "never"
    return f"{human_duration(seconds_since(moment))} ago"


def _prune(context: Context, parsed: Parsed) -> int:
    from wherry.client.calls import prune_build_cache

    if not parsed.switch("force") and not _agreed(parsed.switch("all")):
        return 0
    reserved = parsed.number("reserved-space") or parsed.number("keep-storage") or 0
    call = prune_build_cache(
        parsed.switch("all"),
        reserved,
        parsed.number("max-used-space") or 0,
        parsed.number("min-free-space") or 0,
        filters_of(parsed.texts("filter")),
    )
    pruned = context.client.prune_build_cache(call)
    for identity in pruned["CachesDeleted"] or []:
        out_line(identity)
    out_line(f"Total reclaimed space: {human_size(pruned['SpaceReclaimed'])}")
    return 0


def _agreed(everything: bool) -> bool:
    if not is_terminal(0):
        raise CliError("standard input is no terminal to ask on: --force prunes without asking")
    what = "all build cache" if everything else "all build cache that no image shares"
    out(f"WARNING! This will remove {what}. Are you sure you want to continue? [y/N] ")
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        return False


LS = Command(
    "wherry builder ls [OPTIONS]",
    "List what builds have left for the next",
    _list,
    flags=(
        FILTER,
        Flag("format", "", FORMAT_HELP, "string"),
        Flag("no-trunc", "", "Don't truncate output"),
        Flag("quiet", "q", "Only show IDs"),
    ),
    examples=(
        ("wherry builder ls", "steps' layers, and the folders of cache mounts"),
        ("wherry builder ls --filter type=exec.cachemount", "only the folders"),
    ),
)
PRUNE = Command(
    "wherry builder prune [OPTIONS]",
    "Remove what builds have left for the next",
    _prune,
    flags=(
        Flag("all", "a", "Also what an image shares, which frees nothing"),
        Flag("filter", "", FILTER.help, "filter", many=True, convert=filter_pair),
        Flag("force", "f", "Do not ask"),
        Flag("keep-storage", metavar="bytes", convert=read_size, hidden=True),
        Flag("max-used-space", "", "No more than so much is to stay", "bytes", convert=read_size),
        Flag("min-free-space", "", "So much is to be free on the disk", "bytes",
             convert=read_size),
        Flag("reserved-space", "", "So much may stay in any case", "bytes", convert=read_size),
    ),
    examples=(
        ("wherry builder prune -f --filter until=24h", "what was not used since yesterday"),
        ("wherry builder prune -f --max-used-space 5GB", "the longest unused, down to 5 GB"),
    ),
)  # fmt: skip
