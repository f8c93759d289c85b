import dataclasses

import numpy as np
import pytest
import toy
from scipy import signal

from ecgjax import plain
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess, recording
from ecgjax.signals.moments import Normalise, merge, moments_of
from ecgjax.signals.preprocess import Config, Steps, normalise, prepare_recording
from ecgjax.signals.quality import Gate

UNGATED = Gate(guard_s=0.25, flat_s=0.0, padding_s=0.0)
CENTRAL = 1.1480  # of a normal variable, over the deviation of its central 95 %


def ungated(**changes) -> Config:
    steps = Steps(128.0, 0.8, 50.0, 8, gate=UNGATED)
    return Config(ecg=dataclasses.replace(steps, **changes))


@pytest.mark.parametrize("rate_hz, up, down", [(256, 1, 2), (250, 64, 125), (500, 32, 125), (64, 2, 1), (360, 16, 45)])
def test_resampling_is_scipys(rate_hz, up, down):
    x_T = toy.ecg(20.0, rate_hz) + 3.0
    assert preprocess.resampling_factors(rate_hz, 128.0, 20.0) == (up, down)
    ours = preprocess.resample(x_T, up, down)
    np.testing.assert_allclose(ours, signal.resample_poly(x_T, up, down, padtype="line"), rtol=0, atol=1e-10)
    assert len(ours) == 20 * 128


def test_band_pass_of_order_8_is_scipys_n_4():
    x_T = toy.ecg(20.0, 128.0)
    sos = signal.butter(4, [0.8, 50.0], "bandpass", fs=128.0, output="sos")
    ours = preprocess.butterworth(x_T, Steps(128.0, 0.8, 50.0, 8))
    np.testing.assert_allclose(ours, signal.sosfiltfilt(sos, x_T), rtol=0, atol=1e-10)


@pytest.mark.parametrize("low_hz, high_hz, kind", [(0.5, 0.0, "highpass"), (0.0, 8.0, "lowpass")])
def test_one_sided_filters_are_scipys_n(low_hz, high_hz, kind):
    x_T = toy.ecg(20.0, 64.0)
    sos = signal.butter(3, low_hz or high_hz, kind, fs=64.0, output="sos")
    ours = preprocess.butterworth(x_T, Steps(64.0, low_hz, high_hz, 3))
    np.testing.assert_allclose(ours, signal.sosfiltfilt(sos, x_T), rtol=0, atol=1e-10)


def test_the_whole_way_is_resampling_then_filter():
    x_T = toy.ecg(30.0, 250.0)
    made = prepare_recording(toy.recording(ecg=toy.lead(x_T, 250.0)), Config()).signals["ecg"]
    sos = signal.butter(4, [0.8, 50.0], "bandpass", fs=128.0, output="sos")
    expected = signal.sosfiltfilt(sos, signal.resample_poly(x_T, 64, 125, padtype="line"))
    np.testing.assert_allclose(made.samples_TC[:, 0], expected, rtol=0, atol=1e-6)
    assert (made.rate_hz, made.samples_TC.dtype, made.unit) == (128.0, np.float32, "mV")


@pytest.mark.parametrize("rate_hz", [249.9731, 999.993, 128.0021, 15.5])
def test_odd_rates_stay_within_half_a_sample_for_a_day(rate_hz):
    up, down = preprocess.resampling_factors(rate_hz, 128.0, 86400.0)
    drift = abs((up / down) / (128.0 / rate_hz) - 1) * 86400.0 * 128.0
    assert drift <= 0.5


def test_a_rate_without_factors_is_a_data_error():
    recording = toy.recording(ecg=toy.lead(toy.ecg(30.0, 12.0), 12.0))
    with pytest.raises(DataError, match="r0: sampling rate cannot be converted.*4e-05"):
        prepare_recording(recording, ungated(resample_hz=4e-5, low_hz=0.0, high_hz=0.0))


def test_a_rate_below_the_band_is_a_data_error():
    with pytest.raises(DataError, match="ecg at 1.5 Hz has nothing above preprocess.ecg.low_hz=0.8"):
        prepare_recording(toy.recording(ecg=toy.lead(np.ones(90), 1.5)), Config())


@pytest.mark.parametrize("rate_hz", [700.0, 64.0, 4.0])
def test_an_impulse_keeps_its_second(rate_hz):
    x_T = np.random.default_rng(0).normal(0.0, 1e-3, round(40 * rate_hz))
    x_T[round(17 * rate_hz)] = 1.0
    for resample_hz in (128.0, 4.0):
        made = prepare_recording(
            toy.recording(eda=dataclasses.replace(toy.lead(x_T, rate_hz), start_s=2.5)),
            Config(eda=Steps(resample_hz, gate=UNGATED)),
        ).signals["eda"]
        at_s = made.start_s + np.argmax(np.abs(made.samples_TC[:, 0])) / made.rate_hz
        assert at_s == pytest.approx(19.5, abs=1e-9)


@pytest.mark.parametrize("num_samples", [1, 2, 5, 30, 200])
@pytest.mark.parametrize("rate_hz", [128.0, 250.0, 64.0])
def test_short_recordings_pass(num_samples, rate_hz):
    x_T = np.random.default_rng(0).normal(size=num_samples)
    made = prepare_recording(toy.recording(ecg=toy.lead(x_T, rate_hz)), Config())
    for one in made.signals.values():
        assert len(one.samples_TC) == int(np.ceil(num_samples * 128 / rate_hz)) and np.isfinite(one.samples_TC).all()
    made = prepare_recording(toy.recording(ecg=toy.lead(x_T, rate_hz)), ungated())
    assert bool(made.signals) == (num_samples > 1)


def test_an_empty_recording_is_dropped():
    made = prepare_recording(toy.recording(ecg=toy.lead(np.zeros(0))), Config())
    assert made.signals == {} and made.dropped_s == {"ecg": {}}


@pytest.mark.parametrize("bad", [np.nan, np.inf, 500.0])
def test_bad_spans_do_not_ring_into_good_signal(bad):
    x_T = toy.ecg(30.0)
    gate = dataclasses.replace(UNGATED, unit="mV", min_level=-100.0, max_level=100.0)
    whole = prepare_recording(toy.recording(ecg=toy.lead(x_T)), ungated(gate=gate))
    holed_T = x_T.copy()
    holed_T[round(12.2 * 256) : round(12.6 * 256)] = bad
    holed = prepare_recording(toy.recording(ecg=toy.lead(holed_T)), ungated(gate=gate))
    spans = holed.spans_s["ecg"]
    np.testing.assert_allclose(spans, [[0.0, 12.2 - 0.25], [12.6 + 0.25, 30.0]], atol=1.1 / 128)
    assert holed.dropped_s["ecg"] == {"non finite" if bad != 500 else "out of range": pytest.approx(0.9, abs=2.2 / 128)}
    assert holed.events == (("ecg_infinite",) if bad == np.inf else ())
    for start, stop in (spans * 128).astype(int):
        off = holed.signals["ecg"].samples_TC[start:stop] - whole.signals["ecg"].samples_TC[start:stop]
        assert np.abs(off).max() < 0.08  # unbridged, 500 mV would leave tens of mV


def test_a_burst_does_not_ring_into_good_signal():
    x_T = toy.ecg(60.0)
    burst_T = x_T.copy()
    burst_T[30 * 256 : 31 * 256] += 15.0
    made, whole = (prepare_recording(toy.recording(ecg=toy.lead(x)), Config()) for x in (burst_T, x_T))
    assert made.dropped_s["ecg"] == {"burst": pytest.approx(4.5, abs=0.02)}
    for start, stop in (made.spans_s["ecg"] * 128).astype(int):
        off = made.signals["ecg"].samples_TC[start:stop] - whole.signals["ecg"].samples_TC[start:stop]
        assert np.abs(off).max() < 0.08


def test_several_channels_are_good_where_all_are():
    x_TC = np.stack([toy.ecg(30.0), toy.ecg(30.0, seed=1)], axis=1)
    x_TC[2560:2816, 0], x_TC[5120:5376, 1] = np.nan, np.nan
    made = prepare_recording(toy.recording(ecg=toy.lead(x_TC)), ungated())
    np.testing.assert_allclose(made.spans_s["ecg"], [[0, 9.75], [11.25, 19.75], [21.25, 30]], atol=1.1 / 128)


def test_z_scores_come_from_good_spans_alone():
    x_T = toy.ecg(60.0)
    x_T[30 * 256 : 33 * 256] += 40 * np.sin(np.arange(3 * 256) / 10)
    made = prepare_recording(toy.recording(ecg=toy.lead(x_T)), Config())
    assert made.dropped_s["ecg"]["out of range"] >= 3.0
    (scored,) = normalise([made], Config())
    good = np.concatenate([scored.signals["ecg"].samples_TC[a:b] for a, b in (made.spans_s["ecg"] * 128).astype(int)])
    assert abs(good.mean()) < 1e-5 and good.std() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "rule, stds",
    [
        (Normalise.NONE, (1, 3)),
        (Normalise.RECORDING, (1, 1)),
        (Normalise.SUBJECT, (5**-0.5, 9 / 5**0.5 / 3)),
        (Normalise.LAST_CENTRAL, (CENTRAL / 3, CENTRAL)),
    ],
)
def test_whose_moments_scale_a_recording(rule, stds):
    rng = np.random.default_rng(0)
    steps = Config(eda=Steps(4.0, normalise=rule, gate=UNGATED))
    one, three, other = (
        prepare_recording(toy.recording(key, subject, eda=toy.lead(scale * rng.normal(size=4000), 4.0)), steps)
        for key, subject, scale in (("a", "s", 1), ("b", "s", 3), ("c", "t", 100))
    )
    scored = [p.signals["eda"].samples_TC.std() for p in normalise([one, three, other], steps)]
    assert scored[:2] == pytest.approx(stds, rel=0.05)
    alone = {Normalise.NONE: 100, Normalise.LAST_CENTRAL: CENTRAL}.get(rule, 1)
    assert scored[2] == pytest.approx(alone, rel=0.05)


def test_central_deviations_are_of_the_middle_of_the_sorted_good_samples():
    """Pooled over a subject's recordings, each without its bad spans."""
    rng = np.random.default_rng(0)
    steps = Config(eda=Steps(4.0, normalise=Normalise.SUBJECT_CENTRAL, gate=UNGATED))
    first, second = (
        prepare_recording(toy.recording(key, "s", eda=toy.lead(scale * rng.normal(size=4000), 4.0)), steps)
        for key, scale in (("a", 1), ("b", 3))
    )
    first.spans_s["eda"] = np.array([[0.0, 250.0], [500.0, 750.0]])
    first_T1, second_T1 = (p.signals["eda"].samples_TC for p in (first, second))
    pooled_T = np.sort(np.concatenate([first_T1[:1000, 0], first_T1[2000:3000, 0], second_T1[:, 0]]))
    expected = first_T1[:, 0].std() / pooled_T[150:5850].std()
    scored, _ = normalise([first, second], steps)
    assert scored.signals["eda"].samples_TC.std() == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(first_T1[:, 0].std() / pooled_T.std(), rel=0.05)


def test_a_signal_that_rests_has_no_central_deviation_to_divide_by():
    resting_T = np.zeros(4000)
    resting_T[:20] = 1.0
    steps = Config(eda=Steps(4.0, normalise=Normalise.SUBJECT_CENTRAL, gate=UNGATED))
    (scored,) = normalise([prepare_recording(toy.recording(eda=toy.lead(resting_T, 4.0)), steps)], steps)
    assert scored.signals["eda"].samples_TC.std() == pytest.approx(1.0, rel=1e-4)


def test_merged_moments_are_those_of_the_whole():
    x_TC = np.random.default_rng(0).normal(5.0, 2.0, (1000, 3))
    parts = [moments_of(x_TC[a:b], np.array([[0, b - a]])) for a, b in ((0, 10), (10, 700), (700, 1000))]
    merged = merge(parts)
    np.testing.assert_allclose(merged.mean_C, x_TC.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.std_C, x_TC.std(axis=0), rtol=1e-12)


def test_without_variance_a_modality_is_dropped_and_counted():
    made = prepare_recording(
        toy.recording(ecg=toy.lead(toy.ecg(20.0)), temp=toy.lead(np.full(80, 33.0), 4.0)), Config()
    )
    assert set(made.signals) == {"ecg"} == set(made.spans_s)
    assert made.dropped_s["temp"] == {"no variance": 20.0}


def test_a_recording_is_known_by_its_samples_whatever_is_done_to_it(monkeypatch):
    first, second = toy.ecg(12.0, seed=1), toy.ecg(12.0, seed=2)
    monkeypatch.setattr(recording, "_BLOCK", 1000)
    one = prepare_recording(toy.recording("r1", ecg=toy.lead(first)), Config())
    monkeypatch.undo()
    renamed = toy.recording("r7", "other", ecg=toy.lead(first.astype(np.float32), 250.0, "uV", "V5"))
    again = prepare_recording(renamed, ungated(high_hz=40.0))
    assert one.digests == again.digests and len(one.digests["ecg"]) == 16
    assert (one.recorded_hz, again.recorded_hz) == ({"ecg": 256.0}, {"ecg": 250.0})
    second[:-1] = first[:-1]
    assert prepare_recording(toy.recording("r1", ecg=toy.lead(second)), Config()).digests != one.digests


def test_upsampling_is_told():
    assert prepare_recording(toy.recording(ecg=toy.lead(toy.ecg(20.0, 100.0), 100.0)), Config()).events == (
        "ecg_upsampled",
    )


def test_an_unknown_modality_names_the_nearest():
    with pytest.raises(DataError, match='"ecg"'):
        prepare_recording(toy.recording(ecgs=toy.lead(toy.ecg(20.0))), Config())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"high_hz": 64.0}, r"preprocess.ecg.high_hz is 64 Hz.*below half of preprocess.ecg.resample_hz, 64 Hz"),
        ({"low_hz": 50.0}, "preprocess.ecg.low_hz .50. must be below preprocess.ecg.high_hz"),
        ({"low_hz": -1.0}, "preprocess.ecg.low_hz is -1"),
        ({"filter_order": 7}, "preprocess.ecg.filter_order is 7; a band-pass takes an even number"),
        ({"filter_order": 0}, "filter_order"),
        ({"resample_hz": 0.0}, "preprocess.ecg.resample_hz is 0"),
        ({"resample_hz": float("inf")}, "preprocess.ecg.resample_hz is inf"),
        ({"gate": Gate(segment_s=0.0)}, "preprocess.ecg.gate.segment_s=0.0: give 3.0 or above"),
        ({"gate": Gate(segment_s=2.0)}, "preprocess.ecg.gate.segment_s=2.0: give 3.0 or above"),
        ({"gate": Gate(guard_s=-3.0)}, "preprocess.ecg.gate.guard_s=-3.0: give 0 or above"),
        ({"gate": Gate(guard_s=float("inf"))}, "preprocess.ecg.gate.guard_s=inf: give a finite number"),
        ({"gate": Gate(flat_s=-1.0)}, "preprocess.ecg.gate.flat_s=-1.0: give 0"),
        ({"gate": Gate(padding_s=float("nan"))}, "preprocess.ecg.gate.padding_s=nan"),
        ({"gate": Gate(min_bpm=-1.0)}, "preprocess.ecg.gate.min_bpm=-1.0: give 0"),
        ({"gate": Gate(min_level=float("-inf"))}, "preprocess.ecg.gate.min_level=-inf"),
        ({"gate": Gate(min_level=2.0, max_level=1.0)}, "preprocess.ecg.gate.max_level=1.0: give min_level=2.0 or abo"),
        ({"gate": Gate(min_bpm=200.0, max_bpm=60.0)}, "preprocess.ecg.gate.max_bpm=60.0: give min_bpm=200.0 or abo"),
        ({"gate": Gate(burst_ratio=-3.0)}, "preprocess.ecg.gate.burst_ratio=-3.0: give 0"),
        ({"gate": Gate(burst_ratio=0.5)}, "preprocess.ecg.gate.burst_ratio=0.5: give a ratio above 1, or 0 for none"),
        ({"gate": Gate(min_similarity=1.5)}, "preprocess.ecg.gate.min_similarity=1.5: give a correlation from 0 to 1"),
    ],
)
def test_contradictions_name_the_field(changes, message):
    with pytest.raises(UserError, match=message):
        preprocess.check(ungated(**changes))
    preprocess.check(ungated())
    preprocess.check(ungated(gate=Gate(min_level=-5.0, max_level=-1.0, min_bpm=20.0)))


def test_a_config_comes_back_from_its_dict():
    changed = Config()
    changed.ecg.high_hz, changed.eda.normalise, changed.bvp.gate.flat_s = 40.0, Normalise.NONE, 9.0
    assert plain.from_dict(Config, plain.to_dict(changed)) == changed != Config()
