"""The schedule as numbers, the optimizers step by step as PyTorch's, and what freezing means."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ecgjax import config
from ecgjax.config import Experiment, Optim, Optimizer, Schedule
from ecgjax.errors import UserError
from ecgjax.training.optim import freezes_encoder, learning_rates, make_optimizer, multiplier

SHAPES = {"encoder": {"dense": {"kernel": (3, 4), "bias": (4,)}}, "head": {"out": {"kernel": (4, 2), "bias": (2,)}}}
RATES = (0.1, 0.03, 0.2, 0.05, 0.01)


def trees(count, dtype=np.float64):
    """Trees of random numbers in SHAPES; the first is for parameters, the others for gradients."""
    rng = np.random.default_rng(0)
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    return [jax.tree.map(lambda s: rng.normal(size=s).astype(dtype), SHAPES, is_leaf=is_shape) for _ in range(count)]


def run(optim, params, grads, rates=RATES):
    """The parameters after every step, as `train_step` applies what the optimizer says."""
    optimizer = make_optimizer(optim, params)
    state, visited = optimizer.init(params), []
    for grad, rate in zip(grads, rates, strict=True):
        updates, state = optimizer.update(grad, state, params)
        params = jax.tree.map(lambda p, u, rate=rate: p - rate * u, params, updates)
        visited.append(jax.tree.map(np.asarray, params))
    return visited, state


def assert_close(a, b, rtol=1e-12):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-13), a, b)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule.CONSTANT, [1, 1, 1, 1, 1, 1, 1, 1]),
        (Schedule.LINEAR, [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        (Schedule.COSINE, (1 + np.cos(np.pi * np.arange(8) / 8)) / 2),
        (Schedule.STEP, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    ],
)
@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_rate_of_every_step(schedule, expected, warmup):
    optim = Optim(schedule=schedule, learning_rate=0.2, warmup_epochs=warmup / 4, decay_epochs=0.75, decay_factor=0.5)
    rates = learning_rates(optim, 8 + warmup, steps_per_epoch=4.0)
    ramp = np.arange(1, warmup + 1) / max(warmup, 1)
    assert rates.dtype == np.float32
    np.testing.assert_allclose(rates, 0.2 * np.concatenate([ramp, expected]), rtol=1e-6, atol=1e-8)


def test_a_staircase_can_be_counted_in_steps():
    optim = Optim(schedule=Schedule.STEP, learning_rate=1e-3, decay_steps=10_000, decay_factor=0.9, decay_epochs=1)
    rates = learning_rates(optim, 20_001, steps_per_epoch=6.4)
    np.testing.assert_allclose(
        rates[[0, 9_999, 10_000, 19_999, 20_000]], 1e-3 * 0.9 ** np.array([0, 0, 1, 1, 2]), rtol=1e-6
    )
    optim.decay_steps = -1
    with pytest.raises(UserError, match="optim.decay_steps=-1"):
        config.check(Experiment(task=None, model=None, optim=optim))


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize(("steps", "warmup_epochs"), [(1, 5.0), (7, 0.33)])
def test_as_many_rates_as_steps_whatever_the_warmup(schedule, steps, warmup_epochs):
    rates = learning_rates(Optim(schedule=schedule, warmup_epochs=warmup_epochs), steps, steps_per_epoch=6.4)
    assert rates.shape == (steps,) and (rates > 0).all() and rates.max() == np.float32(1e-3)


@pytest.mark.parametrize(
    ("optimizer", "name", "options"),
    [
        (Optimizer.ADAM, "Adam", {"betas": (0.8, 0.95)}),
        (Optimizer.ADAMW, "AdamW", {"betas": (0.8, 0.95)}),
        (Optimizer.SGD, "SGD", {"momentum": 0.7}),
    ],
)
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equals_pytorch_step_by_step(optimizer, name, options, weight_decay):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install -e '.[torch]'")
    optim = Optim(optimizer=optimizer, b1=0.8, b2=0.95, momentum=0.7, weight_decay=weight_decay)
    params, *grads = trees(1 + len(RATES))
    with jax.enable_x64(True):
        visited, _ = run(optim, jax.tree.map(jnp.asarray, params), grads)
        assert visited[-1]["head"]["out"]["bias"].dtype == jnp.float64
    leaves, tree = jax.tree.flatten(params)
    theirs = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    groups = [{"params": [p], "weight_decay": weight_decay * (p.ndim > 1)} for p in theirs]
    torch_optimizer = getattr(torch.optim, name)(groups, lr=1.0, **options)
    for step, (grad, rate) in enumerate(zip(grads, RATES, strict=True)):
        for parameter, value in zip(theirs, jax.tree.leaves(grad), strict=True):
            parameter.grad = torch.tensor(value)
        for group in torch_optimizer.param_groups:
            group["lr"] = rate
        torch_optimizer.step()
        assert_close(visited[step], tree.unflatten([p.detach().numpy() for p in theirs]))


@pytest.mark.parametrize("optimizer", Optimizer)
def test_decay_acts_on_kernels_alone(optimizer):
    params, grad = trees(2, np.float32)
    for tree in (params, grad):
        tree["head"]["norm"] = {"scale": np.ones(2, np.float32)}
    with_decay, without = (run(Optim(optimizer=optimizer, weight_decay=d), params, [grad] * 5)[0][-1] for d in (0.5, 0))
    for root, layer in (("encoder", "dense"), ("head", "out")):
        decayed, plain = with_decay[root][layer], without[root][layer]
        np.testing.assert_array_equal(decayed["bias"], plain["bias"])
        assert (np.abs(decayed["kernel"] - plain["kernel"]) > 1e-3).any()
    np.testing.assert_array_equal(with_decay["head"]["norm"]["scale"], without["head"]["norm"]["scale"])


@pytest.mark.parametrize("optimizer", Optimizer)
def test_biases_of_stacked_layers_do_not_decay(optimizer):
    params, grad = trees(2, np.float32)
    for tree in (params, grad):
        tree["head"]["out"]["bias"] = tree["head"]["out"]["bias"][None]
    with_decay, without = (run(Optim(optimizer=optimizer, weight_decay=d), params, [grad] * 5)[0][-1] for d in (0.5, 0))
    np.testing.assert_array_equal(with_decay["head"]["out"]["bias"], without["head"]["out"]["bias"])


@pytest.mark.parametrize("optimizer", [Optimizer.ADAM, Optimizer.SGD])
def test_decay_is_the_slope_of_half_the_squares_of_kernels(optimizer):
    params, *grads = trees(1 + len(RATES))

    def squares(p):
        return 0.5e-2 * (jnp.sum(p["encoder"]["dense"]["kernel"] ** 2) + jnp.sum(p["head"]["out"]["kernel"] ** 2))

    with jax.enable_x64(True):
        decayed, _ = run(Optim(optimizer=optimizer, weight_decay=1e-2), params, grads)
        slopes = [jax.grad(squares)(before) for before in (params, *decayed[:-1])]
        with_term = [jax.tree.map(jnp.add, *pair) for pair in zip(grads, slopes, strict=True)]
        assert_close(run(Optim(optimizer=optimizer), params, with_term)[0][-1], decayed[-1])


@pytest.mark.parametrize("optimizer", Optimizer)
def test_a_factor_scales_the_rate_of_what_it_matches(optimizer):
    params, *grads = trees(6)
    with jax.enable_x64(True):
        optim = Optim(optimizer=optimizer, weight_decay=0.1)
        plain = run(optim, params, grads)[0][0]
        optim.multipliers = (("^encoder/.*kernel", 0.25), ("^encoder/", 2.0), ("kernel", 1.0))
        scaled = run(optim, params, grads)[0][0]
    moved, moved_scaled = (jax.tree.map(lambda a, b: a - b, after, params) for after in (plain, scaled))
    factors = {"encoder": {"dense": {"kernel": 0.25, "bias": 2.0}}, "head": {"out": {"kernel": 1.0, "bias": 1.0}}}
    assert_close(moved_scaled, jax.tree.map(lambda m, f: m * f, moved, factors), rtol=1e-9)


def test_first_match_wins_and_none_is_one():
    optim = Optim(multipliers=(("dense/kernel", 0.5), ("^encoder", 0.0)))
    assert multiplier("encoder/dense/kernel", optim) == 0.5
    assert multiplier("encoder/dense/bias", optim) == 0
    assert multiplier("head/encoder", optim) == 1


@pytest.mark.parametrize("optimizer", Optimizer)
def test_zero_freezes_to_the_bit_and_takes_no_memory(optimizer):
    params, *grads = trees(6, np.float32)
    optim = Optim(optimizer=optimizer, weight_decay=0.1, clip_norm=1.0, multipliers=(("^encoder/", 0.0),))
    visited, state = run(optim, params, grads)
    jax.tree.map(np.testing.assert_array_equal, visited[-1]["encoder"], params["encoder"])
    assert not np.array_equal(visited[-1]["head"]["out"]["kernel"], params["head"]["out"]["kernel"])
    moments = [leaf.shape for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sorted(moments) == sorted([(2,), (4, 2)] * (1 if optimizer is Optimizer.SGD else 2))


@pytest.mark.parametrize(("multipliers", "part"), [((), 1.0), ((("^encoder/", 0.0),), 0.0)])
def test_clipped_norm_is_that_of_what_is_trained(multipliers, part):
    params, grad = trees(2)
    grad["encoder"] = jax.tree.map(lambda g: 1e3 * g, grad["encoder"])
    optim = Optim(optimizer=Optimizer.SGD, momentum=0.0, clip_norm=0.5, multipliers=multipliers)
    with jax.enable_x64(True):
        after = run(optim, params, [grad], [1.0])[0][0]
    norm = np.sqrt(optax.tree.norm(grad["head"], squared=True) + part * optax.tree.norm(grad["encoder"], squared=True))
    assert norm > 0.5
    expected = jax.tree.map(lambda p, g: p - g * 0.5 / norm, params["head"], grad["head"])
    assert_close(after["head"], expected, rtol=1e-6)


@pytest.mark.parametrize("optimizer", Optimizer)
def test_gradients_are_clipped_before_all_else(optimizer):
    params, *grads = trees(1 + len(RATES))
    optim = Optim(optimizer=optimizer, weight_decay=0.1, multipliers=(("kernel", 0.5),))
    with jax.enable_x64(True):
        small = [optax.tree.scale(0.5 / optax.tree.norm(grad), grad) for grad in grads]
        expected = run(optim, params, small)[0][-1]
        optim.clip_norm = 0.5
        assert_close(run(optim, params, grads)[0][-1], expected, rtol=1e-6)


def test_a_norm_below_the_limit_is_left_alone():
    params, grad = trees(2)
    with jax.enable_x64(True):
        free, clipped = (run(Optim(optimizer=Optimizer.SGD, clip_norm=c), params, [grad], [1.0])[0] for c in (0, 1e6))
    assert_close(free, clipped)


@pytest.mark.parametrize(
    ("multipliers", "frozen"),
    [
        ((), False),
        ((("^encoder/", 0.0),), True),
        ((("kernel", 0.5), ("^encoder/", 0.0)), False),
        ((("encoder/.*/kernel", 0.0), ("dense/bias", 0.0)), True),
        ((("^encoder/", 1e-6),), False),
    ],
)
def test_encoder_is_frozen_when_all_of_it_is(multipliers, frozen):
    assert freezes_encoder(trees(1)[0], Optim(multipliers=multipliers)) is frozen


@pytest.mark.parametrize(
    ("multipliers", "message"),
    [
        ((("^encoder/", 0.1), ("^decoder/", 0.0)), r'"\^decoder/" matches no parameter, such as encoder/dense/bias'),
        ((("^encoder/", 0.0), ("", 0.0)), "freeze every parameter"),
    ],
)
def test_multipliers_that_cannot_be_meant(multipliers, message):
    with pytest.raises(UserError, match=message):
        make_optimizer(Optim(multipliers=multipliers), trees(1)[0])


def test_a_pattern_that_is_none_is_named():
    experiment = Experiment(task=None, model=None, optim=Optim(multipliers=(("encoder/(", 0.0),)))
    with pytest.raises(UserError, match=r'optim.multipliers: "encoder/\(" is no regular expression'):
        config.check(experiment)
