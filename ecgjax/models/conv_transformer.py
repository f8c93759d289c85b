"""Convolutions that turn each sample into a token, then a Transformer (Vazquez-Rodriguez et al., ICPR 2022).

The published figures were not at hand in the paper's own text: what is marked "unverified" is from memory, and what is
marked "ours" is unknown and chosen here.
"""

import copy
import dataclasses
import enum

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ecgjax.errors import UserError, require
from ecgjax.models import base, base_transformer


class ConvNorm(enum.Enum):
    """Which convolutions are followed by a LayerNorm over channels."""

    NONE = "none"
    FIRST = "first"
    FIRST_AND_LAST = "first_and_last"
    EVERY = "every"


class Position(enum.Enum):
    NONE = "none"
    SINUSOIDAL = "sinusoidal"
    LEARNED = "learned"


class Pooling(enum.Enum):
    CLS = "cls"
    MEAN = "mean"
    MAX = "max"
    LAST = "last"  # the latest token


@dataclasses.dataclass(unsafe_hash=True)  # hashed only once make() has copied it: the module is a static argument
class Config:
    modality: str = "ecg"
    channels: tuple[int, ...] = (64, 128, 256)  # unverified
    kernels: tuple[int, ...] = (65, 33, 17)  # samples, odd; unverified
    strides: tuple[int, ...] = (1, 1, 1)  # unverified; their product is the samples a token stands for
    conv_norm: ConvNorm = ConvNorm.FIRST  # unverified
    width: int = 256  # unverified
    num_layers: int = 2  # unverified: 2 or 4
    num_heads: int = 2  # unverified
    hidden: int = 1024  # of the perceptron in each layer; unverified
    dropout: float = 0.1  # after convolutions, after positions, in each layer; unverified
    attention_dropout: float = 0.0  # on attention weights: PyTorch's layers had `dropout` here too
    activation: base.Activation = base.Activation.RELU  # ours
    norm_order: base.NormOrder = base.NormOrder.POST  # ours
    position: Position = Position.SINUSOIDAL  # unverified
    max_tokens: int = 4096  # rows of the table of learned positions, CLS included; ours
    pooling: Pooling = Pooling.CLS  # unverified
    dtype: base.Precision = base.Precision.FLOAT32  # ours
    remat: bool = False  # make layers, but for their attention, again in the backward pass: less memory, more time

    # Learned positions have a shape, which is compared; others have no table.
    may_differ = ("dropout", "attention_dropout", "max_tokens", "pooling", "dtype", "remat")

    def make(self) -> "ConvTransformer":
        """The encoder.

        Raises:
          UserError: a field out of its range, or fields that do not fit each other.
        """
        for name in ("channels", "kernels", "strides", "width", "num_layers", "num_heads", "hidden", "max_tokens"):
            value = getattr(self, name)
            lowest = min(value, default=1) if isinstance(value, tuple) else value
            require(lowest >= 1, f"model.{name}", value, "whole numbers from 1 up")
        base.check_dropout("model.dropout", self.dropout)
        base.check_dropout("model.attention_dropout", self.attention_dropout)
        if not len(self.channels) == len(self.kernels) == len(self.strides) > 0:
            raise UserError(
                f"model.channels, kernels and strides have {len(self.channels)}, {len(self.kernels)} and "
                f"{len(self.strides)} entries. Give each convolution one of each."
            )
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise UserError(f"model.kernels={self.kernels}: use odd lengths, so that a token sits on its sample.")
        if self.width % (2 * self.num_heads):
            raise UserError(f"model.width={self.width} is no multiple of twice model.num_heads={self.num_heads}.")
        return ConvTransformer(copy.copy(self))


class ConvTransformer(nn.Module):
    """One signal (B, T, C) to ceil(T / product of strides) tokens.

    Sows, where the caller makes "intermediates" mutable: `conv_tokens` and `layer_<i>_tokens` (B, L, D).
    """

    config: Config

    @nn.compact
    def __call__(self, signals: dict[str, Float[Array, "B T C"]], train: bool) -> base.Encoded:
        c = self.config
        dtype = jnp.dtype(c.dtype.value)
        drop = base.Dropout(c.dropout)
        x_BLD = drop(ConvStem(c, name="conv")(signals[c.modality]), train)
        self.sow("intermediates", "conv_tokens", x_BLD)

        # CLS is there whatever the pooling, so that one pre-trained encoder serves all of them.
        cls_D = self.param("cls", nn.initializers.normal(0.02), (c.width,))
        cls_B1D = jnp.broadcast_to(cls_D.astype(dtype), (x_BLD.shape[0], 1, c.width))
        x_BLD = drop(self.add_positions(jnp.concatenate([cls_B1D, x_BLD], axis=1)), train)

        Layer = base_transformer.TransformerLayer
        Layer = base_transformer.remat(Layer) if c.remat else Layer
        for i in range(c.num_layers):
            layer = Layer(
                c.num_heads,
                c.hidden,
                c.dropout,
                c.attention_dropout,
                c.activation,
                c.norm_order,
                dtype,
                name=f"layer_{i}",
            )
            x_BLD = layer(x_BLD, train)
            self.sow("intermediates", f"layer_{i}_tokens", x_BLD[:, 1:])
        if c.norm_order is base.NormOrder.PRE:
            x_BLD = nn.LayerNorm(base.EPSILON, dtype=dtype, name="norm")(x_BLD)
        return base.Encoded(x_BLD[:, 1:], pool(x_BLD, c.pooling))

    def add_positions(self, x_BLD: jax.Array) -> jax.Array:
        c, length = self.config, x_BLD.shape[1]
        if c.position is Position.NONE:
            return x_BLD
        if c.position is Position.SINUSOIDAL:
            return x_BLD + jnp.asarray(base.sinusoids(length, c.width), x_BLD.dtype)[None]
        if length > c.max_tokens:
            raise UserError(f"model.max_tokens={c.max_tokens}, but the window gives {length} tokens. Raise it.")
        table_LD = self.param("position", nn.initializers.normal(0.02), (c.max_tokens, c.width))
        return x_BLD + table_LD[None, :length].astype(x_BLD.dtype)


class ConvStem(nn.Module):
    """Convolutions padded with zeros, so that token i is centred on sample i * product of strides."""

    config: Config

    @nn.compact
    def __call__(self, x_BTC: Float[Array, "B T C"]) -> Float[Array, "B L D"]:
        c = self.config
        dtype, last = jnp.dtype(c.dtype.value), len(c.channels) - 1
        normed = {
            ConvNorm.NONE: (),
            ConvNorm.FIRST: (0,),
            ConvNorm.FIRST_AND_LAST: (0, last),
            ConvNorm.EVERY: range(last + 1),
        }[c.conv_norm]
        for i, (channels, kernel, stride) in enumerate(zip(c.channels, c.kernels, c.strides, strict=True)):
            conv = nn.Conv(
                channels, (kernel,), stride, padding=((kernel // 2, kernel // 2),), dtype=dtype, name=f"conv_{i}"
            )
            x_BTC = conv(x_BTC)
            if i in normed:
                x_BTC = nn.LayerNorm(base.EPSILON, dtype=dtype, name=f"norm_{i}")(x_BTC)
            x_BTC = c.activation(x_BTC)
        if c.channels[-1] != c.width:
            x_BTC = nn.Dense(c.width, dtype=dtype, name="project")(x_BTC)
        return x_BTC


def pool(x_BLD: Float[Array, "B L D"], pooling: Pooling) -> Float[Array, "B D"]:
    """One vector a window, from tokens whose first is CLS."""
    match pooling:
        case Pooling.CLS:
            return x_BLD[:, 0]
        case Pooling.MEAN:
            return x_BLD[:, 1:].mean(1)
        case Pooling.MAX:
            return x_BLD[:, 1:].max(1)
        case Pooling.LAST:
            return x_BLD[:, -1]
