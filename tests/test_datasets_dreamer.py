"""DREAMER: clips and baselines of one nested file, its labels, and what may be missing in it."""

import collections

import numpy as np
import pytest
import scipy.io

from configs import prepare_dreamer
from ecgjax.data.prepare import prepare
from ecgjax.datasets import base_mat, dreamer
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora.dreamer import ecg, person, write, write_file
from tests.fixtures import cells

EMOTIONS = (
    "calmness surprise amusement fear excitement disgust happiness anger sadness "
    "disgust calmness amusement happiness anger fear excitement sadness surprise"
).split()


def made(folder, **changes):
    return dreamer.Config(root=str(folder), **{"num_people": 1, **changes}).make()


def load(folder, key="s01/c01", **changes):
    return made(folder, **changes).load(key)


def refused(folder, key="s01/c01", **changes) -> str:
    with pytest.raises(DataError) as error:
        load(folder, key, **changes)
    return error.value.reason


def events(recording):
    return dict(collections.Counter(recording.events))


def intervals(recording):
    return {label.name: (label.start_s, label.stop_s, label.value) for label in recording.labels}


@pytest.fixture
def own():
    return person(1)


def test_a_clip_and_the_baseline_before_it_are_two_recordings(tmp_path, own):
    write_file(tmp_path / "a" / "DREAMER.mat", [own])
    keys = made(tmp_path).keys()
    assert len(keys) == 36 and keys[0] == "s01/b01" and keys[-1] == "s01/c18"
    clip, baseline = load(tmp_path, "s01/c03"), load(tmp_path, "s01/b03")
    np.testing.assert_array_equal(clip.signals["ecg"].samples_TC, own["ECG"]["stimuli"][2, 0][:, :1])
    np.testing.assert_array_equal(baseline.signals["ecg"].samples_TC, own["ECG"]["baseline"][2, 0][:, :1])
    assert (clip.subject, clip.trial, clip.sources) == ("s01", "c03", ("a/DREAMER.mat",))
    assert events(clip) == {} and events(baseline) == {"dreamer_baseline": 1} and baseline.labels == ()
    without = made(tmp_path, baselines=False)
    assert len(without.keys()) == 18 and events(without.load("s01/c03")) == {"dreamer_baseline_left_out": 1}
    assert made(tmp_path / "a" / "DREAMER.mat").keys() == keys


def test_labels_hold_for_all_of_a_clip_or_for_its_end(tmp_path, own):
    write_file(tmp_path / "DREAMER.mat", [own])
    for clip in range(18):
        recording = load(tmp_path, f"s01/c{clip + 1:02d}")
        duration_s = recording.signals["ecg"].duration_s
        wanted = {name: float(own[f"Score{name.title()}"][clip, 0]) for name in ("valence", "arousal", "dominance")}
        assert {name: value for name, (_, _, value) in intervals(recording).items() if name != "emotion"} == wanted
        assert {(start_s, stop_s) for start_s, stop_s, _ in intervals(recording).values()} == {(0.0, duration_s)}
        classes = made(tmp_path).label_specs["emotion"].classes
        assert classes[int(intervals(recording)["emotion"][2])] == EMOTIONS[clip]
    assert intervals(load(tmp_path))["valence"][2] == 3
    recording = load(tmp_path, labelled_s=1.5)
    assert intervals(recording)["arousal"][:2] == (recording.signals["ecg"].duration_s - 1.5, 3.0)
    assert events(load(tmp_path, labelled_s=3.0)) == {}
    recording = load(tmp_path, labelled_s=60.0)
    assert intervals(recording)["arousal"][:2] == (0.0, 3.0) and events(recording) == {
        "dreamer_shorter_than_labelled_s": 1
    }
    spec = made(tmp_path).label_specs["arousal"]
    assert (spec.low, spec.high, spec.rater) == (1, 5, "self")


def test_leads_and_rate(tmp_path, own):
    write_file(tmp_path / "DREAMER.mat", [own], ECG_SamplingRate=512)
    signal = load(tmp_path, ecg_columns=(1, 0)).signals["ecg"]
    np.testing.assert_array_equal(signal.samples_TC, own["ECG"]["stimuli"][0, 0][:, ::-1])
    assert (signal.rate_hz, signal.unit, signal.channels) == (512.0, "unknown", ("column 1", "column 0"))
    write_file(tmp_path / "DREAMER.mat", [own], ECG_SamplingRate="?")
    recording = load(tmp_path)
    assert recording.signals["ecg"].rate_hz == 256.0 and events(recording) == {"dreamer_no_sampling_rate": 1}
    for changes in (
        {"ecg_columns": ()},
        {"ecg_columns": (2,)},
        {"labelled_s": -1.0},
        {"num_people": 0},
        {"num_clips": 19},
    ):
        with pytest.raises(UserError, match=rf"config\.dataset\.{next(iter(changes))}"):
            made(tmp_path, **changes)


def test_clips_and_scores_that_are_missing(tmp_path, own):
    stimuli = own["ECG"]["stimuli"][:, 0].tolist()
    some, all_nan, one = ecg(1, 2.0), ecg(2, 2.0), ecg(3, 2.0)
    some[4, 0], all_nan[:, 0] = np.nan, np.nan
    stimuli[:4] = np.zeros((0, 0)), some, all_nan, one[:, :1]
    own["ECG"]["stimuli"] = cells(stimuli[:17], (17, 1))
    own["ScoreArousal"] = own["ScoreArousal"].astype(np.float64)
    own["ScoreArousal"][1] = np.nan
    del own["ScoreDominance"]
    write_file(tmp_path / "DREAMER.mat", [own])
    assert refused(tmp_path) == "empty clip"
    recording = load(tmp_path, "s01/c02")
    assert events(recording) == {"dreamer_some_nan": 1, "dreamer_score_missing": 2}
    assert intervals(recording).keys() == {"emotion", "valence"}
    assert refused(tmp_path, "s01/c03") == "clip all NaN"
    assert load(tmp_path, "s01/c03", ecg_columns=(1,)).signals
    assert refused(tmp_path, "s01/c04") == "other columns"
    assert refused(tmp_path, "s01/c18") == "missing clip"


def test_a_file_of_other_people_or_another_nesting(tmp_path, own):
    path = tmp_path / "DREAMER.mat"
    write_file(path, [own, person(2)])
    assert refused(tmp_path) == "other number of people"
    assert load(tmp_path, "s02/c01", num_people=2).subject == "s02"
    own["ECG"] = np.ones(3)
    write_file(path, [own])
    assert refused(tmp_path) == "unlike its documentation"
    write_file(path, [np.ones(3)])
    assert refused(tmp_path) == "unlike its documentation"
    scipy.io.savemat(path, {"DREAMER": np.ones(3)})
    assert refused(tmp_path) == "unlike its documentation"
    scipy.io.savemat(path, {"other": np.ones(3)})
    assert refused(tmp_path) == "missing variable"
    with pytest.raises(UserError, match="holds no DREAMER.mat"):
        made(tmp_path / "empty").keys() if (tmp_path / "empty").mkdir() is None else None


def test_the_file_is_read_once_and_eeg_is_passed_over(tmp_path, own, monkeypatch):
    kept, read_mat = [], base_mat.read_mat
    monkeypatch.setattr(base_mat, "read_mat", lambda *a, **more: kept.append(read_mat(*a, **more)) or kept[-1])
    write_file(tmp_path / "DREAMER.mat", [own])
    for key in ("s01/b01", "s01/c01", "s01/c02"):
        load(tmp_path, key)
    assert len(kept) == 1
    told = kept[0]["DREAMER"]
    assert "EEG" not in told["Data"][0] and "Disclaimer" not in told and told["Version"] == "1.0.2"
    assert told["Data"][0]["ECG"]["stimuli"][0].dtype == np.float32
    assert made(tmp_path).group("s01/b01") == made(tmp_path).group("s01/c18") == "s01"


def test_its_config_prepares_a_store(tmp_path):
    corpus = write(tmp_path)
    preparation = prepare_dreamer.get_config("sarkar2020")
    preparation.dataset.root, preparation.dataset.num_people, preparation.workers = str(tmp_path), 2, 1
    preparation.preprocess.ecg.gate = preprocess.Gate()
    manifest = prepare(preparation, tmp_path / "store")
    assert manifest["num_recordings"] == len(corpus.recordings) == 72
    assert manifest["modalities"]["ecg"]["rate_hz"] == 256 and manifest["events"] == {"dreamer_baseline": 36}
    assert set(manifest["labels"]) == set(prepare_dreamer.ABOUT.labels)
    assert set(prepare_dreamer.ABOUT.subjects) >= set(manifest["subjects"])
