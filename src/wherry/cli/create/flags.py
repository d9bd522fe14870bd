"""The options of `wherry run` and `wherry create`: Docker's, whole, whether supported yet or not.

What the command line can say in the Engine API's words it sends, and the daemon honours it or
refuses it by name. `refused` are those that have no words there, or none that mean anything here.
"""

from __future__ import annotations

from wherry.cli.create.values import (
    blkio_weight,
    device_rate,
    device_rule,
    extra_host,
    key_value,
    named,
    security_option,
    stream,
    ulimit,
)
from wherry.cli.flags import Flag, integer
from wherry.cli.units import read_cpus, read_duration, read_size, read_swap

PROCESS = (
    Flag("attach", "a", "Attach to STDIN, STDOUT or STDERR", "list", many=True, convert=stream),
    Flag("domainname", "", "Container NIS domain name", "string"),
    Flag("entrypoint", "", "Overwrite the default ENTRYPOINT of the image", "string"),
    Flag("env", "e", "Set environment variables", "list", many=True, convert=named),
    Flag("env-file", "", "Read in a file of environment variables", "list", many=True),
    Flag("group-add", "", "Add additional groups to join", "list", many=True),
    Flag("hostname", "h", "Container host name", "string"),
    Flag(
        "init",
        "",
        "Run an init inside the container that forwards signals and reaps processes",
        later=True,
    ),
    Flag("interactive", "i", "Keep STDIN open even if not attached"),
    Flag("stop-signal", "", "Signal to stop the container", "string"),
    Flag("stop-timeout", "", "Seconds to wait before killing it", "int", convert=integer),
    Flag("tty", "t", "Allocate a pseudo-TTY"),
    Flag("user", "u", "User name or number, and group: <name|uid>[:<group|gid>]", "string"),
    Flag("workdir", "w", "Working directory inside the container", "string"),
)

IDENTITY = (
    Flag("annotation", "", "Add an annotation, passed to the runtime", "map", many=True),
    Flag("cidfile", "", "Write the container ID to the file", "string"),
    Flag("label", "l", "Set meta data on a container", "list", many=True, convert=named),
    Flag("label-file", "", "Read in a line delimited file of labels", "list", many=True),
    Flag("name", "", "Assign a name to the container", "string"),
    Flag("platform", "", "The image's platform, where there are several", "string"),
    Flag("pull", "", "Pull the image before: always, missing or never", "string",
         default="missing"),
    Flag("quiet", "q", "Suppress the pull output"),
    Flag("restart", "", "When to restart the container after it has ended", "string", later=True),
    Flag("rm", "", "Remove the container and its anonymous volumes when it has ended"),
    Flag("runtime", "", "Runtime to use for this container", "string"),
    Flag("log-driver", "", "Logging driver for the container", "string"),
    Flag("log-opt", "", "Log driver options", "list", many=True, convert=key_value),
)  # fmt: skip

STORAGE = (
    Flag("mount", "", "Attach a filesystem mount to the container", "mount", many=True),
    Flag("read-only", "", "Mount the container's root filesystem as read only"),
    Flag("shm-size", "", "Size of /dev/shm", "bytes", convert=read_size),
    Flag(
        "storage-opt",
        "",
        "Storage driver options",
        "list",
        many=True,
        convert=key_value,
        later=True,
    ),
    Flag("tmpfs", "", "Mount a tmpfs directory", "list", many=True),
    Flag("volume", "v", "Bind mount a path or a volume", "list", many=True),
    Flag("volume-driver", "", "Volume driver for the container", "string"),
    Flag("volumes-from", "", "Mount volumes from these containers", "list", many=True, later=True),
)

ISOLATION = (
    Flag("cap-add", "", "Add Linux capabilities", "list", many=True),
    Flag("cap-drop", "", "Drop Linux capabilities", "list", many=True),
    Flag("cgroup-parent", "", "Parent cgroup for the container", "string"),
    Flag("cgroupns", "", "Cgroup namespace to use: host or private", "string"),
    Flag("device", "", "Add a host device to the container", "list", many=True),
    Flag(
        "device-cgroup-rule",
        "",
        "Add a rule to the allowed devices",
        "list",
        many=True,
        convert=device_rule,
    ),
    Flag("ipc", "", "IPC mode to use", "string"),
    Flag("pid", "", "PID namespace to use", "string"),
    Flag("privileged", "", "Give extended privileges to this container"),
    Flag("security-opt", "", "Security options", "list", many=True, convert=security_option),
    Flag("sysctl", "", "Sysctl options", "map", many=True, convert=key_value),
    Flag("userns", "", "User namespace to use", "string"),
    Flag("uts", "", "UTS namespace to use", "string"),
)

RESOURCES = (
    Flag("blkio-weight", "", "Block IO weight, 10 to 1000, or 0 to disable", "uint16",
         convert=integer),
    Flag("blkio-weight-device", "", "Block IO weight of a device", "list", many=True,
         convert=blkio_weight),
    Flag("cpu-period", "", "CPU CFS period in microseconds", "int", convert=integer),
    Flag("cpu-quota", "", "CPU CFS quota in microseconds", "int", convert=integer),
    Flag("cpu-rt-period", "", "CPU real-time period in microseconds", "int", convert=integer,
         later=True),
    Flag("cpu-rt-runtime", "", "CPU real-time runtime in microseconds", "int", convert=integer,
         later=True),
    Flag("cpu-shares", "c", "CPU shares (relative weight)", "int", convert=integer),
    Flag("cpus", "", "Number of CPUs", "decimal", convert=read_cpus),
    Flag("cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)", "string"),
    Flag("cpuset-mems", "", "Memory nodes in which to allow execution (0-3, 0,1)", "string"),
    Flag("device-read-bps", "", "Limit bytes read per second, device:rate", "list", many=True,
         convert=device_rate),
    Flag("device-read-iops", "", "Limit reads per second, device:rate", "list", many=True,
         convert=device_rate),
    Flag("device-write-bps", "", "Limit bytes written per second, device:rate", "list", many=True,
         convert=device_rate),
    Flag("device-write-iops", "", "Limit writes per second, device:rate", "list", many=True,
         convert=device_rate),
    Flag("memory", "m", "Memory limit", "bytes", convert=read_size),
    Flag("memory-reservation", "", "Memory soft limit", "bytes", convert=read_size),
    Flag("memory-swap", "", "Memory and swap together; -1 for unlimited swap", "bytes",
         convert=read_swap),
    Flag("memory-swappiness", "", "Memory swappiness, 0 to 100", "int", convert=integer),
    Flag("oom-kill-disable", "", "Disable the OOM killer"),
    Flag("oom-score-adj", "", "The host's OOM preference, -1000 to 1000", "int", convert=integer),
    Flag("pids-limit", "", "Limit of processes, -1 for unlimited", "int", convert=integer),
    Flag("ulimit", "", "Resource limit, name=soft[:hard]", "ulimit", many=True, convert=ulimit),
)  # fmt: skip

NETWORK = (
    Flag("add-host", "", "Add a host name, host:ip", "list", many=True, convert=extra_host),
    Flag("dns", "", "Set custom DNS servers", "list", many=True),
    Flag("dns-opt", "", "", "list", many=True, hidden=True, target="dns-option"),
    Flag("dns-option", "", "Set DNS options", "list", many=True),
    Flag("dns-search", "", "Set custom DNS search domains", "list", many=True),
    Flag("expose", "", "Expose a port or a range of ports", "list", many=True),
    Flag("ip", "", "IPv4 address", "string", later=True),
    Flag("ip6", "", "IPv6 address", "string", later=True),
    Flag("link", "", "Add link to another container", "list", many=True, later=True),
    Flag("link-local-ip", "", "Container link-local addresses", "list", many=True, later=True),
    Flag("mac-address", "", "Container MAC address", "string", later=True),
    Flag("net", "", "", "network", many=True, hidden=True, target="network"),
    Flag("net-alias", "", "", "list", many=True, hidden=True, target="network-alias"),
    Flag("network", "", "Connect the container to a network", "network", many=True),
    Flag(
        "network-alias",
        "",
        "Add a name of the container on its network",
        "list",
        many=True,
        later=True,
    ),
    Flag("publish", "p", "Publish a container's ports to the host", "list", many=True, later=True),
    Flag("publish-all", "P", "Publish all exposed ports to random ports", later=True),
)

HEALTH = (
    Flag("health-cmd", "", "Command to run to check health", "string", later=True),
    Flag("health-interval", "", "Time between checks", "duration", convert=read_duration,
         later=True),
    Flag("health-retries", "", "Failures in a row to be unhealthy", "int", convert=integer,
         later=True),
    Flag("health-start-interval", "", "Time between checks while starting", "duration",
         convert=read_duration, later=True),
    Flag("health-start-period", "", "Time to start in before failures count", "duration",
         convert=read_duration, later=True),
    Flag("health-timeout", "", "Longest time of one check", "duration", convert=read_duration,
         later=True),
    Flag("no-healthcheck", "", "Disable the image's HEALTHCHECK"),
)  # fmt: skip

ELSEWHERE = (
    Flag("cpu-count", metavar="int", refused="it is for Windows only"),
    Flag("cpu-percent", metavar="int", refused="it is for Windows only"),
    Flag("disable-content-trust", hidden=True),
    Flag("gpus", metavar="gpu-request", refused="--device passes a device on"),
    Flag("io-maxbandwidth", metavar="bytes", refused="it is for Windows only"),
    Flag("io-maxiops", metavar="uint", refused="it is for Windows only"),
    Flag("isolation", metavar="string", refused="it is for Windows only"),
    Flag("kernel-memory", metavar="bytes", hidden=True),
    Flag("use-api-socket", refused="-v passes the socket on"),
)

CREATE_FLAGS = (
    *PROCESS, *IDENTITY, *STORAGE, *ISOLATION, *RESOURCES, *NETWORK, *HEALTH, *ELSEWHERE
)  # fmt: skip

RUN_FLAGS = (
    *CREATE_FLAGS,
    Flag("detach", "d", "Run container in background and print container ID"),
    Flag("detach-keys", "", "The key sequence that detaches", "string"),
    Flag("sig-proxy", "", "Pass signals on to the process", default=True),
)
