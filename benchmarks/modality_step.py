"""Recognising versions from EDA, BVP and TEMP in ecgjax beside the same net in PyTorch: whole steps, and peak memory.

    python -m benchmarks.modality_step [--windows=4] [--rounds=9] [--threads=2] [--memory]

Windows of 240 samples of each signal in six versions (720 tokens each), SGD with momentum, float32, dropout as
published, on attention weights too. "torch" distorts sample by sample on the host between steps, with NumPy and SciPy,
as the released code does; "its network alone" is given distorted windows. Rounds are interleaved and rotated; a ratio
above 1 says ecgjax is faster. --memory runs one step of 32 windows (192 versions) of each side in a process of its own
and prints its peak. On an accelerator only ecgjax runs.
"""

import argparse
import platform
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import torch
from torch import nn

from benchmarks import torch_twin
from benchmarks.train_step import Ours, race, sustained
from configs import wu2023_pretrain

SAMPLES, MODALITIES, VERSIONS = 240, ("eda", "bvp", "temp"), 6


def experiment():
    return wu2023_pretrain.get_config()


def batch_of(windows: int) -> dict:
    rng = np.random.default_rng(0)
    signals = {m: rng.standard_normal((windows, SAMPLES, 1), np.float32) for m in MODALITIES}
    label, window = np.full(windows, -1, np.int32), np.arange(windows, dtype=np.int32)
    return {"signals": signals, "label": label, "weight": np.ones(windows, np.float32), "window": window}


class Theirs:
    """The same net and loss, as a PyTorch user writes them."""

    def __init__(self):
        config = experiment()
        self.net = torch_twin.WerSsl(config.model).train()
        used = [p for name, p in self.net.named_parameters() if "fc_final" not in name and "project_embed" not in name]
        optim = config.optim
        self.optimizer = torch.optim.SGD(used, optim.learning_rate, optim.momentum, weight_decay=optim.weight_decay)

    def step(self, signals_NTC: list[np.ndarray]) -> None:
        version_N = torch.arange(VERSIONS).repeat(len(signals_NTC[0]) // VERSIONS)
        logits = self.net(*map(torch.from_numpy, signals_NTC))
        loss = sum(nn.functional.cross_entropy(each_NV, version_N) for each_NV in logits)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        loss.item()


def distorted(batch: dict, rng: np.random.Generator) -> list[np.ndarray]:
    """All versions of every window and signal, one by one on the host."""
    return [np.concatenate([versions(x_TC[:, 0], rng) for x_TC in batch["signals"][m]])[..., None] for m in MODALITIES]


def versions(x_T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(6, T): the original, noise, permutation, time-warp, crop, magnitude-warp, with the published strengths."""
    from scipy.interpolate import CubicSpline
    from scipy.signal import resample

    sigma = np.sqrt(np.mean(x_T**2) / 10**1.5)
    pieces = np.split(x_T, 10)
    rng.shuffle(pieces)
    stretched, parts = rng.permutation(9) < 5, []
    for i in range(9):
        length = 28 if stretched[i] else 25
        at = np.clip((np.arange(length) + 0.5) * 26 / length - 0.5, 0, 25)
        parts.append(np.interp(at, np.arange(26), x_T[26 * i : 26 * i + 26]))
    crop = rng.integers(4)
    knots = np.linspace(0, SAMPLES - 1, 6)
    curve_T = CubicSpline(knots, rng.normal(1, 0.2, 6))(np.arange(SAMPLES))
    made = [
        x_T,
        x_T + rng.normal(0, sigma, SAMPLES),
        np.concatenate(pieces),
        np.concatenate(parts),
        resample(x_T[60 * crop : 60 * crop + 60], SAMPLES),
        x_T * curve_T,
    ]
    return np.stack(made).astype(np.float32)


def compare(windows: int, rounds: int) -> None:
    batch, rng = batch_of(windows), np.random.default_rng(0)
    ours, theirs = Ours(experiment(), batch), Theirs()
    print(f"ecgjax: first step after {ours.compile_s:.1f} s")
    view, ready = jax.jit(ours.compiled.program.task.view), distorted(batch, rng)
    contenders = {
        "ecgjax": lambda: ours.step(batch),
        "- its distortions": lambda: jax.block_until_ready(view(jax.random.key(0), batch)),
        "torch": lambda: theirs.step(distorted(batch, rng)),
        "- its distortions ": lambda: distorted(batch, rng),
        "- its network alone": lambda: theirs.step(ready),
    }
    race(f"pretext step, {windows} windows in {VERSIONS} versions, 720 tokens", contenders, rounds, windows)


def measure(windows: int, rounds: int) -> None:
    """Throughput on an accelerator."""
    batch = batch_of(windows)
    second, device = sustained(Ours(experiment(), batch), batch, rounds), jax.devices()[0]
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30
    print(f"{device.device_kind}, {windows} windows in {VERSIONS} versions: {1e3 * second:.2f} ms a step")
    print(f"{windows / second:,.0f} windows/s, {windows / second / 60:,.1f} h of signal/s, peak {peak:.2f} GiB")


def one_step(side: str, windows: int) -> None:
    """Prints the peak of this process's memory before and after a step."""
    batch = batch_of(windows)
    step = Theirs().step if side == "torch" else None
    ready, before = distorted(batch, np.random.default_rng(0)), resident_peak()
    if step:
        step(ready)
    else:
        Ours(experiment(), batch)
    print(f"{before:.3f} {resident_peak():.3f}")


def resident_peak() -> float:
    """In GiB, of this process alone: what getrusage says may be its parent's."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20


def memory(windows: int) -> None:
    print(f"\npeak memory of a step of {windows} windows in {VERSIONS} versions, GiB above the start of the process")
    for side in ("ecgjax", "torch"):
        command = [sys.executable, "-m", "benchmarks.modality_step", f"--windows={windows}", f"--one-step={side}"]
        before, after = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        print(f"{side:10}{after - before:8.2f}   (whole process {after:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=4 if jax.default_backend() == "cpu" else 32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one-step", choices=("ecgjax", "torch"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    if flags.one_step:
        return one_step(flags.one_step, flags.windows)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {platform.machine()}, {flags.threads} threads")
    if jax.default_backend() != "cpu":
        return measure(flags.windows, flags.rounds)
    return memory(32) if flags.memory else compare(flags.windows, flags.rounds)


if __name__ == "__main__":
    main()
