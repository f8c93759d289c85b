"""AMIGOS, preprocessed: trials by their videos, what is missing by modality, labels of the person and of others."""

import collections
import math

import numpy as np
import pytest
import scipy.io

from configs import prepare_amigos
from ecgjax.data.prepare import prepare
from ecgjax.datasets import amigos, base_mat
from ecgjax.datasets.base_amigos import Clips, video_id
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora.amigos import SHORT, answers, segments, trial, write, write_person

ANSWERS = (
    "arousal", "valence", "dominance", "liking", "familiarity",
    "neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness",
)  # fmt: skip
EMPTY, NONE = np.zeros((0, 0)), np.zeros((1, 0))
FILE = "Data_Preprocessed_P05.mat"


def made(folder, **changes):
    return amigos.Config(root=str(folder), **changes).make()


def write_one(folder, samples, rated=None, annotated=None, videos=("4",)):
    rated = [answers(0)] * len(samples) if rated is None else rated
    annotated = [segments(0, 2)] * len(samples) if annotated is None else annotated
    write_person(folder / FILE, videos, samples, rated, annotated)


def load(folder, key="P05/4", **changes):
    return made(folder, **changes).load(key)


def refused(folder, key="P05/4", **changes) -> str:
    with pytest.raises(DataError) as error:
        load(folder, key, **changes)
    assert "P05" in str(error.value)
    return error.value.reason


def events(recording):
    """But for that of the first samples of GSR, which every recording with GSR has."""
    counted = collections.Counter(recording.events)
    assert counted.pop("amigos_eda_beginning_left_out", 0) == ("eda" in recording.signals)
    return dict(counted)


def intervals(recording, name):
    return [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == name]


def test_a_trial_is_found_by_its_video_not_by_its_place(tmp_path):
    one, other = trial(1), trial(2)
    write_one(tmp_path, [one, other], [answers(1), answers(2)], videos=("138", "4"))
    assert made(tmp_path).keys() == ("P05/138", "P05/4")
    recording = load(tmp_path)
    np.testing.assert_allclose(recording.signals["ecg"].samples_TC[:, 0], other[:, 15], rtol=1e-6)
    assert intervals(recording, "arousal") == [(5.0, 6.0, answers(2)[0, 0])]
    assert (recording.subject, recording.session, recording.trial) == ("P05", "short", "4")
    assert recording.sources == (FILE,)


def test_leads_are_chosen_by_their_column(tmp_path):
    write_one(tmp_path, [trial(1)])
    for columns in ((14,), (15,), (15, 14)):
        signal = load(tmp_path, ecg_columns=columns).signals["ecg"]
        np.testing.assert_allclose(signal.samples_TC, trial(1)[:, list(columns)], rtol=1e-6)
        assert signal.channels == tuple(f"column {column}" for column in columns)
    for columns in ((), (13,), (16,)):
        with pytest.raises(UserError, match=r"config\.dataset\.ecg_columns"):
            made(tmp_path, ecg_columns=columns)
    with pytest.raises(UserError, match=r'modalities: this release has no .edd.. Did you mean "eda"'):
        made(tmp_path, modalities=("edd",))


def test_the_first_samples_of_gsr_are_not_believed(tmp_path):
    write_one(tmp_path, [trial(1)])
    eda_T = load(tmp_path).signals["eda"].samples_TC[:, 0]
    assert np.isnan(eda_T[:20]).all() and np.isfinite(eda_T[20:]).all()
    assert load(tmp_path).events.count("amigos_eda_beginning_left_out") == 1
    recording = load(tmp_path, eda_unreliable=0)
    assert np.isfinite(recording.signals["eda"].samples_TC).all() and recording.signals["eda"].unit == "unknown"
    assert "amigos_eda_beginning_left_out" not in recording.events


def test_nan_is_judged_modality_by_modality(tmp_path):
    eeg, gsr, ecg, some, all_nan = (trial(i) for i in range(5))
    eeg[:, 3], gsr[:, 16], ecg[:, 15], some[100:110, 15], all_nan[:] = (np.nan,) * 5
    write_one(tmp_path, [eeg, gsr, ecg, some, all_nan], videos=SHORT[:5])
    assert events(load(tmp_path, "P05/4")) == {}
    assert events(load(tmp_path, "P05/5")) == {"amigos_eda_all_nan": 1}
    assert list(load(tmp_path, "P05/5").signals) == ["ecg"]
    recording = load(tmp_path, "P05/9")
    assert events(recording) == {"amigos_ecg_all_nan": 1} and list(recording.signals) == ["eda"]
    assert list(load(tmp_path, "P05/9", ecg_columns=(14,)).signals) == ["ecg", "eda"]
    assert events(load(tmp_path, "P05/9", ecg_columns=(14, 15)))["amigos_ecg_all_nan"] == 1
    recording = load(tmp_path, "P05/10")
    assert events(recording) == {"amigos_ecg_some_nan": 1}
    assert np.flatnonzero(np.isnan(recording.signals["ecg"].samples_TC[:, 0])).tolist() == list(range(100, 110))
    assert refused(tmp_path, "P05/13") == "trial all NaN"
    assert refused(tmp_path, "P05/9", modalities=("ecg",)) == "trial all NaN"


def test_trials_without_data_and_data_without_labels(tmp_path):
    samples = [EMPTY, EMPTY, trial(3), trial(4)[:640], trial(5)[:, :16]]
    rated, given = segments(2, 2), [NONE, answers(2), NONE, answers(4), NONE]
    write_one(tmp_path, samples, given, [EMPTY, rated, EMPTY, rated, EMPTY], SHORT[:5])
    assert len(made(tmp_path).keys()) == 5
    assert refused(tmp_path, "P05/4") == refused(tmp_path, "P05/5") == "empty trial"
    recording = load(tmp_path, "P05/9")
    assert recording.labels == ()
    assert events(recording) == {"amigos_no_self_assessment": 1, "amigos_no_external_annotation": 1}
    recording = load(tmp_path, "P05/10")
    assert recording.labels == () and events(recording) == {"amigos_trial_ends_before_its_video": 1}
    assert refused(tmp_path, "P05/13") == "other columns"
    assert refused(tmp_path, "P05/N1") == "trial without a VideoID of its own"
    with pytest.raises(DataError, match="missing file. There is no Data_Preprocessed_P06.mat"):
        load(tmp_path, "P06/4")


def test_one_with_16_filled_cells_of_20(tmp_path):
    """P08, P24 and P28 saw no long videos: empty cells, or none at all."""
    videos = (*SHORT, "N1", "P1", "B1", "U1")
    write_one(tmp_path, [trial(1)] * 16 + [EMPTY] * 4, videos=videos)
    keys = made(tmp_path).keys()
    assert len(keys) == 20
    assert sorted(key for key in keys if is_refused(tmp_path, key)) == ["P05/B1", "P05/N1", "P05/P1", "P05/U1"]
    write_one(tmp_path, [trial(1)] * 16, videos=SHORT)
    assert len(made(tmp_path).keys()) == 16


def is_refused(folder, key) -> bool:
    try:
        load(folder, key)
    except DataError:
        return True
    return False


def test_videos_of_every_spelling(tmp_path):
    write_one(tmp_path, [trial(n) for n in range(6)], videos=("'4'", " N1 ", "138", "138", "", "1;2"))
    assert made(tmp_path).keys() == ("P05/138", "P05/4", "P05/N1", "P05/unnamed5", "P05/unnamed6")
    assert load(tmp_path, "P05/N1").session == "long"
    for key in ("P05/138", "P05/unnamed5"):
        assert refused(tmp_path, key) == "trial without a VideoID of its own"
    assert [video_id(value) for value in (np.array([[30.0]]), [["4"]], 4, 4.5, None, math.nan, [])] == [
        "30", "4", "4", "", "", "", "",
    ]  # fmt: skip


def test_short_and_long_videos_are_chosen(tmp_path):
    write_one(tmp_path, [trial(1)] * 3, videos=("4", "N1", "80"))
    assert made(tmp_path, clips=Clips.SHORT).keys() == ("P05/4", "P05/80")
    assert made(tmp_path, clips=Clips.LONG).keys() == ("P05/N1",)


# Segments of a video of so many seconds: the first 20 s of the trial, 20-s ones from second 5, the last 20 s.
@pytest.mark.parametrize("video_s, count", [(51.2, 4), (59.9, 4), (60.5, 5), (86.0, 6)])
def test_external_segments(tmp_path, video_s, count):
    rated = segments(0, count)
    write_one(tmp_path, [trial(1, 5 + video_s)], annotated=[rated])
    recording = load(tmp_path)
    assert events(recording) == {}
    whole = [5 + 20.0 * i for i in range(count - 1)]
    duration_s = round((5 + video_s) * 128) / 128
    borders = list(zip([0.0, *whole], [*whole, duration_s], strict=True))
    assert borders[0] == (0.0, 5.0) and borders[-1][1] - borders[-1][0] < 20
    for name, column in (("external_valence", 1), ("external_arousal", 2)):
        wanted = [(a, b, value) for (a, b), value in zip(borders, rated[:, column], strict=True)]
        assert intervals(recording, name) == wanted
    assert [s for s, *_ in intervals(recording, "arousal")] == [5.0]


def test_external_annotations_that_do_not_fit(tmp_path):
    rated, jumps, other = segments(0, 5), segments(0, 4), segments(0, 4)[:, :2]
    jumps[2, 0] = 7
    missing = segments(0, 4)
    missing[1, 1] = np.nan
    cases = [rated, segments(0, 3), jumps, other, missing, segments(0, 2)[:1]]
    write_one(tmp_path, [trial(1, 56.0)] * 6, annotated=cases, videos=SHORT[:6])  # its video lasts 51 s: 4 segments
    more = load(tmp_path, "P05/4")
    assert events(more) == {"amigos_other_number_of_segments": 1}
    assert [s[:2] for s in intervals(more, "external_arousal")] == [(0.0, 5.0), (5.0, 25.0), (25.0, 45.0)]
    fewer = load(tmp_path, "P05/5")
    assert events(fewer) == {"amigos_other_number_of_segments": 1}
    assert [s[:2] for s in intervals(fewer, "external_arousal")] == [(0.0, 5.0), (5.0, 25.0)]
    for key in ("P05/9", "P05/10"):
        assert events(load(tmp_path, key)) == {"amigos_other_external_annotation": 1}
        assert not intervals(load(tmp_path, key), "external_arousal")
    one = load(tmp_path, "P05/13")
    assert events(one) == {"amigos_external_annotation_missing": 1}
    assert len(intervals(one, "external_valence")) == 3 and len(intervals(one, "external_arousal")) == 4
    assert not intervals(load(tmp_path, "P05/18"), "external_arousal")


def test_a_video_of_whole_segments_leaves_the_last_one_no_time(tmp_path):
    write_one(tmp_path, [trial(1, 45.0)], annotated=[segments(0, 4)])
    recording = load(tmp_path)
    assert intervals(recording, "external_arousal")[-1][:2] == (25.0, 45.0) and events(recording) == {}


def test_answers_that_are_missing_or_other(tmp_path):
    gaps = answers(1)
    gaps[0, [1, 7]] = np.nan
    write_one(tmp_path, [trial(1)] * 2, [gaps, answers(1)[:, :5]], videos=("4", "5"))
    recording = load(tmp_path)
    assert events(recording) == {"amigos_answer_missing": 2}
    assert not intervals(recording, "valence") and not intervals(recording, "happiness")
    given = [(label.name, label.value) for label in recording.labels if not label.name.startswith("external")]
    assert given == [(name, value) for name, value in zip(ANSWERS, gaps[0], strict=True) if np.isfinite(value)]
    assert events(load(tmp_path, "P05/5")) == {"amigos_other_self_assessment": 1}
    specs = made(tmp_path).label_specs
    assert (specs["arousal"].low, specs["arousal"].high, specs["arousal"].rater) == (1, 9, "self")
    assert specs["sadness"].classes == ("no", "yes")
    assert (specs["external_valence"].low, specs["external_valence"].rater) == (-1, "external")


def test_a_person_s_file_that_cannot_be_read_is_one_key(tmp_path):
    write_one(tmp_path, [trial(1)])
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-10])
    assert made(tmp_path).keys() == ("P05",)
    assert refused(tmp_path, "P05") == "truncated"
    scipy.io.savemat(path, {"joined_data": np.ones(3)})
    assert made(tmp_path).keys() == ("P05",) and refused(tmp_path, "P05") == "missing variable"


def test_files_of_another_name_are_refused(tmp_path):
    (tmp_path / "Data_Original_P01.mat").write_bytes(b"")
    with pytest.raises(UserError, match="holds no Data_Preprocessed_P01.mat"):
        made(tmp_path).keys()
    with pytest.raises(UserError, match="not named as AMIGOS's files are"):
        made(tmp_path / "Data_Original_P01.mat").keys()


def test_a_file_is_read_once_for_all_of_its_trials(tmp_path, monkeypatch):
    calls = []
    write_one(tmp_path, [trial(1)] * 3, videos=("4", "5", "9"))
    dataset = made(tmp_path)
    read_mat = base_mat.read_mat
    monkeypatch.setattr(base_mat, "read_mat", lambda *args, **more: calls.append(1) or read_mat(*args, **more))
    for key in ("P05/4", "P05/5", "P05/9"):
        dataset.load(key)
    assert len(calls) == 1 and {dataset.group(key) for key in dataset.keys()} == {"P05"}


def test_an_impulse_stays_at_its_second(tmp_path):
    samples = trial(1, 20.0)
    samples[:, 14:] = 0
    samples[round(12.5 * 128), 14:] = 100
    write_one(tmp_path, [samples])
    steps = preprocess.Config()
    for modality in (steps.ecg, steps.eda):
        modality.gate = preprocess.Gate(flat_s=0.0, padding_s=0.0)
    prepared = preprocess.prepare_recording(load(tmp_path), steps)
    for modality in ("ecg", "eda"):
        signal = prepared.signals[modality]
        at_s = np.abs(signal.samples_TC[:, 0]).argmax() / signal.rate_hz
        assert abs(at_s - 12.5) <= 0.5 / signal.rate_hz, modality


def test_its_config_prepares_a_store(tmp_path):
    write(tmp_path / "in")
    preparation = prepare_amigos.get_config()
    preparation.dataset.root, preparation.workers = str(tmp_path / "in"), 1
    preparation.preprocess.ecg.gate = preprocess.Gate()
    manifest = prepare(preparation, tmp_path / "store")
    assert manifest["num_recordings"] == 36 and manifest["subjects"] == ["P01", "P08"]
    assert set(manifest["labels"]) == set(prepare_amigos.ABOUT.labels)
    assert manifest["events"] == {"amigos_eda_all_nan": 2, "amigos_eda_beginning_left_out": 34}
    assert set(prepare_amigos.ABOUT.subjects) >= set(manifest["subjects"])
