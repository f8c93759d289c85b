"""The Transformer's parts: attention by every way, and a layer."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.models import base, base_transformer


def query_key_value(length: int, batch: int = 2, heads: int = 2, width: int = 8):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal((batch, length, heads, width)), jnp.float32) for _ in range(3)]


@pytest.mark.parametrize("attend", [base_transformer.attend_at_once, base_transformer.attend_in_turn])
@pytest.mark.parametrize("batch", [1, 3, 8])  # dealt to 8 devices: none, one and all of them at a time
def test_every_way_of_attending_is_attention(attend, batch):
    inputs = query_key_value(23, batch)

    def out_and_slopes(attend):
        out, vjp = jax.vjp(attend, *inputs)
        return out, vjp(jnp.cos(out))

    ours, theirs = (jax.jit(out_and_slopes, static_argnums=0)(f) for f in (attend, jax.nn.dot_product_attention))
    chex.assert_trees_all_close(ours, theirs, atol=2e-6)


def test_attending_in_turn_survives_large_logits():
    query, key, value = query_key_value(23)
    out, slope = jax.value_and_grad(lambda q: jnp.sum(base_transformer.attend_in_turn(q, key, value)))(1e4 * query)
    assert np.isfinite(out)
    assert np.isfinite(slope).all()


def test_windows_stay_on_their_devices():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    inputs = jax.device_put(query_key_value(23, batch=16), placed)
    slope = jax.jit(jax.grad(lambda inputs: jnp.sum(base_transformer.attend_in_turn(*inputs))), out_shardings=placed)
    compiled = slope.lower(inputs).compile().as_text()
    assert "all-gather" not in compiled
    assert "collective-permute" not in compiled
    assert "all-to-all" not in compiled


def test_long_windows_never_hold_all_weights_at_once():
    """1,281 tokens: the compiled gradient needs half the memory of one (B, H, L, L) array of float32 at most."""
    inputs = query_key_value(1281, batch=5)
    slope = jax.jit(jax.grad(lambda inputs: jnp.sum(base_transformer.attend(*inputs))))
    needed = slope.lower(inputs).compile().memory_analysis().temp_size_in_bytes
    assert needed < 4 * 5 * 2 * 1281**2 / 2


def test_dropout_on_attention_weights_acts_in_training_only():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 12, 16)), jnp.float32)
    plain, dropping = (base_transformer.Attention(2, rate, jnp.float32) for rate in (0.0, 0.5))
    variables = plain.init(jax.random.key(0), x, False)
    draw = jax.jit(lambda key: dropping.apply(variables, x, True, rngs={"dropout": key}))
    out = [draw(jax.random.key(k)) for k in (0, 0, 1)]
    np.testing.assert_array_equal(out[0], out[1])
    assert (out[0] != out[2]).any()
    np.testing.assert_allclose(dropping.apply(variables, x, False), plain.apply(variables, x, True), atol=1e-6)
    many = [draw(jax.random.key(k)) for k in range(300)]
    np.testing.assert_allclose(np.mean(many, 0), plain.apply(variables, x, False), atol=0.2)


@pytest.mark.parametrize("order", base.NormOrder)
def test_a_layer_puts_its_norms_where_the_order_says(order):
    """After the residual, the output has unit variance; before it, a layer of zero weights passes its input on."""
    x = 5 * jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 16)), jnp.float32)
    layer = base_transformer.TransformerLayer(2, 24, 0.0, 0.0, base.Activation.RELU, order, jnp.float32)
    variables = layer.init(jax.random.key(0), x, False)
    silent = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if "norm" in jax.tree_util.keystr(path) else jnp.zeros_like(leaf), variables
    )
    out = layer.apply(silent, x, False)
    if order is base.NormOrder.PRE:
        np.testing.assert_array_equal(out, x)
    else:
        np.testing.assert_allclose(out.std(-1), 1, rtol=1e-3)


def test_attending_in_turn_drops_and_hides_what_attending_at_once_does():
    """Tokens that are not seen, and dropped weights: the same draws, outputs and slopes in both ways."""
    inputs, rng_BH = query_key_value(23, batch=8), jax.random.split(jax.random.key(3), (8, 2))
    seen_BS = jnp.arange(23)[None] < jnp.array([23, 5, 12, 23, 1, 7, 9, 22])[:, None]

    def out_and_slopes(attend):
        out, vjp = jax.vjp(lambda *inputs: attend(*inputs, seen_BS, rng_BH, 0.3), *inputs)
        return out, vjp(jnp.cos(out))

    ways = (base_transformer.attend_at_once, base_transformer.attend_in_turn)
    at_once, in_turn = (jax.jit(out_and_slopes, static_argnums=0)(way) for way in ways)
    chex.assert_trees_all_close(at_once, in_turn, atol=3e-6)
    undropped = base_transformer.attend_at_once(*inputs, seen_BS)
    assert np.abs(at_once[0] - undropped).max() > 0.1


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("length", [23, 300])  # at once, and in turn
def test_hidden_tokens_change_nothing_in_what_others_see(length, dropout):
    query, key, value = query_key_value(length)
    seen_BS = jnp.arange(length)[None] < jnp.array([7, length])[:, None]
    other = jnp.where(seen_BS[..., None, None], value, 5.0), jnp.where(seen_BS[..., None, None], key, -3.0)
    rng = jax.random.key(0)
    ours, theirs = (base_transformer.attend(query, k, v, seen_BS, dropout, rng) for v, k in ((value, key), other))
    np.testing.assert_array_equal(ours, theirs)
    seen_by_all = base_transformer.attend(query, key, value, None, dropout, rng)
    np.testing.assert_allclose(ours[1], seen_by_all[1], atol=1e-6)
    assert np.abs(ours[0] - seen_by_all[0]).max() > 0.05
    if not dropout:
        short = base_transformer.attend(query[:1], key[:1, :7], value[:1, :7])
        np.testing.assert_allclose(ours[0], short[0], atol=1e-6)


def test_weights_of_long_windows_are_not_kept_for_their_dropout():
    """720 tokens of 11 windows: the compiled gradient needs half the memory of their weights at most."""
    inputs = query_key_value(720, batch=11)
    attend = base_transformer.attend
    slope = jax.jit(jax.grad(lambda inputs, rng: jnp.sum(attend(*inputs, dropout=0.2, rng=rng))))
    needed = slope.lower(inputs, jax.random.key(0)).compile().memory_analysis().temp_size_in_bytes
    assert needed < 4 * 11 * 2 * 720**2 / 2


def test_every_head_of_every_window_drops_its_own_weights():
    query, key, value = (jnp.broadcast_to(x[:1, :, :1], x.shape) for x in query_key_value(23))
    out = base_transformer.attend(query, key, value, None, 0.5, jax.random.key(0))
    heads = out.swapaxes(1, 2).reshape(4, -1)  # of two windows
    assert len(np.unique(heads, axis=0)) == 4


def test_a_layer_looks_at_seen_tokens_only():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 16)), jnp.float32)
    layer = base_transformer.TransformerLayer(2, 24, 0.0, 0.0, base.Activation.RELU, base.NormOrder.POST, jnp.float32)
    variables, seen_BL = layer.init(jax.random.key(0), x, False), jnp.arange(6)[None] < jnp.array([[4], [6]])
    out, other = (layer.apply(variables, y, False, seen_BL) for y in (x, x.at[0, 4:].set(9.0)))
    np.testing.assert_array_equal(out[0, :4], other[0, :4])
    np.testing.assert_allclose(out[0, :4], layer.apply(variables, x[:1, :4], False)[0], atol=1e-6)


def test_weights_are_dropped_under_any_kind_of_key():
    """Pods may set another generator; its keys have four words."""
    drawn = base_transformer.attend(*query_key_value(23), None, 0.2, jax.random.key(0, impl="rbg"))
    assert np.isfinite(drawn).all()
