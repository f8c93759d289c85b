"""PPG-DaLiA: what differs from WESAD, whose pickles are of the same kind."""

import collections

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import ppg_dalia
from ecgjax.datasets.base_chest_wrist import Device
from ecgjax.errors import DataError, UserError
from ecgjax.signals.quality import Gate
from tests import chest_wrist
from tests.corpora.ppg_dalia import ACTIVITIES, SECONDS, write, write_person


def load(root, key="S1", **config):
    return ppg_dalia.Config(root=str(root), **config).make().load(key)


def written(tmp_path, **changes):
    write_person(tmp_path, "S1", 1, **changes)
    return load(tmp_path)


def intervals(recording, name):
    return [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == name]


def test_activities_and_heart_rates(tmp_path):
    recording = written(tmp_path)
    stops = np.cumsum([seconds for _, seconds in ACTIVITIES]).tolist()
    expected = [(a, b, float(number)) for (number, _), a, b in zip(ACTIVITIES, [0.0, *stops[:-1]], stops, strict=True)]
    assert intervals(recording, "activity") == expected and stops[-1] == SECONDS
    specs = ppg_dalia.Config().make().label_specs
    assert specs["activity"].classes[:3] == ("none", "sitting", "stairs") and len(specs["activity"].classes) == 9
    assert intervals(recording, "heart_rate") == [(3, 5, 61), (5, 7, 61.25), (7, 9, 61.5), (9, 11, 61.75)]
    assert specs["heart_rate"].holds(61) and not specs["heart_rate"].holds(0)
    assert recording.events == () and recording.sources == ("S1/S1.pkl",) and recording.subject == "S1"


def test_of_the_chest_there_is_what_was_recorded(tmp_path):
    write_person(tmp_path, "S1", 1)
    recording = load(tmp_path, device=Device.CHEST)
    own = chest_wrist.person(SECONDS, 1).expected("chest", ("ecg", "resp", "acc"))
    assert recording.signals.keys() == own.keys()
    for modality, (samples_TC, rate_hz, unit, _) in own.items():
        signal = recording.signals[modality]
        assert (signal.rate_hz, signal.unit) == (rate_hz, unit)
        np.testing.assert_allclose(signal.samples_TC, samples_TC, rtol=2e-6)
    with pytest.raises(UserError, match="this device has no 'eda'"):
        load(tmp_path, device=Device.CHEST, modalities=("eda",))


def test_labels_that_are_missing_or_strange(tmp_path):
    for label in (None, np.zeros(100_001)):
        recording = written(tmp_path, label=label)
        assert recording.events == ("ppg_dalia_no_heart_rates",) and not intervals(recording, "heart_rate")
    recording = written(tmp_path, label=np.array([70.0, np.nan, 72.0]))
    assert recording.events == ("ppg_dalia_heart_rate_missing",)
    assert intervals(recording, "heart_rate") == [(3, 5, 70), (7, 9, 72)]
    recording = written(tmp_path, label=np.full(6, 70.0))
    assert recording.events == ("ppg_dalia_other_number_of_heart_rates",)
    assert intervals(recording, "heart_rate")[-1] == (13, 14, 70), "as far as there are signals"
    activity = np.zeros((56, 1))
    activity[8:12], activity[12:] = 9, -1
    recording = written(tmp_path, activity=activity)
    assert collections.Counter(recording.events) == {"ppg_dalia_unknown_activity": 2}
    assert intervals(recording, "activity") == [(0, 2, 0)]
    with pytest.raises(DataError, match="unreadable labels. activity must be one whole number"):
        written(tmp_path, activity=np.full((56, 1), 0.5))


def test_lengths_and_names_that_differ_are_counted(tmp_path):
    recording = written(tmp_path, activity=np.ones((60, 1)), subject="S2")
    assert [event for event in recording.events if "differ" in event] == [
        f"ppg_dalia_{modality}_and_labels_differ" for modality in ("acc", "bvp", "eda", "temp")
    ]
    assert "ppg_dalia_other_subject_in_file" in recording.events
    assert intervals(recording, "activity") == [(0, SECONDS, 1)]


def test_wesad_is_not_taken_for_ppg_dalia(tmp_path):
    with pytest.raises(DataError, match=r"another data set. It has no activities.*configs/prepare_wesad.py"):
        written(tmp_path, activity=None)
    with pytest.raises(DataError, match="S7: missing file"):
        load(tmp_path, "S7")


def test_its_configs_prepare_what_papers_learn_from(tmp_path):
    from configs import prepare_ppg_dalia

    write(tmp_path)
    preparation = prepare_ppg_dalia.get_config("wu2023")
    preparation.dataset.root, preparation.workers = str(tmp_path), 1
    for steps in preparation.preprocess.steps().values():
        steps.gate = Gate(flat_s=0, padding_s=0, guard_s=0)
    manifest = prepare(preparation, tmp_path / "store")
    assert {m: said["rate_hz"] for m, said in manifest["modalities"].items()} == {"bvp": 4, "eda": 4, "temp": 4}
    preparation = prepare_ppg_dalia.get_config("sarkar2020")
    assert preparation.dataset.device is Device.CHEST and preparation.dataset.modalities == ("ecg",)
    about = prepare_ppg_dalia.ABOUT
    assert len(about.subjects) == about.people == 15 and set(about.labels) == set(ppg_dalia.Config().make().label_specs)
