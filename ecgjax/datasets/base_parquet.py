"""Reads columns of Parquet files, with pyarrow, which is an extra of its own."""

from pathlib import Path
from typing import Any

from ecgjax.errors import DataError, UserError

_MAX_ROWS, _MAX_COLUMNS = 2**26, 2**14  # a column of so many rows takes half a GiB: 18 hours at 1000 Hz
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
    if file.metadata.num_rows > _MAX_ROWS or len(names) > _MAX_COLUMNS:
        remedy = f"It states {file.metadata.num_rows} rows of {len(names)} columns. Write it in several files."
        raise DataError(path, "too long", remedy)
    return names


def read_columns(path: Path, wanted: list[int]) -> Any:
    """Columns by their number, as a pandas table that names them so. The others are not read.

    Raises:
      DataError: the file is damaged, or two columns have one name.
    """
    import pandas as pd
    import pyarrow as pa

    file, all_names = _open(path)
    names = [all_names[i] for i in wanted]
    try:
        table = file.read(columns=names, use_threads=False)
        table.validate(full=True)
        columns = [table.column(name) for name in names]  # KeyError where two have one name
        stamps = pa.timestamp("ns")  # of any unit and time zone: only steps count
        columns = [c.cast(stamps) if pa.types.is_timestamp(c.type) else c for c in columns]
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
