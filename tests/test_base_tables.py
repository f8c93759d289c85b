"""Small tables as text and as workbooks: rows, names of columns, and workbooks that are none or no good."""

import datetime
import itertools
import math
import zipfile

import pytest

from ecgjax.datasets import base_tables
from ecgjax.datasets.base_tables import read_records, read_rows
from ecgjax.errors import DataError
from tests.corpora.swell import write_workbook

ROWS = [["a title"], [], ["Who ", "B", None, "Value"], ["PP1", 2, "x", 0.5], ["PP2"], ["PP3", "#VALUE!", None, 7]]
COLUMNS = {"who": "who|whom", "value": "value", "other": "other"}


@pytest.fixture
def book(tmp_path):
    write_workbook(tmp_path / "t.xlsx", {"First": [["x", 1]], "Sheet3": ROWS})
    return tmp_path / "t.xlsx"


def cut(rows):
    """Without the blanks that a workbook fills its rows with."""
    return [[cell for cell in row if cell is not None] for row in rows]


def test_rows_of_a_workbook(book):
    assert cut(read_rows(book, "sheet3")) == cut(ROWS)
    assert cut(read_rows(book)) == cut(read_rows(book, "no such")) == [["x", 1]]


@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_rows_of_a_text(tmp_path, separator):
    path = tmp_path / "t.tab"
    path.write_bytes(b"\xef\xbb\xbf" + f'PP{separator}"a, b"\r\n 1 {separator}\0\xff\r\n\r\n2\r\n'.encode("latin-1"))
    assert list(read_rows(path)) == [("PP", "a, b"), ("1", "\ufffd"), (), ("2",)]


def test_records_are_found_by_the_names_of_columns(book, tmp_path):
    expected = [{"who": "PP1", "value": 0.5}, {"who": "PP2", "value": None}, {"who": "PP3", "value": 7}]
    assert list(read_records(book, COLUMNS, ("who", "value"), "Sheet3")) == expected
    (tmp_path / "t.csv").write_text("WHOM,B,Value\nPP1,2,0.5\nPP2\n")
    expected = [{"who": "PP1", "value": "0.5"}, {"who": "PP2", "value": None}]
    assert list(read_records(tmp_path / "t.csv", COLUMNS, ("who",))) == expected
    with pytest.raises(DataError, match="t.csv: no column. None of its first rows names columns for who, other"):
        read_records(tmp_path / "t.csv", COLUMNS, ("who", "other"))


def test_numbers_of_cells():
    assert [base_tables.number(cell) for cell in (2, "2.5 ", True, "-1e3")] == [2, 2.5, 1, -1000]
    for cell in (None, "", "x", "2,5", 10**400, datetime.date(2026, 1, 1)):
        assert math.isnan(base_tables.number(cell))


def test_a_table_is_read_no_further_than_it_can_be_long(tmp_path, monkeypatch):
    monkeypatch.setattr(base_tables, "MAX_ROWS", 5)
    (tmp_path / "t.csv").write_text("a\n" * 6)
    with pytest.raises(DataError, match="too large. It has more than 5 rows"):
        list(read_rows(tmp_path / "t.csv"))
    monkeypatch.setattr(base_tables, "_MAX_BYTES", 5)
    with pytest.raises(DataError, match="too large. It has 12 bytes"):
        read_rows(tmp_path / "t.csv")
    with pytest.raises(DataError, match="missing file"):
        read_rows(tmp_path / "u.csv")


def test_a_workbook_with_a_cell_far_away_is_read_in_bounds(tmp_path):
    import openpyxl

    sheet = openpyxl.Workbook()
    sheet.active["A1"], sheet.active["XFD1048576"] = "here", "there"
    sheet.save(tmp_path / "t.xlsx")
    rows = list(itertools.islice(read_rows(tmp_path / "t.xlsx"), 50_000))
    assert rows[0][0] == "here" and len(rows) <= base_tables.MAX_ROWS and len(rows[-1]) <= base_tables.MAX_COLUMNS


def repacked(book, change):
    """The workbook with members as `change(name, content)` gives them; None leaves one out."""
    with zipfile.ZipFile(book) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)


LATE = b"<!--" + b"x" * 4089 + b"-->"  # what follows stands on the border of a block


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda n, c: None if n == "xl/workbook.xml" else c, "damaged workbook"),
        (lambda n, c: c[: len(c) // 2] if "sheet2" in n else c, "damaged workbook"),
        (lambda n, c: c.replace(b"<v>", b"<v>x") if "sheet2" in n else c, "damaged workbook"),
        (
            lambda n, c: c.replace(b'rgb="0', b'rgb="x') if "styles" in n else c,
            "damaged workbook.*stylesheet.*most prob",
        ),
        (lambda n, c: b"<!DOCTYPE a>" + c if "sheet2" in n else c, "unsafe archive.*declares a document type"),
        (lambda n, c: LATE + b"<!DOCTYPE a>" + c if "sheet2" in n else c, "unsafe archive.*declares a document type"),
        (lambda n, c: "<!DOCTYPE a>".encode("utf-16") + c if "sheet2" in n else c, "unsafe archive.*declares a doc"),
        (lambda n, c: c + b" " * (1 << 24) if "sheet2" in n else c, "unsafe archive. It would unpack from"),
    ],
)
def test_workbooks_that_are_damaged_or_unsafe(book, change, told, monkeypatch):
    monkeypatch.setattr(base_tables, "_BLOCK", 4099)
    repacked(book, change)
    with pytest.raises(DataError, match=f"^.*{told}.*$"):  # in one line
        list(read_rows(book, "Sheet3"))


def test_a_workbook_that_would_take_much_memory_is_not_unpacked(book, monkeypatch):
    monkeypatch.setattr(base_tables, "_MAX_UNPACKED", 5000)
    with pytest.raises(DataError, match="unsafe archive. It would unpack from .* bytes in"):
        list(read_rows(book, "Sheet3"))


def test_bytes_that_are_no_workbook(book):
    raw = book.read_bytes()
    for content in (b"", b"PK\3\4nothing", raw[: len(raw) // 2], b"a,b\n1,2\n"):
        book.write_bytes(content)
        with pytest.raises(DataError, match="damaged workbook"):
            list(read_rows(book))
