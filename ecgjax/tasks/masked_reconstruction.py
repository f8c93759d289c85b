"""Hide spans of a signal and have the encoder fill them in (Vazquez-Rodriguez et al., ICPR 2022)."""

import copy
import dataclasses
import enum
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float

from ecgjax.errors import require
from ecgjax.models.base import Encoded
from ecgjax.tasks.base import Batch, Metrics


class Replacement(enum.Enum):
    """What stands in for hidden samples; signals are expected normalised."""

    ZERO = "zero"
    NOISE = "noise"  # standard normal


@dataclasses.dataclass(unsafe_hash=True)  # hashed only once make() has copied it
class Config:
    """Published figures are unverified: from memory, the paper's own text was not at hand."""

    modality: str = "ecg"
    mask_probability: float = 0.0325  # of a span starting at a sample; spans may overlap
    mask_span: int = 20  # samples
    replacement: Replacement = Replacement.ZERO
    head_hidden: int = 128

    def make(self) -> "MaskedReconstruction":
        """The task.

        Raises:
          UserError: a field out of its range.
        """
        fits = 0 < self.mask_probability <= 1
        require(fits, "task.mask_probability", self.mask_probability, "a probability above 0, up to 1")
        require(self.mask_span >= 1, "task.mask_span", self.mask_span, "at least 1 sample")
        require(self.head_hidden >= 1, "task.head_hidden", self.head_hidden, "a whole number from 1 up")
        return MaskedReconstruction(copy.copy(self))


@struct.dataclass
class Targets:
    signal_BTC: Float[Array, "B T C"]
    mask_BT: Bool[Array, "B T"]  # True where hidden


@dataclasses.dataclass(frozen=True)
class MaskedReconstruction:
    config: Config
    monitor = "loss"
    monitor_mode = "min"
    num_classes = 0
    reads_pooled = False

    def head(self) -> nn.Module:
        return ReconstructionHead(self.config.modality, self.config.head_hidden)

    def view(self, key: jax.Array, batch: Batch) -> tuple[dict[str, jax.Array], Targets]:
        c = self.config
        signal_BTC = batch["signals"][c.modality]
        mask_key, noise_key = jax.random.split(key)
        mask_BT = span_mask(mask_key, signal_BTC.shape[:2], c.mask_probability, c.mask_span)
        filler = 0.0 if c.replacement is Replacement.ZERO else jax.random.normal(noise_key, signal_BTC.shape)
        hidden_BTC = jnp.where(mask_BT[..., None], filler, signal_BTC)
        return {**batch["signals"], c.modality: hidden_BTC}, Targets(signal_BTC, mask_BT)

    def loss(self, outputs: jax.Array, targets: Targets, weight_B: jax.Array) -> tuple[jax.Array, Metrics]:
        weight_BT1 = (weight_B[:, None] * targets.mask_BT)[..., None]
        error = jnp.sum(weight_BT1 * jnp.square(outputs - targets.signal_BTC))
        power = jnp.sum(weight_BT1 * jnp.square(targets.signal_BTC))
        count = jnp.sum(weight_BT1) * outputs.shape[-1]
        metrics = {
            "loss": (error, count),
            "explained": (power - error, power),  # of the hidden samples' power: 0 for a model that says zero
            "masked_fraction": (jnp.sum(weight_BT1), jnp.sum(weight_B) * outputs.shape[1]),
        }
        return error / jnp.maximum(count, 1), metrics

    def predict(self, outputs: jax.Array, targets: Targets) -> dict[str, jax.Array]:
        return {"reconstruction": outputs, "target": targets.signal_BTC, "mask": targets.mask_BT}


def span_mask(key: jax.Array, shape: tuple[int, int], probability: float, span: int) -> Bool[Array, "B T"]:
    """True on the `span` samples after each start, starts being drawn independently; never all False in a row."""
    start_key, spare_key = jax.random.split(key)
    start_BT = jax.random.bernoulli(start_key, probability, shape)
    spare_BT = jnp.arange(shape[1])[None] == jax.random.randint(spare_key, (shape[0], 1), 0, shape[1])
    start_BT = jnp.where(start_BT.any(1, keepdims=True), start_BT, spare_BT)
    started_BT = jnp.cumsum(start_BT, 1)
    ended_BT = jnp.pad(started_BT, ((0, 0), (span, 0)))[:, : shape[1]]
    return started_BT > ended_BT


class ReconstructionHead(nn.Module):
    """Each token says the samples it stands for. Called with the signals only to know how many those are."""

    modality: str
    hidden: int

    @nn.compact
    def __call__(self, encoded: Encoded, signals: dict[str, Any], train: bool) -> Float[Array, "B T C"]:
        batch, samples, channels = signals[self.modality].shape
        per_token = -(-samples // encoded.tokens_BLD.shape[1])
        x_BLF = nn.relu(nn.Dense(self.hidden, name="hidden")(encoded.tokens_BLD))
        said_BLS = nn.Dense(per_token * channels, name="out")(x_BLF)
        return said_BLS.reshape(batch, -1, channels)[:, :samples].astype(jnp.float32)
