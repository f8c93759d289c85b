"""Reads one session of an Empatica E4 wristband: a folder of CSV files, or the zip that Empatica's website gives.

Each file has the start (Unix seconds) in its first row, the rate in its second, then samples: `EDA.csv` in uS at 4 Hz,
`BVP.csv` at 64 Hz, `TEMP.csv` in degrees Celsius at 4 Hz, `ACC.csv` with three columns, also in the first two rows, in
1/64 g at 32 Hz; `tags.csv` has the times at which the button was pressed (the `info.txt` of every session). `HR.csv`
and `IBI.csv` are derived from BVP.csv, and not read.
"""

import codecs
import dataclasses
import functools
import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_rates, base_zip
from ecgjax.errors import DataError
from ecgjax.signals.recording import Signal


@dataclasses.dataclass(frozen=True)
class Kind:
    """A signal of the device: `scale` takes its numbers to the unit."""

    unit: str
    channels: tuple[str, ...]
    rate_hz: float
    scale: float = 1.0


KINDS = {
    "acc": Kind("g", ("x", "y", "z"), 32.0, 1 / 64),
    "bvp": Kind("unknown", ("BVP",), 64.0),  # arbitrary
    "eda": Kind("uS", ("EDA",), 4.0),
    "temp": Kind("degC", ("TEMP",), 4.0),
}
MODALITIES = tuple(KINDS)
FILES = rf"({'|'.join(MODALITIES)})\.csv|.*\.zip"  # a regex: what makes a session, in lower case
_TAGS = re.compile(r"tags(_.*)?\.csv")  # as in tags.csv, and tags_S05.csv of Stress-Predict
_EARLIEST = 1e9  # 2001: a lower start is a sample, or a rate
_LONGEST_S = 7 * 86400.0  # the battery lasts two days
_EARLY_S = 10.0  # ours; up to 5 s were seen between the ends of intact files
_MAX_FILE_BYTES = 1 << 27  # ours; two days of BVP, which is the largest, have 75 MB
_MAX_BYTES, _MAX_FILES = 1 << 30, 1000  # of an archive, ours: a dozen files of that size
_REFETCH = "Fetch it again."


@dataclasses.dataclass(frozen=True)
class Session:
    """One session; seconds count from the earliest start of its files.

    Attributes:
      signals: by modality.
      start_unix_s, start_time: when second 0 was, the latter as ISO 8601 in UTC.
      tags_s: button presses, in the order of the file, also where they lie outside the session.
      events: oddities met and mended.
    """

    signals: dict[str, Signal]
    start_unix_s: float
    start_time: str
    tags_s: tuple[float, ...]
    events: tuple[str, ...]

    @property
    def stop_s(self) -> float:
        return max(signal.start_s + signal.duration_s for signal in self.signals.values())

    def holds(self, at_s: float) -> bool:
        return 0.0 <= at_s <= self.stop_s


def list_sessions(root: str) -> tuple[str, ...]:
    """Folders with one of the four files, and zips, below the root; of a folder and its zip, the folder.

    The root may be one session itself: then its name.

    Raises:
      UserError: the root is missing or holds no session.
    """
    what = f"E4 session, a zip or a folder with {', '.join(m.upper() + '.csv' for m in MODALITIES)}"
    found = base_files.list_files(root, FILES, what)
    if base_files.existing_root(root).is_file():
        return found
    zips = {file for file in found if file.lower().endswith(".zip")}
    folders = {file.rpartition("/")[0] for file in found if file not in zips}
    if "" in folders:
        return (base_files.dataset_name("", root),)
    return tuple(sorted(folders | {file for file in zips if file[:-4] not in folders}))


def locate_session(root: str, key: str) -> Path:
    """Path of a listed session."""
    path = base_files.locate(root, key)
    itself = not path.exists() and key == base_files.dataset_name("", root)
    return base_files.existing_root(root) if itself else path


def sources(root: str, path: Path, session: Session) -> tuple[str, ...]:
    """The files of the signals of a session at `path`, relative to the root."""
    top = base_files.existing_root(root)
    names = {f"{modality}.csv" for modality in session.signals}
    files = [path] if path.is_file() else [file for file in sorted(path.iterdir()) if file.name.lower() in names]
    return tuple(file.relative_to(top if top.is_dir() else top.parent).as_posix() for file in files)


def read_session(path: Path, modalities: Sequence[str]) -> Session:
    """Reads the modalities of a session. One whose file is missing is left out, with an event such as "e4_no_acc".

    Raises:
      UserError: there is no such modality.
      DataError: all files are missing, or one of them is empty, truncated or no such file; or an unsafe archive.
    """
    base_channels.check_modalities(modalities, KINDS, "E4")
    members = _folder(path) if path.is_dir() else _archive(path)
    wanted = [m for m in MODALITIES if m in modalities]
    tables = {m: _Table(path / f"{m.upper()}.csv", members[f"{m}.csv"](), m) for m in wanted if f"{m}.csv" in members}
    if not tables:
        remedy = f"None of {', '.join(f'{m.upper()}.csv' for m in wanted)} is there. Check the folder."
        raise DataError(path, "missing file", remedy)
    events = [f"e4_no_{m}" for m in wanted if m not in tables]
    start = min(table.start for table in tables.values())
    _check_ends(tables, start, events)
    tags_s = [at - start for name in sorted(members) if _TAGS.fullmatch(name) for at in _tags(members[name](), events)]
    signals = {m: table.signal(table.start - start) for m, table in tables.items()}
    for table in tables.values():
        events += table.events
    return Session(signals, start, base_rates.start_time(start), tuple(tags_s), tuple(events))


def _check_ends(tables: dict[str, "_Table"], start: float, events: list[str]) -> None:
    """Files of a session start and end together, or nearly; a copy that broke off ends long before the others."""
    latest = max(table.start for table in tables.values())
    if latest - start > _LONGEST_S:
        apart = next(table for table in tables.values() if table.start == latest)
        remedy = f"{latest - start:.0f} s after another file of its session. {_REFETCH}"
        raise DataError(apart.path, "starts at another time", remedy)
    for table in tables.values():
        # How many files end with it, if all rates are as stated, and if all are the device's: what was resampled has
        # the length that its own rate says.
        stated, device = (
            sum(abs(table.stops[i] - other.stops[i]) <= _EARLY_S for other in tables.values()) for i in (0, 1)
        )
        if table.rate_hz != table.kind.rate_hz and device > stated:
            remedy = (
                f"It says {table.rate_hz:g} Hz, and ends with the other files at the device's {table.kind.rate_hz:g}."
            )
            raise DataError(table.path, "wrong rate", f"{remedy} Mend its second row, or fetch it again.")
    stop = max(table.stop for table in tables.values())
    for modality, table in tables.items():
        if stop - table.stop > _EARLY_S:
            if not table.ends_with_newline:
                remedy = f"It ends within a row, {stop - table.stop:.0f} s before another file. {_REFETCH}"
                raise DataError(table.path, "truncated", remedy)
            events.append(f"e4_{modality}_ends_early")
    if latest > start:
        events.append("e4_starts_differ")


class _Table:
    """One file: start, rate, samples; refuses what is none."""

    def __init__(self, path: Path, content: bytes, modality: str):
        self.path, self.kind, self.events = path, KINDS[modality], []
        content = content.removeprefix(codecs.BOM_UTF8)
        self.ends_with_newline = content.endswith(b"\n")
        lines = content.rstrip().split(b"\n", 2)
        if not content.strip():
            raise DataError(path, "empty file", _REFETCH)
        self.start = self._head(lines[0], "start in Unix seconds, its first row,", "unreadable header")
        if not _EARLIEST <= self.start < 10 * _EARLIEST:
            raise DataError(path, "unreadable header", f"Its first row is no start in Unix seconds: {self.start:g}.")
        self.rate_hz = self._head(lines[1] if len(lines) > 1 else b"", "rate in Hz, its second row,", "wrong rate")
        if not 0 < self.rate_hz < math.inf:
            raise DataError(path, "wrong rate", f"Its second row says {self.rate_hz:g} Hz.")
        if self.rate_hz != self.kind.rate_hz:
            self.events.append(f"e4_{modality}_at_another_rate")
        if len(lines) < 3:
            raise DataError(path, "no samples", "The file ends with its header; leave it out.")
        self.samples_TC = self._samples(lines[2])
        self.stops = tuple(self.start + len(self.samples_TC) / hz for hz in (self.rate_hz, self.kind.rate_hz))
        self.stop = self.stops[0]
        if modality == "eda" and self.samples_TC[0, 0] == 0:  # written before the first measurement
            self.samples_TC[0] = np.nan
            self.events.append("e4_eda_begins_with_zero")

    def signal(self, start_s: float) -> Signal:
        with np.errstate(all="ignore"):  # what is too large for float32 becomes infinite, and is gated
            samples_TC = self.samples_TC.astype(np.float32) * np.float32(self.kind.scale)
        return Signal(samples_TC, self.rate_hz, self.kind.unit, self.kind.channels, start_s)

    def _head(self, row: bytes, what: str, reason: str) -> float:
        """The number that a row of the header says once a column."""
        columns, line = len(self.kind.channels), row[:1000].decode("ascii", "replace")
        try:
            values = {float(cell) for cell in line.split(",")}
        except ValueError as error:
            raise DataError(self.path, reason, f"The {what} is {line.strip()[:40]!r}. {_REFETCH}") from error
        if line.count(",") + 1 != columns or len(values) != 1:
            remedy = f"The {what} must be the same in {columns} column(s): {line.strip()[:60]!r}."
            raise DataError(self.path, reason, remedy)
        return values.pop()

    def _samples(self, rows: bytes) -> np.ndarray:
        columns, num_rows = len(self.kind.channels), rows.count(b"\n") + 1
        last = rows[rows.rfind(b"\n") + 1 :].decode("ascii", "replace")
        if last.count(",") + 1 < columns or not _is_numbers(last):
            raise DataError(self.path, "truncated", f"Its last row is {last[:40]!r}. {_REFETCH}")
        try:
            samples_TC = np.loadtxt(io.BytesIO(rows), delimiter=",", comments=None, ndmin=2)
        except ValueError as error:
            raise DataError(self.path, "not a number", f"Below its header: {error}.") from error
        if samples_TC.shape != (num_rows, columns):
            found = f"{samples_TC.shape[1]} column(s) of {columns}, {num_rows - len(samples_TC)} empty row(s)"
            remedy = f"It has {found}. {_REFETCH}"
            raise DataError(self.path, "unreadable table", remedy)
        return samples_TC


def _is_numbers(row: str) -> bool:
    try:
        return bool([float(cell) for cell in row.split(",")])
    except ValueError:
        return False


def _tags(content: bytes, events: list[str]) -> list[float]:
    tags = []
    for line in content.decode("utf-8-sig", "replace").split():
        if _is_numbers(line) and math.isfinite(at := float(line.split(",")[0])):
            tags.append(at)
        else:
            events.append("e4_unreadable_tag")
    return tags


def _folder(path: Path) -> dict[str, Callable[[], bytes]]:
    """Readers of the files, by their names in lower case."""
    return {file.name.lower(): functools.partial(_read, file) for file in sorted(path.iterdir()) if file.is_file()}


def _read(file: Path) -> bytes:
    base_files.check_size(file, _MAX_FILE_BYTES)
    return file.read_bytes()


def _archive(path: Path) -> dict[str, Callable[[], bytes]]:
    """The same of a zip."""
    members: dict[str, Callable[[], bytes]] = {}
    for info in base_zip.members(path, _MAX_BYTES, _MAX_FILES):
        name = PurePosixPath(info.filename).name
        if name.lower() in members:
            remedy = f"It holds more than one {name}. Unpack it: a folder a session."
            raise DataError(path, "several sessions in one archive", remedy)
        members[name.lower()] = functools.partial(base_zip.unpack, path, info, _MAX_FILE_BYTES)
    return members
