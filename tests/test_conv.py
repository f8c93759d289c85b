import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from configs import sarkar2020_finetune, sarkar2020_pretrain
from ecgjax.errors import UserError
from ecgjax.models import base, conv
from ecgjax.training.program import compile_program, count_parameters

TINY = {"channels": (4, 6, 8), "kernels": (8, 4, 3)}
needs_cpu = pytest.mark.skipif("jax.default_backend() != 'cpu'", reason="of the programs compiled for CPU")


def signals(samples: int = 64, batch: int = 2, channels: int = 1, seed: int = 0) -> dict:
    return {"ecg": jnp.asarray(np.random.default_rng(seed).standard_normal((batch, samples, channels), np.float32))}


def variables_of(encoder, inputs) -> dict:
    return jax.jit(functools.partial(encoder.init, train=False))(jax.random.key(0), inputs)


def encode(encoder, variables, inputs) -> base.Encoded:
    return jax.jit(functools.partial(encoder.apply, train=False))(variables, inputs)


def peak_loss(params, encoder, inputs) -> jax.Array:
    return jnp.sum(jnp.cos(encoder.apply({"params": params}, inputs, train=True).pooled_BD))


def test_ten_seconds_at_256_hz_have_the_published_lengths_and_parameters():
    encoder, inputs = conv.Config().make(), signals(2560)
    params = jax.eval_shape(functools.partial(encoder.init, train=False), jax.random.key(0), inputs)["params"]
    kernels = [params[f"conv_{i}"]["kernel"].shape for i in range(6)]
    assert kernels == [(32, 1, 32), (32, 32, 32), (16, 32, 64), (16, 64, 64), (8, 64, 128), (8, 128, 128)]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 329_152
    apply = functools.partial(encoder.apply, train=False, mutable=["intermediates"])
    encoded, kept = jax.eval_shape(apply, {"params": params}, inputs)
    maps = [kept["intermediates"][f"block_{i}_tokens"][0].shape for i in range(3)]
    assert maps == [(2, 2560, 32), (2, 1277, 64), (2, 635, 128)]
    assert (encoded.tokens_BLD.shape, encoded.pooled_BD.shape) == ((2, 635, 128), (2, 128))


def test_kernels_start_glorot_uniform_and_biases_at_zero():
    params = variables_of(conv.Config().make(), signals())["params"]
    for name, leaf in traverse_util.flatten_dict(params, sep="/").items():
        if name.endswith("bias"):
            assert not leaf.any()
        else:
            bound = np.sqrt(6 / (leaf.shape[0] * (leaf.shape[1] + leaf.shape[2])))
            assert 0.99 * bound < np.abs(leaf).max() <= bound
            assert np.std(leaf) == pytest.approx(bound / np.sqrt(3), rel=0.05)


@pytest.mark.parametrize("kernel", [1, 2, 3, 8, 9, 32])
def test_convolution_is_padded_as_in_tensorflow(kernel):
    """Output t is the sum over taps i of kernel[i] * x[t + i - before], `before` half of the padding, rounded down."""
    rng = np.random.default_rng(0)
    x_BTC, kernel_KCD = rng.standard_normal((2, 21, 3)), rng.standard_normal((kernel, 3, 4))
    before = (kernel - 1) // 2
    expected = np.zeros((2, 21, 4))
    for t in range(21):
        for i in range(kernel):
            if 0 <= t + i - before < 21:
                expected[:, t] += x_BTC[:, t + i - before] @ kernel_KCD[i]
    with jax.enable_x64(True):
        np.testing.assert_allclose(conv.convolve(jnp.asarray(x_BTC), jnp.asarray(kernel_KCD)), expected, atol=1e-13)


@pytest.mark.parametrize(("window", "stride"), [(8, 2), (6, 2), (9, 3), (5, 1), (4, 4)])
@pytest.mark.parametrize("samples", [9, 32, 37])
def test_pooling_takes_the_maximum_of_every_whole_stretch(window, stride, samples):
    x_BTD = np.random.default_rng(0).standard_normal((2, samples, 3), np.float32)
    x_BTD[1, 8, 0] = np.nan
    expected = np.stack([x_BTD[:, i : i + window].max(1) for i in range(0, samples - window + 1, stride)], axis=1)
    np.testing.assert_array_equal(conv.max_pool(jnp.asarray(x_BTD), window, stride), expected)


def test_at_zero_the_gradient_takes_the_slope_of_the_negative_side():
    values = jnp.array([-2.0, 0.0, 3.0])
    np.testing.assert_allclose(conv.leaky_relu(values, 0.2), [-0.4, 0, 3])
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda x: conv.leaky_relu(x, 0.2)))(values), [0.2, 0.2, 1])


def test_pooled_is_the_maximum_of_the_tokens():
    encoder, inputs = conv.Config(**TINY).make(), signals()
    encoded = encode(encoder, variables_of(encoder, inputs), inputs)
    np.testing.assert_array_equal(encoded.pooled_BD, encoded.tokens_BLD.max(1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_token_sees_82_samples_before_its_own_and_117_after(channels):
    """Token i stands for sample 4 i. What is not a number shows where a sample goes."""
    fields = {"channels": (4, 4, 4)}  # kernels, which decide it, as published
    encoder, inputs = conv.Config(**fields).make(), signals(512, 1, channels)
    variables, place = variables_of(encoder, inputs), 260
    spoilt = {"ecg": inputs["ecg"].at[0, place, -1].set(jnp.nan)}
    tokens_BLD = np.asarray(encode(encoder, variables, spoilt).tokens_BLD)
    reached = [i for i in range(tokens_BLD.shape[1]) if np.isnan(tokens_BLD[0, i]).all()]
    assert np.isnan(tokens_BLD).sum() == 4 * len(reached)
    assert reached == [i for i in range(tokens_BLD.shape[1]) if 4 * i - 82 <= place <= 4 * i + 117]


def test_a_beat_that_comes_later_moves_its_tokens_and_leaves_their_maximum():
    encoder, beat_T = conv.Config(**TINY).make(), np.random.default_rng(0).standard_normal(30)
    early_BTC = np.zeros((1, 300, 1), np.float32)
    early_BTC[0, 100:130, 0] = beat_T
    variables = variables_of(encoder, {"ecg": early_BTC})
    early, late = (encode(encoder, variables, {"ecg": np.roll(early_BTC, by, 1)}) for by in (0, 20))
    np.testing.assert_allclose(late.tokens_BLD[:, 5:], early.tokens_BLD[:, :-5], atol=1e-6)
    np.testing.assert_allclose(late.pooled_BD, early.pooled_BD, atol=1e-6)
    assert np.abs(early.pooled_BD).max() > 0.1


@needs_cpu
def test_the_last_convolution_is_made_once_and_left_out_of_the_backward_pass():
    encoder, inputs = conv.Config(**TINY).make(), signals(batch=16)
    params = variables_of(encoder, inputs)["params"]

    def count(function) -> int:
        return jax.jit(function).lower(params).compile().as_text().count(" convolution(")

    assert count(lambda p: encoder.apply({"params": p}, inputs, train=False)) == 6
    # Each of the first five has one for its kernel, and all but the first one for its input.
    assert count(jax.grad(functools.partial(peak_loss, encoder=encoder, inputs=inputs))) == 6 + 5 + 4


@needs_cpu
def test_devices_that_share_a_batch_keep_their_windows():
    if jax.device_count() < 8:
        pytest.skip("needs eight devices")
    encoder, inputs = conv.Config(**TINY).make(), signals(batch=16)
    params = variables_of(encoder, inputs)["params"]
    mesh = jax.sharding.Mesh(jax.devices(), ("data",))
    shared = jax.device_put(inputs, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
    everywhere = jax.device_put(params, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    slopes = jax.jit(jax.grad(lambda p, s: peak_loss(p, encoder, s)))
    chex.assert_trees_all_close(slopes(everywhere, shared), slopes(params, inputs), rtol=1e-4, atol=1e-5)
    program = slopes.lower(everywhere, shared).compile().as_text()
    assert set(re.findall(r"(all-[a-z-]+|collective-[a-z-]+|reduce-scatter)\(", program)) == {"all-reduce"}


def test_bfloat16_is_close_to_float32_and_keeps_float32_parameters():
    inputs = signals()
    variables = variables_of(conv.Config(**TINY).make(), inputs)
    low = conv.Config(**TINY, dtype=base.Precision.BFLOAT16).make()
    exact, rough = encode(conv.Config(**TINY).make(), variables, inputs), encode(low, variables, inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(rough)} == {jnp.dtype(jnp.bfloat16)}
    made = jax.eval_shape(functools.partial(low.init, train=False), jax.random.key(0), inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {jnp.dtype(jnp.float32)}
    error = np.asarray(rough.tokens_BLD, np.float32) - np.asarray(exact.tokens_BLD)
    assert 0 < np.sqrt(np.mean(error**2)) < 0.02 * np.std(exact.tokens_BLD)
    slopes = jax.jit(jax.grad(peak_loss), static_argnums=1)
    for ours, wanted in zip(
        *(jax.tree.leaves(slopes(variables["params"], e, inputs)) for e in (low, conv.Config(**TINY).make())),
        strict=True,
    ):
        assert np.linalg.norm(ours - wanted) < 0.1 * np.linalg.norm(wanted)


def test_intermediates_are_kept_for_who_asks():
    encoder, inputs = conv.Config(**TINY).make(), signals()
    variables = variables_of(encoder, inputs)
    assert set(variables) == {"params"}
    encoded, kept = jax.jit(functools.partial(encoder.apply, train=False, mutable=["intermediates"]))(variables, inputs)
    assert set(kept["intermediates"]) == {f"block_{i}_tokens" for i in range(3)}
    np.testing.assert_array_equal(kept["intermediates"]["block_2_tokens"][0], encoded.tokens_BLD)
    assert (kept["intermediates"]["block_0_tokens"][0] < 0).any()


def test_a_window_too_short_for_the_pools_is_refused_by_name():
    encoder = conv.Config(**TINY).make()
    assert encode(encoder, variables_of(encoder, signals(22)), signals(22)).tokens_BLD.shape == (2, 1, 8)
    with pytest.raises(UserError, match="data.window_s gives windows of 21 samples.*model.pool_window=8.*need 22"):
        encoder.init(jax.random.key(0), signals(21), train=False)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"channels": (32, 64)}, "model.channels and kernels have 2 and 3"),
        ({"channels": (), "kernels": ()}, "model.channels and kernels have 0 and 0"),
        ({"kernels": (32, 16, 0)}, "model.channels, kernels and pool_stride"),
        ({"pool_stride": 0}, "model.channels, kernels and pool_stride"),
        ({"pool_window": 7}, "model.pool_window=7"),
        ({"pool_window": 0}, "model.pool_window=0"),
        ({"negative_slope": -0.1}, "model.negative_slope"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(fields, named):
    with pytest.raises(UserError, match=named):
        conv.Config(**fields).make()


def test_the_whole_pretext_network_has_the_parameters_of_the_released_checkpoint():
    batch = {"signals": {"ecg": np.zeros((1, 2560, 1), np.float32)}, "weight": np.ones(1, np.float32)}
    compiled = compile_program(sarkar2020_pretrain.get_config(), batch)
    assert count_parameters(compiled.abstract.params) == 561_223
    assert count_parameters(compiled.abstract.params["head"]) == 232_071


MODES = [f"binary_{mode}" for mode in sarkar2020_finetune.MODES]


@pytest.mark.parametrize("variant", [*MODES, *(f"{name}_frozen" for name in sarkar2020_finetune.SETS)][1:])
def test_the_second_stage_takes_the_encoder_of_the_first(variant):
    batch = {"signals": {"ecg": np.zeros((1, 2560, 1), np.float32)}, "label": np.zeros(1, np.int32)}
    batch["weight"] = np.ones(1, np.float32)
    first = compile_program(sarkar2020_pretrain.get_config(), batch).abstract.params["encoder"]
    second = compile_program(sarkar2020_finetune.get_config(variant), batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(first, second.abstract.params["encoder"])
    assert second.program.encoder_trains == variant.endswith(("full", "scratch"))
