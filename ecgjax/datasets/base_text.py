"""Large text tables of numbers: wanted columns alone, by pandas' C parser, and what damages such files do to it."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_files
from ecgjax.errors import DataError

_MAX_BYTES = 1 << 29  # of a file: CASE's have 200 MB
_MAX_LINE = 1 << 16
_ABSURD = 1e9  # in whatever unit: no body signal, but what damaged digits may say
_REFETCH = "Fetch it again."


def first_row(path: Path, separator: str) -> tuple[str, ...]:
    """Cells of the first line, without blanks and quotes around them.

    Raises:
      DataError: the file is missing, empty, or too large to be one of these.
    """
    base_files.check_size(path, _MAX_BYTES)
    with path.open("rb") as file:
        line = file.readline(_MAX_LINE).decode("utf-8-sig", "replace")
    if not line.strip():
        raise DataError(path, "empty file", _REFETCH)
    return tuple(cell.strip().strip('"') for cell in line.rstrip("\r\n").split(separator))


def read_columns(
    path: Path,
    separator: str,
    names: Sequence[str],
    wanted: Sequence[str],
    *,
    header: bool = True,
    doubles: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Columns by name: float32, or float64 (`doubles`), or str (`texts`). An empty cell is NaN, or "".

    Infinity is NaN, too, and what no float32 column of signals can hold, 1e9 and above.

    Args:
      names: of all columns, in order.
      wanted: which to read.
      header: whether the first line holds names, and no numbers.

    Raises:
      DataError: a column is missing, the file ends within a row, or a cell is no number.
    """
    import pandas as pd

    for name in wanted:
        if name not in names:
            raise DataError(path, "no column", f"{name!r} is none of its columns, {', '.join(names)[:200]}.")
    _check_last_row(path, separator, len(names))
    types = {name: str if name in texts else np.float64 if name in doubles else np.float32 for name in wanted}
    try:
        with np.errstate(over="ignore"):  # of 1e300 as float32
            table = pd.read_csv(
                path, sep=separator, header=None, names=list(names), usecols=list(wanted), dtype=types, engine="c",
                skiprows=int(header), index_col=False, quoting=csv.QUOTE_NONE, encoding="utf-8-sig",
                encoding_errors="replace", skip_blank_lines=True,
            )  # fmt: skip
    except pd.errors.EmptyDataError:
        return {name: np.zeros(0, types[name]) for name in wanted}
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        raise DataError(path, "unreadable table", f"{' '.join(str(error).split())[:200]}. {_REFETCH}") from error
    if _count(path, separator) != (len(names) - 1) * (len(table) + header):
        raise DataError(path, "unreadable table", f"A row has more or less than {len(names)} columns. {_REFETCH}")
    columns = {}
    for name in wanted:
        if name in texts:
            columns[name] = table[name].fillna("").to_numpy()
        else:
            columns[name] = table[name].to_numpy(copy=True)
            most = np.inf if name in doubles else _ABSURD
            columns[name][~(np.abs(columns[name]) < most)] = np.nan
    return columns


def _count(path: Path, separator: str) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(separator.encode()) for chunk in iter(lambda: file.read(1 << 20), b""))


def _check_last_row(path: Path, separator: str, num_columns: int) -> None:
    """A copy that broke off ends within a row."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MAX_LINE))
        last = file.read().decode("utf-8", "replace").rstrip("\r\n").rsplit("\n", 1)[-1]
    if last.count(separator) + 1 < num_columns:
        remedy = f"Its last row has {last.count(separator) + 1} of {num_columns} columns. {_REFETCH}"
        raise DataError(path, "truncated", remedy)
