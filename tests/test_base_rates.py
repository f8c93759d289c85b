"""Time stamps against rates, and samples on a regular grid."""

import numpy as np
import pytest

from ecgjax.datasets.base_rates import check_rate, in_order, on_grid
from ecgjax.errors import DataError


def test_a_rate_may_be_a_hundredth_off():
    times_s = np.arange(1000) / 64
    for factor in (1.0, 1.009, 0.992):
        check_rate(times_s, 64.0 * factor, "x.csv")
    for factor in (1.013, 0.988, 2.0, 0.5, 1000.0, 0.001):
        with pytest.raises(DataError, match=r"x.csv: wrong rate. Its time stamps say 64 Hz instead of"):
            check_rate(times_s, 64.0 * factor, "x.csv")


def test_rounded_stamps_and_gaps_say_nothing_of_the_rate():
    times_s = np.round(np.arange(64 * 60) / 64, 3)
    times_s[1000:] += 5000.0
    check_rate(times_s, 64.0, "x.csv")
    check_rate(np.array([3.0]), 64.0, "x.csv")
    check_rate(np.array([0.0, 0.26, 0.5]), 4.0, "x.csv")
    check_rate(np.arange(30) / 4.1, 4.0, "x.csv")
    with pytest.raises(DataError, match="wrong rate"):
        check_rate(np.arange(30) / 4.24, 4.0, "x.csv")


def test_lost_samples_and_late_stamps_say_nothing_of_the_rate_either():
    lost = np.setdiff1d(np.arange(1000), np.arange(5, 1000, 30)) / 64
    assert len(lost) / (lost[-1] - lost[0]) < 0.98 * 64
    check_rate(lost, 64.0, "x.csv")
    for steps_ms in ((10, 10, 10, 32.5), (0.1, 0.1, 0.1, 62.2)):  # 16 samples in a quarter of a second
        late_s = np.cumsum(np.tile(steps_ms, 250)) / 1000
        check_rate(late_s, 64.0, "x.csv")
        with pytest.raises(DataError, match="wrong rate"):
            check_rate(late_s, 60.0, "x.csv")
    with pytest.raises(DataError, match="wrong rate"):
        check_rate(lost * 1.05, 64.0, "x.csv")


def test_stamps_in_order():
    order, faults = in_order(np.array([1.0, np.nan, 3.0, 2.0, 3.0, np.inf, 4.0]))
    assert order.tolist() == [0, 3, 2, 6] and faults == 3
    order, faults = in_order(np.array([1.0, 2.0, 4.0]))
    assert order.tolist() == [0, 1, 2] and faults == 0
    assert in_order(np.zeros(0))[1] == 0 and in_order(np.full(3, 7.0))[1] == 2


def test_stamps_that_wander_less_than_half_a_sample_leave_samples_alone():
    times_s = 5 + np.arange(100) / 4 + np.tile([0.0, 0.1, -0.12, 0.124], 25)
    samples_TC = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    found_TC, gaps = on_grid(times_s, samples_TC, 4.0, "x.csv")
    assert found_TC is samples_TC and gaps == 0


def test_a_slow_clock_is_followed_by_a_line_from_sample_to_sample():
    """Half a percent over five minutes are six samples, or a second and a half."""
    times_s = np.arange(1200) / (4 * 0.995)
    found_TC, gaps = on_grid(times_s, np.stack([times_s, -times_s], axis=1), 4.0, "x.csv")
    assert gaps == 0 and len(found_TC) == 1206
    np.testing.assert_allclose(found_TC[:, 0], np.minimum(np.arange(1206) / 4, times_s[-1]), atol=1e-9)
    np.testing.assert_allclose(found_TC[:, 1], -found_TC[:, 0])


def test_a_stamp_that_is_a_sample_off_is_put_where_it_belongs():
    found_T1, gaps = on_grid(np.array([0.0, 1.0, 2.75, 3.0, 4.0]), np.arange(5.0)[:, None] + 1, 1.0, "x.csv")
    np.testing.assert_allclose(found_T1[:, 0], [1, 2, 2 + 1 / 1.75, 4, 5])
    assert gaps == 0


def test_gaps_are_nan_and_what_comes_after_them_stays_at_its_second():
    kept = np.r_[0:40, 46:90, 95:120]  # steps of 7, a gap, and of 6
    samples_T1 = np.arange(120, dtype=np.float32)[:, None] + 1
    found_T1, gaps = on_grid(100 + kept / 4, samples_T1[kept], 4.0, "x.csv")
    expected_T1 = samples_T1.copy()
    expected_T1[40:46] = expected_T1[90:95] = np.nan
    assert gaps == 2 and found_T1.dtype == np.float32
    np.testing.assert_array_equal(found_T1, expected_T1)
    found_T1, gaps = on_grid(np.r_[0:40, 44:60] / 4, samples_T1[np.r_[0:40, 44:60]], 4.0, "x.csv")
    assert gaps == 0  # a step of five is bridged
    np.testing.assert_allclose(found_T1, samples_T1[:60], rtol=1e-6)


def test_a_stamp_far_away_is_no_recording():
    with pytest.raises(DataError, match="x.csv: too long. Its time stamps span 4e?.*samples"):
        on_grid(np.array([0.0, 1.0, 1e9]), np.zeros((3, 1), np.float32), 4.0, "x.csv")
