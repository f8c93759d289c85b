"""Hours of single-lead ECG prepared per CPU-second, from WFDB records on disk (256 Hz) to a store (128 Hz).

    python -m benchmarks.prepare [HOURS] [WORKERS]

Writes one-hour records of format 16 into a temporary folder (1.8 MB an hour, and as much for the store), prepares
them, and counts the CPU time of this process and its workers: reading, gate, resampling, filter, writing, hashing.
"all" includes the start of the workers (imports); "each more hour" is the difference to a preparation of a few records.
"""

import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy
import wfdb

from ecgjax.data.prepare import Preparation, prepare
from ecgjax.datasets import wfdb as reader

RATE_HZ = 256
FEW = 4


def made_ecg(seed: int, duration_s: float = 3600, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Plausible, in mV: beats of slowly varying distance, wander, noise, 5 uV resolution."""
    rng, most = np.random.default_rng(seed), int(duration_s / 0.85 * 1.2)
    time_s = np.arange(-rate_hz // 4, rate_hz // 2) / rate_hz
    beat = np.exp(-((time_s / 0.012) ** 2)) + 0.25 * np.exp(-(((time_s - 0.25) / 0.05) ** 2))
    ecg_T = np.zeros(round(duration_s * rate_hz))
    at_s = np.cumsum(0.85 + 0.1 * np.sin(np.arange(most) / 40 + seed) + 0.02 * rng.standard_normal(most))
    for start in (at_s[at_s < duration_s - 2] * rate_hz).astype(int):
        ecg_T[start : start + len(beat)] += beat
    wander = 0.2 * np.sin(np.arange(len(ecg_T)) / rate_hz * 1.5)
    return np.round((ecg_T + wander + 0.02 * rng.standard_normal(len(ecg_T))) * 200) / 200


def write_records(folder: Path, hours: int) -> None:
    variants = [made_ecg(seed) for seed in range(4)]
    for i in range(hours):
        wfdb.wrsamp(
            f"r{i:04d}",
            fs=RATE_HZ,
            units=["mV"],
            sig_name=["II"],
            p_signal=variants[i % 4][:, None],
            fmt=["16"],
            adc_gain=[200],
            baseline=[0],
            write_dir=str(folder),
        )


def cpu_s() -> float:
    return sum(
        u.ru_utime + u.ru_stime
        for u in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def measure(records: Path, store: Path, workers: int) -> tuple[float, float]:
    cpu, wall = cpu_s(), time.perf_counter()
    prepare(Preparation(dataset=reader.Config(root=str(records)), workers=workers), store)
    return cpu_s() - cpu, time.perf_counter() - wall


def main(hours: int = 200, workers: int = 0) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        few, many = Path(scratch) / "few", Path(scratch) / "many"
        for folder, count in ((few, FEW), (many, hours)):
            folder.mkdir()
            write_records(folder, count)
        measure(few, Path(scratch) / "warm_store", workers=1)  # this process imports what it needs
        few_cpu_s, _ = measure(few, Path(scratch) / "few_store", workers)
        many_cpu_s, wall_s = measure(many, Path(scratch) / "many_store", workers)
    peak = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"{hours} records of 1 h, {RATE_HZ} Hz, WFDB format 16, workers={workers or 'one a core'}")
    print(f"all:            {hours / many_cpu_s:6.1f} hours per CPU-second ({many_cpu_s:.1f} CPU-s, {wall_s:.1f} s)")
    print(f"each more hour: {(hours - FEW) / (many_cpu_s - few_cpu_s):6.1f} hours per CPU-second")
    print(f"peak memory: {peak[0]:.0f} MiB this process, {peak[1]:.0f} MiB the largest worker")
    print(
        f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, {platform.machine()}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
