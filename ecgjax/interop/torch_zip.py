"""Reads what `torch.save` writes, tensors in plain containers, without PyTorch and without running anything in it.

A file is a zip of uncompressed members: `NAME/data.pkl`, a pickle that says how the tensors are put together, and the
bytes of each storage in `NAME/data/KEY`. How the pickle is read is told in `ecgjax/pickles.py`.

What a file can make us take is bounded by its size: members are not compressed and together no larger than the file,
the pickle is at most 4 MiB, and a tensor is a view of its storage, no larger than that.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax import pickles
from ecgjax.errors import DataError

_BFLOAT16 = "bfloat16"  # unknown to NumPy; becomes float32, which has all its values
_STORAGES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": _BFLOAT16,
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}
_TENSOR, _PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
_NAMES = frozenset((*_STORAGES, _TENSOR, _PARAMETER, pickles.ORDERED))
_MAX_PICKLE = 1 << 22  # some 40,000 tensors
_AGAIN = "Save it again in PyTorch: torch.save(torch.load(FILE, weights_only=True), FILE)."
_COPY = "Copy or download it again."


def load(path: str | Path) -> Any:
    """What was saved: dicts, lists, tuples, numbers, texts, and tensors as read-only NumPy arrays.

    Tensors that shared a storage share memory. Parameters come as tensors, bfloat16 as float32.

    Raises:
      DataError: the file is none of PyTorch's, damaged, of PyTorch's old format or from a big-endian machine, or it
        asks for anything but tensors and plain containers. Nothing that it names was imported or called.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(1) == b"\x80":
                raise DataError(path, "in the format of PyTorch before 1.6, or another pickle, and not opened", _AGAIN)
            with zipfile.ZipFile(file) as archive:
                return _Archive(path, archive).value()
    except OSError as error:
        raise DataError(
            path, f"cannot be read ({error.strerror or error})", "Name a whole .pth or .pt file."
        ) from error
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError) as error:
        raise DataError(path, f"damaged, or no file of torch.save ({error})", _COPY) from error


class _Archive:
    """An open file."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self._path, self._archive = path, archive
        members = archive.infolist()
        self._sizes = {member.filename: member.file_size for member in members}
        self._storages: dict[str, np.ndarray] = {}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise DataError(path, "its members are compressed, which torch.save never does", _AGAIN)
        if len(self._sizes) < len(members) or sum(self._sizes.values()) > path.stat().st_size:
            raise DataError(path, "damaged (its members overlap)", _COPY)
        roots = [name.removesuffix("data.pkl") for name in self._sizes if name.split("/")[1:] == ["data.pkl"]]
        if len(roots) != 1:
            raise DataError(path, "no file of torch.save (a zip without data.pkl)", "Name the .pth or .pt file.")
        self._root = roots[0]

    def value(self) -> Any:
        order = self._read("byteorder") if f"{self._root}byteorder" in self._sizes else b"little"
        if order != b"little":
            raise DataError(
                self._path, f"byte order {order[:9]!r}, not little", f"On a little-endian machine: {_AGAIN}"
            )
        if self._sizes[f"{self._root}data.pkl"] > _MAX_PICKLE:
            raise DataError(self._path, f"its pickle is larger than {_MAX_PICKLE >> 20} MiB", _AGAIN)
        try:
            return pickles.read(io.BytesIO(self._read("data.pkl")), _NAMES, self._call, fetch=self._storage)
        except pickles.Foreign as error:
            raise DataError(
                self._path,
                f"asks for {error}, which is neither a tensor nor a plain container, and was not run",
                "Save the weights alone, in PyTorch: torch.save(model.state_dict(), FILE).",
            ) from error
        except (EOFError, *pickles.NONSENSE) as error:
            raise DataError(self._path, f"damaged (its pickle makes no sense: {str(error)[:80]})", _COPY) from error

    def _read(self, name: str) -> bytes:
        if self._root + name not in self._sizes:
            raise DataError(self._path, f"damaged (it lacks {name[:80]})", _COPY)
        return self._archive.read(self._root + name)  # compares its checksum

    def _call(self, name: str, *arguments: Any) -> np.ndarray:
        if name == _TENSOR:
            return _tensor(*arguments[:4])
        if name == _PARAMETER and isinstance(arguments[0], np.ndarray):
            return arguments[0]
        raise TypeError(f"{name} called")

    def _storage(self, kind: Any, name: Any, key: Any, device: Any, length: Any) -> np.ndarray:
        if kind != "storage" or not isinstance(name, pickles.Name) or name.text not in _STORAGES:
            raise TypeError("a persistent id that is no storage")
        if type(key) is not str or type(length) is not int:
            raise TypeError("a storage of no name or length")
        dtype = _STORAGES[name.text]
        if (dtype, key) not in self._storages:
            raw = self._read(f"data/{key}")
            if len(raw) != length * (2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize):
                raise DataError(self._path, f"damaged (data/{key} has {len(raw)} bytes for {length} numbers)", _COPY)
            self._storages[dtype, key] = _numbers(raw, dtype)
        return self._storages[dtype, key]


def _numbers(raw: bytes, dtype: str) -> np.ndarray:
    if dtype == _BFLOAT16:  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    if dtype == "?":  # of which NumPy expects 0 and 1 alone
        return np.frombuffer(raw, "u1") != 0
    return np.frombuffer(raw, dtype)


def _tensor(storage: Any, offset: Any, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> np.ndarray:
    """A view of a storage; strides in numbers."""
    whole = isinstance(storage, np.ndarray) and storage.ndim == 1 and len(shape) == len(strides) <= 32
    if not whole or not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)):
        raise TypeError("a tensor of no shape")
    count = math.prod(shape)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if count > len(storage) or (count and last >= len(storage)):
        raise ValueError(f"a tensor of shape {shape} in a storage of {len(storage)}")
    if not count:
        return np.zeros(shape, storage.dtype)
    bytes_apart = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, bytes_apart, writeable=False)
