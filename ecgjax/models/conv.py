"""Three blocks of two convolutions and a maximum over time (Sarkar & Etemad, TAFFC 2020).

Figures marked "code" are read off the authors' released code and checkpoint.
"""

import copy
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from ecgjax.errors import UserError
from ecgjax.models import base


@dataclasses.dataclass(unsafe_hash=True)  # hashed only once make() has copied it: the module is a static argument
class Config:
    modality: str = "ecg"
    channels: tuple[int, ...] = (32, 64, 128)  # of both convolutions of a block; code
    kernels: tuple[int, ...] = (32, 16, 8)  # samples of what the block is given; code
    pool_window: int = 8  # between blocks; code
    pool_stride: int = 2  # code
    negative_slope: float = 0.2  # of LeakyReLU, after every convolution; code (the authors' figure draws a plain ReLU)
    dtype: base.Precision = base.Precision.FLOAT32  # code

    may_differ = ("dtype",)

    def make(self) -> "ConvNet":
        """The encoder.

        Raises:
          UserError: fields that do not fit each other.
        """
        if not len(self.channels) == len(self.kernels) > 0:
            raise UserError(
                f"model.channels and kernels have {len(self.channels)} and {len(self.kernels)} entries. "
                "Give each block one of each."
            )
        if min(*self.channels, *self.kernels, self.pool_stride) < 1:
            raise UserError("model.channels, kernels and pool_stride: give 1 or more.")
        if self.pool_window < 1 or self.pool_window % self.pool_stride:
            raise UserError(
                f"model.pool_window={self.pool_window}: give a multiple of model.pool_stride={self.pool_stride}."
            )
        if not self.negative_slope >= 0:
            raise UserError(f"model.negative_slope={self.negative_slope}: give 0 or above.")
        return ConvNet(copy.copy(self))


class ConvNet(nn.Module):
    """One signal (B, T, C) to the last block's feature map and its maximum over time.

    With the default pooling, 2,560 samples give 635 tokens (2,560 to 1,277 to 635). Without dropout, training and
    evaluation are the same.

    Sows, where the caller makes "intermediates" mutable: `block_<i>_tokens` (B, L, D), each before its pooling.
    """

    config: Config

    @nn.compact
    def __call__(self, signals: dict[str, Float[Array, "B T C"]], train: bool) -> base.Encoded:
        c, x_BTC = self.config, signals[self.config.modality]
        check_length(c, x_BTC.shape[1])
        make = functools.partial(Conv, dtype=jnp.dtype(c.dtype.value))
        leaky = functools.partial(leaky_relu, slope=c.negative_slope)
        for i, (channels, kernel) in enumerate(zip(c.channels, c.kernels, strict=True)):
            x_BTC = leaky(make(channels, kernel, name=f"conv_{2 * i}")(x_BTC))
            last = make(channels, kernel, name=f"conv_{2 * i + 1}")
            y_BTC = last(x_BTC)
            tokens_BTC = leaky(y_BTC)
            self.sow("intermediates", f"block_{i}_tokens", tokens_BTC)
            if i + 1 < len(c.channels):
                # LeakyReLU rises, so it may as well come after the maximum, where half as many values are left.
                x_BTC = leaky(max_pool(y_BTC, c.pool_window, c.pool_stride))
        # The compiler sees that this convolution is the last one above, and makes it once.
        return base.Encoded(tokens_BTC, leaky(last(x_BTC, peak=True)))


class Conv(nn.Module):
    """A convolution over time; with `peak`, its maximum over time (B, channels) instead."""

    channels: int
    kernel: int  # samples
    dtype: Any

    @nn.compact
    def __call__(self, x_BTC: Float[Array, "B T C"], peak: bool = False) -> jax.Array:
        shape = (self.kernel, x_BTC.shape[-1], self.channels)
        kernel_KCD = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        bias_D = self.param("bias", nn.initializers.zeros, (self.channels,))
        x_BTC, kernel_KCD, bias_D = (a.astype(self.dtype) for a in (x_BTC, kernel_KCD, bias_D))
        if peak:
            return convolve_peak(x_BTC, kernel_KCD) + bias_D[None]
        return convolve(x_BTC, kernel_KCD) + bias_D[None, None]


def leaky_relu(x: jax.Array, slope: float) -> jax.Array:
    return jnp.where(x > 0, x, slope * x)  # at 0 the gradient takes the slope, as in TensorFlow and PyTorch


def check_length(config: Config, samples: int) -> None:
    """Raises UserError where a window is too short for the poolings."""
    needed = 1
    for _ in config.channels[1:]:
        needed = config.pool_window + (needed - 1) * config.pool_stride
    if samples < needed:
        raise UserError(
            f"data.window_s gives windows of {samples} samples, but {len(config.channels)} model.channels with "
            f"model.pool_window={config.pool_window} and pool_stride={config.pool_stride} need {needed}. "
            "Lengthen the window."
        )


def padding(kernel: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow's SAME: with an even kernel, one more after."""
    return (kernel - 1) // 2, kernel // 2


def convolve(x_BTC: Float[Array, "B T C"], kernel_KCD: Float[Array, "K C D"]) -> Float[Array, "B T D"]:
    sides = [padding(len(kernel_KCD))]
    return lax.conv_general_dilated(x_BTC, kernel_KCD, (1,), sides, dimension_numbers=("NWC", "WIO", "NWC"))


@jax.custom_vjp
def convolve_peak(x_BTC: Float[Array, "B T C"], kernel_KCD: Float[Array, "K C D"]) -> Float[Array, "B D"]:
    """The maximum over time of `convolve`, its gradient that of the first sample where it is reached.

    One sample in a window and channel has a gradient. On CPU only the stretches of signal that those samples were made
    from take part in the backward pass, which is then 1 % of the arithmetic of a whole convolution's.
    """
    return convolve(x_BTC, kernel_KCD).max(1)


def _peak_forward(x_BTC: jax.Array, kernel_KCD: jax.Array) -> tuple[jax.Array, Any]:
    y_BTD = convolve(x_BTC, kernel_KCD)
    return y_BTD.max(1), (x_BTC, kernel_KCD, y_BTD.argmax(1))


def _peak_backward(saved: Any, slope_BD: jax.Array) -> tuple[jax.Array, jax.Array]:
    x_BTC, kernel_KCD, place_BD = saved
    if jax.default_backend() == "cpu":
        return _stretches_backward(x_BTC, kernel_KCD, place_BD, slope_BD)
    # Elsewhere arithmetic is cheap, and adding up where stretches overlap takes an order that changes from run to run.
    here_BTD = jnp.arange(x_BTC.shape[1])[None, :, None] == place_BD[:, None]
    return jax.vjp(convolve, x_BTC, kernel_KCD)[1](jnp.where(here_BTD, slope_BD[:, None], 0))


def _stretches_backward(
    x_BTC: Float[Array, "B T C"],
    kernel_KCD: Float[Array, "K C D"],
    place_BD: Int[Array, "B D"],
    slope_BD: Float[Array, "B D"],
) -> tuple[Float[Array, "B T C"], Float[Array, "K C D"]]:
    batch, samples, width = x_BTC.shape
    kernel = len(kernel_KCD)
    before, after = padding(kernel)
    wide = jnp.promote_types(x_BTC.dtype, jnp.float32)  # sums over time and batch
    padded_BTC = jnp.pad(x_BTC, ((0, 0), (before, after), (0, 0)))
    start_BD1 = place_BD[..., None]
    batched = {"operand_batching_dims": (0,), "start_indices_batching_dims": (0,)}
    gather = lax.GatherDimensionNumbers((2, 3), (), (1,), **batched)
    stretch_BDKC = lax.gather(padded_BTC, start_BD1, gather, (1, kernel, width), mode="promise_in_bounds")
    kernel_slope_KCD = jnp.einsum("BDKC,BD->KCD", stretch_BDKC, slope_BD, preferred_element_type=wide)

    stretch_slope_BDKC = slope_BD[..., None, None].astype(wide) * kernel_KCD.transpose(2, 0, 1)[None]
    scatter = lax.ScatterDimensionNumbers(
        (2, 3), (), (1,), operand_batching_dims=(0,), scatter_indices_batching_dims=(0,)
    )
    x_slope_BTC = lax.scatter_add(
        jnp.zeros(padded_BTC.shape, wide), start_BD1, stretch_slope_BDKC, scatter, mode="promise_in_bounds"
    )[:, before : before + samples]
    return x_slope_BTC.astype(x_BTC.dtype), kernel_slope_KCD.astype(kernel_KCD.dtype)


convolve_peak.defvjp(_peak_forward, _peak_backward)


def max_pool(x_BTD: Float[Array, "B T D"], window: int, stride: int) -> Float[Array, "B L D"]:
    """Maxima over `window` samples every `stride`, none of them over the edge; `window` is a multiple of `stride`.

    Strides are reduced first and then joined two by two, which on CPU takes a fraction of the time of `nn.max_pool`'s
    gradient. Of equal samples the first has the gradient, as in TensorFlow and PyTorch.
    """
    strides = (x_BTD.shape[1] - window) // stride + window // stride
    x_BLSD = x_BTD[:, : strides * stride].reshape(x_BTD.shape[0], strides, stride, -1)
    top_BLD = functools.reduce(larger, (x_BLSD[:, :, i] for i in range(stride)))
    covered = 1
    while covered < window // stride:
        step = min(covered, window // stride - covered)
        top_BLD = larger(top_BLD[:, :-step], top_BLD[:, step:])
        covered += step
    return top_BLD


def larger(x: jax.Array, y: jax.Array) -> jax.Array:
    """The larger, `x` where they are equal; NaN where one is. `jnp.maximum` would halve the gradient of equals."""
    return jnp.where((x >= y) | (x != x), x, y)
