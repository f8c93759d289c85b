"""Training in ecgjax beside the same layers in PyTorch, in one process: one step, and an epoch with its loader.

    python -m benchmarks.train_step [--cases=full,small,epoch] [--rounds=9] [--threads=2]

Both sides draw masks, drop out the same values (not attention weights), and step Adam in float32. PyTorch runs eagerly
with its fused attention and fused Adam; "torch default" also drops attention weights out, as its layers do unless told
otherwise, which costs it the fused kernel. Rounds are interleaved and rotated; a ratio above 1 says ecgjax is faster.
"""

import argparse
import dataclasses
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import torch
from torch import nn

from benchmarks import torch_twin
from configs import qtdb_pretrain, vazquez2022_pretrain
from ecgjax.config import Experiment, Optim
from ecgjax.data.pipeline import Gather, Order, TrainSource, stream
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows
from ecgjax.models import conv_transformer
from ecgjax.tasks import masked_reconstruction
from ecgjax.training import mesh as meshes
from ecgjax.training.program import compile_program

SAMPLES = 1280  # 10 s at 128 Hz
RATE = 1e-4
FULL, SMALL = vazquez2022_pretrain.get_config().model, qtdb_pretrain.get_config().model
EPOCH_WINDOWS, EPOCH_BATCH = 960, 32


def batch_of(signal_BTC: np.ndarray) -> dict:
    size = len(signal_BTC)
    label, window = np.full(size, -1, np.int32), np.arange(size, dtype=np.int32)
    return {"signals": {"ecg": signal_BTC}, "label": label, "weight": np.ones(size, np.float32), "window": window}


class Ours:
    """The product's own compiled step."""

    def __init__(self, experiment: Experiment, example: dict):
        self.rate = np.float32(experiment.optim.learning_rate)
        self.compiled = compile_program(experiment, example)
        self.state = self.compiled.init(jax.random.key(0))
        start = time.perf_counter()
        self.step(example)
        self.compile_s = time.perf_counter() - start

    def step(self, batch: dict, wait: bool = True) -> None:
        batch = meshes.to_global(batch, self.compiled.mesh)
        self.state, metrics = self.compiled.train_step(self.state, batch, self.rate)
        if wait:
            jax.block_until_ready((self.state, metrics))


def sustained(ours: Ours, batch: dict, rounds: int, steps: int = 20) -> float:
    """Seconds a step, of the fastest round: steps are sent one after the other, without waiting for each."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(steps):
            ours.step(batch, wait=False)
        jax.block_until_ready(ours.state)
        taken.append((time.perf_counter() - start) / steps)
    return min(taken)


def pretraining(model: conv_transformer.Config) -> Experiment:
    return Experiment(masked_reconstruction.Config(), model, optim=Optim(learning_rate=RATE))


class Theirs:
    """Encoder, head, mask and loss as a PyTorch user writes them."""

    def __init__(self, model: conv_transformer.Config, attention_dropout: float = 0.0):
        self.encoder = torch_twin.Encoder(dataclasses.replace(model, attention_dropout=attention_dropout))
        self.head = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, int(np.prod(model.strides))))
        parameters = [*self.encoder.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.Adam(parameters, RATE, fused=True)

    def step(self, signal_BTC: torch.Tensor) -> None:
        start_BT = torch.rand(signal_BTC.shape[:2]) < 0.0325
        started_BT = torch.cumsum(start_BT, 1)
        mask_BT1 = (started_BT > nn.functional.pad(started_BT, (20, 0))[:, : start_BT.shape[1]])[..., None]
        tokens_BLD = self.encoder(signal_BTC.masked_fill(mask_BT1, 0.0))[:, 1:]
        said_BTC = self.head(tokens_BLD).reshape(len(signal_BTC), -1, 1)
        loss = ((said_BTC - signal_BTC).square() * mask_BT1).sum() / mask_BT1.sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def step_contenders(model: conv_transformer.Config, batch_size: int) -> dict[str, Callable[[], None]]:
    signal_BTC = np.random.default_rng(0).standard_normal((batch_size, SAMPLES, 1), np.float32)
    batch, tensor = batch_of(signal_BTC), torch.tensor(signal_BTC)
    ours, theirs, default = (
        Ours(pretraining(model), batch),
        Theirs(model),
        Theirs(model, attention_dropout=model.dropout),
    )
    print(f"ecgjax: first step after {ours.compile_s:.1f} s")
    contenders = {"ecgjax": lambda: ours.step(batch), "torch": lambda: theirs.step(tensor)}
    return contenders | ({"torch default": lambda: default.step(tensor)} if model.dropout else {})


class WindowSet(torch.utils.data.Dataset):
    """Windows of a memory map, one at a time."""

    def __init__(self, signal_NC: np.ndarray):
        self.signal_NC = signal_NC

    def __len__(self) -> int:
        return len(self.signal_NC) // SAMPLES

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.from_numpy(self.signal_NC[i * SAMPLES : (i + 1) * SAMPLES].copy())


def epoch_contenders(signal_NC: np.ndarray) -> dict[str, Callable[[], None]]:
    """An epoch of the small variant from a memory map on disk, each side with its own loader."""
    rows = np.arange(EPOCH_WINDOWS) * SAMPLES
    column = np.zeros(EPOCH_WINDOWS, np.int64)
    windows = Windows(
        column, column, rows / 128, {"ecg": rows}, column, column - 1, column * np.nan, column - 1, np.array(["a/b"])
    )
    gather = Gather([Store(Path("."), {}, {"ecg": signal_NC}, {})], windows, {"ecg": SAMPLES})
    source = TrainSource(
        gather, Order((np.arange(EPOCH_WINDOWS),), (1.0,), 0), EPOCH_BATCH, EPOCH_WINDOWS // EPOCH_BATCH
    )
    ours, theirs = Ours(pretraining(SMALL), source[0]), Theirs(SMALL)

    def our_epoch() -> None:
        for batch in stream(source):
            ours.step(batch, wait=False)
        jax.block_until_ready(ours.state)

    def their_epoch() -> None:
        # No workers: on two cores they take from the step more than they give, and they cannot fork beside JAX.
        for signal_BTC in torch.utils.data.DataLoader(WindowSet(signal_NC), EPOCH_BATCH, shuffle=True):
            theirs.step(signal_BTC)

    return {"ecgjax": our_epoch, "torch": their_epoch}


def race(title: str, contenders: dict[str, Callable[[], None]], rounds: int, windows: int) -> None:
    """Prints times, and how much longer each takes than the first."""
    names, seconds = list(contenders), {name: [] for name in contenders}
    for name in names:
        contenders[name]()  # warm
    for r in range(rounds):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            start = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - start)
    print(
        f"\n{title}\n{'':22}{'median s':>10}{'min s':>10}{'windows/s':>11}{'ratio: median':>15}{'min':>7}{'paired':>8}"
    )
    first = seconds[names[0]]
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        paired = statistics.median(x / y for x, y in zip(taken, first, strict=True))
        ratios = f"{middle / statistics.median(first):15.2f}{min(taken) / min(first):7.2f}{paired:8.2f}"
        print(f"{name:22}{middle:10.3f}{min(taken):10.3f}{windows / middle:11.1f}{ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="full,small,epoch")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {platform.machine()}, {flags.threads} threads")
    if "full" in flags.cases:
        race("step, full variant, 1,281 tokens, batch 8", step_contenders(FULL, 8), flags.rounds, 8)
    if "small" in flags.cases:
        race("step, small variant, 41 tokens, batch 32", step_contenders(SMALL, 32), 3 * flags.rounds, 32)
    if "epoch" in flags.cases:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "ecg.npy"
            np.save(path, np.random.default_rng(0).standard_normal((EPOCH_WINDOWS * SAMPLES, 1), np.float32))
            race(
                f"epoch of {EPOCH_WINDOWS} windows from disk, small variant",
                epoch_contenders(np.load(path, mmap_mode="r")),
                flags.rounds,
                EPOCH_WINDOWS,
            )


if __name__ == "__main__":
    main()
