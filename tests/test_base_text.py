"""Large text tables: wanted columns alone, and what damages such files do to it."""

import numpy as np
import pytest

from ecgjax.datasets import base_text
from ecgjax.datasets.base_text import first_row, read_columns
from ecgjax.errors import DataError

NAMES = ("t", "a", "b", "who")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


def read(path, text, wanted=("t", "b"), **given):
    path.write_bytes(text.encode("latin-1") if isinstance(text, str) else text)
    return read_columns(path, ",", NAMES, wanted, **{"doubles": ("t",), "texts": ("who",), **given})


def test_wanted_columns_by_name(path):
    text = '\xef\xbb\xbft,a,b,who\r\n1597724881.015625,x"y,2,A\r\n2,3,,\r\n\r\n-inf,4,1e300,"B"\r\n3e9,,-1e9,"B"\r\n'
    found = read(path, text, ("who", "b", "t"))
    assert found["t"].dtype == np.float64 and found["b"].dtype == np.float32
    np.testing.assert_array_equal(found["t"], [1597724881.015625, 2, np.nan, 3e9])
    np.testing.assert_array_equal(found["b"], np.float32([2, np.nan, np.nan, np.nan]))
    assert found["who"].tolist() == ["A", "", '"B"', '"B"']
    assert first_row(path, ",") == NAMES


def test_without_a_header(path):
    found = read(path, "1,2,3,A\n4,5,6,B\n", header=False)
    assert found["t"].tolist() == [1, 4] and found["b"].tolist() == [3, 6]


@pytest.mark.parametrize("text", ["t,a,b,who\n", "t,a,b,who"])
def test_a_header_alone_is_no_rows(path, text):
    found = read(path, text)
    assert found["t"].shape == (0,) and found["b"].dtype == np.float32


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("t,a,b,who\n1,2,3,A\n4,5", "truncated. Its last row has 2 of 4 columns"),
        ("t,a,b,who\n1,2,x3,A\n", "unreadable table"),
        ("t,a,b,who\n1 2,2,3,A\n", "unreadable table"),
        ("t,a,b,who\n1,2,3,A,9,9\n1,2,3,A\n", "unreadable table. A row has more or less than 4 columns"),
        ("t,a,b,who\n1,2,3,A\n1,2,3,A,9\n1,2,3,A\n", "unreadable table. A row has more or less than 4"),
        ("t,a,b,who\n1,2,3\n1,2,3,A\n", "unreadable table. A row has more or less than 4"),
    ],
)
def test_damage_is_named(path, text, told):
    with pytest.raises(DataError, match=f"t.csv: {told}"):
        read(path, text)


def test_a_column_that_nobody_wants_may_hold_anything(path):
    assert read(path, "t,a,b,who\n1,#VALUE!,3,A\n")["b"].tolist() == [3]


def test_a_column_that_is_not_there_is_named(path):
    with pytest.raises(DataError, match="no column. 'c' is none of its columns, t, a, b, who"):
        read(path, "t,a,b,who\n1,2,3,A\n", ("c",))


def test_a_file_that_is_none(path, monkeypatch):
    with pytest.raises(DataError, match="missing file"):
        first_row(path, ",")
    path.write_bytes(b" \n")
    with pytest.raises(DataError, match="empty file"):
        first_row(path, ",")
    monkeypatch.setattr(base_text, "_MAX_BYTES", 1)
    with pytest.raises(DataError, match="too large"):
        first_row(path, ",")
