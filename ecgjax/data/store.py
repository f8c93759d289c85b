"""The store: prepared signals as memory-mapped NumPy arrays, one continuous array a modality, and a columnar index.

    manifest.json          what the store is: format, data set, preprocessing, modalities, subjects, labels, drops, hash
    signals/<modality>.npy (rows, channels) float32, all recordings one after another, by key
    index/<column>.npy     one array a column, see `Store`

A store is written by `ecgjax.data.store_writer`, never changed, and opened in milliseconds by any number of readers.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ecgjax.data import staging
from ecgjax.errors import UserError

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
HASHED_PARTS = ("modalities", "subjects", "labels")  # of the manifest: the index's numbers point into them
_CHUNK_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class Store:
    """An open store. Pickles as its path, so that it may be sent to worker processes.

    Attributes:
      path: the folder.
      manifest: format_version, ecgjax_version, dataset {name, config}, preprocess (plain.to_dict),
        modalities {m: {rate_hz, unit, channels, normalise, samples, hours}} (hours in good spans), subjects (sorted),
        labels {name: LabelSpec as dict}, num_recordings, dropped {m: {reason: seconds}},
        skipped_files {reason: [messages]}, events {name: count}, content_hash.
      signals: by modality, (N, C) float32, memory-mapped. What lies outside the good spans is not fit for use.
      index: columns "key", "session", "trial", "start_time" (text) and "subject" (int32 into manifest["subjects"]), one
        row a recording; for each modality m, "m/offset" (first row in signals[m]), "m/length" (rows, 0 where the
        recording lacks it), "m/start_s" (time of the first row on the recording's axis), and of what was recorded
        "m/recorded_hz" and "m/digest" (`Signal.digest`; "" where lacking); good spans "m/span_recording",
        "m/span_start_s", "m/span_stop_s", half-open, by recording and time; label intervals "label/recording",
        "label/name" (into list(manifest["labels"])), "label/start_s", "label/stop_s", "label/value"; the files of
        the signals "source/recording", "source/file" (relative to the data set's root).
    """

    path: Path
    manifest: dict[str, Any]
    signals: dict[str, np.ndarray]
    index: dict[str, np.ndarray]

    def __reduce__(self) -> tuple:
        return open_store, (self.path,)


def open_store(path: str | Path) -> Store:
    """Opens a store without reading its signals.

    Raises:
      UserError: nothing is there, it is no store, half written, of another version, or damaged.
    """
    path = Path(path)
    manifest = read_manifest(path)
    try:
        signals = {name: _map(path / "signals" / f"{name}.npy") for name in manifest["modalities"]}
        files = sorted((path / "index").rglob("*.npy"))
        index = {file.relative_to(path / "index").with_suffix("").as_posix(): _map(file) for file in files}
        complete = all(_fits(manifest, index, name, array) for name, array in signals.items())
        complete &= {
            "key",
            "session",
            "trial",
            "start_time",
            "subject",
            "label/recording",
            "source/file",
        } <= index.keys()
    except KeyError as error:
        raise _damaged(path, f"{error} is missing") from error
    if not complete:
        raise _damaged(path, "signals, index and manifest do not fit together")
    return Store(path, manifest, signals, index)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest of a store; raises UserError as `open_store` does."""
    path = Path(path)
    if not path.exists():
        half = path.with_name(path.name + staging.SUFFIX)
        told = f" {half} is not complete yet, or was left so." if half.exists() else ""
        raise UserError(f"{path}: no such store.{told} Make it: python -m launch.prepare --config=FILE --store=DIR.")
    if path.name.endswith(staging.SUFFIX):
        raise UserError(f"{path}: half written. Wait for launch.prepare to end, or run it again.")
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path}: not a store, there is no {MANIFEST} in it. Name a folder made by launch.prepare.")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _damaged(path, f"{MANIFEST} cannot be read ({error})") from error
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: a store of format {version}, written by ecgjax {manifest.get('ecgjax_version')}; this version "
            f"reads format {FORMAT_VERSION}. Prepare it again, or install the version that wrote it."
        )
    return manifest


def verify_store(path: str | Path) -> Store:
    """Opens a store and reads all of it, to compare with its content hash.

    Raises:
      UserError: as `open_store`, or some bytes are not those that were written.
    """
    store = open_store(path)
    digest = start_digest(store.manifest)
    for name in sorted(store.manifest["modalities"]):
        with open(store.path / "signals" / f"{name}.npy", "rb") as file:
            add_to_digest(digest, f"signals/{name}", store.signals[name].dtype, store.signals[name].shape)
            for chunk in chunks(file, store.signals[name]):
                digest.update(chunk)
    for name, column in sorted(store.index.items()):
        add_to_digest(digest, f"index/{name}", column.dtype, column.shape)
        digest.update(column.tobytes())
    if digest.hexdigest() != store.manifest["content_hash"]:
        raise _damaged(store.path, "its content is not what was written")
    return store


def start_digest(manifest: dict[str, Any]) -> "hashlib._Hash":
    """sha256 over what the index points to; arrays follow, signals before index, by name."""
    return hashlib.sha256(json.dumps([manifest[part] for part in HASHED_PARTS], sort_keys=True).encode())


def add_to_digest(digest: "hashlib._Hash", name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Announces an array, whose bytes follow."""
    digest.update(f"{name} {dtype.str} {shape}".encode())


def chunks(file: BinaryIO, array: np.ndarray) -> Iterator[bytes]:
    """The array's bytes, read from its .npy file: a memory map's pages would count as this process's memory."""
    file.seek(array.offset)
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _map(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(file, f"it cannot be read ({error})") from error


def _fits(manifest: dict, index: dict, modality: str, array: np.ndarray) -> bool:
    said = manifest["modalities"][modality]
    rows = int(index[f"{modality}/length"].sum()) if len(index["key"]) else 0
    return array.dtype == np.float32 and array.shape == (said["samples"], len(said["channels"])) and rows == len(array)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: damaged: {what}. Copy it again from its source, or prepare it again.")
