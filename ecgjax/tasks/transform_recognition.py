"""Tell what was done to a window: the pretext task of Sarkar & Etemad (TAFFC 2020), one yes-or-no head a version."""

import copy
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int

from ecgjax.errors import UserError
from ecgjax.models.base import Encoded, check_dropout
from ecgjax.tasks.base import Batch, Metrics
from ecgjax.tasks.base_versions import MakesVersions, VersionsConfig
from ecgjax.tasks.distortions import Distortion


@dataclasses.dataclass(unsafe_hash=True)  # hashed only once make() has copied it
class Config(VersionsConfig):
    """Figures are those of the authors' released code.

    Its L2 term, 1e-4 of half the squares of all kernels, is `optim.weight_decay=1e-4` with Adam, which adds it to the
    gradient; the logged loss is without it.
    """

    distortions: tuple[Distortion, ...] = (
        Distortion.NOISE,
        Distortion.SCALING,
        Distortion.NEGATION,
        Distortion.INVERSION,
        Distortion.PERMUTATION,
        Distortion.TIME_WARP,
    )
    # Of the original and each distortion in the loss. Empty: 0.195, and 0.0125 for negation and inversion, divided by
    # their sum (1 for all six).
    weights: tuple[float, ...] = ()
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.6  # after each hidden layer

    def make(self) -> "TransformRecognition":
        """The task.

        Raises:
          UserError: a field out of its range, or fields that do not fit each other.
        """
        self.check()
        count = 1 + len(self.distortions)
        if self.weights and len(self.weights) != count:
            raise UserError(f"task.weights has {len(self.weights)} entries for {count} versions, the original first.")
        if not all(math.isfinite(w) and w >= 0 for w in self.weights) or (self.weights and not sum(self.weights)):
            raise UserError(f"task.weights={self.weights}: give numbers of 0 or above, not all of them 0.")
        if min(self.hidden, default=1) < 1:
            raise UserError(f"task.hidden={self.hidden}: give layers of at least 1 unit.")
        check_dropout("task.dropout", self.dropout)
        return TransformRecognition(copy.copy(self))


@dataclasses.dataclass(frozen=True)
class TransformRecognition(MakesVersions):
    config: Config
    monitor = "loss"
    monitor_mode = "min"
    num_classes = 0
    reads_pooled = False

    def weights(self) -> tuple[float, ...]:
        faint = (Distortion.NEGATION.value, Distortion.INVERSION.value)
        published = [0.0125 if name in faint else 0.195 for name in self.version_names]
        return self.config.weights or tuple(weight / sum(published) for weight in published)

    def head(self) -> nn.Module:
        return RecognitionHeads(len(self.version_names), self.config.hidden, self.config.dropout)

    def view(self, key: jax.Array, batch: Batch) -> tuple[dict[str, jax.Array], Int[Array, " N"]]:
        """Targets are the versions' numbers, in the order of the heads."""
        return self.make_versions(key, batch)

    def loss(self, outputs: jax.Array, targets: jax.Array, weight_B: jax.Array) -> tuple[jax.Array, Metrics]:
        weight_N1 = jnp.repeat(weight_B, len(targets) // len(weight_B))[:, None]
        is_NH = targets[:, None] == jnp.arange(len(self.version_names))[None]
        said_NH = outputs > 0
        error_NH = optax.sigmoid_binary_cross_entropy(outputs, is_NH.astype(jnp.float32))
        total, count = jnp.sum(weight_N1 * error_NH * jnp.asarray(self.weights())[None]), jnp.sum(weight_N1)
        right_H = jnp.sum(weight_N1 * (said_NH == is_NH), axis=0)
        # As if a head's own version came as often as all others: 0.5 of one that always says the same, however many.
        balance_NH = weight_N1 * jnp.where(is_NH, 1.0, 1 / (len(self.version_names) - 1))
        fair_H, of_H = jnp.sum(balance_NH * (said_NH == is_NH), axis=0), jnp.sum(balance_NH, axis=0)
        best_N1 = (jnp.argmax(outputs, -1) == targets)[:, None]
        metrics = {
            "loss": (total, count),
            "accuracy": (jnp.mean(right_H), count),  # mean over heads; one that always says no has 1 - 1 / V
            "balanced_accuracy": (jnp.sum(fair_H), jnp.sum(of_H)),
            "recognised": (jnp.sum(weight_N1 * best_N1), count),  # the head that says it loudest is right
        }
        hit_H = jnp.sum(weight_N1 * (said_NH & is_NH), axis=0)
        either_H = jnp.sum(weight_N1 * said_NH, axis=0) + jnp.sum(weight_N1 * is_NH, axis=0)
        for h, name in enumerate(self.version_names):
            metrics |= {f"accuracy/{name}": (right_H[h], count), f"f1/{name}": (2 * hit_H[h], either_H[h])}
            metrics[f"balanced_accuracy/{name}"] = (fair_H[h], of_H[h])
        return total / jnp.maximum(count, 1), metrics

    def predict(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """What was done to each version (B, V), and how probable each head finds that it was its own (B, V, H)."""
        said_BVH = jax.nn.sigmoid(outputs).reshape(-1, self.versions_each, len(self.version_names))
        return {"version": targets.reshape(-1, self.versions_each), "version_probability": said_BVH}


class RecognitionHeads(nn.Module):
    """A small perceptron for each version, side by side in stacked kernels."""

    num_heads: int
    hidden: tuple[int, ...]
    dropout: float

    @nn.compact
    def __call__(self, encoded: Encoded, signals: dict[str, Any], train: bool) -> Float[Array, "N H"]:
        x = encoded.pooled_BD
        for i, width in enumerate(self.hidden):
            x = nn.leaky_relu(StackedDense(self.num_heads, width, name=f"hidden_{i}")(x), 0.2)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return StackedDense(self.num_heads, 1, name="out")(x)[..., 0].astype(jnp.float32)


class StackedDense(nn.Module):
    """A Dense layer for each of H heads. They share an input of two axes; of three, each has its own."""

    num_heads: int
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "N F"] | Float[Array, "N H F"]) -> Float[Array, "N H G"]:
        shape = (self.num_heads, x.shape[-1], self.features)
        kernel_HFG = self.param("kernel", nn.initializers.glorot_uniform(batch_axis=0), shape)
        bias_HG = self.param("bias", nn.initializers.zeros, (self.num_heads, self.features))
        y_NHG = jnp.einsum("NF,HFG->NHG" if x.ndim == 2 else "NHF,HFG->NHG", x, kernel_HFG)
        return y_NHG + bias_HG[None]
