"""ASCERTAIN: where the ECG stands, rates and starts by the files' own clocks, ratings, and missing clips."""

import collections

import numpy as np
import pytest
import scipy.io

from configs import prepare_ascertain
from ecgjax.data.prepare import prepare
from ecgjax.datasets import ascertain
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora.ascertain import all_ratings, ecg, gsr, write, write_clip, write_ratings

NO_RATINGS = "ascertain_no_ratings_file"
RATINGS = ("arousal", "valence", "engagement", "liking", "familiarity")


def made(folder, **changes):
    return ascertain.Config(root=str(folder), **changes).make()


def load(folder, key="P01/c01", **changes):
    return made(folder, **changes).load(key)


def refused(folder, key="P01/c01", **changes) -> str:
    with pytest.raises(DataError) as error:
        load(folder, key, **changes)
    return error.value.reason


def events(recording):
    return dict(collections.Counter(event for event in recording.events if event != NO_RATINGS))


def write_ecg(folder, data, person=1, clip=1, second=7.5):
    write_clip(folder, "ECG", person, clip, data, second)


def write_both(folder, skin, second=None):
    write_ecg(folder, ecg(1, False, 2.0))
    write_clip(folder, "GSR", 1, 1, skin, second)


ONE = {"modalities": ("ecg",)}


@pytest.mark.parametrize("person, later, odd", [(1, False, 0), (8, True, 1), (9, True, 0), (12, False, 1)])
def test_the_number_of_columns_tells_where_the_ecg_is(tmp_path, person, later, odd):
    data = ecg(5, later)
    write_ecg(tmp_path, data, person)
    for lead in (0, 1):
        recording = load(tmp_path, f"P{person:02d}/c01", ecg_leads=(lead,), **ONE)
        column = (4 if later else 1) + lead
        np.testing.assert_array_equal(recording.signals["ecg"].samples_TC, data[:, [column]])
        assert recording.signals["ecg"].channels == (f"column {column}",)
        assert events(recording) == ({"ascertain_columns_unlike_the_person": 1} if odd else {})
    both = load(tmp_path, f"P{person:02d}/c01", ecg_leads=(1, 0), **ONE).signals["ecg"].samples_TC
    np.testing.assert_array_equal(both, data[:, [5, 4] if later else [2, 1]])


def test_other_numbers_of_columns(tmp_path):
    write_ecg(tmp_path, np.column_stack([ecg(5, False), np.ones((256, 2))]))
    recording = load(tmp_path, **ONE)
    assert events(recording) == {"ascertain_other_number_of_columns": 1}
    np.testing.assert_array_equal(recording.signals["ecg"].samples_TC, ecg(5, False)[:, 1:2])
    write_ecg(tmp_path, ecg(5, False)[:, :2])
    assert refused(tmp_path, **ONE) == "other columns"
    write_ecg(tmp_path, np.zeros((0, 0)))
    assert refused(tmp_path, **ONE) == "empty clip"
    scipy.io.savemat(tmp_path / "ASCERTAIN_Raw/ECGData/Movie_P01/ECG_Clip1.mat", {"x": np.ones(3)})
    assert refused(tmp_path, **ONE) == "missing variable"
    write_both(tmp_path, gsr(1)[:, :4])
    assert refused(tmp_path) == "other columns"


def test_rates_are_those_of_the_time_stamps(tmp_path):
    slow = ecg(1, False, 4.0)
    slow[:, 0] = np.arange(len(slow)) * 4.0
    write_ecg(tmp_path, slow)
    assert refused(tmp_path, **ONE) == "wrong rate"
    assert load(tmp_path, rate_hz=250.0, **ONE).signals["ecg"].rate_hz == 250.0
    for stamp in (np.round, np.float64):  # whole milliseconds, or not
        for rate_hz in (128.0, 51.2):
            skin = gsr(1, 4.0, rate_hz)
            skin[:, 0] = stamp(skin[:, 0])
            write_both(tmp_path, skin)
            assert load(tmp_path, modalities=("eda",)).signals["eda"].rate_hz == pytest.approx(rate_hz, rel=2e-3)
    write_both(tmp_path, gsr(1, 4.0, 128.0))
    assert load(tmp_path).signals["eda"].rate_hz == 128.0
    stuck = gsr(1, 4.0)
    stuck[1:, 0] = 1e6
    write_both(tmp_path, stuck)
    assert refused(tmp_path) == "time stamps"
    quick = gsr(1, 4.0)
    quick[:, 0] *= 1e-6
    write_both(tmp_path, quick)
    assert refused(tmp_path) == "wrong rate"


def test_gaps_and_broken_stamps(tmp_path):
    write_ecg(tmp_path, np.delete(ecg(1, False, 3.0), slice(200, 300), axis=0))
    recording = load(tmp_path, **ONE)
    assert np.flatnonzero(np.isnan(recording.signals["ecg"].samples_TC[:, 0])).tolist() == list(range(200, 300))
    assert events(recording) == {"ascertain_ecg_gap": 1}
    broken = ecg(1, False, 3.0)
    broken[[7, 9], 0] = np.nan, 1e200
    write_ecg(tmp_path, broken)
    recording = load(tmp_path, **ONE)
    assert events(recording) == {"ascertain_ecg_time_stamps_mended": 1}
    assert len(recording.signals["ecg"].samples_TC) == 768
    none = ecg(1, False, 3.0)
    none[:, 0] = np.nan
    write_ecg(tmp_path, none)
    recording = load(tmp_path, **ONE)
    assert events(recording) == {"ascertain_ecg_no_time_stamps": 1}
    np.testing.assert_array_equal(recording.signals["ecg"].samples_TC, none[:, 1:2])
    skin = gsr(1)
    skin[:, 0] = np.nan
    write_both(tmp_path, skin)
    assert refused(tmp_path) == "no sampling rate"


def test_nan_is_judged_modality_by_modality(tmp_path):
    skin, some = gsr(1), gsr(2)
    skin[:, 4] = np.nan
    some[5, 4] = np.nan
    write_both(tmp_path, skin)
    recording = load(tmp_path)
    assert list(recording.signals) == ["ecg"] and events(recording) == {"ascertain_eda_all_nan": 1}
    assert refused(tmp_path, modalities=("eda",)) == "clip all NaN"
    write_both(tmp_path, some)
    assert events(load(tmp_path))["ascertain_eda_some_nan"] == 1


def test_signals_are_aligned_by_their_starts(tmp_path):
    write_both(tmp_path, gsr(1))
    recording = load(tmp_path)
    assert {m: signal.start_s for m, signal in recording.signals.items()} == {"ecg": 0.0, "eda": 0.0}
    assert events(recording) == {"ascertain_starts_taken_for_equal": 1}
    assert recording.start_time == "2014-06-03T15:20:07.500000"
    write_both(tmp_path, gsr(1), second=5.25)
    recording = load(tmp_path)
    assert {m: signal.start_s for m, signal in recording.signals.items()} == {"ecg": 2.25, "eda": 0.0}
    assert recording.start_time == "2014-06-03T15:20:05.250000" and events(recording) == {}
    assert load(tmp_path, **ONE).signals["ecg"].start_s == 0.0
    write_ecg(tmp_path, ecg(1, False), second=None)
    assert load(tmp_path, **ONE).start_time == "" and events(load(tmp_path, **ONE)) == {"ascertain_no_start_time": 1}
    folder = tmp_path / "ASCERTAIN_Raw" / "ECGData" / "Movie_P01"
    for clock in (
        [2014, 13, 3, 15, 20, 5],
        [1e300, 1, 3, 15, 20, 5],
        [2014, 6, 3, 15, 20],
        [2014, 6, 3, 15, np.nan, 5],
    ):
        scipy.io.savemat(folder / "ECG_Clip1.mat", {"Data_ECG": ecg(1, False), "timeECG": np.array([clock])})
        assert events(load(tmp_path, **ONE))["ascertain_ecg_start_unreadable"] == 1
    scipy.io.savemat(
        folder / "ECG_Clip1.mat", {"Data_ECG": ecg(1, False), "timeECG": np.array([[2014, 6, 4, 0, 0, 0.0]])}
    )
    recording = load(tmp_path)
    assert events(recording) == {"ascertain_starts_far_apart": 1}
    assert {signal.start_s for signal in recording.signals.values()} == {0.0}


def test_ratings_are_those_of_the_person_and_the_clip(tmp_path):
    write_ecg(tmp_path, ecg(1, True, 2.0), 58, 36)
    assert NO_RATINGS in load(tmp_path, "P58/c36", **ONE).events
    ratings = all_ratings()
    ratings[2, 57, 35] = np.nan
    write_ratings(tmp_path, ratings)
    raw = tmp_path / "ASCERTAIN_Raw"
    for root in (tmp_path, raw, raw / "ECGData"):
        recording = load(root, "P58/c36", **ONE)
        told = [(label.name, label.start_s, label.stop_s, label.value) for label in recording.labels]
        assert told == [(n, 0.0, 2.0, ratings[i, 57, 35]) for i, n in enumerate(RATINGS) if n != "engagement"]
        assert events(recording) == {"ascertain_rating_missing": 1}
    specs = made(tmp_path).label_specs
    assert [(specs[n].low, specs[n].high) for n in RATINGS] == [(0, 6), (-3, 3), (0, 6), (0, 6), (0, 6)]
    write_ratings(tmp_path, ratings[:, :10])
    assert events(load(tmp_path, "P58/c36", **ONE)) == {"ascertain_rating_missing": 5}
    write_ratings(tmp_path, ratings[:4])
    assert refused(tmp_path, "P58/c36", **ONE) == "other size"


def test_people_clips_and_files_that_are_missing(tmp_path):
    write_both(tmp_path, gsr(1))
    write_clip(tmp_path, "GSR", 44, 3, gsr(1), None)
    write_ecg(tmp_path, ecg(1, False), 7, 2)
    keys = made(tmp_path).keys()
    assert len(keys) == 3 * 36 and keys[0] == "P01/c01" and keys[-1] == "P44/c36"
    assert len(made(tmp_path, **ONE).keys()) == 2 * 36
    assert refused(tmp_path, "P01/c02") == "missing file"
    assert events(load(tmp_path, "P07/c02")) == {"ascertain_no_eda": 1}
    recording = load(tmp_path, "P44/c03")
    assert list(recording.signals) == ["eda"]
    assert events(recording) == {"ascertain_doubtful_person": 1, "ascertain_no_ecg": 1, "ascertain_no_start_time": 1}
    assert recording.sources == ("ASCERTAIN_Raw/GSRData/Movie_P44/GSR_Clip3.mat",)
    person = tmp_path / "ASCERTAIN_Raw" / "ECGData" / "Movie_P07"
    assert made(person, **ONE).load("P07/c02").sources == ("ECG_Clip2.mat",)
    with pytest.raises(UserError, match="holds no Movie_P01"):
        (tmp_path / "loose").mkdir()
        (person / "ECG_Clip2.mat").rename(tmp_path / "loose" / "ECG_Clip2.mat")
        made(tmp_path / "loose").keys()
    for changes in ({"ecg_leads": (2,)}, {"ecg_leads": ()}, {"rate_hz": 0.0}, {"modalities": ("eeg",)}):
        with pytest.raises(UserError, match=rf"config\.dataset\.{next(iter(changes))}"):
            made(tmp_path, **changes)


def test_an_impulse_stays_at_its_second(tmp_path):
    data, skin = ecg(1, False, 20.0), gsr(1, 20.0, 51.2)
    data[:, 1], skin[:, 4] = 0, 0
    data[round(12.5 * 256), 1], skin[round((12.5 + 2.25) * 51.2), 4] = 100, 100
    write_ecg(tmp_path, data)
    write_clip(tmp_path, "GSR", 1, 1, skin, 5.25)
    steps = preprocess.Config()
    for modality in (steps.ecg, steps.eda):
        modality.gate = preprocess.Gate(flat_s=0.0, padding_s=0.0)
    prepared = preprocess.prepare_recording(load(tmp_path), steps)
    for modality in ("ecg", "eda"):
        signal = prepared.signals[modality]
        at_s = signal.start_s + np.abs(signal.samples_TC[:, 0]).argmax() / signal.rate_hz
        assert abs(at_s - 14.75) <= 0.5 / signal.rate_hz + 0.01, modality


def test_its_config_prepares_a_store(tmp_path):
    write(tmp_path / "in")
    preparation = prepare_ascertain.get_config("sarkar2020")
    assert prepare_ascertain.get_config().dataset.modalities == ("ecg", "eda")
    preparation.dataset.root, preparation.workers = str(tmp_path / "in"), 1
    preparation.preprocess.ecg.gate = preprocess.Gate()
    manifest = prepare(preparation, tmp_path / "store")
    assert manifest["num_recordings"] == 72 and list(manifest["modalities"]) == ["ecg"]
    assert manifest["events"] == {"ascertain_rating_missing": 1}
    assert set(manifest["labels"]) == set(prepare_ascertain.ABOUT.labels)
    assert set(prepare_ascertain.ABOUT.subjects) >= set(manifest["subjects"])
