import dataclasses
from pathlib import Path

import numpy as np
import pytest
import toy

from ecgjax.signals import quality, spans
from ecgjax.signals.preprocess import Config, prepare_recording
from ecgjax.signals.quality import Reason
from ecgjax.signals.recording import Signal

REAL = Path(__file__).parents[2] / "shared" / "data"


def dropped(samples: np.ndarray, rate_hz: float = 256.0, unit: str = "mV", modality: str = "ecg", **gate) -> dict:
    """Seconds by reason, with the default gate and changes to it."""
    config = Config()
    steps = getattr(config, modality)
    steps.gate = dataclasses.replace(steps.gate, **gate)
    return prepare_recording(toy.recording(**{modality: toy.lead(samples, rate_hz, unit)}), config).dropped_s[modality]


def hum(duration_s: float, hz: float, rate_hz: float = 256.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


def test_clean_signal_is_kept():
    assert dropped(toy.ecg(60.0)) == {}
    assert dropped(toy.ecg(60.0, bpm=38.0)) == {} and dropped(toy.ecg(60.0, bpm=190.0)) == {}
    assert dropped(toy.ecg(60.0, noise=0.1)) == {}


def test_polarity_and_offset_do_not_matter():
    assert dropped(-toy.ecg(60.0)) == {} and dropped(toy.ecg(60.0) + 150.0) == {}


def test_ectopic_beats_vouch_for_each_other():
    x_T = toy.ecg(60.0, bpm=60.0)
    time_s = np.arange(len(x_T)) / 256
    for at_s in np.arange(1.1, 59, 2.0):  # wide, inverted, in every second cycle
        x_T -= 1.8 * np.exp(-(((time_s - at_s) / 0.05) ** 2))
    assert dropped(x_T) == {}


def test_frozen_values_are_flat_from_the_threshold_on():
    x_T = toy.ecg(60.0)
    x_T[5120 : 5120 + 115] = x_T[5120]
    assert dropped(x_T) == {}
    x_T[5120 : 5120 + 130] = x_T[5120]
    assert dropped(x_T) == {"flat": pytest.approx(130 / 256 + 0.5, abs=2.1 / 128)}
    assert dropped(x_T, flat_s=0.0) == {}


@pytest.mark.parametrize("end", ["start", "stop"])
def test_a_chain_of_frozen_values_at_an_end_is_padding(end):
    x_T = toy.ecg(60.0)
    x_T[-512:-230], x_T[-230:] = 0.0, -0.31  # as eegmat ends: zeros, then one value held
    x_T = x_T[::-1] if end == "start" else x_T
    made = prepare_recording(toy.recording(ecg=toy.lead(x_T)), Config())
    assert made.dropped_s["ecg"] == {"padding": pytest.approx(2.25, abs=1.1 / 128)}
    np.testing.assert_allclose(made.spans_s["ecg"], [[2.25, 60.0] if end == "start" else [0.0, 57.75]], atol=1.1 / 128)


def test_frozen_values_inside_are_no_padding():
    x_T = toy.ecg(60.0)
    x_T[-512:-256] = 0.0
    assert set(dropped(x_T)) == {"flat"}


def test_clipping_at_a_rail():
    x_T = np.minimum(toy.ecg(60.0), 0.15)
    assert set(dropped(x_T)) == {"clipped"}
    rounded_T = np.round(toy.ecg(60.0) * 50) / 50  # coarse steps repeat values too, but not at the rails
    assert dropped(rounded_T) == {}


def test_bursts_are_dropped_with_the_second_before_and_after():
    x_T = toy.ecg(60.0)
    x_T[30 * 256 : 31 * 256] += 4.0 * hum(1.0, 3.0)
    assert dropped(x_T) == {"burst": pytest.approx(3.5, abs=2.1 / 128)}


def test_a_lasting_change_of_size_is_no_burst():
    x_T = toy.ecg(120.0)
    x_T[60 * 256 : 80 * 256] *= 8.0
    assert dropped(x_T) == {}


def test_holes_do_not_condemn_what_is_between_them():
    x_T = toy.ecg(120.0)
    for start_s in range(3, 118, 8):
        x_T[start_s * 256 : (start_s + 4) * 256] = np.nan
    assert set(dropped(x_T)) == {"non finite"}


def test_what_follows_a_flat_stretch_is_no_burst():
    x_T = toy.ecg(120.0)
    x_T[: 60 * 256] = 0.0
    assert dropped(x_T) == {"padding": pytest.approx(60.25, abs=0.01)}


def test_ranges_need_their_unit():
    x_T = toy.ecg(60.0)
    x_T[30 * 256 : 31 * 256] += 15.0 * hum(1.0, 3.0)
    assert set(dropped(x_T, burst_ratio=0.0)) == {"out of range"}
    assert dropped(x_T, burst_ratio=0.0, unit="unknown", min_similarity=0.0) == {}
    assert dropped(0.05 * toy.ecg(60.0)) == {"weak": 60.0}
    assert dropped(0.05 * toy.ecg(60.0), unit="uV") == {}


@pytest.mark.parametrize("name, scale", [("noise", 0.5), ("mains", 0.5), ("breath", 1.0), ("shocks", 1.0)])
def test_without_a_heart_everything_is_dropped(name, scale):
    noise_T = np.random.default_rng(0).normal(size=60 * 256)
    x_T = {
        "noise": noise_T,
        "mains": hum(60.0, 50.0) + 0.02 * noise_T,
        "breath": hum(60.0, 1.2) + 0.01 * noise_T,
        "shocks": noise_T * (hum(60.0, 0.6) ** 20 + 0.001),  # as often as beats, but each of another shape
    }[name]
    assert dropped(scale * x_T) == {"no regular beats": 60.0}


def test_a_lead_that_comes_off_is_dropped_from_there_on():
    x_T = toy.ecg(120.0)
    x_T[60 * 256 :] = np.random.default_rng(0).normal(0.0, 0.05, 60 * 256)
    made = prepare_recording(toy.recording(ecg=toy.lead(x_T)), Config())
    np.testing.assert_allclose(made.spans_s["ecg"], [[0.0, 60.0]])


def test_a_lead_that_is_off_for_some_seconds_is_a_pause():
    x_T = toy.ecg(60.0)
    quiet = slice(7040, 8320)  # 27.5 to 32.5 s: most of either segment beats regularly
    x_T[quiet] = 0.2 * hum(5.0, 0.3)  # without noise to take for beats; with it, the segment is irregular
    assert dropped(x_T) == {"pause": pytest.approx(5.5, abs=1.0)}
    assert dropped(x_T, max_pause_s=7.0) == {}
    x_T[quiet] = np.nan  # a hole is no pause
    assert dropped(x_T) == {"non finite": pytest.approx(5.5, abs=0.1)}


def test_rates_outside_the_limits_are_dropped():
    assert dropped(toy.ecg(60.0, bpm=70.0), max_bpm=60.0) == {"heart rate": 60.0}
    assert dropped(toy.ecg(60.0, bpm=70.0), min_bpm=80.0) == {"heart rate": 60.0}


def test_the_first_reason_counts():
    x_T = toy.ecg(60.0)
    x_T[2560:5120], x_T[5120:7680] = np.nan, 0.0
    found = dropped(x_T)
    assert found == {"non finite": pytest.approx(10.5, abs=0.02), "flat": pytest.approx(10.0, abs=0.02)}


def test_conductance_of_an_electrode_off_the_skin():
    x_T = 2.0 + 0.3 * hum(120.0, 0.05, 4.0)
    x_T[200:240] = 0.0
    assert dropped(x_T, 4.0, "uS", "eda") == {"out of range": pytest.approx(10.5, abs=0.3)}
    assert dropped(x_T, 4.0, "unknown", "eda") == {}


def test_all_bad_leaves_no_signal():
    made = prepare_recording(toy.recording(ecg=toy.lead(np.full(5120, np.nan))), Config())
    assert made.signals == {} == made.spans_s and made.dropped_s == {"ecg": {"non finite": 20.0}}


@pytest.mark.parametrize(
    "bad, expected",
    [
        ([(3, 5)], [0, 1, 2, 4, 6, 8, 9, 10]),
        ([(0, 2)], [2, 2, 2, 4, 5, 8, 9, 10]),
        ([(6, 8)], [0, 1, 2, 4, 5, 8, 8, 8]),
        ([(0, 8)], [0, 0, 0, 0, 0, 0, 0, 0]),
        ([(1, 3), (5, 6)], [0, 4 / 3, 8 / 3, 4, 5, 7, 9, 10]),
    ],
)
def test_bridges_are_straight(bad, expected):
    x_T = np.array([0.0, 1, 2, 4, 5, 8, 9, 10])
    for start, stop in bad:
        x_T[start:stop] = np.nan
    spans.bridge(x_T, np.array(bad))
    np.testing.assert_allclose(x_T, expected)


def test_union_of_spans():
    every = spans.union(np.array([[5, 19], [0, 2]]), np.array([[2, 3], [6, 9], [12, 14], [20, 21]]))
    np.testing.assert_array_equal(every, [[0, 3], [5, 19], [20, 21]])


def test_group_quantiles_are_of_each_group():
    values, group = np.array([5.0, 1.0, 9.0, 2.0, 7.0]), np.array([0, 0, 2, 0, 2])
    np.testing.assert_array_equal(spans.group_quantile(values, group, 4, 0.5), [2.0, np.nan, 7.0, np.nan])
    np.testing.assert_array_equal(spans.group_quantile(values, group, 4, 1.0), [5.0, np.nan, 9.0, np.nan])


def test_beats_are_where_they_are():
    beats = quality.find_beats(toy.ecg(30.0, 128.0, bpm=75.0), np.ones(30 * 128, bool), 128.0)[0]
    np.testing.assert_allclose(np.diff(beats) / 128, 0.8, atol=0.03)
    assert abs(len(beats) - 37) <= 1


def test_similarity_is_to_the_second_best_of_the_neighbours():
    shapes_KT = np.random.default_rng(0).normal(size=(6, 128))
    beats = np.arange(64, 40 * 128, 128)
    five = quality.beat_similarity(shapes_KT[[0, 1, 2, 3, 4] * 8].ravel(), beats, 128.0)[1]
    assert len(five) == 40 and np.median(five) > 0.99  # the double five beats ago, and that five beats on
    lonely_T = np.random.default_rng(1).normal(size=40 * 128)
    assert np.median(quality.beat_similarity(lonely_T, beats, 128.0)[1]) < 0.4
    for size in (1e20, 1e300):  # numbers of a damaged file
        assert np.isfinite(quality.beat_similarity(size * lonely_T, beats, 128.0)[1]).all()
    pair = shapes_KT[[0, 1, 2, 3, 0, 4]].ravel()  # the first shape has one double, which is not enough
    assert quality.beat_similarity(pair, beats[:6], 128.0)[1][0] < 0.5


def test_every_reason_has_its_own_words():
    assert len({reason.label for reason in Reason}) == len(Reason)


needs_eegmat = pytest.mark.skipif(not (REAL / "eegmat").is_dir(), reason="real recordings are not here")


@pytest.fixture(scope="module")
def eegmat() -> dict:
    edfio = pytest.importorskip("edfio")
    made = {}
    for file in sorted((REAL / "eegmat" / "ecg_only").glob("*.edf")):
        ecg = edfio.read_edf(file).signals[0]
        signal = Signal(ecg.data[:, None], ecg.sampling_frequency, ecg.physical_dimension, ("ECG",))
        made[file.name[7:11]] = (ecg.data, prepare_recording(toy.recording(file.name, ecg=signal), Config()))
    return made


@needs_eegmat
def test_the_traps_of_eegmat_are_caught_by_rule(eegmat):
    lead_off = {key for key, (_, p) in eegmat.items() if not p.signals}
    assert lead_off == {"02_1", "13_1", "20_2"}
    for key, (samples, p) in eegmat.items():
        assert p.dropped_s["ecg"]["padding"] >= 1.4
        for start, stop in p.spans_s.get("ecg", ()):
            good_T = samples[int(start * 500) : int(stop * 500)]
            assert np.abs(good_T - np.median(good_T)).max() < 1.5, key  # 11_1 has artefacts to 4.6 mV
            assert max(np.diff(spans.runs(np.diff(good_T) == 0)).max(initial=0), 0) < 50, key


@needs_eegmat
def test_most_of_eegmat_is_kept_inverted_or_not(eegmat):
    for key, (samples, p) in eegmat.items():
        if p.signals:
            kept = np.diff(p.spans_s["ecg"]).sum() / (len(samples) / 500 - 2)
            assert kept > (0.99 if key in ("10_1", "10_2", "16_1", "16_2") else 0.8), key


@needs_eegmat
def test_the_gate_leaves_no_label_leak(eegmat):
    """Untrimmed, a recording's flat fraction tells rest from task perfectly, since task recordings are shorter."""
    task, flat, high = [], [], []
    for key, (samples, p) in eegmat.items():
        if p.signals:
            spans_s = p.spans_s["ecg"]
            raw_T = np.concatenate([samples[a:b] for a, b in np.rint(spans_s * 500).astype(int)])
            x_T = np.concatenate([p.signals["ecg"].samples_TC[a:b, 0] for a, b in np.rint(spans_s * 128).astype(int)])
            power_F = np.abs(np.fft.rfft(x_T)) ** 2
            task.append(key.endswith("2"))
            flat.append(np.mean(np.diff(raw_T) == 0))
            high.append(power_F[len(power_F) * 5 // 8 :].sum() / power_F.sum())
    task = np.array(task)
    for values in (flat, high):
        rank = np.argsort(np.argsort(values))
        assert 0.25 < (rank[task].mean() - (task.sum() - 1) / 2) / (~task).sum() < 0.75
