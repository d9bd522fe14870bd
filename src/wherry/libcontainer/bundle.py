"""Reading a container's config.json (OCI runtime, bundle.md)."""

import json

from wherry import errdefs
from wherry.spec.runtime import Spec


def read_spec(path: str) -> Spec:
    """The specification in the file. Raises InvalidArgument if it is not one that can be run."""
    try:
        with open(path, "rb") as file:
            spec: Spec = json.load(file)
    except OSError as error:
        raise errdefs.from_os_error("reading the bundle", error) from error
    except ValueError as error:
        raise errdefs.invalid(f"{path} is not JSON: {error}") from error
    if not spec.get("process", {}).get("args") or "cgroupsPath" not in spec.get("linux", {}):
        raise errdefs.invalid(f"{path} lacks process.args or linux.cgroupsPath")
    return spec
