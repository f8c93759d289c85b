"""Tables in Parquet through the CSV reader: as text would be, without pyarrow, and files that are damaged."""

import datetime
import sys

import numpy as np
import pytest

from ecgjax.datasets import base_parquet, csv
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, UserError
from tests.corpora import csv as corpus
from tests.fixtures import wave

ECG = wave(200) / 1000


@pytest.fixture
def pa():
    reason = 'pyarrow is not here: pip install -e ".[parquet]"'
    pytest.importorskip("pyarrow.parquet", reason=reason)
    return pytest.importorskip("pyarrow", reason=reason)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p1.parquet"


def write(pa, path, **how):
    """Columns whose names may hold anything, one after another: name, values, name, values."""
    from pyarrow import parquet

    def put(*columns):
        arrays = [c if isinstance(c, (pa.Array, pa.ChunkedArray)) else pa.array(c) for c in columns[1::2]]
        parquet.write_table(pa.table(arrays, names=list(columns[::2])), path, **how)

    return put


def load(path, **fields):
    return csv.Config(root=str(path), **fields).make().load(path.name)


def reason_of(path, **fields):
    with pytest.raises(DataError) as caught:
        load(path, **fields)
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_a_table_is_the_same_in_text_and_in_parquet(pa, tmp_path):
    import pandas as pd

    corpus.write(tmp_path)
    pd.read_csv(tmp_path / "x.csv").to_parquet(tmp_path / "z.PARQUET")
    made = csv.Config(root=str(tmp_path)).make()
    assert made.keys() == ("x.csv", "y.csv", "z.PARQUET")
    one, other = made.load("x.csv"), made.load("z.PARQUET")
    np.testing.assert_array_equal(one.signals["ecg"].samples_TC, other.signals["ecg"].samples_TC)
    assert (other.subject, other.sources, other.events) == ("z", ("z.PARQUET",), ())
    for field in ("rate_hz", "unit", "channels"):
        assert getattr(one.signals["ecg"], field) == getattr(other.signals["ecg"], field)


def test_the_columns_wanted_and_no_others_are_read(pa, path, monkeypatch):
    write(pa, path)("time", np.arange(200) / 250, "EEG", ECG, "V1 (uV)", 1000 * ECG, "note", ["x"] * 200)
    from pyarrow import parquet

    read, real = [], parquet.ParquetFile.read
    monkeypatch.setattr(
        parquet.ParquetFile, "read", lambda f, columns, **kw: read.append(columns) or real(f, columns, **kw)
    )
    signal = load(path).signals["ecg"]
    assert read == [["time", "V1 (uV)"]]
    np.testing.assert_allclose(signal.samples_TC[:, 0], ECG, rtol=1e-6)
    assert (signal.rate_hz, signal.unit, signal.channels) == (250, "mV", ("V1",))
    both = load(path, channels=Channels(ecg=("V1", "EEG")), modalities=("ecg",), unit="mV").signals["ecg"]
    np.testing.assert_allclose(both.samples_TC, np.stack([ECG, ECG], axis=1), rtol=1e-6)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_times_as_dates_of_any_unit_and_zone(pa, path, unit, zone):
    start = datetime.datetime(2024, 3, 31, 1, 59, 59, 900000, tzinfo=datetime.UTC)
    stamps = [start + datetime.timedelta(milliseconds=4 * i) for i in range(200)]
    stamps = [stamp if zone else stamp.replace(tzinfo=None) for stamp in stamps]
    write(pa, path)("timestamp", pa.array(stamps, pa.timestamp(unit, zone)), "ECG", ECG)
    recording = load(path)
    assert recording.signals["ecg"].rate_hz == 250 and recording.start_time == ""  # whose time it is, is not kept


def test_a_pandas_index_of_times_is_a_column_of_times(pa, path):
    import pandas as pd

    index = pd.Index(np.arange(200) / 128, name="time")
    pd.DataFrame({"ECG": ECG}, index=index).to_parquet(path)
    assert load(path).signals["ecg"].rate_hz == 128


def test_missing_values_whole_numbers_and_several_row_groups(pa, path):
    values = [None if 40 <= i < 50 else i for i in range(200)]
    write(pa, path, row_group_size=30)("ECG", pa.array(values, pa.int32()))
    samples_T = load(path, rate_hz=100.0).signals["ecg"].samples_TC[:, 0]
    np.testing.assert_array_equal(
        samples_T, np.where((np.arange(200) >= 40) & (np.arange(200) < 50), np.nan, range(200))
    )


def test_without_pyarrow_the_remedy_is_told(tmp_path, path, monkeypatch):
    path.write_bytes(b"PAR1")
    corpus.write(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    made = csv.Config(root=str(tmp_path)).make()
    assert made.load("x.csv")
    with pytest.raises(UserError, match=r"p1.parquet: a Parquet file is read by pyarrow.*\[parquet\]") as caught:
        made.load("p1.parquet")
    assert not isinstance(caught.value, DataError), "no fault of the file, which would be counted and left out"


def test_columns_that_hold_no_numbers_are_refused_unread(pa, path, monkeypatch):
    """A gigabyte of equal texts is a file of some bytes."""
    from pyarrow import parquet

    monkeypatch.setattr(parquet.ParquetFile, "read", None)
    date = datetime.datetime(2024, 1, 1)
    for values in (
        ["x"] * 9, [[1.0]] * 9, [{"a": 1.0}] * 9, pa.array(["x"] * 9).dictionary_encode(), ["1"] * 9, [b"1"] * 9,
        [date] * 9, [date.date()] * 9, [datetime.timedelta(1)] * 9,
    ):  # fmt: skip
        write(pa, path)("ECG", values)
        assert reason_of(path, rate_hz=100.0) == "not a number"
    for times in ([str(i) for i in range(200)], [datetime.timedelta(milliseconds=4 * i) for i in range(200)]):
        write(pa, path)("time", times, "ECG", ECG)
        assert reason_of(path) == "not a number"


def test_numbers_of_other_kinds(pa, path):
    nanoseconds = 1714557600 * 10**9 + 4 * 10**6 * np.arange(200)
    write(pa, path)("time", nanoseconds, "ECG", pa.array(range(200), pa.decimal128(5)), "GSR", pa.nulls(200))
    signals = load(path, modalities=("ecg", "eda")).signals
    np.testing.assert_array_equal(signals["ecg"].samples_TC[:, 0], range(200))
    assert signals["ecg"].rate_hz == 250 and np.isnan(signals["eda"].samples_TC).all()


def test_tables_that_are_refused(pa, path, monkeypatch):
    write(pa, path)("ECG", ECG, "ECG", ECG)
    assert reason_of(path, rate_hz=100.0) == "unreadable table"
    write(pa, path)("ECG", pa.array([], pa.float64()))
    assert reason_of(path, rate_hz=100.0) == "no samples"
    write(pa, path)("resp", ECG)
    assert reason_of(path, rate_hz=100.0) == "no ecg channel"
    write(pa, path)("ECG", ECG)
    assert reason_of(path) == "no sampling rate"
    monkeypatch.setattr(base_parquet, "MAX_ROWS", 199)
    assert reason_of(path, rate_hz=100.0) == "too long"
    made = csv.Config(root=str(path.parent), rate_hz=100.0).make()
    path.unlink()
    with pytest.raises(DataError, match="missing file"):
        made.load("p1.parquet")


def test_damaged_files(pa, path):
    write(pa, path, write_page_checksum=True, compression="none", use_dictionary=False)("ECG", ECG)
    whole = path.read_bytes()
    for content, reason in (
        (whole[:-20], "truncated"), (b"PAR1", "truncated"), (b"", "unreadable table"), (b"x" * 100, "unreadable table"),
        (whole[:200] + bytes(80) + whole[280:], "unreadable table"),
    ):  # fmt: skip
        path.write_bytes(content)
        assert reason_of(path, rate_hz=100.0) == reason
