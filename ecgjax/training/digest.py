"""What is needed to trust a checkpoint: digests of its files, and the shapes and dtypes of its leaves.

Orbax restores a flipped bit as a wrong value and casts dtypes without a word. So every step folder holds one file of
ours, written before the folder gets its final name: what was saved (metrics, config, leaves) and a digest of each file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from ecgjax import plain
from ecgjax.data.staging import whole_file
from ecgjax.errors import DataError

RECORD = "ecgjax.json"
FORMAT = 1
# Orbax still writes these while it gives the folder its name, and no value depends on them.
_NOT_DIGESTED = frozenset({RECORD, "_CHECKPOINT_METADATA", "commit_success.txt"})
_REMEDY = "Copy the folder again from where it is intact, or delete it to use an earlier step."


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Digests every file in `folder` and writes `record` beside them, synced to the disk."""
    files = {str(path.relative_to(folder)): [path.stat().st_size, _digest(path)] for path in _files(folder)}
    body = json.dumps({"format": FORMAT, **record, "files": files}, sort_keys=True)
    with whole_file(folder / RECORD) as file:
        json.dump({"blake2b": hashlib.blake2b(body.encode()).hexdigest(), "body": body}, file)


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a step folder.

    Raises:
      DataError: there is none, it is damaged, or another version wrote it.
    """
    path = folder / RECORD
    try:
        outer = json.loads(path.read_bytes())
        body, digest = outer["body"].encode(), outer["blake2b"]
    except FileNotFoundError:
        raise DataError(path, "missing, so nothing vouches for this checkpoint", _REMEDY) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(path, "damaged", _REMEDY) from None
    if hashlib.blake2b(body).hexdigest() != digest:
        raise DataError(path, "damaged (its own digest differs)", _REMEDY)
    record = json.loads(body)
    if record["format"] != FORMAT:
        raise DataError(path, f"written in format {record['format']}, this ecgjax reads format {FORMAT}")
    return record


def verify(folder: Path) -> dict[str, Any]:
    """Compares every file with its digest. Returns the record.

    Raises:
      DataError: names the first file that is missing or differs.
    """
    record = read_record(folder)
    for name, (size, digest) in record["files"].items():
        path = folder / name
        if not path.is_file():
            raise DataError(path, "missing", _REMEDY)
        if path.stat().st_size != size:
            raise DataError(path, f"damaged ({path.stat().st_size} bytes instead of {size})", _REMEDY)
        if _digest(path) != digest:
            raise DataError(path, "damaged (its digest differs)", _REMEDY)
    return record


def leaves(tree: Any) -> dict[str, list]:
    """{path of the leaf: [shape, dtype]} of arrays, abstract or not."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): [list(leaf.shape), str(leaf.dtype)]
        for path, leaf in flat
    }


def mismatches(saved: Mapping[str, list], wanted: Mapping[str, list]) -> list[str]:
    """One line for each leaf that is missing, extra, or of another shape or dtype."""
    lines = [f"{path} is not in the checkpoint" for path in wanted if path not in saved]
    lines += [f"{path} is only in the checkpoint" for path in saved if path not in wanted]
    for path in wanted:
        for what, here, there in zip(("shape", "dtype"), wanted[path], saved.get(path, wanted[path]), strict=True):
            if here != there:
                lines.append(f"{path} has {what} {_show(there)} in the checkpoint and {_show(here)} here")
    return lines


def misfit(folder: Path, lines: list[str], extra: Mapping[str, Any], model: Mapping[str, Any] | None) -> str:
    """The message for a checkpoint whose leaves do not fit, with the config fields that explain it, if they do."""
    shown = "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")
    there = extra.get("config", {}).get("model", {})
    fields = plain.diff(there, model) if model and there else {}
    why = "; ".join(f"model.{name} is {old} in the checkpoint and {new} here" for name, (old, new) in fields.items())
    remedy = (
        f"Set the model's fields as they were: {why}."
        if why
        else "It comes from another model: name a run of this one."
    )
    return f"{folder}: the checkpoint does not fit: {shown}. {remedy}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _NOT_DIGESTED)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _show(value: list | str) -> str:
    return "x".join(map(str, value)) or "scalar" if isinstance(value, list) else value
