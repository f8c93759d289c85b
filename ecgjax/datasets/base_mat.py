"""Reads MATLAB files of versions 5 to 7, element by element: what nobody asked for is passed over and never held.

SciPy's reader takes whole variables, and all of DREAMER is one: 2 GB, of which a fifth is ECG. Here memory is bounded
by what is asked for, whatever lengths a damaged file claims; nesting is bounded too, and the checksums of compressed
variables that are read are compared.

Values become arrays of numbers, `str`, lists (cell arrays, and arrays of structs, in MATLAB's order: columns first),
dicts (one struct), or None (functions, objects, sparse and complex matrices). What has another kind than its
documentation says is met by `fields`, `items` and `numbers`.
"""

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_files
from ecgjax.datasets.base_mat_elements import REFETCH, Keep, Reader
from ecgjax.errors import DataError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MAX_FILE = 1 << 30  # bytes, ours; DREAMER has 450 MB


def read_mat(
    path: Path,
    wanted: Collection[str],
    skip: Collection[str] = (),
    keep: Keep = lambda values: values,
    content: bytes | None = None,
) -> dict[str, Any]:
    """The wanted variables, by name; the file may have others.

    Args:
      path: the file; only named in errors where its `content` is given.
      wanted: names of variables.
      skip: names of fields of structs, however deep, which are passed over and missing from the dicts.
      keep: what to keep of an array of numbers as soon as it is read; takes arrays of any shape, and copies.

    Raises:
      DataError: the file is missing, truncated, damaged, too large, or of another version.
    """
    if content is None:
        base_files.check_size(path, _MAX_FILE)
    size = path.stat().st_size if content is None else len(content)
    with path.open("rb") if content is None else io.BytesIO(content) as file:
        reader = Reader(path, file, size, _byte_order(path, file.read(520)), frozenset(skip), keep)
        file.seek(128)
        found: dict[str, Any] = {}
        while file.tell() < size:
            found |= reader.variable(frozenset(wanted))
        return found


def _byte_order(path: Path, head: bytes) -> str:
    if _HDF5 in (head[:8], head[512:520]):
        raise DataError(path, "of MATLAB 7.3 (HDF5)", "Open it in MATLAB and save it with -v7.")
    if len(head) < 128:
        raise DataError(path, "truncated", f"It ends within its header. {REFETCH}")
    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(head[124:128])
    if order is None:
        raise DataError(path, "not a MAT file", "Its header is not one of MATLAB 5 to 7.")
    return order


def variable(found: dict[str, Any], name: str, path: object) -> Any:
    """A variable that must be there. Raises DataError where it is not."""
    if name not in found:
        raise DataError(path, "missing variable", f"There is no {name!r} in it; is it a file of this data set?")
    return found[name]


def fields(value: Any, what: str, path: object) -> dict[str, Any]:
    """A struct's fields by name. Raises DataError where the value is none."""
    if not isinstance(value, dict):
        raise DataError(path, "unlike its documentation", f"{what} is no struct.")
    return value


def items(value: Any, what: str, path: object) -> list[Any]:
    """Items of a cell array or an array of structs. Raises DataError where the value is neither."""
    if isinstance(value, np.ndarray) and not value.size:  # how MATLAB writes an empty one
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise DataError(path, "unlike its documentation", f"{what} is no cell array.")
    return value


def numbers(value: Any, what: str, path: object) -> np.ndarray:
    """An array of numbers. Raises DataError where the value is none."""
    if not isinstance(value, np.ndarray):
        raise DataError(path, "unlike its documentation", f"{what} is not an array of numbers.")
    return value


def number(value: Any) -> float:
    """A single number; NaN where the value is none."""
    return float(value.flat[0]) if isinstance(value, np.ndarray) and value.size == 1 else float("nan")


def single(values: np.ndarray) -> np.ndarray:
    """A copy in single precision; what is too large for that becomes infinite."""
    with np.errstate(all="ignore"):
        return np.array(values, np.float32)


def single_if(num_columns: int) -> Keep:
    """For `keep`: signals of so many columns in single precision, all else as it is."""
    return lambda values: single(values) if values.shape[-1] == num_columns else values


def pick_columns(values_TC: np.ndarray, columns: list[int], name: str) -> tuple[np.ndarray | None, list[str]]:
    """(a copy of columns in single precision; what was met).

    Where one of them has nothing there is None, and an event such as "amigos_ecg_all_nan", else "..._some_nan".
    """
    samples_TC = single(values_TC[:, columns])
    if not np.isfinite(samples_TC).any(axis=0).all():
        return None, [f"{name}_all_nan"]
    return samples_TC, [f"{name}_some_nan"] * bool(np.isnan(samples_TC).any())
