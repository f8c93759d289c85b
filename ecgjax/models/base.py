"""The contract of an encoder, signals in, tokens and one pooled vector out, and the Transformer encoders share.

A modality that a window lacks (its sensor failed) comes as NaN throughout; `known` tells. Encoders of several
modalities do without it; those of one need not.

Where another run's weights are loaded (`init_from`), every field of the model's `Config` must be as it was, but for
those in its class attribute `may_differ`: names of fields that do not change what the weights mean, such as dropout.
"""

import enum
import functools
import math
from collections.abc import Callable
from typing import Any

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
      tokens_BLD: one vector a time step, without the CLS token, earliest first.
      pooled_BD: one vector a window.
      by_modality: one vector a window of each modality, from encoders of several; zero where the window lacks it.
    """

    tokens_BLD: Float[Array, "B L D"]
    pooled_BD: Float[Array, "B D"]
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
        dropped = round(256 * self.rate)
        if not train or not dropped:
            return x
        shape = (*x.shape[:-1], -(-x.shape[-1] // 4))
        words = jax.random.bits(self.make_rng("dropout"), shape, jnp.uint32)
        byte = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:-1], -1)[..., : x.shape[-1]]
        return jnp.where(byte < dropped, 0, x * (256 / (256 - dropped))).astype(x.dtype)


def attend(
    query_BLHK: Float[Array, "B L H K"], key_BSHK: Float[Array, "B S H K"], value_BSHK: Float[Array, "B S H K"]
) -> Float[Array, "B L H K"]:
    """softmax(q k^T / sqrt(K)) v, in the quickest way the device has."""
    platform, width = jax.default_backend(), query_BLHK.shape[-1]
    if platform == "cpu":
        short = key_BSHK.shape[1] <= 256  # weights fit the cache: nothing to save
        return (attend_at_once if short else attend_in_turn)(query_BLHK, key_BSHK, value_BSHK)
    fused = platform == "gpu" and query_BLHK.dtype == jnp.bfloat16 and width % 8 == 0 and width <= 128
    return jax.nn.dot_product_attention(query_BLHK, key_BSHK, value_BSHK, implementation="cudnn" if fused else "xla")


def attend_at_once(
    query_BLHK: Float[Array, "B L H K"], key_BSHK: Float[Array, "B S H K"], value_BSHK: Float[Array, "B S H K"]
) -> Float[Array, "B L H K"]:
    return mix(attention_weights(query_BLHK, key_BSHK), value_BSHK)


@jax.custom_vjp
def attend_in_turn(
    query_BLHK: Float[Array, "B L H K"], key_BSHK: Float[Array, "B S H K"], value_BSHK: Float[Array, "B S H K"]
) -> Float[Array, "B L H K"]:
    """The same, one head of one window after the other, its weights made again for the gradient.

    The weights never stand in memory together. On CPU fresh memory costs more than arithmetic: on 1,281 tokens this
    takes a third of the time of `jax.nn.dot_product_attention`, forward and backward.
    """
    return _attend_forward(query_BLHK, key_BSHK, value_BSHK)[0]


def _attend_forward(query_BLHK: jax.Array, key_BSHK: jax.Array, value_BSHK: jax.Array) -> tuple[jax.Array, Any]:
    def one(query_LK, key_SK, value_SK):
        logits_LS = query_LK @ key_SK.T
        top_L = logits_LS.max(1)
        weights_LS = jnp.exp(logits_LS - top_L[:, None])
        sum_L = weights_LS.sum(1)
        return (weights_LS @ value_SK) / sum_L[:, None], top_L + jnp.log(sum_L)

    scaled_BLHK = query_BLHK * query_BLHK.shape[-1] ** -0.5
    mixed_BLHK, log_sum_BLH = _in_turn(one, scaled_BLHK, key_BSHK, value_BSHK)
    mixed_BLHK = mixed_BLHK.astype(query_BLHK.dtype)
    return mixed_BLHK, (scaled_BLHK, key_BSHK, value_BSHK, mixed_BLHK, log_sum_BLH)


def _attend_backward(saved: Any, slope_BLHK: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    def one(query_LK, key_SK, value_SK, slope_LK, log_sum_L, mean_slope_L):
        weights_LS = jnp.exp(query_LK @ key_SK.T - log_sum_L[:, None])
        logits_slope_LS = weights_LS * (slope_LK @ value_SK.T - mean_slope_L[:, None])
        return logits_slope_LS @ key_SK, logits_slope_LS.T @ query_LK, weights_LS.T @ slope_LK

    scaled_BLHK, key_BSHK, value_BSHK, mixed_BLHK, log_sum_BLH = saved
    mean_slope_BLH = jnp.sum(slope_BLHK * mixed_BLHK, axis=-1)
    slopes = _in_turn(one, scaled_BLHK, key_BSHK, value_BSHK, slope_BLHK, log_sum_BLH, mean_slope_BLH)
    query_slope, key_slope, value_slope = (slope.astype(slope_BLHK.dtype) for slope in slopes)
    return query_slope * scaled_BLHK.shape[-1] ** -0.5, key_slope, value_slope


attend_in_turn.defvjp(_attend_forward, _attend_backward)


def _in_turn(one: Callable[..., Any], *arrays: jax.Array) -> Any:
    """Maps `one` over windows and heads of (B, L, H, ...) arrays, in float32 or wider.

    Devices that share the batch take turns together, so that no window has to leave its own.
    """
    batch, heads = arrays[0].shape[0], arrays[0].shape[2]
    together = math.gcd(batch, jax.device_count())

    def split(x_BLH: jax.Array) -> jax.Array:
        x_BHL = x_BLH.swapaxes(1, 2).astype(jnp.promote_types(x_BLH.dtype, jnp.float32))
        return x_BHL.reshape(together, -1, *x_BHL.shape[2:]).swapaxes(0, 1)

    def join(x: jax.Array) -> jax.Array:
        return x.swapaxes(0, 1).reshape(batch, heads, *x.shape[2:]).swapaxes(1, 2)

    def turn(xs: tuple[jax.Array, ...]) -> Any:
        if together > 1:
            return jax.vmap(one)(*xs)
        return jax.tree.map(lambda y: y[None], one(*(x[0] for x in xs)))  # XLA copies for an axis of one, left to vmap

    return jax.tree.map(join, jax.lax.map(turn, tuple(map(split, arrays))))


def attention_weights(
    query_BLHK: Float[Array, "B L H K"], key_BSHK: Float[Array, "B S H K"]
) -> Float[Array, "B H L S"]:
    logits_BHLS = jnp.einsum("BLHK,BSHK->BHLS", query_BLHK * query_BLHK.shape[-1] ** -0.5, key_BSHK)
    return jax.nn.softmax(logits_BHLS.astype(jnp.promote_types(logits_BHLS.dtype, jnp.float32)))


def mix(weights_BHLS: Float[Array, "B H L S"], value_BSHK: Float[Array, "B S H K"]) -> Float[Array, "B L H K"]:
    return jnp.einsum("BHLS,BSHK->BLHK", weights_BHLS.astype(value_BSHK.dtype), value_BSHK)


def over_tokens(dense: nn.Module, x_BLD: jax.Array) -> jax.Array:
    """Applies `dense` to the tokens of all windows as one matrix: the gradient of a (B, L, D) one copies on CPU."""
    y = dense(x_BLD.reshape(-1, *x_BLD.shape[2:]))
    return y.reshape(*x_BLD.shape[:2], *y.shape[1:])


class Attention(nn.Module):
    """Multi-head self-attention. Sows `weights` (B, H, L, L) where the caller makes "intermediates" mutable."""

    num_heads: int
    dropout: float  # on the weights; above 0 they must be written out, which the fused kernels avoid
    dtype: Any

    @nn.compact
    def __call__(self, x_BLD: Float[Array, "B L D"], train: bool) -> Float[Array, "B L D"]:
        width = x_BLD.shape[-1]
        heads = (self.num_heads, width // self.num_heads)
        qkv = over_tokens(nn.DenseGeneral((3, *heads), dtype=self.dtype, name="qkv"), x_BLD)
        query_BLHK, key_BLHK, value_BLHK = (qkv[:, :, i] for i in range(3))
        if self.is_mutable_collection("intermediates"):
            self.sow("intermediates", "weights", attention_weights(query_BLHK, key_BLHK))
        if train and self.dropout:
            weights_BHLL = Dropout(self.dropout)(attention_weights(query_BLHK, key_BLHK), train)
            mixed_BLHK = mix(weights_BHLL, value_BLHK)
        else:
            mixed_BLHK = attend(query_BLHK, key_BLHK, value_BLHK)
        return over_tokens(nn.DenseGeneral(width, axis=(-2, -1), dtype=self.dtype, name="out"), mixed_BLHK)


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each with dropout, residual and LayerNorm."""

    num_heads: int
    hidden: int
    dropout: float
    attention_dropout: float
    activation: Activation
    norm_order: NormOrder
    dtype: Any

    @nn.compact
    def __call__(self, x_BLD: Float[Array, "B L D"], train: bool) -> Float[Array, "B L D"]:
        dense = functools.partial(nn.Dense, dtype=self.dtype)
        drop = Dropout(self.dropout)
        attention = Attention(self.num_heads, self.attention_dropout, self.dtype, name="attention")

        def mlp(x_BLD):
            x_BLF = drop(self.activation(over_tokens(dense(self.hidden, name="mlp_in"), x_BLD)), train)
            return over_tokens(dense(x_BLD.shape[-1], name="mlp_out"), x_BLF)

        for name, branch in (("attention", lambda x_BLD: attention(x_BLD, train)), ("mlp", mlp)):
            norm = nn.LayerNorm(EPSILON, dtype=self.dtype, name=f"{name}_norm")
            if self.norm_order is NormOrder.PRE:
                x_BLD = x_BLD + drop(branch(norm(x_BLD)), train)
            else:
                x_BLD = norm(x_BLD + drop(branch(x_BLD), train))
        return x_BLD


def sinusoids(length: int, width: int) -> np.ndarray:
    """(length, width) sines and cosines in turn, of wavelengths from 2 pi to 20,000 pi positions."""
    angle = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(length, width)
