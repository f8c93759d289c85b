"""Batch normalisation of heads: PyTorch's, over the rows that count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.tasks.base_norm import BatchNorm

COUNTS = jnp.asarray([True, False, True, True, True, False])
X = jnp.asarray(np.random.default_rng(0).normal(3.0, 2.0, (6, 4)), jnp.float32)


def fresh(seed=1) -> dict:
    rng = np.random.default_rng(seed)
    numbers = iter(rng.uniform(0.5, 2.0, (4, 4)).astype(np.float32))
    return {
        "params": {"scale": next(numbers), "bias": next(numbers)},
        "batch_stats": {"mean": next(numbers), "var": next(numbers)},
    }


def trained(x, counts, variables=None):
    """(output, running statistics after)."""
    found, after = BatchNorm().apply(variables or fresh(), x, counts, train=True, mutable=["batch_stats"])
    return found, after["batch_stats"]


def test_it_is_pytorchs_batch_norm_in_training_and_in_use():
    torch = pytest.importorskip("torch")
    variables, norm = fresh(), torch.nn.BatchNorm1d(4)
    (scale, bias), (mean, var) = (d.values() for d in variables.values())
    with torch.no_grad():
        for there, ours in (
            (norm.weight, scale),
            (norm.bias, bias),
            (norm.running_mean, mean),
            (norm.running_var, var),
        ):
            there.copy_(torch.from_numpy(ours))
        expected, real = [], torch.tensor(np.asarray(X[COUNTS]))
        norm.eval()
        expected.append(norm(torch.tensor(np.asarray(X))).numpy())
        norm.train()
        expected.append(norm(real).numpy())
    found = BatchNorm().apply(variables, X, COUNTS, train=False)
    np.testing.assert_allclose(found, expected[0], rtol=1e-5, atol=1e-5)
    found, after = trained(X, COUNTS)
    np.testing.assert_allclose(found[COUNTS], expected[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(after["mean"], norm.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(after["var"], norm.running_var.numpy(), rtol=1e-5)


def test_rows_that_do_not_count_change_nothing():
    spoilt = jnp.where(COUNTS[:, None], X, 1e6)
    (found, after), (other, other_after) = trained(X, COUNTS), trained(spoilt, COUNTS)
    np.testing.assert_array_equal(found[COUNTS], other[COUNTS])
    jax.tree.map(np.testing.assert_array_equal, after, other_after)
    slope = jax.grad(lambda x: jnp.sum(jnp.where(COUNTS[:, None], trained(x, COUNTS)[0] ** 3, 0)))(X)
    assert slope[COUNTS].any() and not slope[~COUNTS].any()


def test_a_batch_without_rows_leaves_the_statistics_and_one_row_makes_no_nan():
    found, after = trained(X, jnp.zeros(6, bool))
    assert np.isfinite(found).all()
    jax.tree.map(np.testing.assert_array_equal, after, fresh()["batch_stats"])
    slope = jax.grad(lambda v: trained(X, jnp.zeros(6, bool), v)[0].sum())(fresh())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    found, after = trained(X, jnp.arange(6) == 2)
    np.testing.assert_allclose(found[2], fresh()["params"]["bias"], rtol=1e-6)
    np.testing.assert_allclose(after["mean"], 0.9 * fresh()["batch_stats"]["mean"] + 0.1 * X[2], rtol=1e-5)


def test_the_statistics_begin_at_zero_and_one():
    variables = BatchNorm().init(jax.random.key(0), X, COUNTS, train=True)
    begin = {name: {k: float(np.unique(v)[0]) for k, v in part.items()} for name, part in variables.items()}
    assert begin["params"] == {"scale": 1, "bias": 0} and begin["batch_stats"] == {"mean": 0, "var": 1}
