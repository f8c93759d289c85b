"""The Transformer's parts: attention by every way, dropout."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.models import base


def query_key_value(length: int, batch: int = 2, heads: int = 2, width: int = 8):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal((batch, length, heads, width)), jnp.float32) for _ in range(3)]


@pytest.mark.parametrize("attend", [base.attend_at_once, base.attend_in_turn])
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
    out, slope = jax.value_and_grad(lambda q: jnp.sum(base.attend_in_turn(q, key, value)))(1e4 * query)
    assert np.isfinite(out)
    assert np.isfinite(slope).all()


def test_windows_stay_on_their_devices():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    inputs = jax.device_put(query_key_value(23, batch=16), placed)
    slope = jax.jit(jax.grad(lambda inputs: jnp.sum(base.attend_in_turn(*inputs))), out_shardings=placed)
    compiled = slope.lower(inputs).compile().as_text()
    assert "all-gather" not in compiled
    assert "collective-permute" not in compiled
    assert "all-to-all" not in compiled


def test_long_windows_never_hold_all_weights_at_once():
    """1,281 tokens: the compiled gradient needs half the memory of one (B, H, L, L) array of float32 at most."""
    inputs = query_key_value(1281, batch=5)
    slope = jax.jit(jax.grad(lambda inputs: jnp.sum(base.attend(*inputs))))
    needed = slope.lower(inputs).compile().memory_analysis().temp_size_in_bytes
    assert needed < 4 * 5 * 2 * 1281**2 / 2


@pytest.mark.parametrize(("rate", "dropped"), [(0.1, 26 / 256), (0.3, 77 / 256), (0.5, 0.5)])
def test_dropout_drops_its_share_and_keeps_the_mean(rate, dropped):
    x = jnp.ones((400, 100, 37))
    out = np.asarray(base.Dropout(rate).apply({}, x, True, rngs={"dropout": jax.random.key(0)}))
    np.testing.assert_allclose((out == 0).mean(), dropped, atol=0.0015)  # a 256th is 0.004
    np.testing.assert_allclose(out.mean(), 1, atol=0.004)
    np.testing.assert_allclose(out[out > 0], 1 / (1 - dropped), rtol=1e-6)
    np.testing.assert_allclose((out == 0).mean((0, 1)), dropped, atol=0.03)  # in every column alike
    neighbours = np.corrcoef((out == 0).reshape(-1, 37)[:, :8].T)
    assert np.abs(neighbours - np.eye(8)).max() < 0.06  # four bytes of one word are four draws


def test_dropout_rests_outside_training_and_at_rate_zero():
    x = jnp.ones((4, 8))
    np.testing.assert_array_equal(base.Dropout(0.5).apply({}, x, False), x)
    np.testing.assert_array_equal(base.Dropout(0.0).apply({}, x, True), x)


def test_dropout_on_attention_weights_acts_in_training_only():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 12, 16)), jnp.float32)
    plain, dropping = (base.Attention(2, rate, jnp.float32) for rate in (0.0, 0.5))
    variables = plain.init(jax.random.key(0), x, False)
    draw = jax.jit(lambda key: dropping.apply(variables, x, True, rngs={"dropout": key}))
    out = [draw(jax.random.key(k)) for k in (0, 0, 1)]
    np.testing.assert_array_equal(out[0], out[1])
    assert (out[0] != out[2]).any()
    np.testing.assert_allclose(dropping.apply(variables, x, False), plain.apply(variables, x, True), atol=1e-6)
    many = [draw(jax.random.key(k)) for k in range(300)]
    np.testing.assert_allclose(np.mean(many, 0), plain.apply(variables, x, False), atol=0.15)


@pytest.mark.parametrize("order", base.NormOrder)
def test_a_layer_puts_its_norms_where_the_order_says(order):
    """After the residual, the output has unit variance; before it, a layer of zero weights passes its input on."""
    x = 5 * jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 16)), jnp.float32)
    layer = base.TransformerLayer(2, 24, 0.0, 0.0, base.Activation.RELU, order, jnp.float32)
    variables = layer.init(jax.random.key(0), x, False)
    silent = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if "norm" in jax.tree_util.keystr(path) else jnp.zeros_like(leaf), variables
    )
    out = layer.apply(silent, x, False)
    if order is base.NormOrder.PRE:
        np.testing.assert_array_equal(out, x)
    else:
        np.testing.assert_allclose(out.std(-1), 1, rtol=1e-3)


def test_a_window_lacks_a_modality_where_any_sample_is_missing():
    x_BTC = jnp.zeros((3, 4, 2)).at[1].set(jnp.nan).at[2, 3, 0].set(jnp.nan)
    assert base.known(x_BTC).tolist() == [True, False, False]
