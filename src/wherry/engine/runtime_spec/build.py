"""Puts a container's `config.json` together."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from wherry import errdefs
from wherry.engine.host import Host
from wherry.engine.model import ContainerConfig, HostConfig
from wherry.engine.runtime_spec import devices, limits, mounts, namespaces, process, security
from wherry.engine.runtime_spec.mounts import Planned
from wherry.engine.runtime_spec.namespaces import NamespaceOf
from wherry.engine.runtime_spec.paths import check_length
from wherry.spec import runtime as oci

OCI_VERSION = "1.2.0"


@dataclass(frozen=True)
class Plan:
    """All that a spec depends on.

    `config` is merged with the image's and `host_config` settled: nothing in them is left open.
    `files` are (path inside, path on the host) of /etc/hosts and its kind.
    """

    id: str
    config: ContainerConfig
    host_config: HostConfig
    host: Host
    hostname: str
    planned: Planned
    files: Sequence[tuple[str, str]] = ()
    cgroup_parent: str = "/wherry"


def build(plan: Plan, namespace_of: NamespaceOf) -> oci.Spec:
    """The runtime specification that dockerd would write, for Wherry's runtime.

    Raises InvalidArgument for what can't be done, in Docker's words where Docker has any, and
    whatever `namespace_of` raises.
    """
    host_config = plan.host_config
    options = security.parse_options(host_config.security_opt, plan.host)
    bounding = security.capability_set(host_config, plan.host)
    running = process.process(plan.config, host_config, plan.hostname, plan.host)
    running["capabilities"] = {
        "bounding": bounding,
        "effective": bounding,
        "permitted": bounding,
    }
    running["noNewPrivileges"] = options.no_new_privileges
    spec: oci.Spec = {
        "ociVersion": OCI_VERSION,
        "process": running,
        "root": {"path": "rootfs", "readonly": host_config.readonly_rootfs},
        "mounts": mounts.all_mounts(host_config, plan.planned, plan.files),
        "linux": _linux(plan, options, bounding, namespace_of),
    }
    if namespaces.parse(host_config.uts_mode).kind != "host":
        spec["hostname"] = plan.hostname
        if plan.config.domainname:
            spec["domainname"] = plan.config.domainname
    if host_config.annotations:
        spec["annotations"] = dict(host_config.annotations)
    return spec


def _linux(
    plan: Plan, options: security.Options, bounding: list[str], namespace_of: NamespaceOf
) -> oci.Linux:
    host_config = plan.host_config
    resources = limits.resources(host_config, plan.host)
    nodes, resources["devices"] = devices.devices(host_config)
    masked, read_only = security.paths(host_config)
    linux: oci.Linux = {
        "sysctl": namespaces.sysctls(host_config),
        "resources": resources,
        "cgroupsPath": cgroup_path(host_config.cgroup_parent or plan.cgroup_parent, plan.id),
        "namespaces": namespaces.namespaces(host_config, namespace_of),
        "devices": nodes,
        "maskedPaths": masked,
        "readonlyPaths": read_only,
    }
    if plan.planned.propagation:
        linux["rootfsPropagation"] = plan.planned.propagation
    seccomp = security.seccomp(host_config, options, bounding)
    if seccomp is not None:
        linux["seccomp"] = seccomp
    return linux


def cgroup_path(parent: str, container_id: str) -> str:
    """Raises InvalidArgument for a parent that is no path of groups."""
    names = [name for name in parent.split("/") if name not in ("", ".")]
    if ".." in names:
        raise errdefs.invalid(f"cgroup parent {parent!r}: it must not climb upwards")
    if "\n" in parent:
        raise errdefs.invalid(f"cgroup parent {parent!r}: no group has a line break in its name")
    path = "/" + "/".join([*names, container_id])
    check_length("cgroup parent", path)
    return path


def encode(spec: oci.Spec) -> bytes:
    """The bytes of config.json."""
    return msgspec.json.encode(spec)
