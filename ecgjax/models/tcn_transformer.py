"""A causal convolutional net for each modality, then one Transformer over the tokens of all (Wu et al., TAFFC 2023).

Figures marked "code" are read off the authors' released code and weights. Biases start at 0, theirs at small uniform
numbers.
"""

import copy
import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Bool, Float

from ecgjax.errors import UserError, require
from ecgjax.models import base, base_transformer

_TORCH = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # PyTorch's for linear layers and convolutions


@dataclasses.dataclass(unsafe_hash=True)  # hashed only once make() has copied it: the module is a static argument
class Config:
    modalities: tuple[str, ...] = ("eda", "bvp", "temp")  # in the order of the tokens; code
    channels: tuple[int, ...] = (16, 16)  # of both convolutions of a block; block i is dilated by 2 ** i; code
    kernel: int = 6  # samples; code
    tcn_dropout: float = 0.2  # after each convolution; code
    width: int = 128  # code
    num_layers: int = 1  # code
    num_heads: int = 4  # code
    hidden: int = 128  # of the perceptron in each layer; code
    dropout: float = 0.2  # in each layer; code
    attention_dropout: float = 0.2  # on attention weights; code
    modality_dropout: float = 0.0  # in training, of a whole modality, but never all: prepares for failing sensors; ours
    activation: base.Activation = base.Activation.RELU  # code
    norm_order: base.NormOrder = base.NormOrder.POST  # code
    dtype: base.Precision = base.Precision.FLOAT32  # code

    may_differ = ("tcn_dropout", "dropout", "attention_dropout", "modality_dropout", "dtype")

    def make(self) -> "TcnTransformer":
        """The encoder.

        Raises:
          UserError: a field out of its range, or fields that do not fit each other.
        """
        for name in ("channels", "kernel", "width", "num_layers", "num_heads", "hidden"):
            value = getattr(self, name)
            lowest = min(value, default=0) if isinstance(value, tuple) else value
            require(lowest >= 1, f"model.{name}", value, "whole numbers from 1 up")
        for name in ("tcn_dropout", "dropout", "attention_dropout", "modality_dropout"):
            base.check_dropout(f"model.{name}", getattr(self, name))
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise UserError(f"model.modalities={','.join(self.modalities)}: name each signal it reads once.")
        if self.width % self.num_heads:
            raise UserError(f"model.width={self.width} is no multiple of model.num_heads={self.num_heads}.")
        return TcnTransformer(copy.copy(self))


class TcnTransformer(nn.Module):
    """Signals (B, T, C), each at its own rate, to a token a sample, those of one modality after those of the other.

    There are no positions: order reaches the Transformer through the convolutions alone, and which modality a token is
    of through its own projection. A vector of a modality is the mean of its tokens after the Transformer; the window's
    is all of them side by side. Tokens of a modality that a window lacks are seen by none, and its vector is 0.

    Sows, where the caller makes "intermediates" mutable: `<modality>_tokens` and `layer_<i>_tokens` (B, L, D).
    """

    config: Config

    @nn.compact
    def __call__(self, signals: dict[str, Float[Array, "B _ _"]], train: bool) -> base.Encoded:
        c, dtype = self.config, jnp.dtype(self.config.dtype.value)
        names = [m for m in c.modalities if m in signals]  # another is one that every window lacks
        known_BM = jnp.stack([base.known(signals[m]) for m in names], axis=1)
        if train and c.modality_dropout:
            known_BM = drop_modalities(self.make_rng("dropout"), known_BM, c.modality_dropout)

        tokens, seen = [], []
        for i, modality in enumerate(names):
            x_BTC = signals[modality]
            x_BTC = jnp.where(known_BM[:, i, None, None], x_BTC, 0).astype(dtype)
            x_BLC = nn.sigmoid(Tcn(c, name=f"tcn_{modality}")(x_BTC, train))
            project = nn.Dense(c.width, dtype=dtype, kernel_init=_TORCH, name=f"project_{modality}")
            x_BLD = base_transformer.over_tokens(project, x_BLC) * math.sqrt(c.width)
            x_BLD = nn.LayerNorm(base.EPSILON, dtype=dtype, name=f"norm_{modality}")(x_BLD)
            self.sow("intermediates", f"{modality}_tokens", x_BLD)
            tokens.append(x_BLD)
            seen.append(jnp.broadcast_to(known_BM[:, i, None], x_BLD.shape[:2]))

        x_BLD, seen_BL = jnp.concatenate(tokens, axis=1), jnp.concatenate(seen, axis=1)
        for i in range(c.num_layers):
            layer = base_transformer.TransformerLayer(
                c.num_heads,
                c.hidden,
                c.dropout,
                c.attention_dropout,
                c.activation,
                c.norm_order,
                dtype,
                kernel_init=_TORCH,
                qkv_init=nn.initializers.xavier_uniform(),
                name=f"layer_{i}",
            )
            x_BLD = layer(x_BLD, train, seen_BL)
            self.sow("intermediates", f"layer_{i}_tokens", x_BLD)
        if c.norm_order is base.NormOrder.PRE:
            x_BLD = nn.LayerNorm(base.EPSILON, dtype=dtype, name="norm")(x_BLD)

        ends = [sum(part.shape[1] for part in tokens[: i + 1]) for i in range(len(tokens))]
        means = [part_BLD.mean(1) for part_BLD in jnp.split(x_BLD, ends[:-1], axis=1)]
        by_modality = {m: jnp.zeros_like(means[0]) for m in c.modalities}
        by_modality |= {m: jnp.where(known_BM[:, i, None], means[i], 0.0) for i, m in enumerate(names)}
        return base.Encoded(x_BLD, jnp.concatenate(list(by_modality.values()), axis=-1), by_modality)


class Tcn(nn.Module):
    """Residual blocks of two dilated causal convolutions (Bai et al. 2018): sample t sees none after it."""

    config: Config

    @nn.compact
    def __call__(self, x_BTC: Float[Array, "B T C"], train: bool) -> Float[Array, "B T D"]:
        c, dtype = self.config, jnp.dtype(self.config.dtype.value)
        for i, channels in enumerate(c.channels):
            x_BTC = TcnBlock(channels, c.kernel, 2**i, c.tcn_dropout, dtype, name=f"block_{i}")(x_BTC, train)
        return x_BTC


class TcnBlock(nn.Module):
    channels: int
    kernel: int
    dilation: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x_BTC: Float[Array, "B T C"], train: bool) -> Float[Array, "B T D"]:
        y_BTD, conv = x_BTC, functools.partial(CausalConv, self.channels, self.kernel, self.dilation, self.dtype)
        for i in range(2):
            y_BTD = base.Dropout(self.dropout)(nn.relu(conv(name=f"conv_{i}")(y_BTD)), train)
        if x_BTC.shape[-1] != self.channels:
            small = nn.initializers.normal(0.01)  # code
            x_BTC = nn.Dense(self.channels, dtype=self.dtype, kernel_init=small, name="skip")(x_BTC)
        return nn.relu(x_BTC + y_BTD)


class CausalConv(nn.Module):
    """A convolution over the past, whose kernel is a direction and a length for each output channel (weight norm)."""

    channels: int
    kernel: int
    dilation: int
    dtype: Any

    @nn.compact
    def __call__(self, x_BTC: Float[Array, "B T C"]) -> Float[Array, "B T D"]:
        v_KCD = self.param("v", _TORCH, (self.kernel, x_BTC.shape[-1], self.channels))
        norm_D = jnp.sqrt(jnp.sum(jnp.square(v_KCD), axis=(0, 1)))
        g_D = self.param("g", lambda _: norm_D)
        bias_D = self.param("bias", nn.initializers.zeros, (self.channels,))
        kernel_KCD = (v_KCD * (g_D / norm_D)[None, None]).astype(self.dtype)
        y_BTD = lax.conv_general_dilated(
            x_BTC,
            kernel_KCD,
            (1,),
            [((self.kernel - 1) * self.dilation, 0)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return y_BTD + bias_D.astype(self.dtype)[None, None]


def drop_modalities(rng: jax.Array, known_BM: Bool[Array, "B M"], rate: float) -> Bool[Array, "B M"]:
    """Forgets each modality of a window with probability `rate`; a window left with none keeps all it had."""
    kept_BM = known_BM & ~jax.random.bernoulli(rng, rate, known_BM.shape)
    return jnp.where(kept_BM.any(1, keepdims=True), kept_BM, known_BM)
