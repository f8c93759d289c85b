"""Classes from the encoder's pooled vector: emotion or stress from windows, trained on labels."""

import copy
import dataclasses
import enum
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int

from ecgjax.errors import UserError, require
from ecgjax.models.base import Encoded, check_dropout
from ecgjax.tasks.base import Batch, Metrics
from ecgjax.tasks.base_norm import BatchNorm


class Loss(enum.Enum):
    BINARY = "binary"  # one logit, two classes
    SOFTMAX = "softmax"


class Monitor(enum.Enum):
    LOSS = "loss"
    ACCURACY = "accuracy"


@dataclasses.dataclass(unsafe_hash=True)  # hashed only once make() has copied it
class Config:
    """The head is that of Vazquez-Rodriguez et al. (ICPR 2022), from memory: unverified."""

    num_classes: int = 2
    loss: Loss = Loss.BINARY
    hidden: tuple[int, ...] = (1024, 512)
    batch_norm: bool = False  # after each hidden layer, before its ReLU, as Wu et al. (TAFFC 2023) have it
    dropout: float = 0.3  # after each hidden layer
    class_weights: tuple[float, ...] = ()  # of each class in the loss; empty weighs all the same
    monitor: Monitor = Monitor.LOSS

    def make(self) -> "Classification":
        """The task.

        Raises:
          UserError: a field out of its range, or fields that do not fit each other.
        """
        require(self.num_classes >= 2, "task.num_classes", self.num_classes, "at least 2")
        require(min(self.hidden, default=1) >= 1, "task.hidden", self.hidden, "whole numbers from 1 up, or ()")
        check_dropout("task.dropout", self.dropout)
        usable = all(math.isfinite(weight) and weight > 0 for weight in self.class_weights)
        require(usable, "task.class_weights", self.class_weights, "numbers above 0, or ()")
        if self.loss is Loss.BINARY and self.num_classes != 2:
            raise UserError(f"task.loss=BINARY has two classes, task.num_classes is {self.num_classes}. Use SOFTMAX.")
        if self.class_weights and len(self.class_weights) != self.num_classes:
            raise UserError(
                f"task.class_weights={self.class_weights} does not fit task.num_classes={self.num_classes}."
            )
        return Classification(copy.copy(self))


@dataclasses.dataclass(frozen=True)
class Classification:
    config: Config
    reads_pooled = True

    @property
    def monitor(self) -> str:
        return self.config.monitor.value

    @property
    def monitor_mode(self) -> str:
        return "min" if self.config.monitor is Monitor.LOSS else "max"

    @property
    def num_classes(self) -> int:
        return self.config.num_classes

    def head(self) -> nn.Module:
        c = self.config
        return ClassifierHead(c.hidden, c.batch_norm, c.dropout, 1 if c.loss is Loss.BINARY else c.num_classes)

    def view(self, key: jax.Array, batch: Batch) -> tuple[dict[str, jax.Array], Int[Array, " B"]]:
        return batch["signals"], batch["label"]

    def loss(self, outputs: jax.Array, targets: jax.Array, weight_B: jax.Array) -> tuple[jax.Array, Metrics]:
        logits_BN = self.class_logits(outputs)
        weight_B = weight_B * (targets >= 0)  # a window without a label (-1) counts for nothing
        label_B = jnp.maximum(targets, 0)
        balance_B = weight_B * jnp.asarray(self.config.class_weights or (1.0,) * self.config.num_classes)[label_B]
        total = jnp.sum(balance_B * optax.softmax_cross_entropy_with_integer_labels(logits_BN, label_B))
        correct_B = jnp.argmax(logits_BN, -1) == label_B
        metrics = {
            "loss": (total, jnp.sum(balance_B)),
            "accuracy": (jnp.sum(weight_B * correct_B), jnp.sum(weight_B)),
        }
        return total / jnp.maximum(jnp.sum(balance_B), 1e-6), metrics

    def predict(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        return {"probability": jax.nn.softmax(self.class_logits(outputs))}

    def class_logits(self, outputs: jax.Array) -> Float[Array, "B N"]:
        """One logit x is the two-class softmax of (0, x); its cross-entropy is the binary one."""
        return jnp.pad(outputs, ((0, 0), (1, 0))) if self.config.loss is Loss.BINARY else outputs


class ClassifierHead(nn.Module):
    hidden: tuple[int, ...]
    batch_norm: bool
    dropout: float
    num_logits: int

    @nn.compact
    def __call__(self, encoded: Encoded, signals: dict[str, Any], train: bool) -> Float[Array, "B N"]:
        x_BD = encoded.pooled_BD
        for i, width in enumerate(self.hidden):
            x_BD = nn.Dense(width, name=f"hidden_{i}")(x_BD)
            if self.batch_norm:  # training batches have no padding: every row counts
                x_BD = BatchNorm(name=f"norm_{i}")(x_BD, jnp.ones_like(x_BD[:, 0], bool), train)
            x_BD = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x_BD))
        logits_BN = nn.Dense(self.num_logits, name="out")(x_BD)
        return logits_BN.astype(jnp.promote_types(logits_BN.dtype, jnp.float32))
