"""The Transformer that encoders share, and attention in the quickest way a device has."""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer
from jax.ad_checkpoint import checkpoint_name
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float

from ecgjax.models.base import EPSILON, Activation, Dropout, NormOrder, drop_below

_SHORT = 256  # tokens: up to here the weights of a CPU's windows fit its cache, and nothing is to be saved
_KEPT = "attention"
_AT_ONCE = contextvars.ContextVar("at_once", default=False)
_NEVER = -1e30  # the logit of a token that is not to be seen; finite, so that a window that sees none makes no NaN


def attend(
    query_BLHK: Float[Array, "B L H K"],
    key_BSHK: Float[Array, "B S H K"],
    value_BSHK: Float[Array, "B S H K"],
    seen_BS: Bool[Array, "B S"] | None = None,
    dropout: float = 0.0,
    rng: jax.Array | None = None,
) -> Float[Array, "B L H K"]:
    """softmax(q k^T / sqrt(K)) v, in the quickest way the device has.

    Args:
      seen_BS: tokens that may be looked at; None for all of them.
      dropout: of weights, drawn from `rng`. Weights of long windows are not kept for it either; without it they stand
        in memory on accelerators where no fused kernel serves (float32), for the backward pass too.
    """
    platform, width = jax.default_backend(), query_BLHK.shape[-1]
    if not dropout and platform != "cpu":
        fused = platform == "gpu" and query_BLHK.dtype == jnp.bfloat16 and width % 8 == 0 and width <= 128
        return jax.nn.dot_product_attention(
            query_BLHK,
            key_BSHK,
            value_BSHK,
            mask=None if seen_BS is None else seen_BS[:, None, None],
            implementation="cudnn" if fused else "xla",
        )
    rng_BH = jax.random.split(rng, (len(query_BLHK), query_BLHK.shape[2])) if dropout else None
    way = attend_at_once if _AT_ONCE.get() or key_BSHK.shape[1] <= _SHORT else attend_in_turn
    return way(query_BLHK, key_BSHK, value_BSHK, seen_BS, rng_BH, dropout)


@contextlib.contextmanager
def all_at_once() -> Iterator[None]:
    """What is traced in here has no loops of ours, however long the windows: for converters that know none."""
    token = _AT_ONCE.set(True)
    try:
        yield
    finally:
        _AT_ONCE.reset(token)


def attend_at_once(
    query_BLHK: Float[Array, "B L H K"],
    key_BSHK: Float[Array, "B S H K"],
    value_BSHK: Float[Array, "B S H K"],
    seen_BS: Bool[Array, "B S"] | None = None,
    rng_BH: jax.Array | None = None,
    dropout: float = 0.0,
) -> Float[Array, "B L H K"]:
    weights_BHLS = attention_weights(query_BLHK, key_BSHK, seen_BS)
    if dropout:
        weights_BHLS = jax.vmap(jax.vmap(functools.partial(_drop, rate=dropout)))(rng_BH, weights_BHLS)
    return jnp.einsum("BHLS,BSHK->BLHK", weights_BHLS.astype(value_BSHK.dtype), value_BSHK)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def attend_in_turn(
    query_BLHK: Float[Array, "B L H K"],
    key_BSHK: Float[Array, "B S H K"],
    value_BSHK: Float[Array, "B S H K"],
    seen_BS: Bool[Array, "B S"] | None = None,
    rng_BH: jax.Array | None = None,
    dropout: float = 0.0,
) -> Float[Array, "B L H K"]:
    """The same, a head of one window after the other, its weights and what is dropped made again for the gradient.

    The weights never stand in memory together. On CPU fresh memory costs more than arithmetic: on 1,281 tokens this
    takes a third of the time of `jax.nn.dot_product_attention`, forward and backward.
    """
    return _attend_forward(query_BLHK, key_BSHK, value_BSHK, seen_BS, rng_BH, dropout)[0]


def _attend_forward(
    query_BLHK: jax.Array,
    key_BSHK: jax.Array,
    value_BSHK: jax.Array,
    seen_BS: jax.Array | None,
    rng_BH: jax.Array | None,
    dropout: float,
) -> tuple[jax.Array, Any]:
    def one(query_LK, key_SK, value_SK, seen_S, rng):
        logits_LS = _hide(query_LK @ key_SK.T, seen_S)
        top_L = logits_LS.max(1)
        weights_LS = jnp.exp(logits_LS - top_L[:, None])
        sum_L = weights_LS.sum(1)
        kept_LS = _drop(rng[0], weights_LS, dropout) if dropout else weights_LS
        return (kept_LS @ value_SK) / sum_L[:, None], top_L + jnp.log(sum_L)

    scaled_BLHK = query_BLHK * query_BLHK.shape[-1] ** -0.5
    mixed_BLHK, log_sum_BLH = _in_turn(one, scaled_BLHK, key_BSHK, value_BSHK, seen_BS, rng_BH)
    # By this name `remat` keeps them, and attention is not done again.
    mixed_BLHK = checkpoint_name(mixed_BLHK.astype(query_BLHK.dtype), _KEPT)
    log_sum_BLH = checkpoint_name(log_sum_BLH, _KEPT)
    return mixed_BLHK, (scaled_BLHK, key_BSHK, value_BSHK, seen_BS, rng_BH, mixed_BLHK, log_sum_BLH)


def _attend_backward(dropout: float, saved: Any, slope_BLHK: jax.Array) -> tuple[jax.Array | None, ...]:
    def one(query_LK, key_SK, value_SK, seen_S, rng, slope_LK, log_sum_L, mean_slope_L):
        weights_LS = jnp.exp(_hide(query_LK @ key_SK.T, seen_S) - log_sum_L[:, None])
        weights_slope_LS, kept_LS = slope_LK @ value_SK.T, weights_LS
        if dropout:  # the weights that were dropped then are dropped again
            weights_slope_LS, kept_LS = (_drop(rng[0], x_LS, dropout) for x_LS in (weights_slope_LS, weights_LS))
        logits_slope_LS = weights_LS * (weights_slope_LS - mean_slope_L[:, None])
        return logits_slope_LS @ key_SK, logits_slope_LS.T @ query_LK, kept_LS.T @ slope_LK

    scaled_BLHK, key_BSHK, value_BSHK, seen_BS, rng_BH, mixed_BLHK, log_sum_BLH = saved
    mean_slope_BLH = jnp.sum(slope_BLHK * mixed_BLHK, axis=-1)
    slopes = _in_turn(one, scaled_BLHK, key_BSHK, value_BSHK, seen_BS, rng_BH, slope_BLHK, log_sum_BLH, mean_slope_BLH)
    query_slope, key_slope, value_slope = (slope.astype(slope_BLHK.dtype) for slope in slopes)
    return query_slope * scaled_BLHK.shape[-1] ** -0.5, key_slope, value_slope, None, None


attend_in_turn.defvjp(_attend_forward, _attend_backward)


def _in_turn(
    one: Callable[..., Any],
    query_BLHK: jax.Array,
    key_BSHK: jax.Array,
    value_BSHK: jax.Array,
    seen_BS: jax.Array | None,
    rng_BH: jax.Array | None,
    *others_BLH: jax.Array,
) -> Any:
    """Maps `one` over windows and heads of (B, L, H, ...) arrays, in float32 or wider; what is None stays it.

    Each turn cuts its part and writes its result in place: no array is copied in another order. Devices that share the
    batch take turns together, so that no window has to leave its own. An accelerator takes several windows a turn.
    """
    batch, _, heads, _ = query_BLHK.shape
    at_most = jax.device_count() * (1 if jax.default_backend() == "cpu" else 16)
    together = math.gcd(batch, at_most) if isinstance(batch, int) else 1  # exported for batches of any size
    seen_BSH = None if seen_BS is None else jnp.broadcast_to(seen_BS[..., None], (*seen_BS.shape, heads))
    rng_B1H = None if rng_BH is None else rng_BH[:, None]
    arrays = (query_BLHK, key_BSHK, value_BSHK, seen_BSH, rng_B1H, *others_BLH)
    arrays = jax.tree.map(lambda x_BLH: x_BLH.reshape(together, -1, *x_BLH.shape[1:]), arrays)

    def do(number: jax.Array) -> Any:
        xs = jax.tree.map(lambda x: _part(x, number // heads, number % heads), arrays)
        if together > 1:
            return jax.vmap(one)(*xs)
        # XLA copies for an axis of one, left to vmap
        return jax.tree.map(lambda y: y[None], one(*jax.tree.map(lambda x: x[0], xs)))

    def turn(number: jax.Array, done: Any) -> Any:
        def put(all_GNLH: jax.Array, y_GL: jax.Array) -> jax.Array:
            place = (0, number // heads, 0, number % heads, *(0,) * (y_GL.ndim - 2))
            return jax.lax.dynamic_update_slice(all_GNLH, y_GL[:, None, :, None], place)

        return jax.tree.map(put, done, do(number))

    shapes, per_group = jax.eval_shape(do, 0), batch // together
    done = jax.tree.map(lambda y: jnp.zeros((together, per_group, y.shape[1], heads, *y.shape[2:]), y.dtype), shapes)
    done = jax.lax.fori_loop(0, per_group * heads, turn, done)
    return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), done)


def _part(x_GNLH: jax.Array, window: jax.Array, head: jax.Array) -> jax.Array:
    """One head of one window of each group, (G, L, ...)."""
    groups, _, length, _, *rest = x_GNLH.shape
    place, sizes = (0, window, 0, head, *(0,) * len(rest)), (groups, 1, length, 1, *rest)
    x_GL = jax.lax.dynamic_slice(x_GNLH, place, sizes).reshape(groups, length, *rest)
    if jnp.issubdtype(x_GL.dtype, jnp.inexact):
        return x_GL.astype(jnp.promote_types(x_GL.dtype, jnp.float32))
    return x_GL


def attention_weights(
    query_BLHK: Float[Array, "B L H K"], key_BSHK: Float[Array, "B S H K"], seen_BS: Bool[Array, "B S"] | None = None
) -> Float[Array, "B H L S"]:
    logits_BHLS = jnp.einsum("BLHK,BSHK->BHLS", query_BLHK * query_BLHK.shape[-1] ** -0.5, key_BSHK)
    logits_BHLS = logits_BHLS.astype(jnp.promote_types(logits_BHLS.dtype, jnp.float32))
    return jax.nn.softmax(_hide(logits_BHLS, None if seen_BS is None else seen_BS[:, None, None]))


def _hide(logits: jax.Array, seen: jax.Array | None) -> jax.Array:
    return logits if seen is None else jnp.where(seen, logits, _NEVER)


def _drop(rng: jax.Array, weights_LS: Float[Array, "L S"], rate: float) -> Float[Array, "L S"]:
    """`base.drop` for what never lies on several devices: counting words in one row takes half of its time."""
    # Of two words, whatever kind of key is the default.
    words = threefry_2x32(jax.random.bits(rng, (2,)), jnp.arange(-(-weights_LS.size // 4), dtype=jnp.uint32))
    byte = jax.lax.bitcast_convert_type(words, jnp.uint8).ravel()[: weights_LS.size]
    return drop_below(byte.reshape(weights_LS.shape), weights_LS, rate)


def over_tokens(dense: nn.Module, x_BLD: jax.Array) -> jax.Array:
    """Applies `dense` to the tokens of all windows as one matrix: the gradient of a (B, L, D) one copies on CPU."""
    y = dense(x_BLD.reshape(-1, *x_BLD.shape[2:]))
    return y.reshape(*x_BLD.shape[:2], *y.shape[1:])


class Attention(nn.Module):
    """Multi-head self-attention. Sows `weights` (B, H, L, L) where the caller makes "intermediates" mutable."""

    num_heads: int
    dropout: float  # on the weights; in training it does without the fused kernels of a GPU
    dtype: Any
    kernel_init: Initializer = nn.initializers.lecun_normal()
    qkv_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x_BLD: Float[Array, "B L D"], train: bool, seen_BL: Bool[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        width = x_BLD.shape[-1]
        heads = (self.num_heads, width // self.num_heads)
        dense = functools.partial(nn.DenseGeneral, dtype=self.dtype)
        qkv = over_tokens(dense((3, *heads), kernel_init=self.qkv_init, name="qkv"), x_BLD)
        query_BLHK, key_BLHK, value_BLHK = (qkv[:, :, i] for i in range(3))
        if self.is_mutable_collection("intermediates"):
            self.sow("intermediates", "weights", attention_weights(query_BLHK, key_BLHK, seen_BL))
        dropping = (self.dropout, self.make_rng("dropout")) if train and self.dropout else ()
        mixed_BLHK = attend(query_BLHK, key_BLHK, value_BLHK, seen_BL, *dropping)
        return over_tokens(dense(width, axis=(-2, -1), kernel_init=self.kernel_init, name="out"), mixed_BLHK)


def remat(module: type[nn.Module]) -> type[nn.Module]:
    """A module called as (x, train, ...) that makes all but attention again in the backward pass: less memory."""
    policy = jax.checkpoint_policies.save_only_these_names(_KEPT)
    return nn.remat(module, static_argnums=(2,), policy=policy)


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each with dropout, residual and LayerNorm.

    Tokens that `seen_BL` leaves out are looked at by none; what becomes of themselves means nothing.
    """

    num_heads: int
    hidden: int
    dropout: float
    attention_dropout: float
    activation: Activation
    norm_order: NormOrder
    dtype: Any
    kernel_init: Initializer = nn.initializers.lecun_normal()
    qkv_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x_BLD: Float[Array, "B L D"], train: bool, seen_BL: Bool[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=self.kernel_init)
        dropout = Dropout(self.dropout)
        inits = {"kernel_init": self.kernel_init, "qkv_init": self.qkv_init}
        attention = Attention(self.num_heads, self.attention_dropout, self.dtype, **inits, name="attention")

        def mlp(x_BLD):
            x_BLF = dropout(self.activation(over_tokens(dense(self.hidden, name="mlp_in"), x_BLD)), train)
            return over_tokens(dense(x_BLD.shape[-1], name="mlp_out"), x_BLF)

        for name, branch in (("attention", lambda x_BLD: attention(x_BLD, train, seen_BL)), ("mlp", mlp)):
            norm = nn.LayerNorm(EPSILON, dtype=self.dtype, name=f"{name}_norm")
            if self.norm_order is NormOrder.PRE:
                x_BLD = x_BLD + dropout(branch(norm(x_BLD)), train)
            else:
                x_BLD = norm(x_BLD + dropout(branch(x_BLD), train))
        return x_BLD
