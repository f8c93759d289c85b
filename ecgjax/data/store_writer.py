"""Writes a store: recordings one by one, in the order of their keys, then normalisation, index, hash and manifest.

    with store_writer.create(path, preprocess_config) as writer:
        for prepared in ...:
            writer.append(prepared)
        manifest = writer.commit({"dataset": ..., "labels": ..., ...})

Everything is written into a folder beside the store, which takes the store's name as the last step. So whoever opens
the store sees all of it, and a preparation that fails or is killed leaves none.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import ecgjax
from ecgjax import plain
from ecgjax.data import staging, store
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from ecgjax.signals.moments import Moments, Normalise, good_samples, scales
from ecgjax.signals.preprocess import Prepared
from ecgjax.signals.recording import Signal

_ROWS = 1 << 20  # normalised at a time
_TEXT = ("key", "session", "trial", "start_time")


@contextlib.contextmanager
def create(path: str | Path, steps: preprocess.Config, overwrite: bool = False) -> Iterator["Writer"]:
    """A writer whose store exists once its `commit` has returned; without that, nothing is left behind.

    Raises:
      UserError: something is at `path` (and `overwrite` is not set, or it is no store), another preparation writes it,
        or the disk is full or cannot be written.
    """
    path = Path(path)
    if re.match(r"\w{2,}:/", str(path)):
        raise UserError(f"{path}: a store is made in a folder. Mount the bucket, or copy the store there afterwards.")
    _check_target(path, overwrite)
    with staging.claimed(path) as folder, contextlib.closing(Writer(path, folder, steps)) as writer:
        yield writer


class Writer:
    """Made by `create`.

    Attributes:
      folder: where the store is written until it gets its name.
    """

    def __init__(self, path: Path, folder: Path, steps: preprocess.Config):
        self._path, self.folder, self._steps = path, folder, steps
        self._tracks: dict[str, _Track] = {}
        self._recordings: list[dict[str, str]] = []
        self._labels: list[tuple[int, str, float, float, float]] = []
        self._sources: list[tuple[int, str]] = []
        with staging.disk_errors(path):
            (folder / "signals").mkdir()
            (folder / "index").mkdir()

    def append(self, prepared: Prepared) -> None:
        """Adds a recording.

        Raises:
          DataError: its channels or units do not go with those before it; nothing of it is added.
          UserError: the disk is full or cannot be written.
        """
        if self._recordings and prepared.key <= self._recordings[-1]["key"]:
            raise ValueError(f"recordings come in the order of their keys, but {prepared.key} came late")
        for modality, signal in prepared.signals.items():
            if modality in self._tracks:
                self._tracks[modality].check(prepared.key, signal)
        number = len(self._recordings)
        with staging.disk_errors(self._path):
            for modality, signal in prepared.signals.items():
                if modality not in self._tracks:
                    rule = self._steps.steps()[modality].normalise
                    file = open(self.folder / "signals" / f"{modality}.npy", "w+b")
                    self._tracks[modality] = _Track(modality, file, rule, signal.rate_hz, len(signal.channels))
                track = self._tracks[modality]
                track.append(number, prepared)
        names = (prepared.key, prepared.session, prepared.trial, prepared.start_time, prepared.subject)
        self._recordings.append(dict(zip((*_TEXT, "subject"), names, strict=True)))
        self._labels += [(number, x.name, x.start_s, x.stop_s, x.value) for x in prepared.labels]
        self._sources += [(number, file) for file in prepared.sources]

    @property
    def num_recordings(self) -> int:
        return len(self._recordings)

    def commit(self, about: dict[str, Any]) -> dict[str, Any]:
        """Normalises, completes the files and gives the store its name.

        Args:
          about: the manifest's dataset, labels, dropped, skipped_files and events.

        Returns:
          The manifest.
        """
        with staging.disk_errors(self._path):
            manifest = {
                "format_version": store.FORMAT_VERSION,
                "ecgjax_version": ecgjax.__version__,
                **about,
                "preprocess": plain.to_dict(self._steps),
                "modalities": {name: track.about() for name, track in sorted(self._tracks.items())},
                "subjects": sorted({r["subject"] for r in self._recordings}),
                "num_recordings": len(self._recordings),
            }
            digest = store.start_digest(manifest)
            for _, track in sorted(self._tracks.items()):
                track.finish(digest, [(r["key"], r["subject"]) for r in self._recordings])
            for name, column in sorted(self._index(manifest).items()):
                store.add_to_digest(digest, f"index/{name}", column.dtype, column.shape)
                digest.update(column.tobytes())
                file = self.folder / "index" / f"{name}.npy"
                file.parent.mkdir(exist_ok=True)
                with open(file, "wb") as out:
                    np.save(out, column)
                    staging.sync(out)
            manifest["content_hash"] = digest.hexdigest()
            with open(self.folder / store.MANIFEST, "w", encoding="utf-8") as out:
                json.dump(manifest, out, indent=1, ensure_ascii=False)
                staging.sync(out)
            staging.publish(self.folder, self._path)
        return manifest

    def close(self) -> None:
        for track in self._tracks.values():
            with contextlib.suppress(OSError):  # a full disk, which has been reported by the write that met it
                track.file.close()

    def _index(self, manifest: dict[str, Any]) -> dict[str, np.ndarray]:
        subjects = {name: i for i, name in enumerate(manifest["subjects"])}
        label_names = {name: i for i, name in enumerate(manifest["labels"])}
        index = {name: np.array([r[name] for r in self._recordings], dtype=np.str_) for name in _TEXT}
        index["subject"] = np.array([subjects[r["subject"]] for r in self._recordings], np.int32)
        for modality, track in self._tracks.items():
            index |= {f"{modality}/{name}": c for name, c in track.index(len(self._recordings)).items()}
        recording, name, start_s, stop_s, value = zip(*self._labels, strict=True) if self._labels else ((),) * 5
        index["label/recording"] = np.array(recording, np.int32)
        index["label/name"] = np.array([label_names[n] for n in name], np.int32)
        for column, values in (("start_s", start_s), ("stop_s", stop_s), ("value", value)):
            index[f"label/{column}"] = np.array(values, np.float64)
        index["source/recording"] = np.array([number for number, _ in self._sources], np.int32)
        index["source/file"] = np.array([file for _, file in self._sources], dtype=np.str_)
        return index


class _Track:
    """One modality: its file, and what the index will say of it."""

    def __init__(self, modality: str, file: BinaryIO, rule: Normalise, rate_hz: float, num_channels: int):
        self.file = file
        self._modality, self._rule, self._rate_hz = modality, rule, rate_hz
        self._names: list[set[str]] = [set() for _ in range(num_channels)]  # seen of each channel
        self._units: set[str] = set()
        self._rows, self._good_s = 0, 0.0
        self._entries: list[tuple] = []  # recording, first row, rows, start_s, recorded_hz, digest
        self._spans: list[np.ndarray] = []
        self._moments: list[Moments] = []
        self._write_header()

    def check(self, key: str, signal: Signal) -> None:
        if len(signal.channels) != len(self._names):
            remedy = f"It has {len(signal.channels)} channels of {self._modality}, others {len(self._names)}."
            raise DataError(key, "number of channels differs", f"{remedy} Choose them by --config.dataset.channels.")
        if self._rule is Normalise.NONE and signal.unit not in self._units:
            name, units = self._modality, " or ".join(sorted(self._units))
            remedy = (
                f"Its {name} is in {signal.unit}, others in {units}: set --config.preprocess.{name}.normalise=SUBJECT."
            )
            raise DataError(key, "unit differs", remedy)

    def append(self, recording: int, prepared: Prepared) -> None:
        signal, spans_s = prepared.signals[self._modality], prepared.spans_s[self._modality]
        self.file.write(np.ascontiguousarray(signal.samples_TC, np.float32).data)
        recorded = prepared.recorded_hz[self._modality], prepared.digests[self._modality]
        self._entries.append((recording, self._rows, len(signal.samples_TC), signal.start_s, *recorded))
        self._spans.append(spans_s)
        self._moments.append(prepared.moments[self._modality])
        self._rows += len(signal.samples_TC)
        self._good_s += float(np.diff(spans_s).sum())
        self._units.add(signal.unit)
        for names, name in zip(self._names, signal.channels, strict=True):
            names.add(name)

    def about(self) -> dict[str, Any]:
        return {
            "rate_hz": self._rate_hz,
            "unit": min(self._units) if len(self._units) == 1 else "mixed",
            "channels": [min(names) if len(names) == 1 else "mixed" for names in self._names],
            "normalise": self._rule.name,
            "samples": self._rows,
            "hours": self._good_s / 3600,
        }

    def finish(self, digest: Any, names: list[tuple[str, str]]) -> None:
        """Normalises in place and completes the header, on the way hashing what is written."""
        self.file.seek(0)
        offset = self._write_header()
        store.add_to_digest(digest, f"signals/{self._modality}", np.dtype("<f4"), (self._rows, len(self._names)))
        parts = [(*names[entry[0]], m) for entry, m in zip(self._entries, self._moments, strict=True)]
        rows_bytes = 4 * len(self._names)
        for (_, start, length, *_), (mean_C, std_C) in zip(
            self._entries, scales(self._rule, parts, self._good), strict=True
        ):
            for row in range(start, start + length, _ROWS):
                self.file.seek(offset + row * rows_bytes)
                chunk = self.file.read(min(_ROWS, start + length - row) * rows_bytes)
                if self._rule is not Normalise.NONE:
                    samples_TC = np.frombuffer(chunk, np.float32).reshape(-1, len(self._names))
                    chunk = ((samples_TC - mean_C) / std_C).tobytes()
                    self.file.seek(offset + row * rows_bytes)
                    self.file.write(chunk)
                digest.update(chunk)
        staging.sync(self.file)

    def _good(self, number: int) -> np.ndarray:
        """The good samples of a recording, before they are normalised."""
        _, start, length, start_s, *_ = self._entries[number]
        self.file.flush()
        samples_TC = np.load(self.file.name, mmap_mode="r")[start : start + length]
        return good_samples(samples_TC, self._spans[number] - start_s, self._rate_hz)

    def index(self, num_recordings: int) -> dict[str, np.ndarray]:
        columns = {
            "offset": np.zeros(num_recordings, np.int64),
            "length": np.zeros(num_recordings, np.int64),
            "start_s": np.zeros(num_recordings, np.float64),
            "recorded_hz": np.zeros(num_recordings, np.float64),
            "digest": np.zeros(num_recordings, "<U16"),
        }
        for recording, *values in self._entries:
            for column, value in zip(columns.values(), values, strict=True):
                column[recording] = value
        spans = np.concatenate(self._spans)
        of = np.repeat([entry[0] for entry in self._entries], [len(s) for s in self._spans]).astype(np.int32)
        return columns | {"span_recording": of, "span_start_s": spans[:, 0].copy(), "span_stop_s": spans[:, 1].copy()}

    def _write_header(self) -> int:
        """NumPy leaves room in it for the first axis to grow. Returns where the samples begin."""
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, len(self._names))}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self.file.tell()


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() and not (path / store.MANIFEST).is_file():
        raise UserError(f"{path}: exists and is not a store. Choose another --store.")
    if path.exists() and not overwrite:
        raise UserError(f"{path}: there is a store already. Choose another --store, or pass --overwrite to replace it.")
