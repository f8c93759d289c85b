"""Text tables: delimiters, names, units, rates from every place that may state one, gaps, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from ecgjax.data.prepare import Preparation, prepare
from ecgjax.datasets import csv
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, UserError
from ecgjax.signals.quality import Gate
from tests.fixtures import wave

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not here")
ECG = wave(200) / 1000


def load(path, text=None, **fields):
    if text is not None:
        path.write_text(text, encoding="utf-8")
    return csv.Config(root=str(path), **fields).make().load(path.name)


def rows(*columns, sep=","):
    return "".join(sep.join(str(value) for value in row) + "\n" for row in zip(*columns, strict=True))


def times(rate_hz, num=200, scale=1.0, digits=6):
    return [round(i / rate_hz * scale, digits) for i in range(num)]


def refused(path, text, **fields):
    with pytest.raises(DataError) as caught:
        load(path, text, **fields)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.csv"


@pytest.mark.parametrize("sep", [",", "\t", ";"])
@pytest.mark.parametrize("named", [True, False])
def test_delimiters_with_and_without_names(path, sep, named):
    text = rows(range(200), ECG, sep=sep)
    fields = {} if named else {"channels": Channels(ecg=("1",))}
    recording = load(path, (sep.join(["n", "ECG (mV)"]) + "\n" if named else "") + text, rate_hz=250.0, **fields)
    signal = recording.signals["ecg"]
    np.testing.assert_allclose(signal.samples_TC[:, 0], ECG, rtol=1e-6)
    assert (signal.rate_hz, signal.unit) == (250.0, "mV" if named else "unknown")


def test_decimal_commas(path):
    text = rows(*([str(v).replace(".", ",") for v in column] for column in (times(250), ECG)), sep=";")
    signal = load(path, "time;ecg\n" + text).signals["ecg"]
    np.testing.assert_allclose(signal.samples_TC[:, 0], ECG, rtol=1e-6)
    assert signal.rate_hz == 250


@pytest.mark.parametrize(
    "name, scale, digits",
    [("time", 1, 6), ("Time [ms]", 1e3, 3), ("t (us)", 1e6, 0), ("Elapsed time(s)", 1, 3), ("timestamp", 1, 4)],
)
def test_rate_from_a_column_of_times(path, name, scale, digits):
    text = f"{name},ECG\n" + rows(times(128, 200, scale, digits), ECG)
    assert load(path, text).signals["ecg"].rate_hz == 128


def test_rate_from_dates(path):
    stamps = np.datetime64("2024-05-01T10:00:00") + (np.arange(200) * 4000).astype("timedelta64[us]")
    assert load(path, "datetime,ECG\n" + rows(stamps, ECG)).signals["ecg"].rate_hz == 250


@pytest.mark.parametrize(
    ("first", "scale", "start"),
    [
        (1_714_557_600_500, 1e3, "2024-05-01T10:00:00.500000+00:00"),
        (1_714_557_600, 1, "2024-05-01T10:00:00+00:00"),
        (0, 1, ""),
        (3_000_000_000_000, 1e3, "2065-01-24T05:20:00+00:00"),
        (8_000_000_000_000, 1e3, ""),
    ],
)
def test_the_start_of_times_since_1970(path, first, scale, start):
    text = "time,ECG\n" + rows([first + i * 4 * scale / 1000 for i in range(200)], ECG)
    assert load(path, text).start_time == start


@pytest.mark.parametrize(
    ("first", "zone", "start"),
    [
        ("2024-05-01T10:00:00.5", "+02:00", "2024-05-01T10:00:00.500000+02:00"),
        ("2024-05-01T10:00", "Z", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01T10:00", "", "2024-05-01T10:00:00"),
        ("1970-01-01T10:00", "", ""),
    ],
)
def test_the_start_of_dates(path, first, zone, start):
    stamps = [f"{stamp}{zone}" for stamp in np.datetime64(first, "us") + 4000 * np.arange(200)]
    recording = load(path, "datetime,ECG\n" + rows(stamps, ECG))
    assert recording.start_time == start and recording.signals["ecg"].rate_hz == 250


def test_the_start_is_unknown_where_times_are_in_another_unit_than_they_say(path):
    stamps = [1.5e9 + 4 * i for i in range(200)]  # seconds, by their size; milliseconds, by the rate
    assert load(path, "time,ECG\n" + rows(stamps, ECG), rate_hz=250.0).start_time == ""


def test_a_stated_rate_is_checked_against_the_times(path):
    text = "time,ecg\n" + rows(times(250), ECG)
    assert load(path, text, rate_hz=250.5).signals["ecg"].rate_hz == 250.5  # as near as clocks are
    with pytest.raises(DataError, match=r"wrong rate\. The time stamps say 250 Hz, 500 Hz is stated"):
        load(path, text, rate_hz=500.0)
    milliseconds = "time,ecg\n" + rows(times(250, scale=1000), ECG)  # no unit is given, but only one fits
    assert load(path, milliseconds, rate_hz=250.0).signals["ecg"].rate_hz == 250
    assert refused(path, "# Sampling Rate (Hz):= 1000.00\n" + rows(ECG), rate_hz=250.0) == "wrong rate"


def test_a_missing_rate_names_the_flag_and_stops_that_file_alone(path):
    with pytest.raises(DataError, match=r"a\.csv: no sampling rate.*--config\.dataset\.rate_hz"):
        load(path, "ecg\n" + rows(ECG))
    good = rows(times(250, 5000), np.resize(ECG, 5000))
    path.with_name("b.csv").write_text("time,ecg (mV)\n" + good)
    told = Preparation(csv.Config(root=str(path.parent)), workers=1)
    told.preprocess.ecg.gate = Gate()  # these waves are no heart's
    manifest = prepare(told, path.with_name("store"))
    assert manifest["num_recordings"] == 1 and list(manifest["skipped_files"]) == ["no sampling rate"]


@pytest.mark.parametrize("rate_hz", [-5.0, float("nan"), float("inf")])
def test_rates_that_are_none_are_refused_by_field(rate_hz):
    with pytest.raises(UserError, match=f"--config.dataset.rate_hz={rate_hz}: give a rate in Hz, or 0"):
        csv.Config(rate_hz=rate_hz).make()


def test_missing_rows_are_nan(path):
    stamps, ecg = times(250), list(ECG)
    del stamps[50:60], ecg[50:60]
    recording = load(path, "time,ecg\n" + rows(stamps, ecg))
    samples = recording.signals["ecg"].samples_TC[:, 0]
    assert recording.events == ("csv_gap",)
    assert np.flatnonzero(np.isnan(samples)).tolist() == list(range(50, 60))
    np.testing.assert_allclose(samples[60:], ECG[60:], rtol=1e-6)


def test_empty_cells_are_nan(path):
    cells = [str(v) for v in ECG]
    cells[3:6] = ["", "nan", "NaN"]
    samples = load(path, "n,ecg\n" + rows(range(200), cells), rate_hz=100.0).signals["ecg"].samples_TC[:, 0]
    assert np.flatnonzero(np.isnan(samples)).tolist() == [3, 4, 5]


def test_an_empty_line_of_the_only_column_is_a_missing_sample(path):
    samples = load(path, "ecg\n1\n\n3\n# a note\n4\n\n\n", rate_hz=100.0).signals["ecg"].samples_TC[:, 0]
    np.testing.assert_array_equal(samples, [1, np.nan, 3, 4])
    samples = load(path, "n,ecg\n0,1\n\n1,3\n\n", rate_hz=100.0).signals["ecg"].samples_TC[:, 0]
    np.testing.assert_array_equal(samples, [1, 3])


def test_comment_lines_state_rate_and_names(path):
    head = "# Simple Text Format\n# Sampling Rate (Hz):= 500.00\n# Resolution:= 12\n# Labels:= EDA\tECG\n"
    signals = load(path, head + rows(range(200), ECG, sep="\t"), modalities=("ecg", "eda")).signals
    assert {m: (s.rate_hz, s.channels) for m, s in signals.items()} == {
        "ecg": (500.0, ("ECG",)), "eda": (500.0, ("EDA",))
    }  # fmt: skip
    np.testing.assert_allclose(signals["eda"].samples_TC[:, 0], np.arange(200))


def test_the_only_column_is_the_only_modality(path):
    recording = load(path, rows(ECG), rate_hz=250.0, modalities=("ecg",), unit="uV")
    np.testing.assert_allclose(recording.signals["ecg"].samples_TC[:, 0], ECG / 1000, rtol=1e-6)
    assert recording.events == ("ecg_channel_guessed",)


def test_units_of_several_columns_go_to_one(path):
    text = "I (mV),II (uV)\n" + rows(ECG, ECG * 1000)
    signal = load(path, text, rate_hz=250.0, channels=Channels(ecg=("i", "ii"))).signals["ecg"]
    np.testing.assert_allclose(signal.samples_TC, np.stack([ECG, ECG], 1), rtol=1e-6)
    mixed = "I (mV),II (bpm)\n" + rows(ECG, ECG)
    assert refused(path, mixed, rate_hz=250.0, channels=Channels(ecg=("I", "II"))) == "channels do not go together"


@pytest.mark.parametrize(
    "text, rate_hz",
    [
        ("Sampling Rate (Hz):= 1000.", 1000), ("fs = 250.5 Hz", 250.5), ("sampling frequency: 1e3", 1000),
        ('{"sampling rate": 500, "resolution": [12]}', 500), ("rate=[128]", 128),
        ("Sampling rate: 1,000 Hz", 0), ("rate: 1.2.3", 0), ("rate = ...", 0), ("fs = 1e999", 0), ("fs = 0", 0),
    ],
)  # fmt: skip
def test_rates_that_a_comment_states_or_only_seems_to(path, text, rate_hz):
    """A thousand that is written "1,000" is not one."""
    if rate_hz:
        assert load(path, f"# {text}\n" + rows(ECG)).signals["ecg"].rate_hz == rate_hz
    else:
        assert refused(path, f"# {text}\n" + rows(ECG)) == "no sampling rate"


@pytest.mark.parametrize("zone", ["Z", "+02:00", "+0530"])
def test_dates_may_have_a_time_zone(path, zone):
    stamps = np.datetime64("2024-05-01T10:00:00.000") + np.arange(200) * 4
    assert load(path, "datetime,ECG\n" + rows([f"{s}{zone}" for s in stamps], ECG)).signals["ecg"].rate_hz == 250


@pytest.mark.parametrize("scale", [1, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("name", ["timestamp", "time (UTC)"])
def test_seconds_since_1970_or_their_thousandths(path, name, scale):
    stamps = [f"{(1714557600 + i / 250) * scale:.{3 if scale == 1 else 0}f}" for i in range(200)]
    assert load(path, f"{name},ECG\n" + rows(stamps, ECG)).signals["ecg"].rate_hz == 250


@pytest.mark.parametrize("unit, scale", [("msec", 1e3), ("Milliseconds", 1e3), ("minutes", 1 / 60), ("h", 1 / 3600)])
def test_units_of_time(path, unit, scale):
    text = f"time ({unit}),ECG\n" + rows(times(250, scale=scale, digits=12), ECG)
    assert load(path, text).signals["ecg"].rate_hz == 250


def test_a_line_and_a_table_without_end_are_refused(path, monkeypatch):
    monkeypatch.setattr(csv, "_MAX_LINE", 100)
    assert refused(path, "n,ecg\n" + "1" * 100 + ",2\n", rate_hz=250.0) == "unreadable table"
    monkeypatch.setattr(csv.base_parquet, "MAX_ROWS", 199)
    assert refused(path, "ecg\n" + rows(ECG), rate_hz=250.0) == "too long"
    assert len(load(path, "ecg\n" + rows(ECG[:199]), rate_hz=250.0).signals["ecg"].samples_TC) == 199


def test_a_cell_that_is_no_number_is_told_in_part(path):
    with pytest.raises(DataError, match="'x{40}' in row 2") as caught:
        load(path, "n,ecg\n1,2\n2," + "x" * 999 + "\n", rate_hz=250.0)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "empty file"), ("\n\n", "empty file"), ("# Sampling Rate := 5\n", "no samples"), ("n,ecg\n", "no samples"),
        ("n,ecg\n1,2\n2,x\n", "not a number"), ("n,ecg\n1,2\n3", "truncated"), ("1,2\n3,4\n", "no ecg channel"),
        ("n,ecg\n1,2,3\n4,5,6\n", "unreadable table"), ("time,ecg\n1,2\n1,2\n", "time stamps"),
        ("time,ecg\n2,2\n1,2\n", "time stamps"), ("time,ecg\n1,2\n,2\n", "time stamps"),
        ("time,ecg\nnoon,2\nafter,2\n", "time stamps"), ("time,ecg\n0,2\n1,2\n2,2\n9e9,3\n", "too long"),
        *((f"time,ecg\n0,2\n{a},2\n{b},2\n", "time stamps") for a, b in ((1, "inf"), (1, "1e300"), ("1e-320", 1))),
    ],
)  # fmt: skip
def test_tables_that_are_refused(path, text, reason):
    assert refused(path, text, **({} if text.startswith("time") else {"rate_hz": 250.0})) == reason


def test_unknown_columns_are_named(path):
    text = "n,ecg\n" + rows(range(200), ECG)
    with pytest.raises(DataError, match=r"'lead' is not among its channels: n, ecg"):
        load(path, text, rate_hz=250.0, channels=Channels(ecg=("lead",)))
    with pytest.raises(DataError, match=r"time='zeit' is not among: n, ecg"):
        load(path, text, time="zeit")


def test_files_of_a_folder_by_pattern(tmp_path):
    for name in ("p1/ecg.csv", "p1/notes.txt", "p2/ecg.csv", "p2/.hidden.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("ecg\n" + rows(ECG))
    made = csv.Config(root=str(tmp_path), files=r"ecg\.csv", subject=r"^(p\d)/", rate_hz=250.0).make()
    assert made.keys() == ("p1/ecg.csv", "p2/ecg.csv")
    assert made.load("p2/ecg.csv").subject == "p2"


@pytest.mark.parametrize(("field", "pattern"), [("files", "*.csv"), ("subject", "p("), ("subject", "a{9999999999}")])
def test_a_pattern_that_is_none_is_named(path, field, pattern):
    path.write_text("ecg\n" + rows(ECG))
    made = csv.Config(root=str(path.parent), rate_hz=250.0, **{field: pattern}).make()
    with pytest.raises(UserError) as caught:
        made.load(*made.keys())
    assert str(caught.value).startswith(f'--config.dataset.{field}: "{pattern}" is no regular expression')


@needs_data
def test_real_texts():
    signal = load(DATA / "biosppy_examples" / "ecg.txt").signals["ecg"]
    assert (signal.samples_TC.shape, signal.rate_hz, signal.unit) == ((15000, 1), 1000.0, "unknown")
    own = np.loadtxt(DATA / "biosppy_examples" / "ecg.txt")
    np.testing.assert_array_equal(signal.samples_TC[:, 0], own)
    drive = load(DATA / "drivedb" / "csv_15hz" / "drive10.csv", modalities=("ecg", "resp")).signals
    assert drive["ecg"].rate_hz == 15.5 and drive["ecg"].unit == "mV"
    assert drive["resp"].samples_TC[:2, 0].tolist() == [35.5, np.float32(35.51)]
