"""Python processes that tests start; on Linux they end with the test run, even where that is killed."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PR_SET_PDEATHSIG = 1  # of prctl(2); kept across exec


def start(*arguments: object, **environment: str) -> subprocess.Popen:
    """`python ARGUMENTS` from the repository root, in the background."""
    command = [sys.executable, "-S", __file__, os.getpid(), *arguments]
    return subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def start_two(*arguments: object, **environment: str) -> list[subprocess.Popen]:
    """Two of the same, which JAX finds through the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [start(*arguments, JAX_PROCESS_ID=str(number), **environment) for number in range(2)]


def finish(processes: list[subprocess.Popen], timeout_s: float = 240) -> list[tuple[int, str, str]]:
    """[(exit code, stdout, stderr)]; never leaves one running."""
    try:
        said = [process.communicate(timeout=timeout_s) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


if __name__ == "__main__":
    # Not by Popen's preexec_fn: to fork a process that runs JAX's threads is not safe.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(sys.argv[1]):  # else it was killed before we asked
        os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
