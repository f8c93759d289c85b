"""Windows a second from a store to batches, beside PyTorch's DataLoader on the same windows and the bare memory copy.

    python -m benchmarks.pipeline                 # needs torch for the comparison: pip install -e ".[torch]"

A store of 40 generated recordings of half an hour, one lead at 128 Hz, is written to a temporary folder. Every round
draws shuffled batches of 256 windows of 1,280 float32 samples (overlapping by half) each way in turn; the rate is the
median over rounds, the ratio the median of each round's ratios. Pages are warm: it measures Python and memory.
"""

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgjax.config import Data
from ecgjax.data import pipeline
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.data.store import open_store
from ecgjax.data.windows import find_windows
from ecgjax.datasets import synthetic

BATCH, ROUNDS, SECONDS = 256, 7, 1.0


def write_store(folder: Path) -> Path:
    """Twenty hours of generated ECG."""
    prepare(Preparation(synthetic.Config(num_subjects=20, trials_per_subject=2, trial_s=1800.0)), folder)
    return folder


def grain_batches(gather: pipeline.Gather, order: pipeline.Order) -> Callable[[], int]:
    source = pipeline.TrainSource(gather, order, BATCH, 10**6)
    batches = pipeline.stream(source)
    return lambda: len(next(batches)["window"])


def torch_batches(rows: np.ndarray, array_NC: np.ndarray, workers: int) -> Callable[[], int]:
    import torch

    class Windows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return torch.from_numpy(np.array(array_NC[rows[i] : rows[i] + 1280])), -1

    def endless():
        loader = torch.utils.data.DataLoader(
            Windows(), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0, drop_last=True
        )
        while True:
            yield from loader

    batches = endless()
    return lambda: len(next(batches)[1])


def bare_copy(array_NC: np.ndarray) -> Callable[[], int]:
    block, out = array_NC[: BATCH * 1280], np.empty((BATCH * 1280, 1), np.float32)

    def copy() -> int:
        np.copyto(out, block)
        return BATCH

    return copy


def rate(take: Callable[[], int]) -> float:
    count, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < SECONDS:
        count += take()
    return count / elapsed


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store(write_store(Path(scratch) / "store"))
        data = Data(window_s=10.0)
        windows = find_windows([store], data, 5.0)
        gather = pipeline.make_gather([store], windows, data)
        order = pipeline.training_order(windows, np.arange(len(windows)), data, 0)
        rows, array_NC = windows.rows["ecg"], store.signals["ecg"]
        ways = {"ecgjax, through Grain": grain_batches(gather, order)}
        try:
            import torch

            ways |= {
                f"torch {torch.__version__} DataLoader, {w} workers": torch_batches(rows, array_NC, w) for w in (0, 2)
            }
        except ImportError:
            print("torch is not installed: no comparison with its DataLoader")
        ways["bare copy of a contiguous batch"] = bare_copy(np.asarray(array_NC))
        for take in ways.values():
            rate(take)  # warm-up: pages, threads, worker processes
        rounds = [{name: rate(take) for name, take in ways.items()} for _ in range(ROUNDS)]
    print(f"{len(windows):,} windows of 1,280 float32; numpy {np.__version__}, {platform.machine()}")
    first = next(iter(ways))
    for name in ways:
        ratio = statistics.median(r[first] / r[name] for r in rounds)
        print(f"{name:42} {statistics.median(r[name] for r in rounds):>12,.0f} windows/s   {ratio:6.2f} x to the first")


if __name__ == "__main__":
    main()
