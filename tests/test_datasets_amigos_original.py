"""AMIGOS, original: time stamps, which video a cell holds, and the workbook of ratings."""

import collections

import numpy as np
import pytest
import scipy.io

from configs import prepare_amigos
from ecgjax.data.prepare import prepare
from ecgjax.datasets import amigos_original
from ecgjax.datasets.amigos_original import Order
from ecgjax.datasets.base_amigos import Clips
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora.amigos import VIDEOS, answers
from tests.corpora.amigos_original import seen, trial, write, write_person, write_table
from tests.fixtures import cells

FILE, KEY = "Data_Original_P07.mat", "P07/01"


def made(folder, **changes):
    return amigos_original.Config(root=str(folder), **changes).make()


def load(folder, key=KEY, **changes):
    return made(folder, **changes).load(key)


def refused(folder, key=KEY, **changes) -> str:
    with pytest.raises(DataError) as error:
        load(folder, key, **changes)
    return error.value.reason


def events(recording):
    return dict(collections.Counter(recording.events))


def rows(person: int, videos=None):
    videos = seen(person) if videos is None else videos
    return [(person, f"'{video}'", i, *answers(i).ravel().tolist()) for i, video in enumerate(videos, start=1)]


def arousal(recording):
    return [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == "arousal"]


NO_TABLE = "amigos_no_table_of_self_assessments"


def test_columns_and_the_axis_of_time(tmp_path):
    samples = trial(1, start_ms=1.4e12)
    write_person(tmp_path / FILE, [samples], VIDEOS[:1])
    recording = load(tmp_path, modalities=("ecg", "acc"), ecg_columns=(2, 1))
    assert (recording.subject, recording.session, recording.trial) == ("P07", "short", "4")
    assert events(recording) == {NO_TABLE: 1} and recording.labels == ()
    assert recording.start_time == "2014-05-13T16:53:20+00:00"
    for modality, columns in (("ecg", [2, 1]), ("acc", [3, 4, 5])):
        signal = recording.signals[modality]
        np.testing.assert_allclose(signal.samples_TC, samples[:, columns], rtol=1e-6)
        assert (signal.rate_hz, signal.start_s, signal.unit) == (256.0, 0.0, "unknown")
    for changes, message in (
        ({"ecg_columns": (3,)}, "ecg_columns"), ({"ecg_columns": ()}, "ecg_columns"), ({"rate_hz": 0.0}, "rate_hz"),
        ({"modalities": ("eda",)}, "this release has no 'eda'"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            made(tmp_path, **changes)


def test_the_rate_is_compared_with_the_time_stamps(tmp_path):
    slow = trial(1, 4.0)
    slow[:, 0] *= 256 / 250
    write_person(tmp_path / FILE, [slow, trial(2, 4.0)])
    assert refused(tmp_path) == "wrong rate"
    recording = load(tmp_path, rate_hz=250.0)
    assert recording.signals["ecg"].rate_hz == 250.0 and recording.start_time == ""  # they begin with 5 s
    assert load(tmp_path, "P07/02").signals["ecg"].rate_hz == 256.0


def test_samples_that_were_lost_are_nan_and_broken_stamps_are_mended(tmp_path):
    lost, broken = np.delete(trial(1, 4.0), slice(300, 400), axis=0), trial(2, 4.0)
    broken[[10, 700], 0] = np.nan, 1e300
    none = trial(3, 4.0)
    none[:, 0] = np.nan
    write_person(tmp_path / FILE, [lost, broken, none])
    recording = load(tmp_path)
    ecg_T = recording.signals["ecg"].samples_TC[:, 0]
    assert np.flatnonzero(np.isnan(ecg_T)).tolist() == list(range(300, 400))
    np.testing.assert_allclose(ecg_T[400:], trial(1, 4.0)[400:, 2], rtol=1e-6)
    assert events(recording)["amigos_ecg_gap"] == 1
    recording = load(tmp_path, "P07/02")
    assert events(recording)["amigos_time_stamps_mended"] == 1
    assert len(recording.signals["ecg"].samples_TC) == 1024
    assert refused(tmp_path, "P07/03") == "time stamps"


def test_missing_and_nan_trials(tmp_path):
    all_nan, some = trial(1), trial(2)
    all_nan[:, 1:3], some[5:9, 2] = np.nan, np.nan
    write_person(tmp_path / FILE, [np.zeros((0, 0)), all_nan, some, trial(4)[:, :5]])
    assert refused(tmp_path) == "empty trial"
    assert refused(tmp_path, "P07/02") == "trial all NaN"
    assert list(load(tmp_path, "P07/02", modalities=("ecg", "acc")).signals) == ["acc"]
    assert events(load(tmp_path, "P07/03"))["amigos_ecg_some_nan"] == 1
    assert refused(tmp_path, "P07/04") == "other columns"
    assert refused(tmp_path, "P07/20") == "empty trial"
    assert refused(tmp_path, "P09/01") == "missing file"
    scipy.io.savemat(tmp_path / FILE, {"EEG_DATA": cells([1])})
    assert refused(tmp_path) == "missing variable"


def test_the_order_of_the_cells_is_a_choice(tmp_path):
    """The file's own names; else the order in which videos were seen, by the table; else that of the other release."""
    write_person(tmp_path / FILE, [trial(i) for i in range(20)])
    write_table(tmp_path / "SelfAsessment.xlsx", rows(7)[::-1])
    shown = seen(7)
    recording = load(tmp_path)
    assert recording.trial == "01" and recording.labels == ()
    assert events(recording) == {"amigos_unknown_video": 1, "amigos_no_self_assessment": 1}
    for cell in (1, 16):
        recording = load(tmp_path, f"P07/{cell:02d}", order=Order.PRESENTATION)
        assert recording.trial == shown[cell - 1] and events(recording) == {}
        assert arousal(recording) == [(0.0, 1.0, pytest.approx(answers(cell)[0, 0]))]
        recording = load(tmp_path, f"P07/{cell:02d}", order=Order.VIDEO_LIST)
        assert recording.trial == VIDEOS[cell - 1]
        own = shown.index(VIDEOS[cell - 1]) + 1
        assert arousal(recording) == [(0.0, 1.0, pytest.approx(answers(own)[0, 0]))]
    recording = load(tmp_path, "P07/17", order=Order.PRESENTATION)
    assert recording.session == "long" and events(recording)["amigos_unknown_video"] == 1
    listed = [load(tmp_path, f"P07/{cell:02d}", order=Order.VIDEO_LIST).trial for cell in range(1, 21)]
    assert listed == "4 5 9 10 13 18 19 20 23 30 31 34 36 58 80 138 N1 P1 B1 U1".split()


def test_where_the_file_names_another_video_it_is_counted(tmp_path):
    write_person(tmp_path / FILE, [trial(i) for i in range(20)], VIDEOS)
    write_table(tmp_path / "SelfAsessment.xlsx", rows(7))
    agree = [VIDEOS[i] == video for i, video in enumerate(seen(7)[:16])]
    assert not all(agree)
    for cell, same in enumerate(agree, start=1):
        recording = load(tmp_path, f"P07/{cell:02d}", order=Order.PRESENTATION)
        assert events(recording) == ({} if same else {"amigos_video_ids_say_another_video": 1})
        assert events(load(tmp_path, f"P07/{cell:02d}")) == {}
    long_first = ["N1", *VIDEOS[:16]]
    write_person(tmp_path / FILE, [trial(i) for i in range(17)], long_first)
    assert load(tmp_path).session == "long" and load(tmp_path, "P07/17").session == "short"


def test_rows_of_the_table_in_every_spelling(tmp_path):
    write_person(tmp_path / FILE, [trial(i) for i in range(4)], ("4", "5", "9", "10"))
    first = answers(1).ravel().tolist()
    table = [
        (7.0, 4, 1.0, *first), ("P07", '"5"', "2", "6.5", *first[1:]), (None, "9", 3, *first),
        (7, "'9'", 3, "", *first[1:]), (70, "'10'", 4, *first),
    ]  # fmt: skip
    write_table(tmp_path / "SelfAsessment.xlsx", table)
    assert arousal(load(tmp_path))[0][2] == pytest.approx(first[0])
    assert arousal(load(tmp_path, "P07/02"))[0][2] == 6.5
    recording = load(tmp_path, "P07/03")
    assert arousal(recording) == [] and events(recording) == {"amigos_answer_missing": 1}
    assert events(load(tmp_path, "P07/04")) == {"amigos_no_self_assessment": 1}


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    write_person(tmp_path / FILE, [trial(1)])
    path = tmp_path / "SelfAsessment.xlsx"
    write_table(path, rows(7), header=("Who", "What"))
    assert refused(tmp_path) == "no column"
    path.write_bytes(path.read_bytes()[:900])
    assert refused(tmp_path) == "damaged workbook"


def test_short_and_long_videos_are_chosen(tmp_path):
    write(tmp_path)
    assert len(made(tmp_path).keys()) == 40
    assert made(tmp_path, clips=Clips.LONG).keys() == tuple(f"P{p}/{c}" for p in ("03", "12") for c in range(17, 21))
    assert len(made(tmp_path, clips=Clips.SHORT).keys()) == 32
    one = made(tmp_path / "data_original" / "Data_Original_P12.mat")
    assert one.keys()[0] == "P12/01" and events(one.load("P12/01")) == {NO_TABLE: 1}
    assert {one.group(key) for key in one.keys()} == {"P12"}


def test_its_config_prepares_what_sarkar_and_etemad_learn_from(tmp_path):
    write(tmp_path / "in")
    preparation = prepare_amigos.get_config("sarkar2020")
    assert prepare_amigos.get_config("original").dataset == preparation.dataset
    preparation.dataset.root, preparation.workers = str(tmp_path / "in"), 1
    preparation.preprocess.ecg.gate = preprocess.Gate()
    manifest = prepare(preparation, tmp_path / "store")
    assert manifest["modalities"]["ecg"]["rate_hz"] == 256 and manifest["num_recordings"] == 40
    assert manifest["events"] == {}
