"""The contract of an encoder, signals in, tokens and one pooled vector out, and the small parts encoders share.

A modality that a window lacks (its sensor failed) comes as NaN throughout; `known` tells. One that every window lacks
may be left out of the signals. Encoders of several modalities do without; those of one need not. Of several, `Config`
has a field `modalities`, and the module, as its `config`, that Config; its tokens before they are joined are sown as
`<modality>_tokens`, so that reports can tell whose attention goes where.

Where another run's weights are loaded (`init_from`), every field of the model's `Config` must be as it was, but for
those in its class attribute `may_differ`: names of fields that do not change what the weights mean, such as dropout.
"""

import enum

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float

from ecgjax.errors import require

POOLED = "pooled"  # in a batch's signals: the pooled vectors of a frozen encoder, computed beforehand
EPSILON = 1e-5  # PyTorch's for LayerNorm (Flax would take 1e-6), so that weights carry over


@struct.dataclass
class Encoded:
    """What an encoder makes of a batch.

    Attributes:
      tokens_BLD: one vector a time step, without the CLS token, earliest first; of several modalities, those of one
        after those of the other.
      pooled_BD: one vector a window, of a width of its own.
      by_modality: one vector a window of each modality, from encoders of several; zero where the window lacks it.
    """

    tokens_BLD: Float[Array, "B L D"]
    pooled_BD: Float[Array, "B P"]
    by_modality: dict[str, Float[Array, "B D"]] = struct.field(default_factory=dict)


def known(x_BTC: Float[Array, "B T C"]) -> Bool[Array, " B"]:
    """Which windows have the modality."""
    return ~jnp.isnan(x_BTC).any((1, 2))


class Activation(enum.Enum):
    RELU = "relu"
    GELU = "gelu"  # the exact one

    def __call__(self, x: jax.Array) -> jax.Array:
        # As PyTorch writes it; jax.nn.gelu takes erfc, which is slower on CPU and finer only where the result is 0.
        return nn.relu(x) if self is Activation.RELU else x * (0.5 + 0.5 * jax.lax.erf(x * 0.5**0.5))


class NormOrder(enum.Enum):
    POST = "post"  # norm(x + branch(x)), as in the first Transformer
    PRE = "pre"  # x + branch(norm(x)), with one more norm at the very end


class Precision(enum.Enum):
    """What layers compute in. Parameters, norms' statistics, softmax and losses are float32 all the same."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def check_dropout(field: str, rate: float) -> None:
    """Raises a UserError where nothing would be left of the values, or the rate is no probability."""
    require(0 <= rate <= 0.99, field, rate, "a probability from 0 to 0.99")


class Dropout(nn.Module):
    """Zeroes each value with probability `rate` in steps of 1/256, and scales the others so that the mean stays.

    A byte of randomness a value does; Flax's own draws four, which costs a third of a training step on CPU.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return drop(self.make_rng("dropout"), x, self.rate) if train and self.rate else x


def drop(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """What `Dropout` does in training."""
    words = jax.random.bits(key, (*x.shape[:-1], -(-x.shape[-1] // 4)), jnp.uint32)
    byte = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:-1], -1)[..., : x.shape[-1]]
    return drop_below(byte, x, rate)


def drop_below(byte: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Zeroes where a byte of chance is below 256 times the rate, and scales the rest."""
    dropped = round(256 * rate)
    return jnp.where(byte < dropped, 0, x * (256 / (256 - dropped))).astype(x.dtype)


def sinusoids(length: int, width: int) -> np.ndarray:
    """(length, width) sines and cosines in turn, of wavelengths from 2 pi to 20,000 pi positions."""
    angle = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(length, width)
