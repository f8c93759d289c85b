"""WESAD's other files: the text of the belt, and the wristband's own session."""

import os
from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import base_chest_wrist
from ecgjax.datasets.base_chest_wrist import Device
from ecgjax.datasets.wesad import Source
from ecgjax.errors import DataError
from ecgjax.signals.recording import Signal
from tests import chest_wrist, pickle_files
from tests.corpora.wesad import (
    SECONDS,
    ids,
    write_belt,
    write_person,
)
from tests.fixtures import write_e4
from tests.test_datasets_wesad import CONDITIONS, TWO_MEANINGS, counted, intervals, load


@pytest.fixture
def folder(tmp_path) -> Path:
    write_person(tmp_path / "S2", "S2", 1)
    return tmp_path


def test_the_belt_s_text_by_the_header_s_order(folder):
    """It begins two seconds before the pickle, whose samples are found in it."""
    recording = load(folder, source=Source.RAW)
    belt = chest_wrist.person(2.0 + SECONDS + 1.0, 1)
    expected = belt.expected("chest")
    assert recording.signals.keys() == expected.keys()
    for modality, (samples_TC, rate_hz, unit, channels) in expected.items():
        signal = recording.signals[modality]
        assert (signal.rate_hz, signal.unit, signal.channels) == (rate_hz, unit, channels)
        np.testing.assert_allclose(signal.samples_TC, samples_TC, rtol=1e-5, atol=1e-6)
    assert intervals(recording, "condition") == [(a + 2, b + 2, c) for a, b, c in CONDITIONS]
    assert intervals(recording, "valence")[0] == (2.5, 4.5, 6.0)
    assert counted(recording) == {**TWO_MEANINGS, "wesad_synchronised_by_samples": 1}
    assert recording.start_time == "2017-05-22T09:39:08"
    assert recording.sources == ("S2/S2_respiban.txt",)
    few = load(folder, source=Source.RAW, modalities=("resp",))
    assert list(few.signals) == ["resp"] and few.labels == recording.labels


@pytest.mark.parametrize("unpacked", [True, False])
def test_the_wristband_s_own_session(folder, unpacked):
    if unpacked:
        (folder / "S2" / "S2_E4_Data.zip").unlink()
        write_e4(folder / "S2" / "S2_E4_Data", 1495437325, 3.0 + SECONDS + 1.25, 1)
    recording = load(folder, device=Device.WRIST, source=Source.RAW)
    assert intervals(recording, "condition") == [(a + 3, b + 3, c) for a, b, c in CONDITIONS]
    assert recording.signals["bvp"].duration_s == 3.0 + SECONDS + 1.25
    assert counted(recording) == {**TWO_MEANINGS, "wesad_synchronised_by_samples": 1, "e4_eda_begins_with_zero": 1}
    assert recording.start_time == "2017-05-22T07:15:25+00:00"
    band = ("S2_E4_Data/ACC.csv", "S2_E4_Data/BVP.csv", "S2_E4_Data/EDA.csv", "S2_E4_Data/TEMP.csv")
    assert recording.sources == tuple(f"S2/{name}" for name in (band if unpacked else ("S2_E4_Data.zip",)))
    few = load(folder, device=Device.WRIST, source=Source.RAW, modalities=("eda",))
    assert list(few.signals) == ["eda"] and few.labels == recording.labels


def test_a_device_by_itself_has_no_labels_where_its_samples_are_not_found(folder):
    other = chest_wrist.person(SECONDS, 8)
    tree = {"signal": {"chest": other.chest, "wrist": other.wrist}, "label": ids(), "subject": "S2"}
    pickle_files.write(folder / "S2" / "S2.pkl", tree)
    for device in Device:
        recording = load(folder, device=device, source=Source.RAW)
        assert recording.labels == () and counted(recording)["wesad_not_synchronised"] == 1
    (folder / "S2" / "S2.pkl").unlink()
    for device in Device:
        recording = load(folder, device=device, source=Source.RAW)
        assert recording.labels == () and counted(recording)["wesad_without_labels"] == 1


def signal(samples_T, rate_hz=64.0, start_s=0.0):
    return Signal(np.asarray(samples_T, np.float32)[:, None], rate_hz, "mV", ("ECG",), start_s)


def test_a_signal_is_found_in_another_at_one_place_or_not_at_all():
    rng = np.random.default_rng(0)
    whole_T = rng.integers(0, 9, 5000)
    place_of = base_chest_wrist.place_of
    assert place_of(signal(whole_T[1000:3000]), signal(whole_T)) == 1000 / 64
    assert place_of(signal(whole_T[1000:3000]), signal(whole_T, start_s=2.0)) == 2 + 1000 / 64
    assert place_of(signal(whole_T), signal(whole_T)) == 0.0
    assert place_of(signal(whole_T), signal(whole_T[500:4500])) == -500 / 64
    assert place_of(signal(whole_T[:100]), signal(whole_T)) == 0.0
    assert place_of(signal(rng.integers(0, 9, 2000)), signal(whole_T)) is None
    assert place_of(signal(np.zeros(2000)), signal(np.zeros(5000))) is None, "everywhere"
    assert place_of(signal(whole_T[:2000]), signal(np.concatenate([whole_T, whole_T]))) is None, "twice"
    assert place_of(signal(whole_T[:2000]), signal(whole_T[:100])) is None, "shorter than what is looked for"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling rate": 0}, "wrong rate"),
        ({"sampling rate": "fast"}, "wrong rate"),
        ({"sampling rate": float("nan")}, "wrong rate"),
        ({"sensor": []}, "unreadable header"),
        ({"sensor": [1] * 8}, "unreadable header"),
        ({"sensor": "ECG"}, "unreadable header"),
        ({"sensor": ["RAW"] * 8}, "no signal"),
        ({"sensor": ["ECG"] * 9}, "unreadable table"),
    ],
    ids=str,
)
def test_headers_of_the_belt_that_say_nothing(folder, changes, message):
    write_belt(folder / "S2" / "S2_respiban.txt", chest_wrist.person(2.0).counts, **changes)
    with pytest.raises(DataError, match=f"S2_respiban.txt: {message}"):
        load(folder, source=Source.RAW)


def test_headers_of_the_belt_that_say_it_otherwise(folder):
    path = folder / "S2" / "S2_respiban.txt"
    own = chest_wrist.person(2.0)
    names = ["ecg ", "EDA", "EMG", "TEMP", "Z", "X", "Y", "Resp"]
    write_belt(path, own.counts[:, [0, 1, 2, 3, 6, 4, 5, 7]], sensor=names, date="today", **{"sampling rate": 350.0})
    recording = load(folder, source=Source.RAW)
    np.testing.assert_allclose(recording.signals["acc"].samples_TC, own.chest["ACC"], rtol=1e-5)
    np.testing.assert_allclose(recording.signals["resp"].samples_TC, own.chest["Resp"], rtol=1e-5)
    assert recording.signals["ecg"].rate_hz == 350.0 and recording.start_time == ""
    write_belt(path, own.counts, sensor=["ECG", "EDA", "?", "TEMP", "XYZ", "XYZ", "?", "RESPIRATION"])
    recording = load(folder, source=Source.RAW)
    assert list(recording.signals) == ["ecg", "eda", "temp", "resp"]
    assert counted(recording)["wesad_no_emg"] == counted(recording)["wesad_no_acc"] == 1


def test_samples_that_the_belt_lost_are_a_gap(folder):
    """Lines 350 to 1049, and one, before the pickle begins: what comes after stays where it was."""
    path = folder / "S2" / "S2_respiban.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:353] + lines[1053:1103] + lines[1104:]))
    recording = load(folder, source=Source.RAW)
    for modality, (samples_TC, *_) in chest_wrist.person(2.0 + SECONDS + 1.0, 1).expected("chest").items():
        samples_TC = samples_TC.copy()
        samples_TC[350:1050] = samples_TC[1100] = np.nan
        np.testing.assert_allclose(recording.signals[modality].samples_TC, samples_TC, rtol=1e-5, atol=1e-6)
    assert intervals(recording, "condition") == [(a + 2, b + 2, c) for a, b, c in CONDITIONS]
    assert counted(recording) == {**TWO_MEANINGS, "wesad_synchronised_by_samples": 1, "wesad_gap": 2}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (("0", "nan", "2"), "unreadable table. Line 5 lacks a number"),
        (("0", "inf", "2"), "unreadable table. Line 5 lacks a number"),
        (("-1e308", "0", "1e308"), "unreadable table. Line 4 lacks a number"),
        (("0", "1", "6"), "most samples are missing. Its numbers span 7 samples, of which it has 3"),
        (("0", "x", "2"), "unreadable table"),
    ],
)
def test_numbers_of_samples_that_cannot_be(folder, numbers, message):
    path = folder / "S2" / "S2_respiban.txt"
    lines = path.read_text().splitlines(keepends=True)[:6]
    own = [line.replace(str(row), numbers[row], 1) for row, line in enumerate(lines[3:])]
    path.write_text("".join(lines[:3] + own))
    with pytest.raises(DataError, match=f"S2_respiban.txt: {message}"):
        load(folder, source=Source.RAW)


@pytest.mark.parametrize("every", [4096, 1])
def test_numbers_that_begin_again_or_stay_lose_no_sample(folder, every):
    path = folder / "S2" / "S2_respiban.txt"
    lines = path.read_text().splitlines(keepends=True)
    numbered = [f"{row % every}\t{line.partition(chr(9))[2]}" for row, line in enumerate(lines[3:])]
    path.write_text("".join(lines[:3] + numbered))
    recording = load(folder, source=Source.RAW)
    for modality, (samples_TC, *_) in chest_wrist.person(2.0 + SECONDS + 1.0, 1).expected("chest").items():
        np.testing.assert_allclose(recording.signals[modality].samples_TC, samples_TC, rtol=1e-5, atol=1e-6)
    assert counted(recording)["wesad_numbers_not_in_order"] == 1


def test_counts_that_a_thermistor_or_a_converter_cannot_give(folder):
    own = chest_wrist.person(2.0)
    own.counts[0, 3], own.counts[1, 3], own.counts[2, 0], own.counts[3, 0] = 0, 65535, 70000, -1
    path = folder / "S2" / "S2_respiban.txt"
    write_belt(path, own.counts)
    path.write_text(path.read_text().replace("\t70000\t", "\t1e300\t"))
    recording = load(folder, source=Source.RAW)
    temp_T = recording.signals["temp"].samples_TC[:, 0]
    np.testing.assert_allclose(temp_T[:2], -273.15, rtol=1e-6)
    assert np.isfinite(temp_T).all() and temp_T[2:].min() > 0
    assert np.flatnonzero(np.isnan(recording.signals["ecg"].samples_TC[:, 0])).tolist() == [2, 3]
    assert counted(recording)["wesad_raw_value_outside_16_bits"] == 1


def test_a_text_of_the_belt_that_no_person_fills(folder):
    os.truncate(folder / "S2" / "S2_respiban.txt", (1 << 29) + 1)  # without bytes on the disk
    with pytest.raises(DataError, match="S2_respiban.txt: too large"):
        load(folder, source=Source.RAW)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-4], "truncated. It ends within a line"),
        (lambda text: text[: -len("32000\t32000\t\n")], "truncated"),
        (lambda text: text[: text.index("EndOfHeader")], "no samples|truncated"),
        (lambda text: text.replace("\t0\t3", "\t0\tx3", 1), "unreadable table"),
        (lambda text: text.replace("\t0\t3", "\t0\t\t3", 1), "unreadable table"),
        (lambda text: text.replace("\t0\t", "\t", 1), "unreadable table. Line 4 lacks a number"),
        (lambda text: "# \n" * 99 + text, "unreadable header"),
        (lambda text: "[" * 100_000, "unreadable header"),
        (lambda text: "# " + '{"a":' * 9000 + "\n" + text.split("\n", 2)[2], "unreadable header"),
        (lambda text: "", "unreadable header"),
    ],
)
def test_texts_of_the_belt_that_are_damaged(folder, damage, message):
    path = folder / "S2" / "S2_respiban.txt"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=f"S2_respiban.txt: ({message})"):
        load(folder, source=Source.RAW)
