"""The options of `wherry build`: those of `docker build` and of buildx, supported or not."""

from __future__ import annotations

from wherry.cli.create.values import extra_host, named, ulimit
from wherry.cli.flags import Flag, boolean, integer
from wherry.cli.units import read_size, read_swap

PROGRESS = ("auto", "plain", "tty", "json", "rawjson", "quiet")


def _progress(text: str) -> str:
    if text not in PROGRESS:
        raise ValueError("must be auto, plain, tty, json or quiet")
    return text


def _pair(text: str) -> str:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise ValueError("expected name=source")
    return text


def _none(text: str) -> str:
    """Attestations are not made, so asking for none is all that can be asked."""
    if boolean(text):
        raise ValueError("attestations are not supported yet, only false")
    return text


def _only_check(text: str) -> str:
    if text not in ("build", "check", "lint"):
        raise ValueError("must be build or check")
    return text


WHAT = (
    Flag("build-arg", "", "Set a build-time variable, its value from here if it has none", "list",
         many=True, convert=named),
    Flag("build-context", "", "A further context, name=PATH, name=URL or "
         "name=docker-image://IMAGE", "list", many=True, convert=_pair),
    Flag("call", metavar="string", convert=_only_check, hidden=True),
    Flag("check", "", "Check the Dockerfile instead of building"),
    Flag("file", "f", "The Dockerfile (default: PATH/Dockerfile); - for standard input", "path"),
    Flag("label", "", "Set meta data of the image", "list", many=True, convert=named),
    Flag("no-cache", "", "Do every step anew"),
    Flag("no-cache-filter", "", "Do these stages' steps anew", "stage,...", many=True),
    Flag("platform", "", "The image's platform, such as linux/arm64", "platform", many=True),
    Flag("pull", "", "Get the newest base images"),
    Flag("secret", "", "A secret for RUN --mount=type=secret: id=ID[,src=FILE|,env=VARIABLE]",
         "secret", many=True),
    Flag("ssh", "", "An ssh agent for RUN --mount=type=ssh: default or ID[=SOCKET]", "ssh",
         many=True),
    Flag("target", "", "The stage to build (default: the last)", "stage"),
)  # fmt: skip

RESULTS = (
    Flag("iidfile", "", "Write the image's ID to this file", "path"),
    Flag("load", hidden=True),
    Flag("metadata-file", "", "Write what there is to know of the result to this file", "path"),
    Flag("output", "o", "Where the result goes: FOLDER, - or type=local|tar|oci|docker|image|"
         "cacheonly[,dest=PATH] (default: an image)", "output", many=True),
    Flag("progress", "", "How progress is shown: auto, plain, tty, json or quiet", "form",
         convert=_progress, default="auto"),
    Flag("quiet", "q", "Print nothing but the image's ID"),
    Flag("tag", "t", "Name the image, name:tag", "name", many=True),
)  # fmt: skip

STEPS = (
    Flag("add-host", "", "Add a host name for steps, host:ip", "list", many=True,
         convert=extra_host),
    Flag("cgroup-parent", "", "The parent cgroup of steps", "path"),
    Flag("cpu-period", "", "Length of a CPU period, in microseconds", "int", convert=integer),
    Flag("cpu-quota", "", "CPU time in a period, in microseconds", "int", convert=integer),
    Flag("cpu-shares", "c", "Relative weight of CPU time", "int", convert=integer),
    Flag("cpuset-cpus", "", "CPUs to run steps on, such as 0-3,5", "string"),
    Flag("cpuset-mems", "", "Memory nodes for steps", "string"),
    Flag("memory", "m", "Memory limit of a step", "bytes", convert=read_size),
    Flag("memory-swap", "", "Memory and swap together; -1 for unlimited swap", "bytes",
         convert=read_swap),
    Flag("network", "", "The network of RUN: host or none", "string"),
    Flag("shm-size", "", "Size of /dev/shm", "bytes", convert=read_size),
    Flag("ulimit", "", "Resource limit of steps, name=soft[:hard]", "ulimit", many=True,
         convert=ulimit),
)  # fmt: skip

ELSEWHERE = (
    Flag("allow", metavar="list", refused="steps get no further rights"),
    Flag("annotation", metavar="list", refused="--label adds a label"),
    Flag("attest", metavar="list", refused="images have no attestations"),
    Flag("builder", metavar="string", refused="the daemon is the only builder"),
    # Ignored, with a warning: the cache is the engine's own.
    Flag("cache-from", metavar="list", many=True, hidden=True),
    Flag("cache-to", metavar="list", many=True, hidden=True),
    Flag("compress", hidden=True),
    Flag("disable-content-trust", hidden=True),
    Flag("force-rm", hidden=True),
    Flag("isolation", metavar="string", refused="it is for Windows only"),
    Flag("provenance", metavar="string", convert=_none, hidden=True),
    Flag("push", refused="wherry save writes an archive"),
    Flag("rm", hidden=True),
    Flag("sbom", metavar="string", convert=_none, hidden=True),
    Flag("security-opt", metavar="list", refused="steps have the default profiles"),
    Flag("squash", refused="COPY --from=STAGE / / has one layer of all"),
)

BUILD_FLAGS = (*WHAT, *RESULTS, *STEPS, *ELSEWHERE)
