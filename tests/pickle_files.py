"""Pickles as Python 2 wrote them, put together from their operations: those of Python 3 differ in every byte string."""

import struct
from pathlib import Path

import numpy as np

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
DTYPE = b"cnumpy\ndtype\n"


def write(path: Path, value: object, protocol: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(whole(code(value, protocol), protocol))
    return path


def whole(program: bytes, protocol: int = 2) -> bytes:
    return (b"\x80" + bytes([protocol])) * (protocol >= 2) + program + b"."


def code(value: object, protocol: int = 2) -> bytes:
    """The operations that leave a value on the stack."""
    if isinstance(value, dict):
        parts = [(code(key, protocol), code(part, protocol)) for key, part in value.items()]
        if protocol == 0:
            return b"(d" + b"".join(key + part + b"s" for key, part in parts)
        return b"}(" + b"".join(key + part for key, part in parts) + b"u"
    if isinstance(value, (list, tuple)):
        inside = b"".join(code(part, protocol) for part in value)
        return b"(" + inside + (b"l" if isinstance(value, list) else b"t")
    if isinstance(value, np.ndarray):
        raw = value.tobytes("A")
        return array(value.shape, kind(value.dtype, protocol), raw, not value.flags.c_contiguous, protocol)
    if isinstance(value, (str, bytes)):
        return _string(value if isinstance(value, bytes) else value.encode("latin-1"), protocol)
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return (b"I00\n", b"I01\n")[value] if protocol < 2 else (b"\x89", b"\x88")[value]
    if isinstance(value, int):
        return b"I%d\n" % value if protocol == 0 or not 0 <= value < 1 << 31 else b"J" + struct.pack("<i", value)
    return b"F" + repr(float(value)).encode() + b"\n" if protocol == 0 else b"G" + struct.pack(">d", value)


def array(shape: tuple, kind: bytes, raw: bytes, by_columns: object = False, protocol: int = 2) -> bytes:
    empty = RECONSTRUCT + b"(" + NDARRAY + code((0,), protocol) + code("b", protocol) + b"tR"
    state = code(1, protocol) + code(shape, protocol) + kind + code(by_columns, protocol) + code(raw, protocol)
    return empty + b"(" + state + b"tb"


def kind(dtype: object, protocol: int = 2) -> bytes:
    dtype = np.dtype(dtype)
    made = DTYPE + code((dtype.str[1:], 0, 1), protocol) + b"R"
    order = dtype.str[0]
    return made + code((3, order, None, None, None, -1, -1, 0), protocol) + b"b"


def _string(raw: bytes, protocol: int) -> bytes:
    if protocol == 0:
        return b"S" + repr(raw)[1:].encode() + b"\n"
    return (b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + struct.pack("<i", len(raw))) + raw


def opened(at: Path, program: bytes):
    """The program as a file, and what is read of it."""
    from ecgjax.datasets import base_pickle

    at.write_bytes(program)
    return base_pickle.read(at)
