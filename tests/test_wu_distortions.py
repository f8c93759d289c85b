"""The five distortions of Wu et al. as published, against NumPy and SciPy given the same draws; and missing windows."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal
from scipy.interpolate import CubicSpline

from ecgjax.errors import UserError
from ecgjax.tasks import distortions
from ecgjax.tasks.distortions import Distortion, Strengths, Warp, distort
from ecgjax.tasks.modality_recognition import Config

KEY = jax.random.key(0)
PUBLISHED = Config()
# (samples, pieces, knots): as published, odd lengths that the pieces do not divide, pieces of odd length and of one.
CASES = [(240, 4, 6), (241, 4, 7), (250, 4, 2), (2561, 9, 12), (7, 5, 7), (11, 3, 3)]


def windows(samples=240, channels=1, batch=6, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 2.0, (batch, samples, channels)).astype(np.float32)


def jitted(kind, x_BTC, key=KEY, how=PUBLISHED) -> np.ndarray:
    return np.asarray(jax.jit(lambda x, key: distort(kind, x, key, how))(x_BTC, key))


def close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def drawn_with(kind):
    """The key that `distort` draws a kind with."""
    return jax.random.fold_in(KEY, list(Distortion).index(kind))


# --- as published: windows of 240 samples ----------------------------------------------------------------------------


def test_noise_is_at_15_db_of_the_mean_square():
    x, normal = windows(), np.asarray(jax.random.normal(drawn_with(Distortion.NOISE), (6, 240, 1)), np.float64)
    power = (x.astype(np.float64) ** 2).mean(1, keepdims=True) / 10**1.5
    close(jitted(Distortion.NOISE, x), x + normal * np.sqrt(power))


def test_permutation_is_of_ten_pieces_of_24():
    x = windows()
    orders = np.asarray(distortions.draw_orders(drawn_with(Distortion.PERMUTATION), 6, 10))
    expected = [np.concatenate([w[24 * i : 24 * (i + 1)] for i in order]) for w, order in zip(x, orders, strict=True)]
    np.testing.assert_array_equal(jitted(Distortion.PERMUTATION, x), expected)


def test_time_warp_is_of_nine_pieces_of_26_five_to_28_and_four_to_25():
    x = windows()
    is_stretched, start = map(np.asarray, Warp.of(240, PUBLISHED).draw(drawn_with(Distortion.TIME_WARP), 6))
    assert (is_stretched.sum(1) == 5).all() and not start.any()

    def resized(piece, length):
        at = np.clip((np.arange(length) + 0.5) * 26 / length - 0.5, 0, 25)
        return np.interp(at, np.arange(26), piece[:, 0])

    expected = [
        np.concatenate([resized(w[26 * i : 26 * (i + 1)], 28 if long else 25) for i, long in enumerate(row)])
        for w, row in zip(x, is_stretched, strict=True)
    ]
    found = jitted(Distortion.TIME_WARP, x)
    assert found.shape == (6, 240, 1)
    close(found[..., 0], np.stack(expected))
    spoilt = x.copy()
    spoilt[:, 234:] = 1e6  # the last 6 samples are dropped
    np.testing.assert_array_equal(jitted(Distortion.TIME_WARP, spoilt), found)


def test_at_other_lengths_the_shorter_pieces_still_fill_the_window():
    warp = Warp.of(960, PUBLISHED)
    assert (warp.piece, warp.stretched, warp.squeezed, warp.warped) == (106, 112, 100, 960)


def test_crop_is_a_quarter_resampled_by_fourier():
    x = windows()
    piece = np.asarray(jax.random.randint(drawn_with(Distortion.CROP), (6,), 0, 4))
    expected = [
        signal.resample(w[60 * i : 60 * (i + 1)].astype(np.float64), 240) for w, i in zip(x, piece, strict=True)
    ]
    close(jitted(Distortion.CROP, x), np.stack(expected))


def test_magnitude_warp_is_a_spline_through_six_knots():
    x = windows()
    normal = np.asarray(jax.random.normal(drawn_with(Distortion.MAGNITUDE_WARP), (6, 6)), np.float64)
    knots = [0, 47.8, 95.6, 143.4, 191.2, 239]
    factor = np.stack([CubicSpline(knots, 1 + 0.2 * row)(np.arange(240)) for row in normal])
    close(jitted(Distortion.MAGNITUDE_WARP, x), x * factor[:, :, None])


# --- crop and magnitude-warp at any length ---------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "pieces", "_"), CASES)
def test_crop_of_any_length_is_scipys_and_leaves_the_rest_out(samples, pieces, _):
    x, piece = windows(samples, channels=2), jnp.arange(6) % pieces
    found = np.asarray(jax.jit(lambda x: distortions.crop(x, piece, pieces))(x))
    length = samples // pieces
    chosen = [w[length * i : length * (i + 1)] for w, i in zip(x, np.asarray(piece), strict=True)]
    close(found, np.stack([signal.resample(w.astype(np.float64), samples) for w in chosen]))
    spoilt = x.copy()
    spoilt[:, pieces * length :] = 1e6
    np.testing.assert_array_equal(jax.jit(lambda x: distortions.crop(x, piece, pieces))(spoilt), found)


@pytest.mark.parametrize(("samples", "_", "knots"), CASES)
def test_magnitude_warp_of_any_length_is_scipys(samples, _, knots):
    x = windows(samples, channels=2)
    factor = np.random.default_rng(1).normal(1, 0.2, (6, knots)).astype(np.float32)
    found = jax.jit(distortions.warp_magnitude)(x, factor)
    at = np.linspace(0, samples - 1, knots)
    curve = np.stack([CubicSpline(at, row.astype(np.float64))(np.arange(samples)) for row in factor])
    close(found, x * curve[:, :, None])


def test_every_piece_is_as_likely_and_factors_are_as_wide_as_asked():
    x = np.repeat(np.arange(4.0, dtype=np.float32), 2)[None, :, None].repeat(4000, 0)
    count = np.bincount(np.round(jitted(Distortion.CROP, x)[:, 0, 0]).astype(int))
    np.testing.assert_allclose(count / 4000, 1 / 4, atol=0.03)
    ones = np.ones((4000, 240, 1), np.float32)
    for how, sd in ((PUBLISHED, 0.2), (Config(magnitude_sd=0.5), 0.5)):
        ends = jitted(Distortion.MAGNITUDE_WARP, ones, how=how)[:, (0, -1), 0]
        np.testing.assert_allclose(ends.mean(0), 1, atol=0.03)
        np.testing.assert_allclose(ends.std(0), sd, rtol=0.05)
        assert abs(np.corrcoef(ends.T)[0, 1]) < 0.06  # each knot its own


# --- a modality that a window lacks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [PUBLISHED, dataclasses.replace(Strengths(), permutation_pieces=25)], ids=str)
@pytest.mark.parametrize("kind", Distortion)
def test_a_missing_window_stays_missing_and_touches_no_other(kind, how):
    x = windows(241, channels=2)  # which no number of pieces divides
    lacking = x.copy()
    lacking[2] = np.nan
    found, whole = jitted(kind, lacking, how=how), jitted(kind, x, how=how)
    assert np.isnan(found[2]).all() and not np.isnan(whole).any()
    rest = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(found[rest], whole[rest])


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_pieces", 1), ("magnitude_knots", 1), ("magnitude_sd", 0.0), ("magnitude_sd", -1.0),
        ("magnitude_sd", math.nan), ("magnitude_sd", math.inf),
    ],
)  # fmt: skip
def test_strengths_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=f"task.{field}="):
        Strengths(**{field: value}).check()


@pytest.mark.parametrize(
    ("kind", "samples", "message"),
    [
        (Distortion.CROP, 3, "task.crop_pieces=4: a window has only 3 samples.*data.window_s"),
        (Distortion.CROP, 2**15, "task.crop_pieces=4: pieces of 8192 samples are too long"),
        (Distortion.MAGNITUDE_WARP, 5, "task.magnitude_knots=6: a window has only 5 samples.*data.window_s"),
    ],
)
def test_windows_that_do_not_suit_are_refused_by_name(kind, samples, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda key: distort(kind, jnp.zeros((1, samples, 1)), key, PUBLISHED), KEY)
