"""Tell what was done to a window from each of its modalities: the pretext task of Wu et al. (TAFFC 2023)."""

import copy
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ecgjax.errors import UserError, require
from ecgjax.models.base import Encoded, check_dropout, known
from ecgjax.tasks.base import Batch, Metrics
from ecgjax.tasks.base_norm import BatchNorm
from ecgjax.tasks.base_versions import MakesVersions, VersionsConfig
from ecgjax.tasks.distortions import Distortion, Squeeze


@dataclasses.dataclass(unsafe_hash=True)  # hashed only once make() has copied it
class Config(VersionsConfig):
    """Figures are those of the authors' released code."""

    permutation_pieces: int = 10
    warp_squeeze: Squeeze = Squeeze.FILL
    distortions: tuple[Distortion, ...] = (
        Distortion.NOISE,
        Distortion.PERMUTATION,
        Distortion.TIME_WARP,
        Distortion.CROP,
        Distortion.MAGNITUDE_WARP,
    )
    hidden: int = 64
    dropout: float = 0.1  # after the hidden layer

    def make(self) -> "ModalityRecognition":
        """The task.

        Raises:
          UserError: a field out of its range.
        """
        self.check()
        require(self.hidden >= 1, "task.hidden", self.hidden, "a whole number from 1 up")
        check_dropout("task.dropout", self.dropout)
        return ModalityRecognition(copy.copy(self))


@struct.dataclass
class Targets:
    """N is windows times the versions of each."""

    version_N: Int[Array, " N"]
    known: dict[str, Bool[Array, " N"]]  # which of them have a modality


@dataclasses.dataclass(frozen=True)
class ModalityRecognition(MakesVersions):
    config: Config
    monitor = "loss"
    monitor_mode = "min"
    num_classes = 0
    reads_pooled = False

    def head(self) -> nn.Module:
        return ModalityHeads(len(self.version_names), self.config.hidden, self.config.dropout)

    def view(self, key: jax.Array, batch: Batch) -> tuple[dict[str, jax.Array], Targets]:
        signals, version_N = self.make_versions(key, batch)
        return signals, Targets(version_N, {name: known(x_NTC) for name, x_NTC in signals.items()})

    def _known(self, targets: Targets, name: str) -> jax.Array:
        """Which windows have a modality; one that is left out of the signals none has."""
        return targets.known.get(name, jnp.zeros(len(targets.version_N), bool))

    def loss(self, outputs: dict[str, jax.Array], targets: Targets, weight_B: jax.Array) -> tuple[jax.Array, Metrics]:
        """The sum over modalities of the mean cross-entropy; signals that a window lacks, or that the encoder dropped,
        count for nothing.

        Where some are lacking, it is the number of modalities times the mean over the signals there are, so that all
        of these count the same and batches add up.
        """
        version_N, weight_N = targets.version_N, jnp.repeat(weight_B, self.versions_each)
        # A modality that the encoder dropped in training has no answer: its head says 0 to everything.
        answered_N = {name: jnp.any(logits_NV != 0, axis=1) for name, logits_NV in outputs.items()}
        known_N = {name: self._known(targets, name) & answered_N[name] for name in outputs}
        there_N = {name: weight_N * known_N[name] for name in outputs}
        log_NV = {name: there_N[name][:, None] * jax.nn.log_softmax(logits_NV) for name, logits_NV in outputs.items()}
        right = {name: jnp.sum(there_N[name] * (jnp.argmax(outputs[name], -1) == version_N)) for name in outputs}
        count = {name: jnp.sum(there_N[name]) for name in outputs}
        together_NV = sum(log_NV.values())
        total = -jnp.sum(jnp.take_along_axis(together_NV, version_N[:, None], axis=1))
        some_N = weight_N * jnp.any(jnp.stack(list(known_N.values())), axis=0)
        metrics = {
            "loss": (total, sum(count.values()) / len(outputs)),
            "accuracy": (sum(right.values()), sum(count.values())),  # of signals, so the mean where none are lacking
            # Of versions of windows, all modalities together: the likeliest if each were independent evidence.
            "recognised": (jnp.sum(some_N * (jnp.argmax(together_NV, -1) == version_N)), jnp.sum(some_N)),
        }
        metrics |= {f"accuracy/{name}": (right[name], count[name]) for name in outputs}
        return total / jnp.maximum(metrics["loss"][1], 1e-6), metrics

    def predict(self, outputs: dict[str, jax.Array], targets: Targets) -> dict[str, jax.Array]:
        """What was done to each version (B, V), and how probable each modality's head finds each (B, V, V).

        NaN where the window lacks the modality.
        """
        each, predictions = self.versions_each, {}
        for name, logits_NV in outputs.items():
            said_NV = jnp.where(self._known(targets, name)[:, None], jax.nn.softmax(logits_NV), jnp.nan)
            predictions[f"version_probability/{name}"] = said_NV.reshape(-1, each, len(self.version_names))
        return {"version": targets.version_N.reshape(-1, each)} | predictions


class ModalityHeads(nn.Module):
    """A head for each modality of the encoder, by its name."""

    num_versions: int
    hidden: int
    dropout: float

    @nn.compact
    def __call__(self, encoded: Encoded, signals: dict[str, Any], train: bool) -> dict[str, Float[Array, "N V"]]:
        if not encoded.by_modality:
            raise UserError(
                "task modality_recognition: the model gives no vector of each modality. Take one of several."
            )
        outputs = {}
        for name, x_ND in sorted(encoded.by_modality.items()):
            counts_N = jnp.any(x_ND != 0, axis=1)  # an encoder may drop modalities in training
            if name in signals:
                counts_N &= known(signals[name])
            head = ModalityHead(self.num_versions, self.hidden, self.dropout, name=name)
            outputs[name] = head(x_ND, counts_N, train)
        return outputs


class ModalityHead(nn.Module):
    num_versions: int
    hidden: int
    dropout: float

    @nn.compact
    def __call__(self, x_ND: Float[Array, "N D"], counts_N: Bool[Array, " N"], train: bool) -> Float[Array, "N V"]:
        x_ND = nn.relu(BatchNorm(name="norm")(nn.Dense(self.hidden, name="hidden")(x_ND), counts_N, train))
        x_ND = nn.Dropout(self.dropout, deterministic=not train)(x_ND)
        logits_NV = nn.Dense(self.num_versions, name="out")(x_ND)
        # A vector that was dropped tells nothing, and by the statistics of others it would be far out.
        logits_NV = jnp.where(counts_N[:, None], logits_NV, 0)
        return logits_NV.astype(jnp.promote_types(logits_NV.dtype, jnp.float32))
