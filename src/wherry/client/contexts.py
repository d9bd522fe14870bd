"""The docker CLI's contexts: named daemons, below `~/.docker/contexts`.

meta/<SHA-256 of the name>/meta.json          Endpoints.docker: Host, SkipTLSVerify
tls/<SHA-256 of the name>/docker/{ca,cert,key}.pem
"""

from __future__ import annotations

import os

from wherry.client.address import Wanted, parse_address
from wherry.client.jsontext import loads
from wherry.client.remote import SshAddress, TcpAddress, TlsFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.client.address import Address


def current_context(config: bytes, path: str) -> str:
    """The name that the docker CLI's configuration, the file at `path`, says; "" for none."""
    name = _object(config, path).get("currentContext")
    return name if isinstance(name, str) else ""


def context_address(name: str, folder: str) -> Address:
    """The address of a context of this folder. Raises ValueError if it isn't there, or is bad."""
    from hashlib import sha256

    key = sha256(name.encode()).hexdigest()
    path = f"{folder}/contexts/meta/{key}/meta.json"
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ValueError(
            f'context "{name}": context not found: open {path}: {error.strerror}'
        ) from error
    endpoints = _object(text, path).get("Endpoints")
    endpoint = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = endpoint.get("Host") if isinstance(endpoint, dict) else None
    if not isinstance(host, str) or not host:
        raise ValueError(f'context "{name}" names no docker endpoint ({path})')
    if host.partition("://")[0] not in ("tcp", "http", "https", "ssh"):
        return parse_address(host, Wanted(), {})
    if host.startswith("ssh://"):
        return SshAddress.parse(host)
    skips = bool(endpoint.get("SkipTLSVerify")) if isinstance(endpoint, dict) else False
    return TcpAddress.parse(host, _tls(f"{folder}/contexts/tls/{key}/docker", skips))


def _tls(folder: str, skips: bool) -> TlsFiles | None:
    files = {
        name: path if os.path.exists(path := f"{folder}/{name}.pem") else ""
        for name in ("ca", "cert", "key")
    }
    if not skips and not any(files.values()):
        return None
    return TlsFiles(**files, verify=not skips)


def _object(text: bytes, path: str) -> dict[str, Any]:
    try:
        found = loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no JSON object")
    return found
