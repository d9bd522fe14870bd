"""Every limit once, by its OCI name: for asking whether a host has the controller and the file."""

from wherry.linux.cgroups.limits import v1_settings, v2_settings
from wherry.spec.runtime import Resources

_EVERY_V1: Resources = {
    "memory": {
        "limit": 1,
        "swap": 1,
        "reservation": 1,
        "swappiness": 1,
        "disableOOMKiller": True,
    },
    "cpu": {
        "shares": 2,
        "quota": 1,
        "period": 1,
        "burst": 1,
        "realtimeRuntime": 1,
        "realtimePeriod": 1,
        "cpus": "0",
        "mems": "0",
        "idle": 1,
    },
    "pids": {"limit": 1},
    "blockIO": {
        "weight": 10,
        "weightDevice": [{"major": 0, "minor": 0, "weight": 10}],
        "throttleReadBpsDevice": [{"major": 0, "minor": 0, "rate": 1}],
        "throttleWriteBpsDevice": [{"major": 0, "minor": 0, "rate": 1}],
        "throttleReadIOPSDevice": [{"major": 0, "minor": 0, "rate": 1}],
        "throttleWriteIOPSDevice": [{"major": 0, "minor": 0, "rate": 1}],
    },
}
_EVERY_V2: Resources = {
    "memory": {"limit": 1, "swap": 1, "reservation": 1},
    "cpu": {"shares": 2, "quota": 1, "burst": 1, "cpus": "0", "mems": "0", "idle": 1},
    "pids": {"limit": 1},
    "blockIO": _EVERY_V1["blockIO"],
}
V1_SAMPLES = {setting.limit: setting for setting in v1_settings(_EVERY_V1)}
V2_SAMPLES = {setting.limit: setting for setting in v2_settings(_EVERY_V2)}
V2_SAMPLES["cpu.period"] = V2_SAMPLES["cpu.quota"]
