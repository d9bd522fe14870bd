"""`python3 -m venv FOLDER`, also where the distribution has left out what that needs.

Debian keeps ensurepip in a package of its own (python3-venv). Without it pip is fetched from PyPI:
this one version, these bytes.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path

PIP = "pip-26.3-py3-none-any.whl"
PIP_URL = "https://files.pythonhosted.org/packages/07/25/ee8c38ae72d66b844ce8eb9711ba905dba21ca1a8a0c960057c41cd23337/pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


def main(folder: str) -> None:
    has_pip = importlib.util.find_spec("ensurepip") is not None
    venv.EnvBuilder(with_pip=has_pip, symlinks=True).create(folder)
    if not has_pip:
        with tempfile.TemporaryDirectory() as scratch:
            wheel = fetch_pip(Path(scratch))
            python = Path(folder, "bin", "python")
            # A wheel is a zip file, which Python runs as it is.
            install = [python, wheel / "pip", "install", "--quiet", "--no-index", wheel]
            subprocess.run(install, check=True)


def fetch_pip(folder: Path) -> Path:
    with urllib.request.urlopen(PIP_URL, timeout=60) as answer:
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != PIP_SHA256:
        sys.exit(f"make_venv: {PIP_URL} is not what it was; install Debian's python3-venv instead")
    wheel = folder / PIP
    wheel.write_bytes(data)
    return wheel


if __name__ == "__main__":
    main(sys.argv[1])
