"""The small parts that encoders share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.models import base


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


def test_a_window_lacks_a_modality_where_any_sample_is_missing():
    x_BTC = jnp.zeros((3, 4, 2)).at[1].set(jnp.nan).at[2, 3, 0].set(jnp.nan)
    assert base.known(x_BTC).tolist() == [True, False, False]
