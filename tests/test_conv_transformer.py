import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from ecgjax.errors import UserError
from ecgjax.models import base
from ecgjax.models import conv_transformer as ct

TINY = {"channels": (8, 8, 16), "width": 16, "hidden": 24}


def signals(samples: int = 96, batch: int = 2) -> dict:
    return {"ecg": jnp.asarray(np.random.default_rng(0).standard_normal((batch, samples, 1), np.float32))}


def variables_of(encoder, inputs) -> dict:
    return jax.jit(functools.partial(encoder.init, train=False))(jax.random.key(0), inputs)


def encode(encoder, variables, inputs=None) -> base.Encoded:
    return jax.jit(functools.partial(encoder.apply, train=False))(variables, inputs or signals())


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts_are_those_of_the_paper():
    encoder = ct.Config().make()
    params = jax.eval_shape(functools.partial(encoder.init, train=False), jax.random.key(0), signals())["params"]
    assert sum(count(params["conv"][f"conv_{i}"]["kernel"]) for i in range(3)) == 831_552
    assert count(params["layer_0"]) == count(params["layer_1"]) == 789_760
    assert count(params) == 831_552 + (64 + 128 + 256) + 2 * 64 + 256 + 2 * 789_760  # biases, norm, CLS


def test_receptive_field_of_the_convolutions_is_113_samples():
    stem, inputs = ct.ConvStem(ct.Config()), signals(320)["ecg"]
    variables = jax.jit(stem.init)(jax.random.key(0), inputs)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(stem.apply(variables, x)[0, 160])))(inputs)
    reached = np.flatnonzero(slope[0, :, 0])
    assert (reached.min(), reached.max()) == (160 - 56, 160 + 56)


@pytest.mark.parametrize(
    ("strides", "samples", "tokens"), [((1, 1, 1), 96, 96), ((4, 4, 2), 96, 3), ((4, 2, 1), 97, 13)]
)
def test_a_token_stands_for_as_many_samples_as_the_strides_multiply_to(strides, samples, tokens):
    stem, inputs = ct.ConvStem(ct.Config(**TINY, strides=strides)), signals(samples)["ecg"]
    variables = jax.jit(stem.init)(jax.random.key(0), inputs)
    assert stem.apply(variables, inputs).shape == (2, tokens, 16)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(stem.apply(variables, x)[0, 1])))(signals(400)["ecg"])
    reached = np.flatnonzero(slope[0, :, 0])
    reach = (65 // 2) + strides[0] * (33 // 2) + strides[0] * strides[1] * (17 // 2)
    assert reached.max() == np.prod(strides) + reach  # centred on the first sample it stands for


def test_another_width_than_the_last_channels_is_projected():
    encoder = ct.Config(**TINY | {"width": 32}).make()
    variables = variables_of(encoder, signals())
    assert variables["params"]["conv"]["project"]["kernel"].shape == (16, 32)
    assert encode(encoder, variables).tokens_BLD.shape == (2, 96, 32)


@pytest.mark.parametrize(
    ("norm", "normed"),
    [
        (ct.ConvNorm.NONE, set()),
        (ct.ConvNorm.FIRST, {"norm_0"}),
        (ct.ConvNorm.FIRST_AND_LAST, {"norm_0", "norm_2"}),
        (ct.ConvNorm.EVERY, {"norm_0", "norm_1", "norm_2"}),
    ],
)
def test_norms_stand_where_the_config_puts_them(norm, normed):
    stem = ct.ConvStem(ct.Config(**TINY, conv_norm=norm))
    params = jax.eval_shape(stem.init, jax.random.key(0), signals()["ecg"])["params"]
    assert {name for name in params if name.startswith("norm")} == normed


def test_poolings_are_read_off_the_tokens():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 3), np.float32)).at[:, 0].set(9)
    np.testing.assert_array_equal(ct.pool(x, ct.Pooling.CLS), x[:, 0])
    np.testing.assert_array_equal(ct.pool(x, ct.Pooling.LAST), x[:, 4])
    np.testing.assert_allclose(ct.pool(x, ct.Pooling.MEAN), np.asarray(x)[:, 1:].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(ct.pool(x, ct.Pooling.MAX), np.asarray(x)[:, 1:].max(1))


def test_one_set_of_parameters_serves_every_pooling():
    trees = [
        jax.eval_shape(
            functools.partial(ct.Config(**TINY, pooling=p).make().init, train=False), jax.random.key(0), signals()
        )
        for p in ct.Pooling
    ]
    assert all(tree == trees[0] for tree in trees)


@pytest.mark.parametrize("position", ct.Position)
def test_positions_tell_the_order_of_tokens(position):
    """Without them, and without convolutions wider than a sample, turning the signal round turns the tokens round."""
    encoder = ct.Config(**TINY, kernels=(1, 1, 1), position=position, max_tokens=97).make()
    variables, there = variables_of(encoder, signals()), signals()
    back = {"ecg": there["ecg"][:, ::-1]}
    encoded, turned = (encode(encoder, variables, s) for s in (there, back))
    same = np.allclose(encoded.pooled_BD, turned.pooled_BD, atol=1e-5)
    assert same == (position is ct.Position.NONE)


def test_a_window_longer_than_the_learned_positions_is_refused_by_name():
    with pytest.raises(UserError, match="model.max_tokens=96"):
        ct.Config(**TINY, position=ct.Position.LEARNED, max_tokens=96).make().init(
            jax.random.key(0), signals(), train=False
        )


def test_sinusoids_are_those_of_the_first_transformer():
    table = base.sinusoids(50, 8)
    np.testing.assert_allclose(table[7, 4], np.sin(7 / 10_000 ** (4 / 8)), rtol=1e-12)
    np.testing.assert_allclose(table[7, 5], np.cos(7 / 10_000 ** (4 / 8)), rtol=1e-12)
    np.testing.assert_array_equal(table[0], [0, 1] * 4)


def test_bfloat16_is_close_to_float32_and_keeps_float32_parameters():
    variables = variables_of(ct.Config(**TINY).make(), signals())
    low = ct.Config(**TINY, dtype=base.Precision.BFLOAT16).make()
    exact, rough = encode(ct.Config(**TINY).make(), variables), encode(low, variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(rough)} == {jnp.dtype(jnp.bfloat16)}
    made = jax.eval_shape(functools.partial(low.init, train=False), jax.random.key(0), signals())
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype(jnp.float32)}
    error = np.asarray(rough.tokens_BLD, np.float32) - np.asarray(exact.tokens_BLD)
    assert 0 < np.sqrt(np.mean(error**2)) < 0.02  # tokens have unit variance


def test_remat_changes_no_number():
    variables = variables_of(ct.Config(**TINY).make(), signals())

    def loss(params, remat):
        encoder = ct.Config(**TINY, remat=remat).make()
        encoded = encoder.apply({"params": params}, signals(), train=True, rngs={"dropout": jax.random.key(1)})
        return jnp.sum(encoded.pooled_BD * jnp.arange(16.0)[None])

    plain, again = (
        jax.jit(jax.value_and_grad(functools.partial(loss, remat=r)))(variables["params"]) for r in (False, True)
    )
    chex.assert_trees_all_close(plain, again, rtol=1e-4, atol=1e-5)
    program = jax.make_jaxpr(jax.grad(functools.partial(loss, remat=True)))(variables["params"])
    assert "remat" in str(program) or "checkpoint" in str(program)


def test_intermediates_are_kept_for_who_asks():
    encoder = ct.Config(**TINY).make()
    variables = variables_of(encoder, signals())
    assert set(variables) == {"params"}
    apply = jax.jit(functools.partial(encoder.apply, train=False, mutable=["intermediates"]))
    encoded, kept = apply(variables, signals())
    shapes = {k: v[0].shape for k, v in traverse_util.flatten_dict(kept["intermediates"], sep="/").items()}
    tokens, weights = (2, 96, 16), (2, 2, 97, 97)
    assert shapes == {
        "conv_tokens": tokens,
        "layer_0_tokens": tokens,
        "layer_1_tokens": tokens,
        "layer_0/attention/weights": weights,
        "layer_1/attention/weights": weights,
    }
    np.testing.assert_array_equal(kept["intermediates"]["layer_1_tokens"][0], encoded.tokens_BLD)
    np.testing.assert_allclose(kept["intermediates"]["layer_0"]["attention"]["weights"][0].sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"strides": (1, 1)}, "model.channels, kernels and strides have 3, 3 and 2"),
        ({"kernels": (64, 33, 17)}, "model.kernels"),
        ({"num_heads": 3}, "model.width=256"),
        ({"num_heads": 0}, "model.num_heads=0: give whole numbers from 1 up"),
        ({"num_layers": -1}, "model.num_layers=-1"),
        ({"strides": (0, 1, 1)}, r"model.strides=\(0, 1, 1\)"),
        ({"kernels": (-1, 1, 1)}, r"model.kernels=\(-1, 1, 1\)"),
        ({"dropout": 1.0}, "model.dropout=1.0: give a probability from 0 to 0.99"),
        ({"dropout": -0.5}, "model.dropout=-0.5"),
        ({"dropout": float("nan")}, "model.dropout=nan"),
        ({"attention_dropout": 1.5}, "model.attention_dropout=1.5"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(fields, named):
    with pytest.raises(UserError, match=named):
        ct.Config(**fields).make()
