"""Stress-Predict: labels from its table, tags by a clock of 12 hours, and the recordings as distributed."""

import collections
from pathlib import Path

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import stress_predict
from ecgjax.errors import DataError, UserError
from ecgjax.signals.moments import Normalise
from tests.corpora import stress_predict as corpus_of_stress_predict
from tests.fixtures import write_e4

DATA = Path(__file__).parents[2] / "shared" / "data" / "stress_predict"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not here")
ONE = ("eda", "temp")


@pytest.fixture
def folder(tmp_path):
    corpus_of_stress_predict.write(tmp_path)
    return tmp_path


def load(root, key, modalities=ONE):
    return stress_predict.Config(root=str(root), modalities=modalities).make().load(key)


def table(folder) -> Path:
    return folder / "Processed_data" / "Improved_All_Combined_hr_rsp_binary.csv"


def intervals(recording, name):
    return [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == name]


def counted(recording, prefix="stress_predict"):
    return collections.Counter(event for event in recording.events if event.startswith(prefix))


STRESS = [(9, 15, 0), (15, 21, 1), (21, 27, 0), (27, 33, 1), (33, 39, 0), (39, 45, 1), (45, 57, 0)]
EARLY = "stress_predict_tag_12_h_early"


def test_the_table_is_read_once_for_all(folder, monkeypatch):
    import pandas as pd

    calls, read_csv = [], pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *args, **more: calls.append(args) or read_csv(*args, **more))
    assert all(load(folder, key).labels for key in ("S02", "S02", "S03")) and len(calls) == 1


def test_seconds_become_intervals_on_the_recording_s_axis(folder):
    recording = load(folder, "S02")
    assert intervals(recording, "stress") == STRESS
    tasks = iter((1, 2, 3))
    assert intervals(recording, "task") == [(a, b, next(tasks) if stress else 0) for a, b, stress in STRESS]
    assert recording.events == ("e4_eda_begins_with_zero",)
    specs = stress_predict.Config().make().label_specs
    assert specs["stress"].classes == ("calm", "stress")
    assert specs["task"].classes == ("rest", "stroop", "interview", "hyperventilation")


def test_labels_follow_the_clock_not_the_first_sample_of_a_file(folder):
    """The axis begins with the earliest file that is read."""
    path = folder / "Raw_data" / "S02" / "EDA.csv"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{float(first) - 4:.6f}\n{rest}")
    recording = load(folder, "S02")
    assert intervals(recording, "stress") == [(a + 4, b + 4, v) for a, b, v in STRESS]
    assert intervals(load(folder, "S02", ("temp",)), "stress") == STRESS


def test_who_is_not_in_the_table_has_no_labels(folder):
    recording = load(folder, "S01")
    assert recording.labels == () and counted(recording) == {"stress_predict_without_labels": 1}
    table(folder).unlink()
    recording = load(folder, "S02")
    assert recording.labels == () and counted(recording) == {"stress_predict_without_labels": 1}


def test_tags_that_are_12_hours_early_are_mended(folder):
    path = folder / "Raw_data" / "S02" / "tags_S02.csv"
    tags = [int(tag) for tag in path.read_text().split()]
    tags[0], tags[4] = tags[0] - 43200, tags[4] - 43196
    path.write_text("\n".join(map(str, [*tags, tags[5] - 21600])) + "\n")
    recording = load(folder, "S02")
    assert counted(recording) == {EARLY: 2}
    assert counted(recording, "e4_tag") == {"e4_tag_outside_recording": 1}
    assert intervals(recording, "stress") == STRESS


def test_borders_that_no_tag_confirms_are_counted(folder):
    path = folder / "Raw_data" / "S02" / "tags_S02.csv"
    tags = [int(tag) for tag in path.read_text().split()]
    for moved, lonely in ((5, 0), (6, 1)):  # the tag after the last border is 6 s after it
        path.write_text("\n".join(str(tag + moved * (n == 0)) for n, tag in enumerate(tags)) + "\n")
        assert counted(load(folder, "S02"))["stress_predict_border_without_tag"] == lonely, moved
    path.unlink()
    assert counted(load(folder, "S02")) == {"stress_predict_border_without_tag": 6}


def test_gaps_repeats_and_seconds_outside(folder):
    lines = table(folder).read_text().splitlines()
    own = [line for line in lines if line.startswith("2,")]
    start = int(own[0].split(",")[3]) - 9
    kept = [own[0], *own[:8], *own[10:]]  # one second twice, two missing
    outside = [f"2,70,12,{start + at},1" for at in (-3, 58, 100)]
    table(folder).write_text("\n".join([lines[0], *outside, *reversed(kept)]) + "\n")
    recording = load(folder, "S02")
    assert intervals(recording, "stress") == [(9, 15, 0), (15, 17, 1), (19, 21, 1), *STRESS[2:]]
    assert counted(recording, "stress_predict_gap") == {"stress_predict_gap_in_labels": 1}
    assert counted(recording, "stress_predict_labels") == {"stress_predict_labels_outside_recording": 1}
    last = f"2,70,12,{start + 57},1"  # the recording ends within this second
    table(folder).write_text("\n".join([lines[0], *own, last]) + "\n")
    assert intervals(load(folder, "S02"), "stress")[-1] == (57, 57.5, 1)


def test_a_task_is_named_only_where_there_are_three(folder):
    text = table(folder).read_text()
    start = 1644226000 + 90000 * 2
    table(folder).write_text(text.replace(f"{start + 30},1", f"{start + 30},0"))
    recording = load(folder, "S02")
    assert len(intervals(recording, "stress")) == 9 and not intervals(recording, "task")
    assert counted(recording)["stress_predict_other_number_of_tasks"] == 1


@pytest.mark.parametrize("old, new", [("Label", "Stress"), (",1\n", ",2\n"), (",1\n", ",\n"), (",1644", ",x1644")])
def test_a_table_that_cannot_be_read_is_named(folder, old, new):
    table(folder).write_text(table(folder).read_text().replace(old, new, 1))
    with pytest.raises(DataError, match="Improved_All_Combined_hr_rsp_binary.csv: unreadable table"):
        load(folder, "S02")


def test_a_table_that_is_too_large_is_refused_unread(folder, monkeypatch):
    monkeypatch.setattr(stress_predict, "_MAX_TABLE_BYTES", table(folder).stat().st_size - 1)
    with pytest.raises(DataError, match="binary.csv: too large"):
        load(folder, "S02")


def test_a_table_that_broke_off_is_named(folder):
    table(folder).write_text(table(folder).read_text()[:-9])
    with pytest.raises(DataError, match="unreadable table. Row 145 has no time, or a label"):
        load(folder, "S02")


@pytest.mark.parametrize("below", ["", "Raw_data", ".."])
def test_the_data_set_is_found_from_above_and_from_below(tmp_path, below):
    corpus_of_stress_predict.write(tmp_path / "sets" / "Stress-Predict-Dataset")
    write_e4(tmp_path / "sets" / "wesad" / "S2" / "S2_E4_Data", 1500000000, 5.0)
    write_e4(tmp_path / "sets" / "Z" / "Raw_data" / "S3", 1500000000, 5.0)
    root = (tmp_path / "sets" / "Stress-Predict-Dataset" / below).resolve()
    assert stress_predict.Config(root=str(root)).make().keys() == ("S01", "S02", "S03", "S04")
    recording = load(root, "S03")
    assert intervals(recording, "stress") == STRESS, "of two copies, the first"
    assert all((root / source).is_file() for source in recording.sources)
    with pytest.raises(UserError, match="holds no folders S01, S02"):
        stress_predict.Config(root=str(tmp_path / "sets" / "wesad")).make().keys()


def test_its_config_prepares_what_wu_et_al_learn_from(folder):
    from configs import prepare_stress_predict

    preparation = prepare_stress_predict.get_config("wu2023")
    preparation.dataset.root, preparation.workers = str(folder), 1
    for steps in (preparation.preprocess.eda, preparation.preprocess.bvp, preparation.preprocess.temp):
        assert (steps.resample_hz, steps.low_hz, steps.high_hz) == (4.0, 0.0, 0.0)
        assert steps.normalise is Normalise.RECORDING
    manifest = prepare(preparation, folder / "store")
    assert {m: said["rate_hz"] for m, said in manifest["modalities"].items()} == {"bvp": 4, "eda": 4, "temp": 4}
    assert list(manifest["skipped_files"]) == ["missing file"], "S04 has acceleration only"


@needs_data
def test_stress_predict_as_distributed():
    """27 of its 35 people are here, all of them labelled; of the files of acceleration, two."""
    made = stress_predict.Config(root=str(DATA.parent)).make()
    recordings = {key: made.load(key) for key in made.keys()}
    assert list(recordings) == [f"S{n:02d}" for n in range(2, 29)]
    events = collections.Counter(event for r in recordings.values() for event in r.events)
    assert events == {
        "e4_eda_begins_with_zero": 27, "e4_no_acc": 25, EARLY: 3, "stress_predict_border_without_tag": 6,
    }  # fmt: skip
    doubtful = {key: counted(r)["stress_predict_border_without_tag"] for key, r in recordings.items()}
    assert {key: number for key, number in doubtful.items() if number} == {"S06": 4, "S17": 2}
    hours = {m: sum(r.signals[m].duration_s for r in recordings.values()) / 3600 for m in ("eda", "bvp", "temp")}
    np.testing.assert_allclose(list(hours.values()), 24.81, atol=0.01)
    for name, classes in (("stress", (108, 81)), ("task", (108, 27, 27, 27))):
        values = [v for r in recordings.values() for *_, v in intervals(r, name)]
        assert tuple(np.bincount(np.int64(values))) == classes
    assert {r.signals[m].start_s for r in recordings.values() for m in r.signals} == {0.0}
    assert recordings["S05"].start_time == "2022-02-14T09:12:05+00:00"
    own = np.loadtxt(DATA / "Raw_data" / "S05" / "BVP.csv", skiprows=2)
    np.testing.assert_allclose(recordings["S05"].signals["bvp"].samples_TC[:, 0], own, rtol=1e-6)


@needs_data
def test_seconds_of_the_table_are_seconds_of_the_device():
    """The table's heart rate is the device's of the second after: its clock is that of the files."""
    seconds = np.genfromtxt(table(DATA), delimiter=",", skip_header=1)
    for key in ("S02", "S17", "S28"):
        rate = np.loadtxt(DATA / "Raw_data" / key / "HR.csv")
        own = seconds[seconds[:, 0] == int(key[1:])]
        at = np.int64(own[:, 3] - rate[0]) + 1
        both = at < len(rate) - 2
        assert both.mean() > 0.99
        np.testing.assert_allclose(own[both, 1], rate[2:][at[both]], atol=0.006)
        stress = intervals(load(DATA, key), "stress")
        assert stress[0][0] == own[0, 3] - rate[0] + 10
