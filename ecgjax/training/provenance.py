"""What made a result: command, commit, versions, machine."""

import datetime
import functools
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

_PACKAGES = ("ecgjax", "jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "neurokit2")


def environment() -> dict[str, str]:
    """Of this process. Devices are the caller's to add, and the commits of what it only reads."""
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:  # a checkout that was never installed
            continue
    return {
        "command": shlex.join(["python", "-m", _module(), *sys.argv[1:]]),
        "commit": commit(),
        "date": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "versions": ", ".join(versions),
    }


@functools.cache
def commit() -> str:
    """`git describe` of the code that runs; "unknown" outside a checkout.

    Asked once, early: the checkout may be another by the time a long run ends.
    """
    call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--tags"]
    try:
        return subprocess.run(call, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).name
