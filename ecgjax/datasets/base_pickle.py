"""Reads pickles of dicts and NumPy arrays, as Python 2 or 3 wrote them, without running anything in them.

`ecgjax.pickles` interprets the program. Of NumPy it may name what arrays are put together of, and nothing else; those
names are not looked up either, but read as a description: numbers of which type, in what shape, lying where in the
file. An array is read when it is asked for, so a file takes no more memory than the arrays that are used.
"""

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax import pickles
from ecgjax.errors import DataError

_CORES = ("numpy.core", "numpy._core")  # before and since NumPy 2
_EMPTY = frozenset(f"{core}.multiarray _reconstruct" for core in _CORES)
_SCALAR = frozenset(f"{core}.multiarray scalar" for core in _CORES)
_WHOLE = frozenset(f"{core}.numeric _frombuffer" for core in _CORES)  # of protocol 5
_ARRAY, _TYPE = "numpy ndarray", "numpy dtype"
_ENCODE = "_codecs encode"  # of bytes that Python 3 wrote for Python 2
_NAMES = frozenset((*_EMPTY, *_SCALAR, *_WHOLE, _ARRAY, _TYPE, _ENCODE))
_NUMBERS = frozenset(f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)) - {"f1"}
_ORDERS = ("<", ">", "|")
_MAX_BYTES = 1 << 31  # of a file; the largest known has 1.1 GB. Ours
_MAX_ARRAY = 1 << 28  # bytes; the largest known has 150 MB. Ours
_AGAIN = "Copy or download it again."


@dataclasses.dataclass
class Array:
    """An array of numbers that lies in a file.

    Attributes:
      shape, dtype: as the pickle says; `raw` holds as many bytes, or so many that they may be these when unquoted.
    """

    path: Path
    shape: tuple[int, ...] = ()
    dtype: np.dtype = dataclasses.field(default_factory=lambda: np.dtype("f8"))
    raw: str | pickles.Stored = ""
    by_columns: bool = False

    def fill(self, shape: Any, kind: Any, by_columns: Any, raw: Any) -> None:
        whole = isinstance(shape, tuple) and len(shape) <= 32 and all(type(n) is int and n >= 0 for n in shape)
        if not whole or not isinstance(kind, _Kind) or not isinstance(raw, str | pickles.Stored):
            raise TypeError("an array of no shape, type or numbers")
        size = math.prod(shape) * kind.dtype().itemsize
        length = len(raw) if isinstance(raw, str) else raw.length
        quoted = isinstance(raw, pickles.Stored) and raw.quoted  # a byte is written with one to four
        if not size <= length <= size * (4 if quoted else 1) or max(shape, default=0) > _MAX_BYTES:
            raise ValueError(f"an array of shape {str(shape)[:80]} in {length} bytes")
        if size > _MAX_ARRAY:
            raise DataError(self.path, "too large", f"An array in it has {size >> 20} MiB, over {_MAX_ARRAY >> 20}.")
        self.shape, self.dtype, self.raw, self.by_columns = shape, kind.dtype(), raw, bool(by_columns)

    def read(self) -> np.ndarray:
        """The array, in memory.

        Raises:
          DataError: the file holds other numbers than it says, or has changed.
        """
        out = np.empty(math.prod(self.shape) * self.dtype.itemsize, np.uint8)
        at = 0
        try:
            with self.path.open("rb") as file:
                blocks = self.raw.blocks(file) if isinstance(self.raw, pickles.Stored) else [self.raw.encode("latin-1")]
                for block in blocks:
                    out[at : at + len(block)] = np.frombuffer(block, np.uint8)
                    at += len(block)
            if at != len(out):
                raise ValueError(f"{at} bytes for shape {self.shape}")
            return out.view(self.dtype).reshape(self.shape, order="F" if self.by_columns else "C")
        except (ValueError, EOFError) as error:
            raise DataError(self.path, "damaged pickle", f"An array in it: {error}. {_AGAIN}") from error


@dataclasses.dataclass
class _Kind:
    """A type of numbers; its byte order comes after it is made."""

    code: str
    order: str = ""

    def dtype(self) -> np.dtype:
        if not self.order:
            raise ValueError("numbers of no byte order")
        return np.dtype(self.order + self.code)


def read(path: Path) -> Any:
    """What was pickled: dicts, lists, tuples, numbers, texts in latin1, and an `Array` for each array.

    Raises:
      DataError: the file is missing, larger than any known, cut off or damaged, or it asks for anything but numbers in
        plain containers. Nothing that it names was imported or called.
    """
    try:
        with path.open("rb") as file:
            if (size := file.seek(0, io.SEEK_END)) > _MAX_BYTES:
                raise DataError(path, "too large", f"It has {size >> 20} MiB, over {_MAX_BYTES >> 20}.")
            return pickles.read(file, _NAMES, lambda name, *parts: _made(path, name, *parts), _completed)
    except FileNotFoundError as error:
        raise DataError(path, "missing file", "Check the folder.") from error
    except EOFError as error:
        raise DataError(path, "truncated", f"It ends within its pickle. {_AGAIN}") from error
    except pickles.Foreign as error:
        asked = f"It asks for {error}, which is no number in a plain container, and was not run."
        raise DataError(path, "unsafe pickle", asked) from error
    except pickles.NONSENSE as error:
        raise DataError(path, "damaged pickle", f"It makes no sense: {str(error)[:80]}. {_AGAIN}") from error


def entry(tree: Any, *names: str) -> Any:
    """What lies below these names, whatever their case; None where there is nothing."""
    for name in names:
        inner = tree.items() if isinstance(tree, dict) else ()
        tree = next((part for key, part in inner if isinstance(key, str) and key.casefold() == name.casefold()), None)
    return tree


def _made(path: Path, name: str, *parts: Any) -> Any:
    """What a call in the program gives."""
    if name in _EMPTY and parts[0] == pickles.Name(_ARRAY):
        return Array(path)
    if name in _WHOLE:
        raw, kind, shape, order = parts
        array = Array(path)
        array.fill(shape, kind, order == "F", raw)
        return array
    if name == _TYPE and isinstance(parts[0], str):
        if parts[0] not in _NUMBERS:
            raise pickles.Foreign(f"an array of type {parts[0][:20]}")
        return _Kind(parts[0])
    if name in _SCALAR and isinstance(parts[0], _Kind) and len(parts[1]) == parts[0].dtype().itemsize:
        return np.frombuffer(parts[1].encode("latin-1"), parts[0].dtype())[0].item()
    if name == _ENCODE and isinstance(parts[0], str) and parts[1] == "latin1":
        return parts[0]
    raise TypeError(f"{name} called")


def _completed(value: Any, state: Any) -> None:
    """The state that the program gives to what it made."""
    if isinstance(value, _Kind) and (state[0], *state[2:]) == (3, None, None, None, -1, -1, 0) and state[1] in _ORDERS:
        value.order = state[1]
    elif isinstance(value, Array) and state[0] == 1:
        value.fill(*state[1:])
    else:
        raise TypeError("a state that no array has")
