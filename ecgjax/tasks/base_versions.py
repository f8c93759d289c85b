"""What tasks share that have versions of a window told apart: as it is, and distorted in several ways."""

import dataclasses
import enum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ecgjax.errors import UserError
from ecgjax.tasks import distortions
from ecgjax.tasks.base import Batch
from ecgjax.tasks.distortions import Distortion, Strengths

ORIGINAL = "original"


class Versions(enum.Enum):
    ALL = "all"  # every version of every window in one step: of six distortions, a batch of 128 becomes 896
    SAMPLED = "sampled"  # one version of each window, all equally likely


@dataclasses.dataclass
class VersionsConfig(Strengths):
    """What a task's Config inherits."""

    distortions: tuple[Distortion, ...] = ()  # what is recognised, beside the original
    versions: Versions = Versions.ALL

    def check(self) -> None:
        super().check()
        twice = [kind.value for i, kind in enumerate(self.distortions) if kind in self.distortions[:i]]
        if twice or not self.distortions:
            told = f"names {twice[0]} twice" if twice else "is empty"
            raise UserError(f"task.distortions {told}: name each one to be recognised once.")


class MakesVersions:
    """What a task inherits whose `config` is a `VersionsConfig`."""

    config: VersionsConfig

    @property
    def version_names(self) -> tuple[str, ...]:
        """What a version's number means."""
        return (ORIGINAL, *(kind.value for kind in self.config.distortions))

    @property
    def versions_each(self) -> int:
        """Of a window in a step."""
        return len(self.version_names) if self.config.versions is Versions.ALL else 1

    def make_versions(self, key: jax.Array, batch: Batch) -> tuple[dict[str, jax.Array], Int[Array, " N"]]:
        """(signals, the number of each one's version). Modalities of a window get the same, each its own draws."""
        count, c = len(self.version_names), self.config
        batch_size = batch["weight"].shape[0]
        if c.versions is Versions.ALL:
            signals_BVTC = self.every_version(key, batch["signals"])
            signals = {name: x.reshape(-1, *x.shape[2:]) for name, x in signals_BVTC.items()}
            return signals, jnp.tile(jnp.arange(count), batch_size)
        version_key, key = jax.random.split(key)
        version_B = jax.random.randint(version_key, (batch_size,), 0, count)
        return {
            name: distortions.one_version(x_BTC, version_B, part, c.distortions, c)
            for (name, x_BTC), part in _with_keys(key, batch["signals"])
        }, version_B

    def every_version(self, key: jax.Array, signals: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """(B, V, T, C) of each modality: every window as it is, then distorted in each way."""
        kinds = self.config.distortions
        return {
            name: distortions.versions(x_BTC, part, kinds, self.config)
            for (name, x_BTC), part in _with_keys(key, signals)
        }


def _with_keys(key: jax.Array, signals: dict[str, jax.Array]) -> list[tuple[tuple[str, jax.Array], jax.Array]]:
    return list(zip(sorted(signals.items()), jax.random.split(key, len(signals)), strict=True))
