"""Batch normalisation for heads, of batches in which not every row counts."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

EPSILON = 1e-5  # PyTorch's, as is all of this
MOMENTUM = 0.9  # of the running statistics; PyTorch's 0.1 means the same


class BatchNorm(nn.Module):
    """PyTorch's BatchNorm1d, over the rows that count: in training by those of the batch, whatever device they lie on.

    Of the running variance PyTorch takes the unbiased estimate, unlike Flax, whose own also makes NaN of a batch in
    which no row counts. Here that leaves the running statistics as they were.
    """

    @nn.compact
    def __call__(self, x_BD: Float[Array, "B D"], counts_B: Bool[Array, " B"], train: bool) -> Float[Array, "B D"]:
        width = x_BD.shape[1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, width)
        running_var = self.variable("batch_stats", "var", jnp.ones, width)
        scale_D = self.param("scale", nn.initializers.ones, width)
        bias_D = self.param("bias", nn.initializers.zeros, width)
        mean_D, var_D = running_mean.value, running_var.value
        if train:
            counts_B1, count = counts_B[:, None], jnp.sum(counts_B)
            mean_D = jnp.sum(jnp.where(counts_B1, x_BD, 0), axis=0) / jnp.maximum(count, 1)
            square_D = jnp.sum(jnp.where(counts_B1, jnp.square(x_BD - mean_D[None]), 0), axis=0)
            var_D = square_D / jnp.maximum(count, 1)
            moved = jnp.where(count > 0, 1 - MOMENTUM, 0) * (not self.is_initializing())
            running_mean.value += moved * (mean_D - running_mean.value)
            running_var.value += moved * (square_D / jnp.maximum(count - 1, 1) - running_var.value)
        return (x_BD - mean_D[None]) * (jax.lax.rsqrt(var_D + EPSILON) * scale_D)[None] + bias_D[None]
