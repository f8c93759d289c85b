"""Drives: the rate that a header misstates, labels laid by the driver's marker, tables of 15.5 Hz, and real files."""

from pathlib import Path

import numpy as np
import pytest

from configs import prepare_drivedb
from ecgjax.data.prepare import prepare
from ecgjax.datasets import drivedb
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora import drivedb as corpus
from tests.fixtures import WfdbSignal, wave

DATA = Path(__file__).parents[2] / "shared" / "data" / "drivedb"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not here")
FIRST_S = 11.0
BORDERS_S = FIRST_S + 60 * np.cumsum((0, *corpus.MINUTES))
CONDITIONS = [0, 1, 2, 1, 2, 1, 0]
GSR = {"hand GSR(mV)": (wave(corpus.FRAMES, seed=4) + 2000) / 1000}


@pytest.fixture
def folder(tmp_path):
    corpus.write(tmp_path)
    return tmp_path


def load(root, key="drive10", **fields):
    return drivedb.Config(root=str(root), **fields).make().load(key)


def reason_of(root, key="drive10", **fields):
    with pytest.raises(DataError) as caught:
        load(root, key, **fields)
    return caught.value.reason


def write_table(folder, marker=None, **how):
    columns = GSR if marker is None else {**GSR, "marker(mV)": marker}
    corpus.write_table(folder / "csv_15hz" / "drive10.csv", columns, **how)


def assert_labels(recording, borders_s=BORDERS_S, conditions=CONDITIONS):
    assert [label.value for label in recording.labels] == conditions
    np.testing.assert_allclose([label.start_s for label in recording.labels], borders_s[:-1], atol=0.1)
    np.testing.assert_allclose([label.stop_s for label in recording.labels], borders_s[1:], atol=0.1)


def told(recording):
    *events, last = recording.events
    assert last == "drivedb_driver_unknown" and last not in events, "each drive counts as a person"
    return [event for event in events if event not in ("drivedb_ecg_too_slow", "drivedb_no_ecg")]


def test_parts_begin_with_a_press_and_not_with_the_recording(folder):
    recording = load(folder)
    assert_labels(recording)
    assert told(recording) == [] and {label.name for label in recording.labels} == {"condition"}
    assert drivedb.Config().make().label_specs["condition"].classes == ("rest", "city", "highway")


def test_presses_that_confirm_nothing_and_borders_without_a_press(folder):
    marker = corpus.marker(FIRST_S)
    for at_s in BORDERS_S[[0, 3]]:
        marker[round(15.5 * (at_s - 1)) : round(15.5 * (at_s + 2))] = 11.4
    write_table(folder, marker)
    recording = load(folder, modalities=("eda",))
    assert_labels(recording)
    assert told(recording) == ["drivedb_border_without_press"] * 2
    flat = np.where(np.arange(corpus.FRAMES) < 15.5 * BORDERS_S[4], 11.4, marker)
    write_table(folder, flat)
    recording = load(folder, modalities=("eda",))
    assert recording.labels == () and told(recording) == ["drivedb_labels_not_confirmed_by_marker"]


@pytest.mark.parametrize("every", [7, 40])
def test_noise_on_the_marker_confirms_nothing(folder, every):
    marker = corpus.marker(FIRST_S)
    marker[::every] += 20
    write_table(folder, marker)
    assert told(load(folder, modalities=("eda",))) == ["drivedb_labels_not_confirmed_by_marker"]


def test_parts_that_the_recording_does_not_hold(folder):
    marker = corpus.marker(FIRST_S)[round(15.5 * (FIRST_S + 2)) : round(15.5 * (BORDERS_S[-2] - 3))]
    columns = {name: values[: len(marker)] for name, values in GSR.items()}
    corpus.write_table(folder / "csv_15hz" / "drive10.csv", {**columns, "marker(mV)": marker})
    recording = load(folder, modalities=("eda",))
    at_s = BORDERS_S[:7] - (FIRST_S + 2)
    at_s[0], at_s[6] = 0, len(marker) / 15.5  # a part of the first and of the sixth, and none of the last
    assert_labels(recording, at_s, CONDITIONS[:6])
    assert sorted(told(recording)) == ["drivedb_part_outside_recording"]


def test_no_table_no_row_no_marker(folder):
    write_table(folder)
    assert told(load(folder, modalities=("eda",))) == ["drivedb_labels_without_marker"]
    assert told(load(folder, "drive01", modalities=("ecg",))) == ["drivedb_without_labels"]
    (folder / "time_intervals_clean.csv").write_text("")
    assert told(load(folder, modalities=("eda",))) == ["drivedb_without_labels"]
    (folder / "time_intervals_clean.csv").unlink()
    assert told(load(folder, modalities=("eda",))) == ["drivedb_without_labels"]


def test_a_part_that_was_not_recorded_is_left_out(folder):
    text = (folder / "time_intervals_clean.csv").read_text()
    (folder / "time_intervals_clean.csv").write_text(text.replace("0.35,1.85", "NaN,1.5"))
    assert_labels(load(folder), BORDERS_S[:-1], CONDITIONS[:-1])


@pytest.mark.parametrize(
    "old, new", [("Drive10", "Drive"), ("0.3,", "x,"), ("0.3,", "-1,"), ("0.3,", "0.3,1,"), ("0.3,", "1e9,")]
)
def test_a_table_of_parts_that_cannot_be_read_is_named(folder, old, new):
    text = (folder / "time_intervals_clean.csv").read_text()
    (folder / "time_intervals_clean.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match="time_intervals_clean.csv: unreadable table"):
        load(folder)


def test_a_header_that_says_15_hz_means_15_and_a_half(folder):
    recording = load(folder, "drive17a")
    assert "drivedb_header_says_15_hz" in recording.events
    assert (recording.subject, recording.session) == ("drive17", "a")
    assert load(folder, "drive01").signals["ecg"].rate_hz == recording.signals["ecg"].rate_hz == 496.0
    assert "drivedb_header_says_15_hz" not in load(folder, "drive01").events
    corpus.write_record(folder, "drive02", "31", [WfdbSignal("ECG", wave(500))])
    assert reason_of(folder, "drive02") == "wrong rate"


def test_channels_are_chosen_and_what_is_too_slow_left_out(folder):
    recording = load(folder, "drive01", modalities=("eda", "emg", "resp"))
    assert recording.signals.keys() == {"eda"}
    assert recording.events[:3] == ("drivedb_gsr_of_the_foot", "drivedb_emg_too_slow", "drivedb_no_resp")
    assert reason_of(folder, modalities=("emg", "ecg")) == "no channel"
    with pytest.raises(UserError, match="dataset.modalities"):
        drivedb.Config(modalities=("bvp",)).make()


def test_a_record_goes_before_its_table(folder):
    write_table(folder / "copy")
    (folder / "copy" / "csv_15hz" / "drive10.csv").rename(folder / "drive17a.csv")
    made = drivedb.Config(root=str(folder)).make()
    assert made.keys() == ("drive01", "drive10", "drive17a")
    assert made.load("drive17a").sources == ("drive17a.hea", "drive17a.dat")


def test_an_impulse_stays_at_its_second_in_every_signal(folder):
    """496 Hz, 31 Hz and 15.5 Hz, as recorded and as prepared; second 20."""
    at_s, num = 20.0, 620
    pulses = {}
    for name, per_frame in (("ECG", 32), ("hand GSR", 2), ("RESP", 1)):
        samples = np.zeros(num * per_frame, np.int64)
        samples[round(at_s * 15.5 * per_frame)] = 20000
        pulses[name] = WfdbSignal(name, samples + 5, gain="1000", per_frame=per_frame)
    corpus.write_record(folder, "drive03", "15", list(pulses.values()))
    recording = load(folder, "drive03")
    for modality, signal in recording.signals.items():
        assert abs(np.nanargmax(signal.samples_TC[:, 0]) / signal.rate_hz - at_s) <= 0.5 / signal.rate_hz, modality
    steps = preprocess.Config()
    for modality in (steps.ecg, steps.eda, steps.resp):
        modality.gate = type(modality.gate)(flat_s=0.0, padding_s=0.0)
    prepared = preprocess.prepare_recording(recording, steps)
    for modality, signal in prepared.signals.items():
        assert abs(np.argmax(signal.samples_TC[:, 0]) / signal.rate_hz - at_s) <= 0.6 / signal.rate_hz, modality
    assert prepared.signals.keys() == {"ecg", "eda", "resp"}


def replaced(old, new):
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    "how, reason",
    [
        (replaced("Elapsed time(s)", "n"), "unreadable table"), (lambda text: text.split("\n")[0], "unreadable table"),
        (lambda text: "", "unreadable table"), (lambda text: text[: text.rindex(",") - 9], "truncated"),
        (replaced("\n0.065,", "\nnoon,"), "not a number"), (replaced("\n0.065,", "\n9.065,"), "time stamps"),
        (replaced("\n0.065,", "\n0.065,1,2,3,4,5,6,"), "unreadable table"),
        (lambda text: text + '"', "unreadable table"),
        (lambda text: text.replace("\n", ",1\n").replace(",1\n", "\n", 1), "unreadable table"),
    ],
)  # fmt: skip
def test_tables_that_are_refused(folder, how, reason):
    path = folder / "csv_15hz" / "drive10.csv"
    path.write_text(how(path.read_text()))
    assert reason_of(folder) == reason


def test_a_number_beyond_float32_is_infinite(folder):
    path = folder / "csv_15hz" / "drive10.csv"
    *rows, last = path.read_text().splitlines()
    path.write_text("\n".join([*rows, last.rpartition(",")[0] + ",1e308"]) + "\n")
    made = drivedb.Config(root=str(folder)).make()
    assert made.load("drive10").signals["resp"].samples_TC[-1] == np.inf


def test_a_gap_in_the_time_stamps_is_missing_samples(folder):
    path = folder / "csv_15hz" / "drive10.csv"
    text = path.read_text()
    path.write_text(text[: text.index("\n9.032,")] + text[text.index("\n20.065,") :])
    recording = load(folder)
    assert told(recording) == ["drivedb_gap", "drivedb_border_without_press"]
    assert_labels(recording)
    missing = np.flatnonzero(np.isnan(recording.signals["eda"].samples_TC[:, 0])) / 15.5
    assert abs(missing[0] - 9.032) < 0.1 and abs(missing[-1] - 20.0) < 0.1 and len(missing) == 171


@pytest.mark.parametrize("rate_hz, fits", [(15.4, True), (15.6, True), (15.2, False), (31.0, False)])
def test_time_stamps_must_say_what_the_set_says(folder, rate_hz, fits):
    write_table(folder, corpus.marker(FIRST_S), rate_hz=rate_hz)
    if fits:
        assert load(folder, modalities=("eda",)).signals["eda"].rate_hz == 15.5
    else:
        assert reason_of(folder, modalities=("eda",)) == "wrong rate"


def test_its_config_prepares_it(folder):
    preparation = prepare_drivedb.get_config()
    preparation.dataset.root, preparation.workers = str(folder), 1
    manifest = prepare(preparation, folder / "store")
    assert manifest["subjects"] == ["drive01", "drive10", "drive17"]
    assert set(manifest["subjects"]) <= set(prepare_drivedb.ABOUT.subjects)


@needs_data
def test_real_drives():
    """drive10 is here as a table, the first part of drive17 as a record."""
    table, record = load(DATA, "drive10"), load(DATA, "drive17a")
    assert told(table) == [] and [label.value for label in table.labels] == CONDITIONS
    borders_s = [table.labels[0].start_s, *(label.stop_s for label in table.labels)]
    np.testing.assert_allclose(
        np.array(borders_s) / 60, [2.58, 17.62, 32.92, 41.58, 46.85, 53.89, 65.95, 80.74], atol=0.02
    )
    hours = {m: round(s.duration_s / 3600, 3) for m, s in table.signals.items()}
    assert hours == {"eda": 1.355, "resp": 1.355}
    assert told(record) == ["drivedb_header_says_15_hz", "drivedb_without_labels"]
    assert {m: (s.rate_hz, s.unit) for m, s in record.signals.items()} == {
        "ecg": (496.0, "mV"), "eda": (31.0, "unknown"), "resp": (31.0, "unknown")
    }  # fmt: skip


@needs_data
@pytest.mark.filterwarnings("default")
def test_the_real_record_s_beats_have_the_rate_of_its_own_channel_of_heart_rates():
    import neurokit2

    from ecgjax.datasets import base_wfdb

    header = base_wfdb.read_header(DATA / "drive17a")
    told_T = base_wfdb.read_signal(header, [header.names.index("HR")]).samples_TC[:, 0]
    ecg = load(DATA, "drive17a").signals["ecg"]
    clean_T = neurokit2.ecg_clean(ecg.samples_TC[:, 0], sampling_rate=496)
    beats = neurokit2.ecg_peaks(clean_T, sampling_rate=496)[1]["ECG_R_Peaks"]
    bpm = 60 * ecg.rate_hz / np.diff(beats)
    told_bpm = told_T[np.minimum(beats[1:] // 32, len(told_T) - 1)]
    assert abs(np.median(bpm / told_bpm) - 1) < 0.01
