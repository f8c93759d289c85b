"""Files of `torch.save`, written by hand: pickles as opcodes, so that they may hold what PyTorch would never write."""

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage"}


def write(path: Path, program: bytes, storages: dict[str, bytes], name: str = "archive", **members: bytes) -> Path:
    """The zip around a pickle; `members` replaces or adds some, such as byteorder."""
    parts = {"data.pkl": program, "byteorder": b"little", "version": b"3\n"} | members
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in {**parts, **{f"data/{key}": raw for key, raw in storages.items()}}.items():
            archive.writestr(f"{name}/{member}", content)
    return path


def save(path: Path, value: Any, **members: bytes) -> Path:
    """What `torch.save(value, path)` would write, where arrays stand for tensors."""
    storages: dict[str, bytes] = {}
    return write(path, whole(encode(value, storages)), storages, **members)


def whole(code: bytes) -> bytes:
    return b"\x80\x02" + code + b"."


def encode(value: Any, storages: dict[str, bytes]) -> bytes:
    """The opcodes that leave a value on the stack; what its arrays hold goes into `storages`."""
    if isinstance(value, dict):
        items = b"".join(encode(part, storages) for pair in value.items() for part in pair)
        return b"ccollections\nOrderedDict\n)R(" + items + b"u"
    if isinstance(value, (list, tuple)):
        items = b"".join(encode(part, storages) for part in value)
        return b"](" + items + b"e" if isinstance(value, list) else b"(" + items + b"t"
    if isinstance(value, np.ndarray):
        key = str(len(storages))
        storages[key] = value.tobytes()
        strides = tuple(stride // value.itemsize for stride in np.zeros(value.shape, value.dtype).strides)
        return tensor(key, STORAGES[value.dtype.name], value.size, 0, value.shape, strides)
    return pickle.dumps(value, 2)[2:-1]


def tensor(key: str, storage: str, length: int, offset: int, shape: tuple, strides: tuple) -> bytes:
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + _arguments(key, storage, length, offset, shape, strides) + b"tR"


def _arguments(key: str, storage: str, length: int, offset: int, shape: tuple, strides: tuple) -> bytes:
    plain = [encode(part, {}) for part in ("storage", key, "cpu", length, offset, shape, strides, False)]
    at = b"(" + plain[0] + f"ctorch\n{storage}\n".encode() + b"".join(plain[1:4]) + b"tQ"
    return at + b"".join(plain[4:]) + b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()
