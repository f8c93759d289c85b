"""WESAD: pickles of two devices, conditions, questionnaires and their times, and each device by itself."""

import collections
import math
from pathlib import Path

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import base_chest_wrist, base_wesad_quest, wesad
from ecgjax.datasets.base_chest_wrist import Device
from ecgjax.datasets.wesad import Source
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from ecgjax.signals.quality import Gate
from ecgjax.signals.recording import Signal
from tests import chest_wrist, pickle_files
from tests.corpora.wesad import (
    ANXIETY,
    AROUSAL,
    END,
    SECONDS,
    STAI,
    START,
    STRETCHES,
    VALENCE,
    ids,
    panas,
    quest,
    write,
    write_belt,
    write_person,
)
from tests.fixtures import write_e4

CONDITIONS = [
    (float(start), float(stop), float(number))
    for (number, _), start, stop in zip(
        STRETCHES, np.cumsum([0] + [s for _, s in STRETCHES]), np.cumsum([s for _, s in STRETCHES]), strict=False
    )
]
ASKED = [(0.5, 2.5), (3.0, 4.0), (4.5, 5.5), (5.75, 6.75), (7.25, 8.25)]  # base, stress, meditation, fun, meditation
TWO_MEANINGS = {"wesad_quest_time_of_two_meanings": 2}
POSITIVE = "active interested inspired strong excited proud enthusiastic alert determined attentive".split()
ITEMS = (
    "active distressed interested inspired annoyed strong guilty scared hostile excited proud irritable enthusiastic "
    "ashamed alert nervous determined attentive jittery afraid"
).split()


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
    assert recording.sources == ("S4/S4.pkl", "S4/S4_quest.csv")


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


def test_values_that_no_float32_has_are_none(tmp_path):
    own = chest_wrist.person(SECONDS, 3)
    own.chest["ECG"][[3, 4, 5], 0] = 1e300, -np.inf, np.nan
    recording = pickled(tmp_path, signal={"chest": own.chest})
    ecg_T = recording.signals["ecg"].samples_TC[:, 0]
    assert np.isnan(ecg_T[3:6]).all() and np.isfinite(np.delete(ecg_T, [3, 4, 5])).all()
    assert counted(recording)["wesad_infinite_ecg"] == 1


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
    little = chest_wrist.person(SECONDS - 0.75, 3)
    assert not [name for name in pickled(tmp_path, signal={"chest": little.chest}).events if "differ" in name]


def test_the_person_of_the_file_is_compared_with_its_name(tmp_path):
    assert counted(pickled(tmp_path, subject="S9"))["wesad_other_subject_in_file"] == 1
    assert counted(pickled(tmp_path, subject=b"S3"))["wesad_other_subject_in_file"] == 0


def test_ppg_dalia_is_not_taken_for_wesad(tmp_path):
    with pytest.raises(DataError, match=r"another data set.*configs/prepare_ppg_dalia.py"):
        pickled(tmp_path, activity=np.zeros((35, 1)))


def test_what_people_said_holds_over_their_condition(folder):
    recording = load(folder)
    assert intervals(recording, "valence") == [(*span, float(v)) for span, v in zip(ASKED, VALENCE, strict=True)]
    assert intervals(recording, "arousal") == [(*span, float(v)) for span, v in zip(ASKED, AROUSAL, strict=True)]
    assert intervals(recording, "anxiety") == [(*span, float(v)) for span, v in zip(ASKED, ANXIETY, strict=True)]
    for name, wanted in (("positive_affect", True), ("negative_affect", False)):
        sums = [
            sum(number for number, item in zip(panas(row), ITEMS, strict=False) if (item in POSITIVE) is wanted)
            for row in range(5)
        ]
        assert intervals(recording, name) == [(*span, float(v)) for span, v in zip(ASKED, sums, strict=True)]
    specs = wesad.Config().make().label_specs
    assert {(s.low, s.high, s.rater) for n, s in specs.items() if n != "condition"} == {
        (1, 9, "self"), (6, 24, "self"), (10, 50, "self"),
    }  # fmt: skip


def read_quest(tmp_path, text: str, stretches=tuple(CONDITIONS)):
    (tmp_path / "q.csv").write_text(text)
    labels, events = base_wesad_quest.read(tmp_path / "q.csv", [(a, b, int(c)) for a, b, c in stretches])
    return labels, collections.Counter(events)


@pytest.mark.parametrize(
    ("start", "end", "event"),
    [
        ("7.08", "7.30", ""),
        ("7", "7.22", ""),
        ("7.8", "7.30", ""),  # 7:08: there is no 7:80
        ("7.1", "7.32", "time_of_two_meanings"),  # 7:10 fits, 7:01 does not
        ("7.1", "7.23", "time_of_two_meanings"),  # 7:01 fits
        ("7.1", "7.45", "time_of_two_meanings time_differs"),
        ("7.08", "7.33", "time_differs"),
        ("7.08", "7.27", "time_differs"),
        ("7.08", "7.61", "without_time"),
        ("7.08", "", "without_time"),
        ("7,08", "7.30", "without_time"),
        ("7.080", "7.30", "without_time"),
        ("-7.08", "7.30", "without_time"),
    ],
)
def test_times_are_minutes_and_seconds_whose_zeros_may_be_lost(tmp_path, start, end, event):
    _, events = read_quest(tmp_path, quest("S2", (start, *START[1:]), (end, "40.16", "70.40", *END[3:])))
    assert events == {f"wesad_quest_{said}": 1 for said in event.split()}


def test_other_orders_and_readings(tmp_path):
    """Fun before stress, as half of the people had it; readings stand among the conditions."""
    swapped = [(a, b, {2: 3, 3: 2}.get(c, c)) for a, b, c in CONDITIONS]
    order = ("bRead", "Base", "fRead", "Fun", "Medi 1", "TSST", "Medi 2")
    start, end = ("5.00", "7.08", "9.00", *START[1:5]), ("6.00", "7.30", "9.10", "40.16", "70.40", *END[3:5])
    labels, events = read_quest(tmp_path, quest("S2", start, end, order), swapped)
    assert [(x.start_s, x.stop_s, x.value) for x in labels if x.name == "arousal"] == [
        (*span, float(v)) for span, v in zip(ASKED, AROUSAL, strict=True)
    ]
    assert not events


def test_what_cannot_be_told_apart_is_left_out(tmp_path):
    one = [c for c in CONDITIONS if c != (7.25, 8.25, 4.0)]
    labels, events = read_quest(tmp_path, quest("S2"), one)
    assert events["wesad_quest_without_stretch"] == 2, "of two meditations one stretch: whose is it?"
    assert [(x.start_s, x.value) for x in labels if x.name == "valence"] == [(0.5, 6.0), (3.0, 2.0), (5.75, 8.0)]
    labels, events = read_quest(tmp_path, quest("S2"), [*CONDITIONS, (9.0, 10.0, 1.0)])
    assert events["wesad_quest_without_stretch"] == 1 and len([x for x in labels if x.name == "valence"]) == 4


def test_questionnaires_that_are_incomplete(tmp_path):
    text = quest("S2")
    stai = ";".join(map(str, STAI[1]))
    for bad in (stai.replace("4", "5"), stai.replace("4", ""), stai.replace("2", "x"), "1;4", stai.replace("3", "²")):
        labels, events = read_quest(tmp_path, text.replace(stai, bad))
        assert events["wesad_quest_without_answer"] == 1
        assert len([x for x in labels if x.name == "anxiety"]) == 4 and len(labels) == 24
    labels, events = read_quest(tmp_path, text.replace("# DIM;6;2", "# DIM;6;0"))
    assert events["wesad_quest_without_answer"] == 1 and [x.name for x in labels].count("valence") == 5
    labels, events = read_quest(tmp_path, text.replace("# DIM;6;2", "# DUM;6;2"))
    assert events["wesad_quest_other_number_of_dim"] == 1 and {x.name for x in labels} == {
        "anxiety", "positive_affect", "negative_affect",
    }  # fmt: skip
    _, events = read_quest(tmp_path, text.replace("fRead", "gRead"))
    assert events["wesad_quest_of_unknown_condition"] == 1
    for nothing in ("", "\0\xff;;;\n" * 9, text.replace("# ORDER", "# OTHER")):
        assert read_quest(tmp_path, nothing) == ([], {"wesad_quest_unreadable": 1})
    assert base_wesad_quest.read(tmp_path / "gone.csv", []) == ([], ["wesad_no_quest"])


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
    assert recording.sources == ("S2/S2_respiban.txt", "S2/S2.pkl", "S2/S2_quest.csv")
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
    assert set(recording.sources) > {"S2/S2.pkl", "S2/S2_quest.csv"} and len(recording.sources) == (
        6 if unpacked else 3
    )
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


def test_counts_that_a_thermistor_or_a_converter_cannot_give(folder):
    own = chest_wrist.person(2.0)
    own.counts[0, 3], own.counts[1, 3], own.counts[2, 0], own.counts[3, 0] = 0, 65535, 70000, -1
    write_belt(folder / "S2" / "S2_respiban.txt", own.counts)
    recording = load(folder, source=Source.RAW)
    temp_T = recording.signals["temp"].samples_TC[:, 0]
    np.testing.assert_allclose(temp_T[:2], -273.15, rtol=1e-6)
    assert np.isfinite(temp_T).all() and temp_T[2:].min() > 0
    assert np.flatnonzero(np.isnan(recording.signals["ecg"].samples_TC[:, 0])).tolist() == [2, 3]
    assert counted(recording)["wesad_raw_value_outside_16_bits"] == 1


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
