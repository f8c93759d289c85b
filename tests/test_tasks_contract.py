"""What every task promises: found by looking into ecgjax/tasks, so a new file is covered by being there."""

import functools
import importlib
import pkgutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ecgjax.tasks
from ecgjax.models.base import POOLED, Encoded

NAMES = [m.name for m in pkgutil.iter_modules(ecgjax.tasks.__path__) if m.name not in ("base", "distortions")]
BATCH, SAMPLES, TOKENS, WIDTH = 6, 96, 12, 16


def make(name: str):
    return importlib.import_module(f"ecgjax.tasks.{name}").Config().make()


def some_batch(num_real: int = BATCH, seed: int = 0) -> dict:
    """Rows beyond `num_real` are padding: weight 0, no label."""
    rng = np.random.default_rng(seed)
    weight = (np.arange(BATCH) < num_real).astype(np.float32)
    label = np.where(weight > 0, np.arange(BATCH) % 2, -1).astype(np.int32)
    signals = {"ecg": rng.standard_normal((BATCH, SAMPLES, 1), np.float32)}
    batch = {"signals": signals, "label": label, "weight": weight, "window": np.arange(BATCH, dtype=np.int32)}
    return jax.tree.map(jnp.asarray, batch)


def encoded(seed: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    shapes = (BATCH, TOKENS, WIDTH), (BATCH, WIDTH)
    return Encoded(*(jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes))


@functools.cache
def outputs_and_targets(name: str, train: bool = False):
    """What the loss gets of `some_batch` and `encoded`."""
    task, head = make(name), make(name).head()

    @jax.jit
    def run(key):
        signals, targets = task.view(key, some_batch())
        variables = head.init(key, encoded(), signals, train=False)
        assert set(variables) == {"params"}
        rngs = {"dropout": key} if train else None
        return head.apply(variables, encoded(), signals, train=train, rngs=rngs), targets

    return run(jax.random.key(0))


@pytest.mark.parametrize("name", NAMES)
def test_is_hashable_and_does_not_follow_its_config(name):
    config = importlib.import_module(f"ecgjax.tasks.{name}").Config()
    task, same = config.make(), config.make()
    assert hash(task) == hash(same)
    assert task == same
    field = next(field for field, value in vars(config).items() if isinstance(value, float))
    setattr(config, field, getattr(config, field) / 2)
    assert task == same
    assert task != config.make()


@pytest.mark.parametrize("name", NAMES)
def test_the_view_keeps_shapes_and_draws_from_the_key_alone(name):
    view, batch = jax.jit(make(name).view), some_batch()
    first, again = (view(jax.random.key(1), batch) for _ in range(2))
    chex.assert_trees_all_equal(first, again)
    chex.assert_trees_all_equal_shapes_and_dtypes(first[0], batch["signals"])
    for leaf in jax.tree.leaves(first[1]):
        assert leaf.shape[0] == BATCH


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_reads_pooled_vectors_needs_nothing_else(name):
    task, batch, whole = make(name), some_batch(), encoded()
    assert task.reads_pooled in (True, False)
    if task.reads_pooled:
        chex.assert_trees_all_equal(task.view(jax.random.key(0), batch)[0], batch["signals"])
        variables = task.head().init(jax.random.key(0), whole, batch["signals"], train=False)
        bare = Encoded(whole.tokens_BLD[:, :0], whole.pooled_BD), {POOLED: whole.pooled_BD}
        said = [task.head().apply(variables, *fed, train=False) for fed in ((whole, batch["signals"]), bare)]
        chex.assert_trees_all_equal(*said)


@pytest.mark.parametrize("name", NAMES)
def test_the_monitored_metric_exists_and_the_loss_is_its_mean(name):
    task, (outputs, targets) = make(name), outputs_and_targets(name)
    loss, metrics = task.loss(outputs, targets, jnp.ones(BATCH))
    assert task.monitor in metrics
    assert task.monitor_mode in ("min", "max")
    total, count = metrics["loss"]
    np.testing.assert_allclose(loss, total / count, rtol=1e-6)
    for pair in metrics.values():
        chex.assert_shape(pair, ())
        chex.assert_tree_all_finite(pair)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_of_parts_add_up_to_the_whole(name):
    task, both = make(name), outputs_and_targets(name)
    whole = task.loss(*both, jnp.ones(BATCH))[1]
    parts = [
        task.loss(*jax.tree.map(lambda x, s=s: x[s], both), jnp.ones(BATCH)[s])[1] for s in (slice(2), slice(2, None))
    ]
    chex.assert_trees_all_close(jax.tree.map(jnp.add, *parts), whole, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_padding_counts_for_nothing_at_all(name):
    task = make(name)
    outputs, targets = outputs_and_targets(name)
    weight = jnp.asarray(some_batch(num_real=4)["weight"])
    spoilt = jax.tree.map(lambda x: x.at[4:].set(x[2:4]), (outputs, targets))  # other rows where padding stood
    scored = jax.jit(lambda both: task.loss(*both, weight))
    chex.assert_trees_all_equal(scored((outputs, targets)), scored(spoilt))
    slope = jax.grad(lambda outputs: task.loss(outputs, targets, weight)[0])(outputs)
    assert slope[:4].any()
    assert not slope[4:].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_padding_alone_is_harmless(name):
    task, (outputs, targets) = make(name), outputs_and_targets(name)
    (loss, metrics), slope = jax.value_and_grad(
        lambda outputs: task.loss(outputs, targets, jnp.zeros(BATCH)), has_aux=True
    )(outputs)
    assert loss == 0
    assert not slope.any()
    assert all(total == 0 and count == 0 for total, count in metrics.values())


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_one_a_window(name):
    predictions = make(name).predict(*outputs_and_targets(name))
    assert predictions
    for name, leaf in predictions.items():
        assert leaf.shape[0] == BATCH, name


@pytest.mark.parametrize("name", NAMES)
def test_all_of_the_heads_parameters_learn(name):
    task, head = make(name), make(name).head()
    signals, targets = task.view(jax.random.key(0), some_batch())
    variables = head.init(jax.random.key(0), encoded(), signals, train=False)

    @jax.jit
    @jax.grad
    def slope(variables):
        return task.loss(head.apply(variables, encoded(), signals, train=False), targets, jnp.ones(BATCH))[0]

    gradients = jax.tree_util.tree_leaves_with_path(slope(variables))
    assert not [jax.tree_util.keystr(path) for path, leaf in gradients if not leaf.any()]
