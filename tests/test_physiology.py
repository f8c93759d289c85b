"""Features of the heart, the skin and its temperature are those of the signal, and NaN where there is none."""

import numpy as np
import pytest

from ecgjax.evaluation import physiology
from ecgjax.evaluation.physiology import Features

RATE_HZ = 128.0


def ecg(heart_rate: float, seed: int, duration_s: float = 10.0) -> np.ndarray:
    """Spikes at a heart rate with jitter, on noise: all that a beat detector needs."""
    rng = np.random.default_rng(seed)
    gaps_s = 60 / heart_rate * (1 + 0.03 * rng.normal(size=int(4 * duration_s)))
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    beat_s = np.cumsum(gaps_s) - 0.3
    return np.exp(-(((time_s[:, None] - beat_s) / 0.015) ** 2)).sum(1) + 0.01 * rng.normal(size=len(time_s))


def of_ecg(ecg_NT: np.ndarray, rate_hz: float = RATE_HZ) -> Features:
    return physiology.features({"ecg": ecg_NT[:, :, None]}, {"ecg": rate_hz}, len(ecg_NT))


def test_heart_rate_is_that_of_the_signal():
    rates = (50.0, 75.0, 110.0)
    found = of_ecg(np.stack([ecg(rate, seed) for seed, rate in enumerate(rates)]))
    assert found.names[0] == "heart_rate"
    np.testing.assert_allclose(found.table_NF[:, 0], rates, rtol=0.03)
    assert found.num_beatless == 0


def test_poincare_axes_equal_neurokit():
    import neurokit2 as nk

    ecg_T = ecg(70, 0, duration_s=30.0)
    found = of_ecg(ecg_T[None])
    beats = nk.ecg_findpeaks(ecg_T, sampling_rate=RATE_HZ)["ECG_R_Peaks"]
    intervals_ms = np.diff(beats) / RATE_HZ * 1000
    row = dict(zip(found.names, found.table_NF[0], strict=True))
    assert row["SD1"] == pytest.approx(np.std(intervals_ms[1:] - intervals_ms[:-1], ddof=1) / np.sqrt(2))
    assert row["SDNN"] == pytest.approx(np.std(intervals_ms, ddof=1))
    assert row["SD2"] ** 2 + row["SD1"] ** 2 == pytest.approx(2 * row["SDNN"] ** 2)


def test_frequency_bands_come_with_length():
    bands = {
        duration_s: set(of_ecg(ecg(60, 0, duration_s)[None]).names) & {"HF", "LF", "LFHF"}
        for duration_s in (59.0, 60.0, 120.0)
    }
    assert bands == {59.0: set(), 60.0: {"HF"}, 120.0: {"HF", "LF", "LFHF"}}


@pytest.mark.parametrize(("num_samples", "rate_hz"), [(1, 256.0), (64, 128.0), (90, 128.0)])
def test_windows_too_short_for_beats_are_counted(num_samples, rate_hz):
    """NeuroKit2 raises on a window shorter than what it smooths over."""
    ecg_NT = np.random.default_rng(0).normal(size=(2, num_samples))
    found = of_ecg(ecg_NT, rate_hz)
    assert found.num_beatless == 2 and found.table_NF.shape == (2, len(found.names))


def pulse(heart_rate: float, seed: int, rate_hz: float = 64.0) -> np.ndarray:
    """A minute of smooth waves, one a beat, and a smaller one after each."""
    rng = np.random.default_rng(seed)
    beat_s = np.cumsum(60 / heart_rate * (1 + 0.03 * rng.normal(size=200)))
    time_s = np.arange(round(60 * rate_hz)) / rate_hz
    waves = [np.exp(-(((time_s[:, None] - beat_s - late) / 0.1) ** 2)) for late in (0.0, 0.35)]
    return (waves[0] + 0.3 * waves[1]).sum(1) - 0.3


def test_a_pulse_wave_shows_the_heart_rate_too():
    rates = (55.0, 75.0, 100.0)
    bvp_NTC = np.stack([pulse(rate, seed) for seed, rate in enumerate(rates)])[:, :, None]
    found = physiology.features({"bvp": bvp_NTC}, {"bvp": 64.0}, 3)
    np.testing.assert_allclose(found.table_NF[:, 0], rates, rtol=0.05)
    assert found.groups == ("HRV",)


def test_an_ecg_is_taken_before_a_pulse_wave_and_neither_where_beats_are_not_to_be_seen():
    signals = {"ecg": ecg(90, 0, 60.0)[None, :, None], "bvp": pulse(60, 0)[None, :, None]}
    found = physiology.features(signals, {"ecg": RATE_HZ, "bvp": 64.0}, 1)
    assert found.table_NF[0, 0] == pytest.approx(90, rel=0.05)
    coarse = {name: x[:, ::32] for name, x in signals.items()}
    found = physiology.features(coarse, {"ecg": 4.0, "bvp": 2.0}, 1)
    assert (found.table_NF.shape, found.names, found.groups) == ((1, 0), (), ())
    assert found.num_beatless == 0


def test_skin_conductance_and_temperature():
    time_s = np.arange(480) / 4
    eda_T = 2 + 0.01 * time_s + 0.5 * sum(np.exp(-(((time_s - at) / 2) ** 2)) for at in (10, 30, 50))
    temp_T = 33 - 0.02 * time_s
    found = physiology.features(
        {"eda": eda_T[None, :, None], "temp": temp_T[None, :, None]}, {"eda": 4.0, "temp": 4.0}, 1
    )
    row = dict(zip(found.names, found.table_NF[0], strict=True))
    assert found.groups == ("EDA", "TEMP")
    assert row["eda_rises_per_min"] == pytest.approx(1.5)
    assert row["eda_mean"] == pytest.approx(eda_T.mean())
    assert row["eda_sd"] == pytest.approx(eda_T.std())
    assert row["eda_range"] == pytest.approx(np.ptp(eda_T))
    assert row["eda_slope"] == pytest.approx(np.polyfit(time_s, eda_T, 1)[0])
    assert row["temp_slope"] == pytest.approx(-0.02)
    assert row["temp_mean"] == pytest.approx(temp_T.mean())


def test_what_a_window_lacks_has_no_features():
    signals = {
        "bvp": np.stack([pulse(60, 0), np.full(3840, np.nan)])[:, :, None],
        "eda": np.stack([np.full(240, np.nan), np.zeros(240)])[:, :, None],
    }
    found = physiology.features(signals, {"bvp": 64.0, "eda": 4.0}, 2)
    assert np.isnan(found.table_NF[1, :-5]).all() and np.isfinite(found.table_NF[1, -5:]).all()
    assert np.isfinite(found.table_NF[0, 0]) and np.isnan(found.table_NF[0, -5:]).all()
    assert found.num_beatless == 1


@pytest.mark.parametrize("slope", [0.0, 0.01])
@pytest.mark.parametrize("modality", ["ecg", "bvp"])
def test_a_sensor_that_is_off_has_no_beats(modality, slope):
    line_T = 3.0 + slope * np.arange(640)
    found = physiology.features({modality: line_T[None, :, None]}, {modality: 64.0}, 1)
    assert found.num_beatless == 1
