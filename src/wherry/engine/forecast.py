"""What the next container will probably be like, for the launcher to prepare."""

from wherry.engine.host import Host
from wherry.engine.model import CreateRequest
from wherry.engine.runtime_spec import build
from wherry.engine.settings import Settings
from wherry.engine.settling import settle
from wherry.spec.image import RunConfig
from wherry.spec.runtime import Spec

_NOBODY = "0" * 12


def usual_container(host: Host, settings: Settings) -> Spec:
    """The parts of a spec that a `run` without flags has, whatever the image."""
    request = CreateRequest(cmd=["true"])
    settled = settle(request, RunConfig(), _NOBODY, host, settings)
    plan = build.Plan(
        id=_NOBODY,
        config=settled.config,
        host_config=settled.host_config,
        host=host,
        hostname=settled.hostname,
        planned=settled.planned,
        cgroup_parent=settings.cgroup_parent,
    )
    spec = build.build(plan, lambda container, kind: f"/proc/{container}/ns/{kind}")
    linux = spec["linux"]
    return {
        "mounts": spec["mounts"],
        "linux": {
            "namespaces": linux["namespaces"],
            "sysctl": linux["sysctl"],
            "devices": linux["devices"],
            "maskedPaths": linux["maskedPaths"],
            "readonlyPaths": linux["readonlyPaths"],
        },
    }
