"""Three signals of a wrist, each at its own rate, and an encoder of any number of modalities: what Wu's tasks read."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ecgjax.config import Data, Experiment, Optim, Split, Train
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.models.base import Encoded, known
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

NAMES = ("bvp", "eda", "temp")


@dataclasses.dataclass
class Wrist:
    """One recording of a minute and a half a person, calm and tense in turn."""

    num_people: int = 6
    kinds: tuple[str, ...] = ("eda", "bvp", "temp")

    def make(self) -> "WristData":
        return WristData(self)


class WristData:
    name = "wrist"
    label_specs = {"mood": LabelSpec(classes=("calm", "tense"))}

    def __init__(self, config: Wrist):
        self.config = config

    def keys(self) -> tuple[str, ...]:
        return tuple(f"r{i}" for i in range(self.config.num_people))

    def load(self, key: str) -> Recording:
        rng = np.random.default_rng(int(key[1:]))

        def signal(rate_hz: float, level: float, unit: str, name: str) -> Signal:
            time_s = np.arange(round(90 * rate_hz)) / rate_hz
            wave = np.sin(2 * np.pi * time_s / 3) + 0.1 * rng.standard_normal(len(time_s))
            return Signal((level + wave)[:, None].astype(np.float32), rate_hz, unit, (name,))

        signals = {
            "eda": signal(4, 5, "uS", "EDA"),
            "bvp": signal(64, 0, "", "BVP"),
            "temp": signal(4, 33, "degC", "T"),
        }
        signals = {kind: signals[kind] for kind in self.config.kinds}
        labels = tuple(Label("mood", 15.0 * i, 15.0 * i + 15, float(i % 2)) for i in range(6))
        return Recording(key, f"s{key[1:]}", signals, labels, trial=key)


@dataclasses.dataclass
class Encoder:
    width: int = 8

    def make(self) -> "EncoderModule":
        return EncoderModule(self.width)


class EncoderModule(nn.Module):
    width: int

    @nn.compact
    def __call__(self, signals: dict[str, jax.Array], train: bool) -> Encoded:
        by_modality = {}
        for name, x_BTC in sorted(signals.items()):
            seen_BLD = nn.relu(nn.Conv(self.width, (5,), 2, name=name)(jnp.nan_to_num(x_BTC)))
            by_modality[name] = jnp.where(known(x_BTC)[:, None], seen_BLD.mean(1), 0)
        pooled_BD = jnp.concatenate(list(by_modality.values()), axis=1)
        return Encoded(pooled_BD[:, None], pooled_BD, by_modality)


def make_store(folder: Path, num_people: int = 6) -> Path:
    prepare(Preparation(dataset=Wrist(num_people), workers=1), folder)
    return folder


def experiment(store: Path | str, task: object, **train: float) -> Experiment:
    data = Data(store=str(store), modalities=NAMES, window_s=15.0, batch_size=8, eval_batch_size=8)
    data.split = Split(validation_fraction=0.3)
    train = {"num_epochs": 2, "log_every_steps": 1, "checkpoint_every_steps": 2, "tensorboard": False} | train
    return Experiment(task=task, model=Encoder(), data=data, optim=Optim(learning_rate=1e-3), train=Train(**train))


def batch(size=4, lacking=()) -> dict:
    """`lacking`: (modality, window) in turn."""
    rng = np.random.default_rng(0)
    samples = {"eda": 240, "bvp": 960, "temp": 120}
    signals = {name: rng.normal(1, 2, (size, length, 1)).astype(np.float32) for name, length in samples.items()}
    for name, window in lacking:
        signals[name][window] = np.nan
    numbers = np.arange(size, dtype=np.int32)
    return {"signals": signals, "weight": np.ones(size, np.float32), "label": numbers % 2, "window": numbers}
