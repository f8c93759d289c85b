"""The encoder of Wu et al.: sizes, what a token may know, and windows that lack a modality."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.errors import UserError
from ecgjax.models import tcn_transformer
from ecgjax.models.tcn_transformer import Config

SAMPLES = 40
SMALL = Config(channels=(4, 4), width=8, num_heads=2, hidden=8)


def signals(batch: int = 3, samples: int = SAMPLES, modalities=("eda", "bvp", "temp")) -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    return {m: jnp.asarray(rng.standard_normal((batch, samples, 1)), jnp.float32) for m in modalities}


def init(config: Config):
    encoder = config.make()
    return encoder, jax.jit(encoder.init, static_argnames="train")(jax.random.key(0), signals(), train=False)


@functools.partial(jax.jit, static_argnums=0)
def encode(encoder, variables, given):
    return encoder.apply(variables, given, train=False)


def size(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_published_sizes():
    encoder, variables = init(Config())
    params = variables["params"]
    assert size(params) == 121_472
    assert size(params["tcn_eda"]) == 4_864
    assert size(params["project_bvp"]) + size(params["norm_bvp"]) == 2_432
    assert size(params["layer_0"]) == 99_584
    shapes = jax.eval_shape(lambda s: encode(encoder, variables, s), signals(2, 240))
    assert shapes.tokens_BLD.shape == (2, 720, 128)
    assert shapes.pooled_BD.shape == (2, 384)
    assert {m: x.shape for m, x in shapes.by_modality.items()} == dict.fromkeys(("eda", "bvp", "temp"), (2, 128))


def test_the_convolutions_see_31_samples_of_the_past():
    tcn = tcn_transformer.Tcn(SMALL)
    x_BTC = signals(1)["eda"]
    variables = tcn.init(jax.random.key(1), x_BTC, False)
    before = tcn.apply(variables, x_BTC, False)
    after = tcn.apply(variables, x_BTC.at[0, 5].add(3.0), False)
    changed = np.flatnonzero((before != after).any((0, 2)))
    assert changed.min() == 5
    assert 5 + 25 <= changed.max() <= 5 + 30


def test_kernels_keep_the_length_their_gain_says():
    """Weight norm: the direction's own length plays no part."""
    conv = tcn_transformer.CausalConv(4, 3, 1, jnp.float32)
    x_BTC = signals(1)["eda"]
    params = conv.init(jax.random.key(0), x_BTC)["params"]
    np.testing.assert_allclose(params["g"], jnp.sqrt(jnp.sum(params["v"] ** 2, (0, 1))), rtol=1e-6)
    out = conv.apply({"params": params}, x_BTC)
    np.testing.assert_allclose(conv.apply({"params": params | {"v": 7 * params["v"]}}, x_BTC), out, atol=1e-6)
    np.testing.assert_allclose(conv.apply({"params": params | {"g": 2 * params["g"]}}, x_BTC), 2 * out, atol=1e-6)


def test_there_are_no_positions():
    """With convolutions of one sample, samples in another order give the same mean."""
    encoder, variables = init(dataclasses.replace(SMALL, kernel=1))
    given = signals()
    shuffled = given | {"bvp": given["bvp"][:, np.random.default_rng(1).permutation(SAMPLES)]}
    one, other = (encode(encoder, variables, s).pooled_BD for s in (given, shuffled))
    np.testing.assert_allclose(one, other, atol=1e-5)
    encoder, variables = init(SMALL)
    one, other = (encode(encoder, variables, s).pooled_BD for s in (given, shuffled))
    assert np.abs(one - other).max() > 1e-3


def test_modalities_at_their_own_rates():
    encoder, variables = init(SMALL)
    given = signals() | {"bvp": signals(samples=4 * SAMPLES)["bvp"]}
    encoded = encode(encoder, variables, given)
    assert encoded.tokens_BLD.shape[1] == 6 * SAMPLES
    means = [part.mean(1) for part in jnp.split(encoded.tokens_BLD, [SAMPLES, 5 * SAMPLES], axis=1)]
    np.testing.assert_allclose(encoded.pooled_BD, jnp.concatenate(means, -1), atol=1e-6)


def test_a_window_without_a_modality_is_encoded_from_the_others_alone():
    encoder, variables = init(SMALL)
    given = signals()
    lacking = given | {"bvp": given["bvp"].at[1].set(jnp.nan)}
    encoded, whole = (encode(encoder, variables, s) for s in (lacking, given))
    np.testing.assert_array_equal(encoded.pooled_BD[0], whole.pooled_BD[0])
    assert not encoded.by_modality["bvp"][1].any()
    two = dataclasses.replace(SMALL, modalities=("eda", "temp")).make()
    without = encode(two, variables, given)
    for modality in ("eda", "temp"):
        np.testing.assert_allclose(encoded.by_modality[modality][1], without.by_modality[modality][1], atol=1e-5)
        assert np.abs(encoded.by_modality[modality][1] - whole.by_modality[modality][1]).max() > 1e-3
    rest = {m: x for m, x in given.items() if m != "bvp"}
    left_out = encode(encoder, variables, rest)
    np.testing.assert_allclose(left_out.pooled_BD[1], encoded.pooled_BD[1], atol=1e-5)
    slope = jax.jit(jax.grad(lambda v: jnp.sum(encode(encoder, v, lacking).pooled_BD)))(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_modality_dropout_forgets_its_share_and_never_all():
    known_BM = jnp.ones((3000, 3), bool).at[:1000, 1:].set(False)
    kept_BM = tcn_transformer.drop_modalities(jax.random.key(0), known_BM, 0.5)
    assert kept_BM.any(1).all()
    assert not (kept_BM & ~known_BM).any()
    assert kept_BM[:1000, 0].all()
    # of three, 3 / 8 lose one, 3 / 8 lose two, 1 / 8 would lose all and keep all
    shares = np.bincount(kept_BM[1000:].sum(1), minlength=4) / 2000
    np.testing.assert_allclose(shares, [0, 3 / 8, 3 / 8, 2 / 8], atol=0.04)


def test_modality_dropout_acts_in_training_only():
    config = dataclasses.replace(SMALL, tcn_dropout=0.0, dropout=0.0, attention_dropout=0.0)
    _, variables = init(config)
    given, rngs = signals(40), {"dropout": jax.random.key(0)}
    dropping = dataclasses.replace(config, modality_dropout=0.5).make()
    trained = jax.jit(lambda v: dropping.apply(v, given, train=True, rngs=rngs))(variables)
    gone = np.mean([(x == 0).all(-1) for x in trained.by_modality.values()])
    assert 0.25 < gone < 0.5
    plain = encode(config.make(), variables, given).pooled_BD
    np.testing.assert_allclose(encode(dropping, variables, given).pooled_BD, plain, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"modalities": ()}, "model.modalities="),
        ({"modalities": ("eda", "eda")}, "model.modalities=eda,eda"),
        ({"num_heads": 3}, "model.width=128 is no multiple of model.num_heads=3"),
        ({"channels": ()}, "model.channels"),
        ({"kernel": 0}, "model.kernel=0"),
        ({"modality_dropout": 1.0}, "model.modality_dropout=1.0"),
        ({"tcn_dropout": -0.1}, "model.tcn_dropout=-0.1"),
    ],
)
def test_configs_that_make_no_sense_are_refused(fields, told):
    with pytest.raises(UserError, match=told):
        Config(**fields).make()


def test_fresh_weights_are_drawn_as_the_released_code_draws_them():
    """Uniform within 1 / sqrt(inputs), but for attention's projections (Xavier) and the nets' skips (normal, 0.01)."""
    params = init(Config())[1]["params"]
    layer = params["layer_0"]
    bounds = {
        "v": (params["tcn_eda"]["block_1"]["conv_1"]["v"], (6 * 16) ** -0.5),
        "project": (params["project_bvp"]["kernel"], 16**-0.5),
        "mlp": (layer["mlp_in"]["kernel"], 128**-0.5),
        "out": (layer["attention"]["out"]["kernel"], 128**-0.5),
        "qkv": (layer["attention"]["qkv"]["kernel"], (6 / (128 + 384)) ** 0.5),
    }
    for name, (weights, bound) in bounds.items():
        assert 0.98 * bound < np.abs(weights).max() <= bound, name
        np.testing.assert_allclose(np.std(weights), bound / np.sqrt(3), rtol=0.1, err_msg=name)
    skips = np.concatenate([params[f"tcn_{m}"]["block_0"]["skip"]["kernel"].ravel() for m in ("eda", "bvp", "temp")])
    assert 0.005 < skips.std() < 0.02
