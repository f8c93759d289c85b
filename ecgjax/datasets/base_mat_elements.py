"""Elements of MATLAB files of versions 5 to 7, one by one: see `base_mat`. Format: "MAT-File Format" (MathWorks)."""

import dataclasses
import io
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ecgjax.errors import DataError

Keep = Callable[[np.ndarray], np.ndarray]

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_COMPLEX = 0x800
_BLOCK, _PACKED_BLOCK = 1 << 20, 1 << 16  # bytes inflated and read at once
_MAX_KEPT = 1 << 29  # bytes, ours; DREAMER has 220 MB. While one array is put together, it is there twice
_MAX_DEPTH, _MAX_DIMENSIONS, _MAX_NAMES = 20, 32, 1 << 20  # ours; the last in bytes
_WIDEST = 8  # bytes, of a number as it is stored
_VALUE = 128  # bytes that any value takes in Python, if it is empty
REFETCH = "Fetch it again."


class _Plain:
    """Bytes of an element that stands in the file as it is. `at` counts those taken."""

    def __init__(self, path: Path, file: BinaryIO, num_bytes: int):
        self.path, self.file, self.num_bytes, self.at = path, file, num_bytes, 0

    def take(self, num: int) -> bytes:
        self._advance(num)
        return self.file.read(num)

    def skip(self, num: int) -> None:
        self._advance(num)
        self.file.seek(num, io.SEEK_CUR)

    def finish(self) -> None:
        pass

    def _advance(self, num: int) -> None:
        self.at += num
        if self.at > self.num_bytes:
            raise DataError(self.path, "damaged", f"A part of it is longer than the whole. {REFETCH}")


class _Inflated:
    """The same of a compressed element, inflated a block at a time."""

    def __init__(self, path: Path, file: BinaryIO, num_bytes: int):
        self.path, self.file, self.left, self.at = path, file, num_bytes, 0
        self.inflate = zlib.decompressobj()
        self.block, self.taken = b"", 0  # what is inflated, and how much of that was taken

    def take(self, num: int) -> bytes:
        self.at += num
        parts = []
        while num:
            if self.taken == len(self.block):
                self.block, self.taken = self._more(), 0
            if not self.block:
                raise DataError(self.path, "damaged", f"A compressed variable of it ends early. {REFETCH}")
            parts.append(self.block[self.taken : self.taken + num])
            self.taken += len(parts[-1])
            num -= len(parts[-1])
        return b"".join(parts)

    def skip(self, num: int) -> None:
        for start in range(0, num, _BLOCK):
            self.take(min(num - start, _BLOCK))

    def finish(self) -> None:
        """Compares the checksum, which stands behind the last byte."""
        if self.taken < len(self.block) or self._more() or not self.inflate.eof:
            raise DataError(self.path, "damaged", f"A compressed variable of it does not end. {REFETCH}")

    def _more(self) -> bytes:
        """The next block; nothing at the end."""
        while not self.inflate.eof:
            packed = self.inflate.unconsumed_tail
            if not packed and self.left:
                packed = self.file.read(min(self.left, _PACKED_BLOCK))
                self.left -= len(packed)
            try:
                block = self.inflate.decompress(packed, _BLOCK)
            except zlib.error as error:
                raise DataError(self.path, "damaged", f"{error}. {REFETCH}") from error
            if block or not packed:
                return block
        return b""


@dataclasses.dataclass
class Reader:
    """Reads variables of one file, `size` bytes long; `skip` and `keep` as in `base_mat.read_mat`."""

    path: Path
    file: BinaryIO
    size: int
    order: str
    skip: frozenset[str]
    keep: Keep
    kept: int = 0  # bytes

    def variable(self, wanted: frozenset[str]) -> dict[str, Any]:
        """The variable at which the file stands, where it is wanted; the file then stands behind it."""
        if self.file.tell() + 8 > self.size:
            raise DataError(self.path, "truncated", f"It ends within a variable. {REFETCH}")
        kind, num_bytes = self._two(self.file.read(8))
        end_of_variable = self.file.tell() + num_bytes
        if kind not in (_MATRIX, _COMPRESSED):
            self._refuse(f"a variable of type {kind}")
        if end_of_variable > self.size:
            missing = f"{end_of_variable - self.size} bytes of a variable are missing."
            raise DataError(self.path, "truncated", f"{missing} {REFETCH}")
        stream = (_Inflated if kind == _COMPRESSED else _Plain)(self.path, self.file, num_bytes)
        if kind == _COMPRESSED:
            num_bytes = self._matrix_tag(stream)
        found, end = {}, stream.at + num_bytes
        if num_bytes:
            flags, dims, name = self._head(stream, end)
            if name in wanted:
                found = {name: self._body(stream, end, flags, dims, 0)}
                stream.skip(end - stream.at)
                stream.finish()
        self.file.seek(end_of_variable)
        return found

    def _refuse(self, what: str) -> NoReturn:
        raise DataError(self.path, "damaged", f"It has {what}. {REFETCH}")

    def _two(self, tag: bytes) -> tuple[int, int]:
        first, second = np.frombuffer(tag, self.order + "u4").tolist()
        return first, second

    def _matrix_tag(self, stream) -> int:
        kind, num_bytes = self._two(stream.take(8))
        if kind != _MATRIX:
            self._refuse(f"type {kind} where a matrix should be")
        return num_bytes

    def _element(self, stream, end: int, most: int) -> tuple[int, bytes]:
        """Type and content, of at most so many bytes, of an element that is no matrix.

        One of up to 4 bytes is packed into its tag. What a compressed element says of its length is checked here alone:
        its matrix may say that it has gigabytes, too.
        """
        tag = stream.take(8)
        kind, num_bytes = self._two(tag)
        if kind >> 16:
            kind, num_bytes = kind & 0xFFFF, kind >> 16
            if num_bytes > 4:
                self._refuse("a packed element of more than 4 bytes")
            return kind, tag[4 : 4 + num_bytes]
        if num_bytes > min(most, end - stream.at):
            self._refuse(f"an element of {num_bytes} bytes, which is longer than it can be")
        content = stream.take(num_bytes)
        stream.skip(min(-num_bytes % 8, end - stream.at))
        return kind, content

    def _values(self, stream, end: int, most: int) -> np.ndarray:
        """At most so many numbers."""
        kind, content = self._element(stream, end, _WIDEST * most)
        if kind not in _TYPES:
            self._refuse(f"numbers of type {kind}")
        dtype = np.dtype(self.order + _TYPES[kind])
        if len(content) % dtype.itemsize:
            self._refuse("half a number")
        return np.frombuffer(content, dtype)

    def _integers(self, stream, end: int) -> list[int]:
        values = self._values(stream, end, _MAX_DIMENSIONS)
        if values.dtype.kind == "f" or (values < 0).any():
            self._refuse("a matrix whose size is no number")
        return values.tolist()

    def _head(self, stream, end: int) -> tuple[int, list[int], str]:
        """Flags, dimensions and name of a matrix."""
        flags, dims = self._integers(stream, end), self._integers(stream, end)
        _, name = self._element(stream, end, _MAX_NAMES)
        if not flags or not 2 <= len(dims) <= _MAX_DIMENSIONS:
            self._refuse("a matrix without a size")
        return flags[0], dims, name.decode("latin-1")

    def _matrix(self, stream, end: int, depth: int) -> Any:
        num_bytes = self._matrix_tag(stream)
        end_of_matrix = stream.at + num_bytes
        if end_of_matrix > end:
            self._refuse("a matrix that is longer than the one around it")
        if not num_bytes:
            return np.zeros((0, 0))
        flags, dims, _ = self._head(stream, end_of_matrix)
        value = self._body(stream, end_of_matrix, flags, dims, depth)
        stream.skip(end_of_matrix - stream.at)
        return value

    def _body(self, stream, end: int, flags: int, dims: list[int], depth: int) -> Any:
        if depth > _MAX_DEPTH:
            self._refuse(f"more than {_MAX_DEPTH} matrices within each other")
        kind, count = flags & 0xFF, math.prod(dims)
        if kind in _CLASSES and not flags & _COMPLEX:
            return self._numbers(stream, end, np.dtype(_CLASSES[kind]), dims)
        if kind == _CHAR:
            return self._text(stream, end, dims[0])
        if kind == _CELL:
            self._check_room(count, 8, stream, end)
            self._hold(_VALUE * count)
            return [self._matrix(stream, end, depth + 1) for _ in range(count)]
        return self._structs(stream, end, count, depth) if kind == _STRUCT else None

    def _check_room(self, count: int, num_bytes: int, stream, end: int) -> None:
        if count * num_bytes > end - stream.at:
            self._refuse(f"{count} values in {end - stream.at} bytes")

    def _hold(self, num_bytes: int) -> None:
        self.kept += num_bytes
        if self.kept > _MAX_KEPT:
            raise DataError(self.path, "too large", f"What is wanted of it has over {_MAX_KEPT} bytes.")

    def _numbers(self, stream, end: int, dtype: np.dtype, dims: list[int]) -> np.ndarray:
        count = math.prod(dims)
        if not count:
            return np.zeros((0, 0), dtype)
        self._check_room(count, 1, stream, end)
        self._hold(_WIDEST * count)
        values = self._values(stream, end, count)
        if len(values) != count:
            self._refuse(f"{len(values)} of {count} numbers")
        with np.errstate(all="ignore"):
            kept = self.keep(values.astype(dtype, copy=False).reshape(dims, order="F"))
        self._hold(kept.nbytes - _WIDEST * count)
        kept.flags.writeable = False  # recordings of one file share it
        return kept

    def _text(self, stream, end: int, rows: int) -> str:
        self._hold(end - stream.at)
        kind, content = self._element(stream, end, end - stream.at)
        if kind not in _ENCODINGS:
            self._refuse(f"text of type {kind}")
        encoding = _ENCODINGS[kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self.order == "<" else "-be"
        text = content.decode(encoding, "replace")
        if rows < 2 or len(text) % rows:
            return text
        return "\n".join(text[row::rows] for row in range(rows))

    def _structs(self, stream, end: int, count: int, depth: int) -> Any:
        length, (_, names) = self._integers(stream, end), self._element(stream, end, _MAX_NAMES)
        if len(length) != 1 or not length[0] or len(names) % length[0]:
            self._refuse("a struct without names of its fields")
        starts = range(0, len(names), length[0])
        fields = [names[at : at + length[0]].split(b"\0")[0].decode("latin-1") for at in starts]
        self._check_room(count * len(fields), 8, stream, end)
        self._hold(_VALUE * count * (1 + len(fields)))
        if not fields:
            return {}
        structs = [self._struct(stream, end, fields, depth) for _ in range(count)]
        return structs[0] if count == 1 else structs

    def _struct(self, stream, end: int, fields: list[str], depth: int) -> dict[str, Any]:
        struct = {}
        for field in fields:
            if field in self.skip:
                num_bytes = self._matrix_tag(stream)
                if num_bytes > end - stream.at:
                    self._refuse("a field that is longer than its struct")
                stream.skip(num_bytes)
            else:
                struct[field] = self._matrix(stream, end, depth + 1)
        return struct
