"""Reading a bundle: the folder that holds a container's config.json (OCI runtime, bundle.md)."""

import json

from wherry import errdefs
from wherry.spec.runtime import Spec


def read_spec(bundle: str) -> Spec:
    """The specification in `bundle`. Raises InvalidArgument if it is not one that can be run."""
    try:
        with open(f"{bundle}/config.json", "rb") as file:
            spec: Spec = json.load(file)
    except OSError as error:
        raise errdefs.from_os_error("reading the bundle", error) from error
    except ValueError as error:
        raise errdefs.invalid(f"{bundle}/config.json is not JSON: {error}") from error
    if not spec.get("process", {}).get("args") or "cgroupsPath" not in spec.get("linux", {}):
        raise errdefs.invalid(f"{bundle}/config.json lacks process.args or linux.cgroupsPath")
    return spec
