"""What PyTorch is given in the benchmark: the same distortions as here, in both of its ways."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import host_distortions as host
from ecgjax.tasks.distortions import Strengths, Warp

WINDOWS = np.random.default_rng(0).normal(0.3, 2.0, (6, 2560)).astype(np.float32)


def test_all_at_once_warps_as_one_by_one_and_as_on_the_device():
    pattern, start = np.array([0, 7, 50, 99, 125, 3]), np.array([0, 18, 5, 7, 1, 2])
    is_stretched = host.warps(2560)[0][pattern]
    at_once = host.warp_batch(WINDOWS, pattern, start)
    one_by_one = [host.warp(x, p)[s : s + 2560] for x, p, s in zip(WINDOWS, is_stretched, start, strict=True)]
    device = Warp.of(2560, Strengths()).apply(
        jnp.asarray(WINDOWS)[..., None], jnp.asarray(is_stretched), jnp.asarray(start)
    )
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-4)
    np.testing.assert_allclose(at_once, device[..., 0], atol=1e-4)


@pytest.mark.parametrize("way", ["window", "batch"])
def test_every_version_is_what_its_place_says(way):
    rng = np.random.default_rng(1)
    made = host.of_batch(WINDOWS, rng) if way == "batch" else np.stack([host.of_window(x, rng) for x in WINDOWS])
    original, noisy, scaled, negated, inverted, permuted, warped = made.swapaxes(0, 1)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(original, WINDOWS)
    snr_db = 10 * np.log10((WINDOWS**2).mean(1) / ((noisy - WINDOWS) ** 2).mean(1))
    np.testing.assert_allclose(snr_db, 15, atol=0.5)
    np.testing.assert_allclose(scaled, 1.1 * WINDOWS, rtol=1e-6)
    np.testing.assert_array_equal(negated, -WINDOWS)
    np.testing.assert_array_equal(inverted, WINDOWS[:, ::-1])
    np.testing.assert_array_equal(np.sort(permuted), np.sort(WINDOWS))
    starts = {tuple(x) for x in WINDOWS[0].reshape(20, 128)}
    assert {tuple(x) for x in permuted[0].reshape(20, 128)} == starts
    assert (permuted != WINDOWS).any(1).all()
    assert (warped != WINDOWS).any(1).all()
