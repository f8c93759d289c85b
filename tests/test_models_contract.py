"""What every encoder promises: found by looking into ecgjax/models, so a new file is covered by being there."""

import functools
import importlib
import pkgutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ecgjax.models

NAMES = [module.name for module in pkgutil.iter_modules(ecgjax.models.__path__) if not module.name.startswith("base")]
RATES_HZ = {"ecg": 128, "eda": 4, "bvp": 64, "temp": 4, "resp": 32, "emg": 128, "acc": 32}


def config(name: str):
    return importlib.import_module(f"ecgjax.models.{name}").Config()


def windows(batch: int = 3, seconds: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {m: (batch, seconds * rate, 3 if m == "acc" else 1) for m, rate in RATES_HZ.items()}
    return {m: rng.standard_normal(shape, np.float32) for m, shape in shapes.items()}


@functools.cache
def encoder_and_variables(name: str):
    encoder = config(name).make()
    return encoder, jax.jit(functools.partial(encoder.init, train=False))(jax.random.key(0), windows())


@functools.cache
def encode(name: str, train: bool = False):
    encoder, _ = encoder_and_variables(name)
    mutable = ["batch_stats"] if train else False  # running statistics, where an encoder has them
    return jax.jit(
        lambda variables, signals, key: encoder.apply(
            variables, signals, train=train, rngs={"dropout": key} if train else None, mutable=mutable
        )
    )


@pytest.mark.parametrize("name", NAMES)
def test_makes_finite_tokens_and_one_vector_a_window(name):
    _, variables = encoder_and_variables(name)
    encoded = encode(name)(variables, windows(), None)
    assert encoded.tokens_BLD.shape[0] == encoded.pooled_BD.shape[0] == 3
    assert (encoded.tokens_BLD.ndim, encoded.pooled_BD.ndim) == (3, 2)
    chex.assert_tree_all_finite(encoded)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_float32_and_all_of_them_matter(name):
    _, variables = encoder_and_variables(name)

    def everything(params):
        encoded = encode(name)({**variables, "params": params}, windows(), None)
        return sum(
            jnp.sum(jnp.square(x) * jnp.cos(jnp.arange(x.size)).reshape(x.shape)) for x in jax.tree.leaves(encoded)
        )

    gradients = jax.jit(jax.grad(everything))(variables["params"])
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    idle = [
        jax.tree_util.keystr(path) for path, leaf in jax.tree_util.tree_leaves_with_path(gradients) if not leaf.any()
    ]
    assert not idle


@pytest.mark.parametrize("name", NAMES)
def test_a_window_is_encoded_without_looking_at_its_neighbours(name):
    _, variables = encoder_and_variables(name)
    signals, others = windows(), windows(seed=1)
    mixed = {m: np.concatenate([signals[m][:1], others[m][1:]]) for m in signals}
    alone, among_others = (encode(name)(variables, s, None) for s in (signals, mixed))
    chex.assert_trees_all_equal(*(jax.tree.map(lambda x: x[0], e) for e in (alone, among_others)))
    assert (alone.pooled_BD[1] != among_others.pooled_BD[1]).any()


@pytest.mark.parametrize("name", NAMES)
def test_training_draws_from_the_key_alone(name):
    _, variables = encoder_and_variables(name)
    first, again, other = (encode(name, train=True)(variables, windows(), jax.random.key(k)) for k in (1, 1, 2))
    chex.assert_trees_all_equal(first, again)
    draws = getattr(config(name), "dropout", 0.0) > 0
    assert (jax.tree.leaves(first)[0] != jax.tree.leaves(other)[0]).any() == draws


@pytest.mark.parametrize("name", NAMES)
def test_the_same_parameters_serve_windows_of_another_length(name):
    _, variables = encoder_and_variables(name)
    short, long = (encode(name)(variables, windows(seconds=s), None) for s in (1, 2))
    assert long.tokens_BLD.shape[1] > short.tokens_BLD.shape[1]
    chex.assert_tree_all_finite(long)


@pytest.mark.parametrize("name", NAMES)
def test_what_may_differ_are_fields(name):
    assert set(getattr(config(name), "may_differ", ())) <= vars(config(name)).keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_hashable_and_does_not_follow_its_config(name):
    plan = config(name)
    first, second = plan.make(), plan.make()
    assert first == second
    assert hash(first) == hash(second)
    before = hash(first)
    field = next(field for field, value in vars(plan).items() if isinstance(value, (int, float)))
    setattr(plan, field, getattr(plan, field) * 2 + 1)
    assert hash(first) == before
