"""No field of a create request is passed over in silence."""

import json

import msgspec
import pytest

from wherry.engine.fields import HONOURED, REFUSED, refuse_unsupported, refuse_zero_bytes
from wherry.engine.model import CreateRequest
from wherry.errdefs import EngineError, Kind

# What the stock CLI (28.2) sends for a plain `docker run busybox`.
PLAIN_RUN = """
{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,
"AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,
"Image":"busybox","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},
"HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},
"NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},
"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,
"CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,
"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"",
"Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"",
"UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"",
"BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],
"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,
"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],"DeviceCgroupRules":null,
"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":-1,
"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,
"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},
"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"Aliases":null,
"MacAddress":"","DriverOpts":null,"GwPriority":0,"NetworkID":"","EndpointID":"","Gateway":"",
"IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,
"DNSNames":null}}}}
"""


def request(**changes: object) -> CreateRequest:
    """A plain run's, with changes; `HostConfig` is changed, not replaced."""
    document = json.loads(PLAIN_RUN)
    document["HostConfig"].update(changes.pop("HostConfig", {}))
    document.update(changes)
    return msgspec.convert(document, CreateRequest)


@pytest.mark.parametrize("kind", list(HONOURED), ids=lambda kind: kind.__name__)
def test_every_field_is_in_exactly_one_table(kind: type[msgspec.Struct]) -> None:
    fields = set(kind.__struct_fields__)
    assert HONOURED[kind] | REFUSED[kind].keys() == fields
    assert not HONOURED[kind] & REFUSED[kind].keys()


def test_a_plain_run_is_accepted() -> None:
    refuse_unsupported(request())


@pytest.mark.parametrize(
    "accepted",
    [
        {"HostConfig": {"RestartPolicy": {"Name": "", "MaximumRetryCount": 0}}},
        {"HostConfig": {"Runtime": "runc", "Isolation": "default", "VolumeDriver": "local"}},
        {"HostConfig": {"Init": False, "KernelMemory": 0, "StorageOpt": {}}},
        {"Healthcheck": {"Test": ["NONE"]}},
        {"Healthcheck": {}},
        {"NetworkingConfig": {"EndpointsConfig": {"none": None}}},
        {"NetworkingConfig": {"EndpointsConfig": None}},
    ],
)
def test_values_that_ask_for_nothing_are_accepted(accepted: dict[str, object]) -> None:
    refuse_unsupported(request(**accepted))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"MacAddress": "02:42:ac:11:00:02"}, "MacAddress"),
        ({"Healthcheck": {"Test": ["CMD", "true"]}}, "Healthcheck"),
        ({"OnBuild": ["RUN true"]}, "OnBuild"),
        ({"HostConfig": {"RestartPolicy": {"Name": "always"}}}, "HostConfig.RestartPolicy"),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}}, "PortBindings"),
        ({"HostConfig": {"PublishAllPorts": True}}, "HostConfig.PublishAllPorts"),
        ({"HostConfig": {"Links": ["a:b"]}}, "HostConfig.Links"),
        ({"HostConfig": {"VolumesFrom": ["a"]}}, "HostConfig.VolumesFrom"),
        ({"HostConfig": {"VolumeDriver": "nfs"}}, "HostConfig.VolumeDriver"),
        ({"HostConfig": {"Init": True}}, "HostConfig.Init"),
        ({"HostConfig": {"StorageOpt": {"size": "1G"}}}, "HostConfig.StorageOpt"),
        ({"HostConfig": {"DeviceRequests": [{"Count": -1}]}}, "HostConfig.DeviceRequests"),
        ({"HostConfig": {"CpuRealtimeRuntime": 1}}, "HostConfig.CpuRealtimeRuntime"),
        ({"HostConfig": {"Isolation": "hyperv"}}, "HostConfig.Isolation"),
        ({"HostConfig": {"KernelMemory": 1}}, "HostConfig.KernelMemory"),
        ({"HostConfig": {"IOMaximumIOps": 1}}, "HostConfig.IOMaximumIOps"),
        (
            {"NetworkingConfig": {"EndpointsConfig": {"none": {"Aliases": ["web"]}}}},
            "NetworkingConfig.EndpointsConfig[none].Aliases",
        ),
    ],
)
def test_what_is_not_there_yet_is_refused_by_name(asked: dict[str, object], named: str) -> None:
    with pytest.raises(EngineError) as caught:
        refuse_unsupported(request(**asked))
    assert caught.value.kind is Kind.NOT_IMPLEMENTED
    assert named in caught.value.message


@pytest.mark.parametrize("asked", [{"RestartPolicy": {"Name": "maybe"}}, {"Runtime": "maybe"}])
def test_words_that_nobody_knows_are_invalid(asked: dict[str, object]) -> None:
    with pytest.raises(EngineError, match="maybe") as caught:
        refuse_unsupported(request(HostConfig=asked))
    assert caught.value.kind is Kind.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"Cmd": ["echo", "a\0b"]}, "Cmd[1]"),
        ({"WorkingDir": "/a\0"}, "WorkingDir"),
        ({"Hostname": "a\0b"}, "Hostname"),
        ({"User": "\0"}, "User"),
        ({"Labels": {"a\0": "b"}}, "Labels.a"),
        ({"HostConfig": {"Binds": ["/tmp\0:/x"]}}, "HostConfig.Binds[0]"),
        ({"HostConfig": {"CgroupParent": "/a\0"}}, "HostConfig.CgroupParent"),
        ({"HostConfig": {"Sysctls": {"net.a\0": "1"}}}, "HostConfig.Sysctls.net.a"),
        ({"HostConfig": {"MaskedPaths": ["/proc/keys\0x"]}}, "HostConfig.MaskedPaths[0]"),
        (
            {"HostConfig": {"Devices": [{"PathOnHost": "/dev/null\0"}]}},
            "HostConfig.Devices[0].PathOnHost",
        ),
    ],
)
def test_no_text_has_a_zero_byte(asked: dict[str, object], named: str) -> None:
    """The kernel would end the text there, wherever it was checked before."""
    with pytest.raises(EngineError) as caught:
        refuse_zero_bytes(request(**asked))
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert caught.value.message.startswith(named)


def test_text_without_zero_bytes_passes() -> None:
    refuse_zero_bytes(request(Cmd=["echo", "\\u0000", "\x01"], Env=["A="]))
