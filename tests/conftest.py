"""What every test stands on: eight CPU devices, no silent broadcasting of ranks, and no reading of the user's setup."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# ECGJAX_TEST_PLATFORM=cuda runs the suite on a GPU; tests that need eight devices then skip themselves.
os.environ["JAX_PLATFORMS"] = os.environ.get("ECGJAX_TEST_PLATFORM", "cpu")
os.environ["MPLBACKEND"] = "agg"
# Most of the suite's time is compilation. The cache is for this user on this machine (programs compiled for another
# CPU may crash) and for this number of devices; delete it at will.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"ecgjax-jax-cache-{os.getuid()}"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax  # noqa: E402  (reads the environment above)

# Not by XLA_FLAGS: a subprocess shall start with one device, as a user's does, unless its test asks for more.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def run_module() -> Callable[..., subprocess.CompletedProcess]:
    """Runs `python -m MODULE ARGUMENTS` from the repository root, as a user does; `devices` fakes that many CPUs."""

    def run(module: str, *arguments: object, devices: int = 1, timeout_s: float = 300) -> subprocess.CompletedProcess:
        environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", module, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s)

    return run


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    if plt := sys.modules.get("matplotlib.pyplot"):
        plt.close("all")
