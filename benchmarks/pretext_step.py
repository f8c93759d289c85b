"""Transformation recognition in ecgjax beside the same net in PyTorch: whole steps, distortions included.

    python -m benchmarks.pretext_step [--windows=16] [--rounds=9] [--threads=2]

Windows of 2,560 samples in seven versions; three blocks of two convolutions, seven heads, Adam with L2 on kernels, in
float32. "torch tuned" distorts the batch at once on the host, and convolves images one pixel high with channels last;
"torch usual" distorts window by window and takes Conv1d. Rounds are interleaved and rotated; a ratio above 1 says
ecgjax is faster. On an accelerator only ecgjax runs, in float32 and bfloat16, and its share of the peak is given.
"""

import argparse
import platform

import jax
import numpy as np
import torch
from torch import nn

from benchmarks import host_distortions, torch_twin
from benchmarks.train_step import Ours, batch_of, race, sustained
from ecgjax.config import Experiment, Optim
from ecgjax.models import base, conv
from ecgjax.tasks import transform_recognition

SAMPLES, RATE_HZ, VERSIONS = 2560, 256, host_distortions.VERSIONS
LEARNING_RATE, L2 = 1e-3, 1e-4
# Dense peaks in TFLOP/s, (float32 inputs through TF32, bfloat16), of NVIDIA's data sheets for the SXM and PCIe boards;
# by the beginning of the device's name, the first that fits.
PEAKS = {
    "NVIDIA H200": (494.7, 989.4),
    "NVIDIA H100 PCIe": (378.0, 756.0),
    "NVIDIA H100": (494.7, 989.4),
    "NVIDIA A100": (156.0, 312.0),
}
TASK = transform_recognition.Config()


def experiment(dtype: base.Precision = base.Precision.FLOAT32) -> Experiment:
    return Experiment(TASK, conv.Config(dtype=dtype), optim=Optim(learning_rate=LEARNING_RATE, weight_decay=L2))


class Theirs:
    """The same net and loss, as a PyTorch user writes them."""

    def __init__(self, flat: bool, distort):
        self.distort, self.rng = distort, np.random.default_rng(0)
        self.encoder = torch_twin.ConvNet(conv.Config(), flat=flat)
        width = conv.Config().channels[-1]
        self.heads = nn.ModuleList(torch_twin.recognition_head(width) for _ in range(VERSIONS))
        parameters = [*self.encoder.parameters(), *self.heads.parameters()]
        kernels, biases = ([p for p in parameters if (p.ndim > 1) == is_kernel] for is_kernel in (True, False))
        groups = [{"params": kernels, "weight_decay": L2}, {"params": biases}]
        self.optimizer = torch.optim.Adam(groups, LEARNING_RATE, fused=True)
        self.weights = torch.tensor(TASK.make().weights())

    def step(self, x_BT: np.ndarray) -> None:
        signal_NT1 = torch.from_numpy(self.distort(x_BT, self.rng)).reshape(-1, SAMPLES, 1)
        is_NH = torch.eye(VERSIONS).repeat(len(x_BT), 1)
        _, pooled_ND = self.encoder(signal_NT1)
        said_NH = torch.cat([head(pooled_ND) for head in self.heads], dim=1)
        error_NH = nn.functional.binary_cross_entropy_with_logits(said_NH, is_NH, reduction="none")
        loss = (error_NH.mean(0) * self.weights).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        loss.item()


def one_by_one(x_BT: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.stack([host_distortions.of_window(x_T, rng) for x_T in x_BT])


def compare(x_BT: np.ndarray, rounds: int) -> None:
    batch = batch_of(x_BT[..., None])
    ours = Ours(experiment(), batch)
    print(f"ecgjax: first step after {ours.compile_s:.1f} s")
    view = jax.jit(ours.compiled.program.task.view)
    tuned, usual = Theirs(True, host_distortions.of_batch), Theirs(False, one_by_one)
    rng = np.random.default_rng(0)
    contenders = {
        "ecgjax": lambda: ours.step(batch),
        "- its distortions": lambda: jax.block_until_ready(view(jax.random.key(0), batch)),
        "torch tuned": lambda: tuned.step(x_BT),
        "- its distortions ": lambda: host_distortions.of_batch(x_BT, rng),
        "torch usual": lambda: usual.step(x_BT),
        "- its distortions  ": lambda: one_by_one(x_BT, rng),
    }
    race(f"pretext step, {len(x_BT)} windows in {VERSIONS} versions", contenders, rounds, len(x_BT))


def arithmetic(windows: int) -> float:
    """FLOP of a training step, convolutions alone, the backward pass counted as two forward ones."""
    c, length, width, total = conv.Config(), SAMPLES, 1, 0
    for channels, kernel in zip(c.channels, c.kernels, strict=True):
        total += 2 * length * kernel * (width + channels) * channels
        length, width = (length - c.pool_window) // c.pool_stride + 1, channels
    return 3.0 * windows * VERSIONS * total


def measure(x_BT: np.ndarray, dtype: base.Precision, rounds: int) -> None:
    """Throughput on an accelerator."""
    batch = batch_of(x_BT[..., None])
    ours = Ours(experiment(dtype), batch)
    cost = ours.compiled.train_step.lower(ours.state, batch, ours.rate).compile().cost_analysis()
    second, device, by_hand = sustained(ours, batch, rounds), jax.devices()[0].device_kind, arithmetic(len(x_BT))
    rate = len(x_BT) / second
    print(f"\n{device}, {dtype.value}, {len(x_BT)} windows in {VERSIONS} versions: {1e3 * second:.2f} ms a step")
    print(
        f"{rate:,.0f} windows/s, {rate * VERSIONS:,.0f} versions/s, {rate * SAMPLES / RATE_HZ / 3600:.2f} h of signal/s"
    )
    peak = next((p[dtype is base.Precision.BFLOAT16] for name, p in PEAKS.items() if device.startswith(name)), 0)
    for count, flop in (("the compiler", cost.get("flops", 0.0)), ("hand", by_hand)):
        share = f", {flop / second / 1e12 / peak:.1%} of {peak} TFLOP/s" if peak else ""
        print(f"counted by {count}: {flop / 1e9:,.0f} GFLOP a step, {flop / second / 1e12:.2f} TFLOP/s{share}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=16 if jax.default_backend() == "cpu" else 128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {platform.machine()}, {flags.threads} threads")
    x_BT = np.random.default_rng(0).standard_normal((flags.windows, SAMPLES), np.float32)
    if jax.default_backend() == "cpu":
        compare(x_BT, flags.rounds)
    else:
        for dtype in base.Precision:
            measure(x_BT, dtype, flags.rounds)


if __name__ == "__main__":
    main()
