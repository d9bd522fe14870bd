"""What a template sees of a list, a map or a pointer that is null in JSON, or left out.

The stock command line reads documents into Go's structures, where nil knows its type: `{{.Binds}}`
is `[]`, `{{len .Volumes}}` is 0, and `{{if .State.Health}}` is no error on a container without one.
"""

from __future__ import annotations


class NilList(list[object]):
    """A null that is a list: empty, and null in JSON."""


class NilMap(dict[str, object]):
    """A null that is a map: empty, and null in JSON."""


class NoValue(NilMap):
    """What a map has of a key that isn't in it; and so have its own keys."""


NO_VALUE = NoValue()
_LIST = NilList()
_MAP = NilMap()

_LISTS = (
    "Aliases Args Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps "
    "BlkioDeviceWriteIOps BlkioWeightDevice CapAdd CapDrop Cmd DNSNames DeviceCgroupRules "
    "DeviceRequests Devices Dns DnsOptions DnsSearch Entrypoint Env ExecIDs ExtraHosts GroupAdd "
    "Layers Links MaskedPaths Mounts OnBuild ReadonlyPaths RepoDigests RepoTags SecurityOpt Shell "
    "Ulimits VolumesFrom"
)
_MAPS = (
    "Annotations Config Data DriverOpts ExposedPorts Labels Networks PortBindings Ports StorageOpt "
    "Sysctls Tmpfs Volumes"
)
# Members that are maps: people choose their keys, and one that isn't there is no mistake.
MAPS = frozenset(_MAPS.split()) - {"Config"} | {"Attributes"}
NULLS: dict[str, NilList | NilMap] = {
    **dict.fromkeys(_LISTS.split(), _LIST),
    **dict.fromkeys(_MAPS.split(), _MAP),
}
# What Go leaves out of JSON when it has nothing to say.
LEFT_OUT: dict[str, object] = {
    "Health": None, "Healthcheck": None, "SizeRw": None, "SizeRootFs": None, "Annotations": _MAP,
    "ImageManifestDescriptor": None, "Mounts": _LIST, "StopTimeout": None, "Shell": _LIST,
    "StorageOpt": _MAP, "Sysctls": _MAP, "Tmpfs": _MAP, "ExposedPorts": _MAP,
    "Variant": "", "OsVersion": "", "Author": "", "Comment": "", "Container": "", "Parent": "",
    "DockerVersion": "", "MacAddress": "", "NetworkDisabled": False, "ArgsEscaped": False,
    "StopSignal": "", "Descriptor": None, "Manifests": _LIST, "Init": None,
}  # fmt: skip
