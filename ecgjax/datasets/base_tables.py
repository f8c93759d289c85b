"""Small tables that come as text or as an Excel workbook: their rows, one by one, as cells.

A workbook is a zip of XML: its directory is looked at before anything is unpacked, it is read without formulas, links
or styles, and no further than `MAX_ROWS` and `MAX_COLUMNS`.
"""

import csv
import itertools
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ecgjax.datasets import base_files
from ecgjax.errors import DataError

MAX_ROWS, MAX_COLUMNS = 20_000, 256
# Ours. XML takes up to 22 times its size in memory; the largest table, of 3139 rows and 172 columns, has some 24 MB.
_MAX_BYTES, _MAX_UNPACKED, _MAX_RATIO, _MAX_FILES = 1 << 26, 3 << 24, 200, 1000
_BLOCK = 1 << 20
_MAX_LINE = 1 << 16
_HEADER_ROWS = 20  # that may come before the names of columns
_REFETCH = "Fetch it again."


def read_rows(path: Path, sheet: str = "") -> Iterator[tuple[object, ...]]:
    """Rows of a table whose name ends in .xlsx, or of a text: str, number, date or None a cell.

    Args:
      path: the file. Cells of a text are separated as its first line is: by tabs, semicolons or commas.
      sheet: of a workbook, ignoring case; the first one where it is "" or there is none of that name.

    Raises:
      DataError: missing, no table, damaged, or larger than a table of this kind can be.
    """
    base_files.check_size(path, _MAX_BYTES)
    return _workbook(path, sheet) if path.suffix.lower() == ".xlsx" else _text(path)


def read_records(
    path: Path, columns: Mapping[str, str], needed: Sequence[str], sheet: str = ""
) -> Iterator[dict[str, object]]:
    """Rows below the one that names the columns, by the names that `columns` gives them.

    Args:
      path, sheet: as of `read_rows`.
      columns: by the names to give, regexes for the whole of what the table calls them, ignoring case and blanks.
      needed: those that must be there.

    Raises:
      DataError: as of `read_rows`; or no row names the needed ones.
    """
    rows = read_rows(path, sheet)
    first = list(itertools.islice(rows, _HEADER_ROWS))
    for number, row in enumerate(first):
        cells = ["".join(str(cell or "").split()) for cell in row]
        found = {
            name: next((i for i, cell in enumerate(cells) if re.fullmatch(pattern, cell, re.IGNORECASE)), None)
            for name, pattern in columns.items()
        }
        if all(found[name] is not None for name in needed):
            places = {name: place for name, place in found.items() if place is not None}
            below = itertools.chain(first[number + 1 :], rows)
            return ({name: row[i] if i < len(row) else None for name, i in places.items()} for row in below)
    raise DataError(path, "no column", f"None of its first rows names columns for {', '.join(needed)}.")


def number(cell: object) -> float:
    """Of a cell; NaN where it is none."""
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _text(path: Path) -> Iterator[tuple[object, ...]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline(_MAX_LINE)
        separator = next((s for s in "\t;," if s in first), ",")
        file.seek(0)
        lines = (line.replace("\0", "") for line in file)
        try:
            for number, row in enumerate(csv.reader(lines, delimiter=separator)):
                if number >= MAX_ROWS:
                    raise DataError(path, "too large", f"It has more than {MAX_ROWS} rows.")
                yield tuple(cell.strip() for cell in row[:MAX_COLUMNS])
        except csv.Error as error:
            raise DataError(path, "unreadable table", f"{error}. {_REFETCH}") from error


def _workbook(path: Path, sheet: str) -> Iterator[tuple[object, ...]]:
    import openpyxl

    _check_archive(path)
    book, rows = None, iter(())
    try:
        while True:
            with warnings.catch_warnings():  # not over a yield: the filter is the whole process's
                warnings.simplefilter("ignore")  # of extensions, styles and dates it does not know
                if book is None:
                    book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
                    names = {name.casefold(): name for name in book.sheetnames}
                    page = book[names.get(sheet.casefold(), book.sheetnames[0])]
                    rows = page.iter_rows(max_row=MAX_ROWS, max_col=MAX_COLUMNS, values_only=True)
                row = next(rows, None)
            if row is None:
                return
            yield row
    except Exception as error:  # damaged XML raises whatever the line of openpyxl that meets it does
        raise DataError(path, "damaged workbook", f"{type(error).__name__}: {str(error)[:200]}. {_REFETCH}") from error
    finally:
        if book is not None:
            book.close()


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            total = sum(info.file_size for info in infos)
            if len(infos) > _MAX_FILES or total > min(_MAX_UNPACKED, _MAX_RATIO * path.stat().st_size):
                remedy = f"It would unpack from {path.stat().st_size} to {total} bytes in {len(infos)} files."
                raise DataError(path, "unsafe archive", remedy)
            for info in infos:
                with archive.open(info) as member:
                    if _declares_type(member):  # no workbook does, and entities can multiply
                        raise DataError(path, "unsafe archive", f"{info.filename} declares a document type.")
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise DataError(path, "damaged workbook", f"{error}. {_REFETCH}") from error


def _declares_type(member: zipfile.ZipExtFile) -> bool:
    """Whether "<!DOCTYPE" stands anywhere in it, also in UTF-16."""
    text = b""
    while block := member.read(_BLOCK):
        text = text[-9:] + block.replace(b"\0", b"")
        if b"<!DOCTYPE" in text:
            return True
    return False
