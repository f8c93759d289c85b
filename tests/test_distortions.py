"""The distortions against NumPy written from their definitions, given the same draws; and what each must keep."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.errors import UserError
from ecgjax.tasks import distortions
from ecgjax.tasks.distortions import Distortion, Squeeze, Strengths, Warp, distort

# (samples, channels, strengths): as published, odd lengths and two leads, and 60 s at 4 Hz with other strengths.
FILL = Strengths(permutation_pieces=10, warp_squeeze=Squeeze.FILL)
SHORT = Strengths(permutation_pieces=7, warp_pieces=8, warp_stretch=1.0001)  # warped, still shorter than the window
CASES = {
    "published": (2560, 1, Strengths()),
    "odd": (2561, 2, Strengths(permutation_pieces=25, warp_pieces=4, warp_stretch=1.5)),
    "4 Hz": (240, 1, FILL),
    "tiny": (11, 3, Strengths(permutation_pieces=11, warp_pieces=11, warp_stretch=2.0)),
    "held": (2567, 1, SHORT),
}
CERTAIN = (Distortion.SCALING, Distortion.NEGATION, Distortion.INVERSION)
KEY = jax.random.key(0)


def windows(samples=2560, channels=1, batch=4, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 2.0, (batch, samples, channels)).astype(np.float32)


def jitted(kind, x_BTC, key=KEY, how=None) -> np.ndarray:
    return np.asarray(jax.jit(lambda x, key: distort(kind, x, key, how or Strengths()))(x_BTC, key))


# --- the definitions, one window at a time ---------------------------------------------------------------------------


def permuted(x_TC, order_P):
    length = len(x_TC) // len(order_P)
    pieces = [x_TC[i * length : (i + 1) * length] for i in order_P]
    joined = np.concatenate(pieces)
    return np.concatenate([joined, np.zeros((len(x_TC) - len(joined), x_TC.shape[1]))])


def resized(x_TC, length):
    """OpenCV's INTER_LINEAR along time."""
    out = np.empty((length, x_TC.shape[1]))
    last = len(x_TC) - 1
    for i in range(length):
        position = (i + 0.5) * len(x_TC) / length - 0.5
        low = math.floor(position)
        share = position - low
        if low < 0:
            low, share = 0, 0.0
        if low >= last:
            low, share = last, 0.0
        out[i] = (1 - share) * x_TC[low] + share * x_TC[min(low + 1, last)]
    return out


def warped(x_TC, is_stretched_P, start, how):
    length = len(x_TC) // how.warp_pieces
    long = math.ceil(length * how.warp_stretch)
    short = math.ceil(length / how.warp_stretch)
    if how.warp_squeeze is Squeeze.FILL:
        short = (len(x_TC) - is_stretched_P.sum() * long) // (~is_stretched_P).sum()
    pieces = [x_TC[i * length : (i + 1) * length] for i in range(how.warp_pieces)]
    joined = np.concatenate(
        [resized(piece, long if is_long else short) for piece, is_long in zip(pieces, is_stretched_P, strict=True)]
    )
    cut = joined[start : start + len(x_TC)]
    return np.concatenate([cut, np.repeat(cut[-1:], len(x_TC) - len(cut), axis=0)])


@pytest.mark.parametrize("case", CASES)
def test_permutation_moves_the_pieces_as_drawn(case):
    samples, channels, how = CASES[case]
    x = windows(samples, channels)
    order = distortions.draw_orders(KEY, len(x), distortions.permutation_pieces(samples, how.permutation_pieces))
    found = jax.jit(distortions.permute)(x, order)
    np.testing.assert_array_equal(found, [permuted(*pair) for pair in zip(x, np.asarray(order), strict=True)])


@pytest.mark.parametrize("case", CASES)
def test_time_warp_resamples_the_pieces_as_drawn(case):
    samples, channels, how = CASES[case]
    x, warp = windows(samples, channels), Warp.of(samples, how)
    is_stretched, start = warp.draw(KEY, len(x))
    found = jax.jit(warp.apply)(x, is_stretched, start)
    expected = [warped(*each, how) for each in zip(x, np.asarray(is_stretched), np.asarray(start), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(x).max())


def test_noise_has_the_power_of_its_window_over_the_ratio():
    x = windows(channels=2) * np.array([1.0, 30.0], np.float32)  # leads of unlike size
    normal = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    found = jax.jit(lambda x, n: distortions.add_noise(x, n, 15.0))(x, normal)
    sigma = np.sqrt((x.astype(np.float64) ** 2).mean(1, keepdims=True) / 10**1.5)
    np.testing.assert_allclose(found, x + sigma * normal, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("snr_db", [-5.0, 2.0, 15.0])
@pytest.mark.parametrize("case", ["published", "4 Hz"])
def test_the_signal_to_noise_ratio_is_reached_in_every_window(snr_db, case):
    samples, channels, how = CASES[case]
    x = windows(samples, channels, batch=64) * np.linspace(0.1, 50, 64, dtype=np.float32)[:, None, None]
    noise = jitted(Distortion.NOISE, x, how=dataclasses.replace(how, snr_db=snr_db)) - x
    ratio_db = 10 * np.log10((x**2).mean((1, 2)) / (noise**2).mean((1, 2)))
    np.testing.assert_allclose(ratio_db.mean(), snr_db, atol=0.1)
    np.testing.assert_allclose(ratio_db, snr_db, atol=40 / np.sqrt(samples))  # four standard errors and more
    samples_NT = noise[:, :, 0] / noise[:, :, 0].std(1, keepdims=True)
    assert np.abs((samples_NT[:, 1:] * samples_NT[:, :-1]).mean()) < 0.05  # white
    assert np.abs(np.corrcoef(samples_NT) - np.eye(64)).max() < 0.4  # and another in every window


def test_the_three_that_need_no_draws():
    x = windows(channels=2)
    np.testing.assert_array_equal(jitted(Distortion.SCALING, x), x * np.float32(1.1))
    np.testing.assert_array_equal(jitted(Distortion.NEGATION, x), -x)
    np.testing.assert_array_equal(jitted(Distortion.INVERSION, x), x[:, ::-1])


@pytest.mark.parametrize("kind", [Distortion.NEGATION, Distortion.INVERSION])
def test_done_twice_is_undone(kind):
    x = windows(*CASES["odd"][:2])
    np.testing.assert_array_equal(jitted(kind, jitted(kind, x)), x)


# --- figures of the published code -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "asked", "pieces", "lost"),
    [(2560, n, n, 0) for n in (2, 5, 10, 20, 40)]
    + [
        (2560, 15, 16, 0),
        (2560, 18, 19, 14),
        (2560, 25, 26, 12),
        (2560, 30, 31, 18),
        (240, 10, 10, 0),
        (30, 20, 30, 0),
    ],
)
def test_pieces_of_a_permutation(samples, asked, pieces, lost):
    assert distortions.permutation_pieces(samples, asked) == pieces
    x = 1 + np.arange(samples, dtype=np.float32)[None, :, None]
    found = jitted(Distortion.PERMUTATION, x, how=Strengths(permutation_pieces=asked))[0, :, 0]
    kept = samples - lost
    np.testing.assert_array_equal(np.sort(found[:kept]), x[0, :kept, 0])
    assert (found[kept:] == 0).all()
    steps = np.flatnonzero(np.diff(found[:kept]) != 1) + 1
    assert (steps % (samples // pieces) == 0).all()
    assert len(steps) or pieces == 2


@pytest.mark.parametrize(
    ("samples", "how", "lengths", "whole"),
    [
        (2560, Strengths(), (284, 299, 271), 2579),
        (2560, Strengths(warp_pieces=3), (853, 896, 813), 2605),
        (2560, Strengths(warp_stretch=1.25), (284, 355, 228), 2687),
        (2560, Strengths(warp_stretch=1.5), (284, 426, 190), 2890),
        (240, FILL, (26, 28, 25), 240),
    ],
)
def test_lengths_of_a_time_warp(samples, how, lengths, whole):
    warp = Warp.of(samples, how)
    assert (warp.piece, warp.stretched, warp.squeezed) == lengths
    assert warp.warped == whole


# --- draws -----------------------------------------------------------------------------------------------------------


def test_orders_are_permutations_and_all_equally_likely():
    orders = np.asarray(distortions.draw_orders(KEY, 6000, 3))
    found, count = np.unique(orders, axis=0, return_counts=True)
    assert sorted(map(tuple, found.tolist())) == sorted(itertools.permutations(range(3)))
    np.testing.assert_allclose(count / 6000, 1 / 6, atol=0.02)


def test_any_five_of_nine_pieces_are_stretched_and_every_start_but_the_last_is_drawn():
    is_stretched, start = map(np.asarray, Warp.of(2560, Strengths()).draw(KEY, 4000))
    assert (is_stretched.sum(1) == 5).all()
    np.testing.assert_allclose(is_stretched.mean(0), 5 / 9, atol=0.04)
    assert len(np.unique(is_stretched, axis=0)) == math.comb(9, 5)
    np.testing.assert_array_equal(np.unique(start), np.arange(19))
    np.testing.assert_allclose(np.bincount(start) / 4000, 1 / 19, atol=0.015)


def test_a_warp_shorter_than_the_window_holds_its_last_value():
    x = windows(2567)
    found = jitted(Distortion.TIME_WARP, x, how=SHORT)
    warp = Warp.of(2567, SHORT)
    assert warp.warped == 2564 and not np.asarray(warp.draw(KEY, 50)[1]).any()
    assert (found[:, 2563:] == found[:, 2563:2564]).all() and (found[:, 2562] != found[:, 2563]).all()


@pytest.mark.parametrize("kind", Distortion)
def test_the_same_key_gives_the_same_bits_and_every_window_its_own_draws(kind):
    x = np.repeat(windows(batch=1), 3, axis=0)
    how = Strengths(crop_pieces=64)  # of four, two windows would often get the same
    first, again, other = (jitted(kind, x, jax.random.key(seed), how) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    by_chance = kind not in CERTAIN
    assert (first != other).any() == by_chance
    assert all((first[a] != first[b]).any() == by_chance for a, b in itertools.combinations(range(3), 2))


def test_each_kind_has_a_key_by_its_place_so_that_kinds_added_later_change_nothing():
    x = jnp.asarray(windows())
    noisy = distortions.add_noise(x, jax.random.normal(jax.random.fold_in(KEY, 0), x.shape), 15.0)
    np.testing.assert_allclose(jitted(Distortion.NOISE, x), noisy, rtol=1e-5, atol=1e-5)
    moved = distortions.permute(x, distortions.draw_orders(jax.random.fold_in(KEY, 4), len(x), 20))
    np.testing.assert_array_equal(jitted(Distortion.PERMUTATION, x), moved)


@pytest.mark.parametrize("kind", Distortion)
def test_channels_move_together(kind):
    one = windows()
    found = jitted(kind, np.concatenate([one, 3 * one], axis=2))
    if kind is Distortion.NOISE:
        noise = found - np.concatenate([one, 3 * one], axis=2)
        assert np.abs(np.corrcoef(noise[0].T)[0, 1]) < 0.1
    else:
        np.testing.assert_allclose(found[:, :, 1], 3 * found[:, :, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", Distortion)
def test_vmapped_is_one_by_one(kind):
    x, keys = windows(batch=3, channels=2), jax.random.split(KEY, 3)
    one = lambda x_TC, key: distort(kind, x_TC[None], key, Strengths())[0]  # noqa: E731
    together = jax.jit(jax.vmap(one))(x, keys)
    alone = [jitted(kind, each[None], key)[0] for each, key in zip(x, keys, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", Distortion)
def test_windows_are_distorted_each_on_its_own(kind):
    x = windows()
    changed = x.copy()
    changed[2] += 1
    np.testing.assert_array_equal(np.flatnonzero((jitted(kind, x) != jitted(kind, changed)).any((1, 2))), [2])


def test_versions_are_the_original_and_each_distortion_whatever_the_others():
    samples, channels, how = CASES["odd"]
    x, kinds = windows(samples, channels), tuple(Distortion)
    every = np.asarray(jax.jit(lambda x: distortions.versions(x, KEY, kinds, how))(x))
    assert every.shape == (4, 1 + len(kinds), samples, channels) and every.dtype == np.float32
    np.testing.assert_array_equal(every[:, 0], x)
    for number, kind in enumerate(kinds, 1):
        np.testing.assert_allclose(every[:, number], jitted(kind, x, how=how), rtol=1e-6, atol=1e-6)
    assert len(np.unique(every.reshape(4 * (1 + len(kinds)), -1), axis=0)) == 4 * (1 + len(kinds))


def test_one_version_is_that_row_of_all_versions():
    x, kinds, version = windows(batch=6), (Distortion.TIME_WARP, Distortion.NOISE), jnp.asarray([0, 1, 2, 2, 1, 0])
    every = jax.jit(lambda x: distortions.versions(x, KEY, kinds, Strengths()))(x)
    one = jax.jit(lambda x: distortions.one_version(x, version, KEY, kinds, Strengths()))(x)
    np.testing.assert_allclose(one, every[np.arange(6), version], rtol=1e-6, atol=1e-6)


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("snr_db", math.nan), ("snr_db", -101.0), ("snr_db", math.inf), ("scale", 0.0), ("scale", 1.0), ("scale", -2.0),
        ("scale", math.inf), ("permutation_pieces", 1), ("warp_pieces", 1), ("warp_stretch", 1.0),
        ("warp_stretch", 0.9), ("warp_stretch", math.inf),
    ],
)  # fmt: skip
def test_strengths_out_of_range_are_refused_by_name(field, value):
    Strengths().check()
    with pytest.raises(UserError, match=f"task.{field}="):
        Strengths(**{field: value}).check()


@pytest.mark.parametrize(
    ("kind", "samples", "how", "message"),
    [
        (Distortion.PERMUTATION, 19, Strengths(), "task.permutation_pieces=20: a window has only 19 .*data.window_s"),
        (Distortion.TIME_WARP, 8, Strengths(), "task.warp_pieces=9: a window has only 8 samples.*data.window_s"),
        (Distortion.TIME_WARP, 240, dataclasses.replace(FILL, warp_stretch=1.84), "task.warp_stretch=1.84: the s"),
        (Distortion.TIME_WARP, 2**20, Strengths(warp_pieces=2), "task.warp_pieces=2: pieces of 524288 .* too long"),
    ],
)  # fmt: skip
def test_windows_that_do_not_suit_are_refused_by_name(kind, samples, how, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda key: distort(kind, jnp.zeros((1, samples, 1)), key, how), KEY)
