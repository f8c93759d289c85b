"""WESAD: pickles of two devices, conditions, questionnaires and their times, and each device by itself."""

import collections
import math
from pathlib import Path

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import wesad
from ecgjax.datasets.base_chest_wrist import Device
from ecgjax.datasets.wesad import Source
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from ecgjax.signals.quality import Gate
from tests import chest_wrist, pickle_files
from tests.corpora.wesad import (
    SECONDS,
    STRETCHES,
    ids,
    write,
    write_person,
)
from tests.fixtures import write_e4

CONDITIONS = [
    (float(start), float(stop), float(number))
    for (number, _), start, stop in zip(
        STRETCHES, np.cumsum([0] + [s for _, s in STRETCHES]), np.cumsum([s for _, s in STRETCHES]), strict=False
    )
]


TWO_MEANINGS = {"wesad_quest_time_of_two_meanings": 2}


@pytest.fixture
def folder(tmp_path) -> Path:
    write_person(tmp_path / "S2", "S2", 1)
    return tmp_path


def load(root, key="S2", **config):
    return wesad.Config(root=str(root), **config).make().load(key)


def pickled(folder: Path, protocol: int = 2, **changes):
    """S3, as the changes would have it."""
    own = chest_wrist.person(SECONDS, 3)
    tree = {"signal": {"chest": own.chest, "wrist": own.wrist}, "label": ids(), "subject": "S3"}
    pickle_files.write(folder / "S3" / "S3.pkl", {**tree, **changes}, protocol)
    return load(folder, "S3")


def intervals(recording, name):
    return [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == name]


def counted(recording):
    return collections.Counter(recording.events)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_both_devices_of_a_pickle(tmp_path, protocol):
    own = write_person(tmp_path / "S4", "S4", 4, protocol)
    for device in Device:
        recording = load(tmp_path, "S4", device=device)
        expected = own.expected(device.value)
        assert recording.signals.keys() == expected.keys() and counted(recording) == TWO_MEANINGS
        for modality, (samples_TC, rate_hz, unit, channels) in expected.items():
            signal = recording.signals[modality]
            assert (signal.rate_hz, signal.unit, signal.channels) == (rate_hz, unit, channels)
            assert signal.samples_TC.dtype == np.float32
            np.testing.assert_allclose(signal.samples_TC, samples_TC, rtol=2e-6)
        assert intervals(recording, "condition") == CONDITIONS
    assert recording.sources == ("S4/S4.pkl",)


def test_conditions_are_those_the_configs_know():
    from tests.standins import CONDITIONS as known

    assert wesad.Config().make().label_specs["condition"].classes == known


def test_wanted_modalities_and_no_others(folder):
    recording = load(folder, modalities=("ecg", "acc"))
    assert list(recording.signals) == ["ecg", "acc"]
    with pytest.raises(UserError, match=r"--config.dataset.modalities: this device has no 'bvp'"):
        load(folder, modalities=("bvp",))


def test_a_second_is_the_same_second_in_every_channel(tmp_path):
    """Also once 700, 64, 32 and 4 Hz have become one rate."""
    own = chest_wrist.person(SECONDS, 3)
    for samples_TC in (*own.chest.values(), *own.wrist.values()):
        rate_hz = len(samples_TC) / SECONDS
        samples_TC[:] = 0.0
        samples_TC[math.ceil(6.0 * rate_hz)] = 1000.0
    tree = {"signal": {"chest": own.chest, "wrist": own.wrist}, "label": ids(), "subject": "S3"}
    pickle_files.write(tmp_path / "S3.pkl", tree)
    steps = preprocess.Config()
    for modality in steps.steps().values():
        modality.resample_hz, modality.low_hz, modality.high_hz = 64.0, 0.0, 0.0
        modality.gate = Gate(flat_s=0, padding_s=0, guard_s=0)
    for device in Device:
        prepared = preprocess.prepare_recording(load(tmp_path, "S3", device=device), steps)
        assert len(prepared.signals) == (6 if device is Device.CHEST else 4)
        for modality, signal in prepared.signals.items():
            assert np.argmax(signal.samples_TC[:, 0]) / 64 == pytest.approx(6.0, abs=1 / 64), modality


def test_keys_in_any_case_and_arrays_of_one_axis(tmp_path):
    own = chest_wrist.person(SECONDS, 3)
    chest = {name.title(): samples[:, 0] if samples.shape[1] == 1 else samples for name, samples in own.chest.items()}
    recording = pickled(tmp_path, signal={"Chest": chest})
    assert len(recording.signals) == 6 and recording.signals["ecg"].samples_TC.shape == (len(own.counts), 1)


def test_signals_that_are_missing_are_counted(tmp_path):
    own = chest_wrist.person(SECONDS, 3)
    chest = {**own.chest, "EMG": None, "ACC": np.zeros((0, 3))}
    del chest["Resp"]
    recording = pickled(tmp_path, signal={"chest": chest})
    assert list(recording.signals) == ["ecg", "eda", "temp"]
    assert recording.events == ("wesad_no_emg", "wesad_no_resp", "wesad_no_acc", "wesad_no_quest")
    with pytest.raises(DataError, match=r"S3.pkl: no signal. It has none of acc, bvp, eda, temp of the wrist"):
        load(tmp_path, "S3", device=Device.WRIST)
    with pytest.raises(DataError, match="no signal"):
        pickled(tmp_path, signal=[own.chest])


@pytest.mark.parametrize("shape", [(1, 6125), (6125, 2), (1, 6125, 1), ()])
def test_arrays_of_another_shape_are_refused(tmp_path, shape):
    own = chest_wrist.person(SECONDS, 3)
    with pytest.raises(DataError, match=r"S3.pkl: unexpected shape. ECG has the shape .*should have 1 column"):
        pickled(tmp_path, signal={"chest": {**own.chest, "ECG": np.ones(shape)}})
    with pytest.raises(DataError, match=r"S3.pkl: unexpected shape. ACC"):
        pickled(tmp_path, signal={"chest": {**own.chest, "ACC": np.ones(6125)}})


def test_values_that_no_float32_has_are_infinite(tmp_path):
    own = chest_wrist.person(SECONDS, 3)
    own.chest["ECG"][[3, 4, 5], 0] = 1e300, -np.inf, np.nan
    recording = pickled(tmp_path, signal={"chest": own.chest})
    ecg_T = recording.signals["ecg"].samples_TC[:, 0]
    np.testing.assert_array_equal(ecg_T[3:6], [np.inf, -np.inf, np.nan])
    assert np.isfinite(np.delete(ecg_T, [3, 4, 5])).all()


def test_labels_that_are_missing_unknown_or_no_numbers(tmp_path):
    recording = pickled(tmp_path, label=None)
    assert recording.labels == () and recording.events == ("wesad_without_labels",)
    strange = ids()
    strange[:350], strange[350:700] = 9, -1
    recording = pickled(tmp_path, label=strange)
    assert counted(recording)["wesad_unknown_condition"] == 2
    assert intervals(recording, "condition") == [(1.0, 2.5, 1.0), *CONDITIONS[2:]]
    for wrong in (ids("f8") + 0.5, np.full(6125, np.nan), np.full(6125, 1e300), ids().reshape(-1, 5)):
        with pytest.raises(DataError, match=r"S3.pkl: unreadable labels. label must be one whole number a sample"):
            pickled(tmp_path, label=wrong)
    with pytest.raises(DataError, match="changes less than 2000 times"):
        pickled(tmp_path, label=np.arange(6125, dtype="i4") % 2)


def test_lengths_that_differ_are_counted_and_labels_end_with_the_signals(tmp_path):
    short = chest_wrist.person(SECONDS - 1.5, 3)
    recording = pickled(tmp_path, signal={"chest": {**short.chest}})
    differ = [f"wesad_{modality}_and_labels_differ" for modality in ("ecg", "eda", "emg", "temp", "resp", "acc")]
    assert [event for event in recording.events if "differ" in event] == differ
    assert intervals(recording, "condition")[-1] == (7.0, 7.25, 0.0), "labels end with the signals"
    assert counted(recording)["wesad_labels_outside_recording"] == 1
    little = chest_wrist.person(SECONDS - 0.75, 3)
    assert not [name for name in pickled(tmp_path, signal={"chest": little.chest}).events if "differ" in name]


def test_the_person_of_the_file_is_compared_with_its_name(tmp_path):
    assert counted(pickled(tmp_path, subject="S9"))["wesad_other_subject_in_file"] == 1
    assert counted(pickled(tmp_path, subject=b"S3"))["wesad_other_subject_in_file"] == 0


def test_ppg_dalia_is_not_taken_for_wesad(tmp_path):
    with pytest.raises(DataError, match=r"another data set.*configs/prepare_ppg_dalia.py"):
        pickled(tmp_path, activity=np.zeros((35, 1)))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({}, "SX.pkl"),
        ({"source": Source.RAW}, "SX_respiban.txt"),
        ({"source": Source.RAW, "device": Device.WRIST}, "SX_E4_Data|E4 session"),
    ],
)
def test_where_people_are_found(tmp_path, config, what):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match=f"holds no ({what}).*--config.dataset.root"):
        wesad.Config(root=str(tmp_path), **config).make().keys()
    write_e4(tmp_path / "elsewhere", 1495437325, 11.0)
    for key in ("S2", "S10"):
        write_person(tmp_path / "sets" / "WESAD" / key, key, int(key[1:]))
    for root in ("", "sets", "sets/WESAD"):
        made = wesad.Config(root=str(tmp_path / root), **config).make()
        assert made.keys() == ("S10", "S2")
        assert all((tmp_path / root / source).is_file() for source in made.load("S10").sources)
    made = wesad.Config(root=str(tmp_path / "sets" / "WESAD" / "S2"), **config).make()
    assert made.keys() == ("S2",) and made.load("S2").labels
    with pytest.raises(DataError, match="S10: missing file"):
        made.load("S10")
    own = {"SX.pkl": "S2.pkl", "SX_respiban.txt": "S2_respiban.txt"}.get(what, "S2_E4_Data.zip")
    made = wesad.Config(root=str(tmp_path / "sets" / "WESAD" / "S2" / own), **config).make()
    assert made.keys() == ("S2",) and made.load("S2").labels and made.load("S2").sources[0] == own
    made = wesad.Config(root=str(tmp_path / "notes.txt"), **config).make()
    with pytest.raises(UserError, match="--config.dataset.root"):
        made.keys()


def test_its_configs_prepare_what_papers_learn_from(tmp_path):
    from configs import prepare_wesad

    write(tmp_path)
    preparation = prepare_wesad.get_config("wu2023")
    preparation.dataset.root, preparation.workers = str(tmp_path), 1
    for steps in preparation.preprocess.steps().values():
        steps.gate = Gate(flat_s=0, padding_s=0, guard_s=0)
    manifest = prepare(preparation, tmp_path / "store")
    assert {m: said["rate_hz"] for m, said in manifest["modalities"].items()} == {"bvp": 4, "eda": 4, "temp": 4}
    assert manifest["subjects"] == ["S10", "S2"] and manifest["labels"]["condition"]["classes"][2] == "stress"
    preparation = prepare_wesad.get_config("sarkar2020")
    assert preparation.dataset.device is Device.CHEST and preparation.dataset.modalities == ("ecg",)
    assert preparation.preprocess.ecg.resample_hz == 256.0
    about = prepare_wesad.ABOUT
    assert len(about.subjects) == about.people == 15 and set(about.labels) == set(wesad.Config().make().label_specs)
