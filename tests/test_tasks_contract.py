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

MODULES = [
    (m.name, importlib.import_module(f"ecgjax.tasks.{m.name}")) for m in pkgutil.iter_modules(ecgjax.tasks.__path__)
]
NAMES = [name for name, module in MODULES if hasattr(module, "Config")]
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


def encoded(signals: dict, seed: int = 0) -> Encoded:
    """Some vectors for as many rows as the task's view has."""
    rng, rows = np.random.default_rng(seed), signals["ecg"].shape[0]
    shapes = (rows, TOKENS, WIDTH), (rows, WIDTH), (rows, WIDTH)
    tokens, pooled, ecg = (jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)
    return Encoded(tokens, pooled, {"ecg": ecg})


def rows_of(tree, windows: slice):
    """The rows that belong to some of the windows, all versions of each."""
    return jax.tree.map(lambda x: x.reshape(BATCH, -1, *x.shape[1:])[windows].reshape(-1, *x.shape[1:]), tree)


def any_in(tree) -> bool:
    return any(bool(leaf.any()) for leaf in jax.tree.leaves(tree))


@functools.cache
def outputs_and_targets(name: str, train: bool = False):
    """What the loss gets of `some_batch` and `encoded`."""
    task, head = make(name), make(name).head()

    @jax.jit
    def run(key):
        signals, targets = task.view(key, some_batch())
        variables = head.init(key, encoded(signals), signals, train=False)
        assert set(variables) <= {"params", "batch_stats"}
        rngs = {"dropout": key} if train else None
        return head.apply(variables, encoded(signals), signals, train=train, rngs=rngs), targets

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
def test_the_view_is_one_or_more_versions_of_each_window_and_draws_from_the_key_alone(name):
    view, batch = jax.jit(make(name).view), some_batch()
    first, again = (view(jax.random.key(1), batch) for _ in range(2))
    chex.assert_trees_all_equal(first, again)
    assert list(first[0]) == list(batch["signals"])
    seen, given = first[0]["ecg"], batch["signals"]["ecg"]
    assert seen.shape[1:] == given.shape[1:] and seen.dtype == given.dtype
    assert seen.shape[0] % BATCH == 0
    for leaf in jax.tree.leaves(first):
        assert leaf.shape[0] == seen.shape[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_a_window_stands_where_the_window_stood(name):
    """So that windows dealt to several devices stay there."""
    view, batch = jax.jit(make(name).view), some_batch()
    other = batch | {"signals": {"ecg": batch["signals"]["ecg"].at[2].add(1.0)}}
    ours, theirs = (view(jax.random.key(1), b)[0]["ecg"].reshape(BATCH, -1) for b in (batch, other))
    np.testing.assert_array_equal(np.flatnonzero((ours != theirs).any(1)), [2])


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_reads_pooled_vectors_needs_nothing_else(name):
    task, batch = make(name), some_batch()
    whole = encoded(batch["signals"])
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
    parts = [task.loss(*rows_of(both, s), jnp.ones(BATCH)[s])[1] for s in (slice(2), slice(2, None))]
    chex.assert_trees_all_close(jax.tree.map(jnp.add, *parts), whole, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_padding_counts_for_nothing_at_all(name):
    task = make(name)
    outputs, targets = outputs_and_targets(name)
    weight = jnp.asarray(some_batch(num_real=4)["weight"])
    both = outputs, targets
    real, other = rows_of(both, slice(4)), rows_of(both, slice(2, 4))
    spoilt = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), real, other)  # other rows where padding stood
    scored = jax.jit(lambda both: task.loss(*both, weight))
    chex.assert_trees_all_equal(scored((outputs, targets)), scored(spoilt))
    slope = jax.grad(lambda outputs: task.loss(outputs, targets, weight)[0])(outputs)
    assert any_in(rows_of(slope, slice(4)))
    assert not any_in(rows_of(slope, slice(4, None)))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_padding_alone_is_harmless(name):
    task, (outputs, targets) = make(name), outputs_and_targets(name)
    (loss, metrics), slope = jax.value_and_grad(
        lambda outputs: task.loss(outputs, targets, jnp.zeros(BATCH)), has_aux=True
    )(outputs)
    assert loss == 0
    assert not any_in(slope)
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
    variables = head.init(jax.random.key(0), encoded(signals), signals, train=False)

    @jax.jit
    @jax.grad
    def slope(variables):
        return task.loss(head.apply(variables, encoded(signals), signals, train=False), targets, jnp.ones(BATCH))[0]

    gradients = jax.tree_util.tree_leaves_with_path(slope(variables))
    assert not [jax.tree_util.keystr(path) for path, leaf in gradients if not leaf.any()]
