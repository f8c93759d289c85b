"""CODE-15% (Ribeiro et al. 2021, zenodo.org/records/4916206, CC-BY 4.0; Ribeiro et al., Nat Commun 11:1760, 2020).

345,779 clinical ECGs of 12 leads at 400 Hz of 233,770 people, in `exams_part0.hdf5` ... `exams_part17.hdf5`: `tracings`
float32 (exams, 4096, 12) and `exam_id` (exams). Exams of 7 to 10 s stand in the middle of zeros, which are cut off; the
last row of a part is a dummy with number 0. `exams.csv`, in another order, says whose each is (`patient_id`), in which
part (`trace_file`), and six diagnoses.

The scale is in doubt: one source takes the values for mV, another for units of 1e-4 V. So the unit is unknown here.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_channels, base_files
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_PART = r"exams_part\d+\.(hdf5|h5)"
_LEADS = ("DI", "DII", "DIII", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")  # in this order, [2+]
_RATE_HZ = 400.0
_DIAGNOSES = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
_DUMMY = 0  # exam_id of a row without an exam
_BLOCK = 64  # exams that one process reads in a row: enough for chunks of a file, little enough for memory
_MAX_EXAMS, _MAX_SAMPLES, _MAX_CHUNK_BYTES, _MAX_TABLE_BYTES = 2**20, 2**16, 2**27, 2**28
_FAULTS = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)  # of h5py on bad bytes


def _dii() -> Channels:
    return Channels(ecg=("DII",))


@dataclasses.dataclass
class Config:
    """`root` is a folder with parts, searched with its sub-folders, or one part; `exams.csv` lies beside or above them.

    `channels.ecg` names the leads, which make one signal.
    """

    root: str = ""
    channels: Channels = dataclasses.field(default_factory=_dii)

    def make(self) -> "Code15":
        return Code15(dataclasses.replace(self, channels=dataclasses.replace(self.channels)))


class Code15:
    """A key is the part, the row in it and the exam's number, as "exams_part0/000012-1169160"."""

    name = "code15"

    def __init__(self, config: Config):
        self.config = config
        self.label_specs = {name: LabelSpec(classes=("absent", "present"), rater="external") for name in _DIAGNOSES}
        self._parts: dict[str, str] = {}
        self._copied: set[str] = set()

    def keys(self) -> tuple[str, ...]:
        keys, (self._parts, self._copied) = [], self._files()
        for stem, file in self._parts.items():
            path = base_files.locate(self.config.root, file)
            try:
                ids = _open(path).exam_ids
            except DataError:  # listed all the same, so that loading it reports what is wrong
                keys.append(stem)
                continue
            keys += [f"{stem}/{row:06d}-{exam}" for row, exam in enumerate(ids.tolist()) if exam != _DUMMY]
            missing = np.setdiff1d(self._exams(file).of_part(path.name), ids)
            keys += [f"{stem}/none-{exam}" for exam in missing.tolist()]  # the table says that they are there
        return tuple(sorted(keys))

    def group(self, key: str) -> str:
        part, _, place = key.partition("/")
        row = place.partition("-")[0]
        return f"{part}/{int(row) // _BLOCK}" if row.isdigit() else key

    def load(self, key: str) -> Recording:
        stem, _, place = key.partition("/")
        if not self._parts:  # the folder is not searched anew for every exam
            self._parts, self._copied = self._files()
        file = self._parts.get(stem)
        if file is None:
            raise DataError(key, "missing file", f"There is no {stem}.hdf5 below {self.config.root}.")
        path, exams = base_files.locate(self.config.root, file), self._exams(file)
        part = _open(path)
        row, _, exam = place.partition("-")
        if not row.isdigit() or not int(row) < len(part.exam_ids) or part.exam_ids[int(row)] != int(exam):
            raise DataError(key, "missing exam", f"{path} does not hold it, though {exams.path} may say so.")
        samples_TC, events = _strip(part.read(int(row)), key)
        picked = base_channels.pick("ecg", _LEADS, ("unknown",) * len(_LEADS), self.config.channels.ecg, path)
        names = tuple(_LEADS[i] for i in picked)
        signal = Signal(samples_TC[:, picked].astype(np.float32), _RATE_HZ, "unknown", names)
        subject, values, other = exams.about(int(exam), path.name, key)
        labels = [
            Label(name, 0.0, signal.duration_s, float(value))
            for name, value in zip(_DIAGNOSES, values, strict=True)
            if value >= 0
        ]
        events += ["code15_diagnosis_missing"] * (len(labels) < len(_DIAGNOSES)) + other
        events += [base_files.COPY] * (file in self._copied)
        return Recording(key, subject, {"ecg": signal}, tuple(labels), "", exam, events=tuple(events), sources=(file,))

    def _files(self) -> tuple[dict[str, str], set[str]]:
        """(path below the root of each part; those with copies)."""
        files = base_files.list_files(self.config.root, _PART, "parts exams_part0.hdf5, exams_part1.hdf5, ...")
        return base_files.first_of_each((re.sub(r".*/|\.[^.]*$", "", file), file) for file in files)

    def _exams(self, file: str) -> "_Exams":
        table = base_files.nearest(self.config.root, file, "exams.csv")
        if table is None:
            raise DataError(file, "no exams.csv", "It says whose the exams are; put it beside the parts.")
        return _read_exams(table)


@dataclasses.dataclass(frozen=True)
class _Part:
    """An open part. Rows are read one at a time: a whole part has 4 GB."""

    path: Path
    tracings: Any  # h5py.Dataset
    exam_ids: np.ndarray

    def read(self, row: int) -> np.ndarray:
        try:
            return self.tracings[row]
        except _FAULTS as error:
            raise DataError(self.path, "unreadable", f"Row {row}: {error}. Fetch it again.") from error


def _open(path: Path) -> _Part:
    if not path.is_file():
        raise DataError(path, "missing file", "Check the folder.")
    version = (path, path.stat().st_mtime_ns, path.stat().st_size)
    if version not in _opened:
        forget()
        _opened[version] = _open_anew(path)
    return _opened[version]


_opened: dict[tuple, _Part] = {}  # the last part, of this process


def forget() -> None:
    """Closes the part that is kept open. HDF5 would take a file that has changed since for the one it has open."""
    while _opened:
        _opened.popitem()[1].tracings.file.close()


def _open_anew(path: Path) -> _Part:
    import h5py

    try:
        file = h5py.File(path, "r", locking=False)
    except _FAULTS as error:
        reason = "truncated" if "truncated" in str(error) else "unreadable"
        raise DataError(path, reason, f"{error}. Fetch it again.") from error
    try:
        tracings, exam_ids = (_dataset(path, file, name) for name in ("tracings", "exam_id"))
        fits = tracings.ndim == 3 and tracings.shape[2] == len(_LEADS) and exam_ids.shape == tracings.shape[:1]
        if not fits or tracings.shape[0] > _MAX_EXAMS or tracings.shape[1] > _MAX_SAMPLES:
            remedy = f"Its arrays have the shapes {tracings.shape} and {exam_ids.shape}. Fetch it again."
            raise DataError(path, "other layout", remedy)
        return _Part(path, tracings, exam_ids[:].astype(np.int64))
    except (*_FAULTS, DataError) as error:
        file.close()
        if isinstance(error, DataError):
            raise
        raise DataError(path, "unreadable", f"{error}. Fetch it again.") from error


def _dataset(path: Path, file: Any, name: str) -> Any:
    """A numeric array that lies in this file and nowhere else."""
    import h5py

    if name not in file:
        raise DataError(path, "other layout", f"It has no array {name!r}. Fetch it again.")
    own = isinstance(file.get(name, getlink=True), h5py.HardLink)
    array = file[name] if own else None
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise DataError(path, "data in another file", f"{name!r} is no array of its own, and is not followed.")
    if array.dtype.kind not in ("iu" if name == "exam_id" else "f") or array.dtype.hasobject:
        raise DataError(path, "other layout", f"{name!r} holds {array.dtype}. Fetch it again.")
    if array.chunks and np.prod(array.chunks, dtype=float) * array.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise DataError(path, "too large", f"{name!r} is stored in chunks of {array.chunks}.")
    return array


def _strip(samples_TC: np.ndarray, key: str) -> tuple[np.ndarray, list[str]]:
    """An exam without the zeros around it."""
    rows = np.flatnonzero((samples_TC != 0).any(axis=1))
    if not len(rows):
        raise DataError(key, "all zero", "There is no exam in its row.")
    stripped_TC = samples_TC[rows[0] : rows[-1] + 1]
    return stripped_TC, ["code15_padding_cut_off"] * (len(stripped_TC) < len(samples_TC))


@dataclasses.dataclass(frozen=True)
class _Exams:
    """The table, in the order of its exams' numbers; -1 where it says nothing."""

    path: Path
    ids: np.ndarray
    patients: np.ndarray
    diagnoses_ND: np.ndarray
    files: np.ndarray

    def of_part(self, name: str) -> np.ndarray:
        return self.ids[self.files == name]

    def about(self, exam: int, file: str, key: str) -> tuple[str, np.ndarray, list[str]]:
        """(subject, diagnoses, events) of an exam."""
        i = np.searchsorted(self.ids, exam)
        if i == len(self.ids) or self.ids[i] != exam or self.patients[i] < 0:
            raise DataError(key, "no subject", f"{self.path} does not say whose it is.")
        return str(self.patients[i]), self.diagnoses_ND[i], ["code15_other_trace_file"] * (self.files[i] != file)


@base_files.keep_last
def _read_exams(path: Path) -> _Exams:
    import pandas as pd

    base_files.check_size(path, _MAX_TABLE_BYTES)
    columns = ["exam_id", "patient_id", "trace_file", *_DIAGNOSES]
    try:
        table = pd.read_csv(path, usecols=columns, dtype=str, encoding_errors="replace", keep_default_na=False)
    except (ValueError, OSError) as error:
        raise DataError(path, "unreadable table", f"{error}. Fetch it again.") from error
    ids = pd.to_numeric(table["exam_id"], errors="coerce").to_numpy(np.float64)
    if not (np.isfinite(ids) & (ids > 0) & (ids < 2**53)).all():
        raise DataError(path, "unreadable table", "A row has no exam_id. Fetch it again.")
    patients = pd.to_numeric(table["patient_id"], errors="coerce").to_numpy(np.float64)
    patients = np.where(np.isfinite(patients) & (np.abs(patients) < 2**53), patients, -1).astype(np.int64)
    said = {"true": 1, "1": 1, "1.0": 1, "false": 0, "0": 0, "0.0": 0}
    values = [table[name].str.strip().str.lower().map(said).fillna(-1).to_numpy(np.int8) for name in _DIAGNOSES]
    order = np.argsort(ids, kind="stable")
    files = table["trace_file"].to_numpy(object)
    return _Exams(path, ids.astype(np.int64)[order], patients[order], np.stack(values, axis=1)[order], files[order])
