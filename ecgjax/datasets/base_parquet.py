"""Reads columns of Parquet files, with pyarrow, which is an extra of its own."""

from pathlib import Path
from typing import Any

from ecgjax.errors import DataError, UserError

MAX_ROWS, _MAX_COLUMNS = 2**26, 2**14  # a column of so many rows takes half a GiB: 18 hours at 1000 Hz
_FAULTS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
)  # pyarrow's are such


def column_names(path: Path) -> tuple[str, ...]:
    """Names of the columns of a file.

    Raises:
      UserError: pyarrow is not installed.
      DataError: it is no Parquet file, has no rows, or is too large.
    """
    file, names = _open(path)
    if not file.metadata.num_rows or not names:
        raise DataError(path, "no samples", "There are no rows; leave it out.")
    if file.metadata.num_rows > MAX_ROWS or len(names) > _MAX_COLUMNS:
        remedy = f"It states {file.metadata.num_rows} rows of {len(names)} columns. Write it in several files."
        raise DataError(path, "too long", remedy)
    return names


def read_columns(path: Path, wanted: list[int], time: int | None) -> Any:
    """Columns by their number, as a pandas table that names them so. The others are not read.

    Args:
      time: the only one of them that may hold dates.

    Raises:
      DataError: the file is damaged, two columns have one name, or one holds no numbers. Texts are refused unread, for
        a million of them may be packed into a few bytes.
    """
    import pandas as pd
    import pyarrow as pa

    file, all_names = _open(path)
    names = [all_names[i] for i in wanted]
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null)
    for i in wanted:
        kind = file.schema_arrow.types[i]
        if not any(fits(kind) for fits in numbers) and not (i == time and pa.types.is_timestamp(kind)):
            remedy = f"Column {all_names[i]!r} is of the type {str(kind)[:40]}. Write numbers, or dates as time stamps."
            raise DataError(path, "not a number", remedy)
    try:
        table = file.read(columns=names, use_threads=False)
        table.validate(full=True)
        columns = [table.column(name) for name in names]  # KeyError where two have one name
        stamps = pa.timestamp("ns")  # of any unit and time zone: only steps count
        columns = [
            c.cast(stamps) if pa.types.is_timestamp(c.type) else c.cast(pa.float64(), safe=False) for c in columns
        ]
        return pd.DataFrame({i: column.to_pandas() for i, column in zip(wanted, columns, strict=True)})
    except _FAULTS as error:
        raise DataError(path, "unreadable table", f"{error}. Fetch it again.") from error


def _open(path: Path) -> tuple[Any, tuple[str, ...]]:
    """A file and the names of its columns."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        remedy = 'Install it: pip install -e ".[parquet]", or give the table as text.'
        raise UserError(f"{path}: a Parquet file is read by pyarrow, which is not here. {remedy}") from error
    if not path.is_file():
        raise DataError(path, "missing file", "Check the folder.")
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True)
        return file, tuple(file.schema_arrow.names)
    except _FAULTS as error:
        with path.open("rb") as begun:
            reason = "truncated" if begun.read(4) == b"PAR1" else "unreadable table"
        raise DataError(path, reason, f"{error}. Fetch it again.") from error
