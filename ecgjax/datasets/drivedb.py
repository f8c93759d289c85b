"""Stress Recognition in Automobile Drivers (Healey & Picard, IEEE T-ITS 6(2):156-166, 2005; physionet.org/content/
drivedb/1.0.0, ODC-By).

Drives of 50 to 90 minutes through Boston, each rest, city, highway, city, highway, city, rest. `drive01` ... `drive16`,
`drive17a` and `drive17b` are WFDB records at 15.5 frames a second with ECG at 496 Hz, skin conductance of foot and hand
and respiration at 31 Hz or 15.5 Hz. `driveNN.csv` is the same at 15.5 Hz, too slow for ECG.

What lies about these files, and is mended or counted:

- The header of drive17a says 15 Hz. Beats then come 3.5 % slower than its own channel of heart rates says; at 15.5 Hz
  they agree to 0.3 %. So 15 is read as 15.5.
- A table of how long each part took, `time_intervals_clean.csv`, is no part of PhysioNet's release. It says minutes
  only, and the first part does not begin with the recording (drive10: 2.6 minutes later), but with a press of the
  driver's `marker`. Labels are laid where presses confirm the borders between parts, and left out where they do not.
- Units of skin conductance and respiration are WFDB's default, mV, and so unknown.
- Who drove is not told. A drive counts as a person here, although some drove more than once: each says so.
"""

import dataclasses
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_rates, base_tables, base_wfdb
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_FILE = r"drive\d\d[ab]?\.(hea|csv)"
_INTERVALS = "time_intervals_clean.csv"
_FRAME_HZ = 15.5
_CHANNELS = {"ecg": ("ECG",), "eda": ("hand GSR", "foot GSR"), "resp": ("RESP",), "emg": ("EMG",)}  # first there is
_UNITS = {"ecg": "mV", "emg": "mV"}
_MIN_HZ = {"ecg": 100.0, "emg": 100.0}  # ours: slower, and beats or muscles are no longer in it
_CONDITIONS = ("rest", "city", "highway")
_PRESS = 5.0  # of the marker over its median, in its units; presses of drive10 have 27 to 73
_APART_S, _LONGEST_S = 2.0, 15.0  # ours: a button that bounces is pressed once; drive10's last press takes 6 s
_NEAR_S = 3.0  # ours: a press confirms a border; those of drive10 are within 2 s
_CONFIRMED, _MIN_CONFIRMED, _MAX_PRESSES = 0.75, 4, 30  # ours: more presses would be near as many by chance
_MAX_TABLE_BYTES = 2**28


@dataclasses.dataclass
class Config:
    """`root` is a folder with records (driveNN.hea, .dat) or tables (driveNN.csv), searched with its sub-folders.

    `time_intervals_clean.csv` lies beside a file or above it, as far up as the parent of `root`.
    """

    root: str = ""
    modalities: tuple[str, ...] = ("ecg", "eda", "resp")

    def make(self) -> "Drivedb":
        return Drivedb(dataclasses.replace(self))


@dataclasses.dataclass(frozen=True)
class _Drive:
    """A file of a drive: its channels' names in lower case, and what reads one of them."""

    names: tuple[str, ...]
    read: Callable[[str], Signal]
    sources: tuple[str, ...]
    events: tuple[str, ...] = ()


class Drivedb:
    """A key is a drive, as "drive10"."""

    name = "drivedb"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _CHANNELS, "drivedb")
        self.config = config
        self.label_specs = {"condition": LabelSpec(classes=_CONDITIONS)}

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted(self._files()[0]))

    def load(self, key: str) -> Recording:
        files, copied = self._files()
        file = files.get(key)
        if file is None:
            raise DataError(key, "missing file", f"There is no {key}.hea or {key}.csv below {self.config.root}.")
        path = base_files.locate(self.config.root, file)
        drive = _open_record(path, file) if path.suffix.lower() == ".hea" else _open_table(path, file)
        signals, events = {}, [*drive.events, *[base_files.COPY] * (file in copied)]
        for modality in self.config.modalities:
            there = [name for name in _CHANNELS[modality] if name.casefold() in drive.names]
            if not there:
                events.append(f"drivedb_no_{modality}")
                continue
            signal = drive.read(there[0].casefold())
            if signal.rate_hz < _MIN_HZ.get(modality, 0.0):
                events.append(f"drivedb_{modality}_too_slow")
                continue
            events += ["drivedb_gsr_of_the_foot"] * (there[0] == "foot GSR")
            signals[modality] = dataclasses.replace(signal, unit=_UNITS.get(modality, "unknown"), channels=(there[0],))
        if not signals:
            raise DataError(path, "no channel", f"Of {', '.join(self.config.modalities)} it has none.")
        labels, told = self._labels(key, file, drive)
        events += [*told, "drivedb_driver_unknown"]
        subject = re.sub(r"[ab]$", "", key)  # 17a and 17b are one drive
        return Recording(
            key, subject, signals, labels, session=key[len(subject) :], events=tuple(events), sources=drive.sources
        )

    def _files(self) -> tuple[dict[str, str], set[str]]:
        """(file of each drive: its record, and where there is none its table; those with copies)."""
        listed = base_files.list_files(self.config.root, _FILE, "drive01.hea or drive01.csv")
        preferred = sorted(listed, key=lambda name: name.lower().endswith(".csv"))
        return base_files.first_of_each((Path(file).stem.lower(), file) for file in preferred)

    def _labels(self, key: str, file: str, drive: _Drive) -> tuple[tuple[Label, ...], tuple[str, ...]]:
        table = base_files.nearest(self.config.root, file, _INTERVALS)
        parts = _read_parts(table).get(key.removeprefix("drive")) if table else None
        if parts is None:
            return (), ("drivedb_without_labels",)
        if "marker" not in drive.names:
            return (), ("drivedb_labels_without_marker",)
        marker = drive.read("marker")
        presses_s = _presses(marker)
        borders_s = _place(np.cumsum([0.0] + [60 * minutes for _, minutes in parts]), presses_s, marker.duration_s)
        if borders_s is None:
            return (), ("drivedb_labels_not_confirmed_by_marker",)
        held_s = borders_s[(borders_s >= 0) & (borders_s <= marker.duration_s)]
        events = ["drivedb_border_without_press"] * int((_off_s(held_s, presses_s) > _NEAR_S).sum())
        labels = []
        for (condition, _), start_s, stop_s in zip(parts, borders_s[:-1], borders_s[1:], strict=True):
            start_s, stop_s = max(float(start_s), 0.0), min(float(stop_s), marker.duration_s)
            if start_s < stop_s:
                labels.append(Label("condition", start_s, stop_s, float(_CONDITIONS.index(condition))))
            else:
                events.append("drivedb_part_outside_recording")
        return tuple(labels), tuple(events)


def _open_record(path: Path, file: str) -> _Drive:
    header = base_wfdb.read_header(path.with_suffix(""))
    wrong = header.frame_hz == 15.0
    if wrong:
        header = dataclasses.replace(header, frame_hz=_FRAME_HZ)
    if header.frame_hz != _FRAME_HZ:
        raise DataError(path, "wrong rate", f"Its header says {header.frame_hz:g} frames a second, not {_FRAME_HZ:g}.")
    names = tuple(name.casefold() for name in header.names)
    folder = Path(file).parent
    return _Drive(
        names=names,
        read=lambda name: base_wfdb.read_signal(header, [names.index(name)]),
        sources=tuple((folder / source).as_posix() for source in base_wfdb.sources(header)),
        events=("drivedb_header_says_15_hz",) * wrong,
    )


def _open_table(path: Path, file: str) -> _Drive:
    """A drive as text: "Elapsed time(s)", then channels as "foot GSR(mV)"."""
    import pandas as pd

    base_files.check_size(path, _MAX_TABLE_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows longer than the first
            cells = pd.read_csv(path, encoding_errors="replace", low_memory=False, index_col=False)
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(path, "unreadable table", f"{error}. Fetch it again.") from error
    cells.columns = [re.sub(r"\s*[(\[].*", "", str(name)).strip(" '\"").casefold() for name in cells.columns]
    cells = cells.loc[:, ~cells.columns.duplicated()]
    table = cells.apply(pd.to_numeric, errors="coerce")
    if "elapsed time" not in table or len(table) < 2:
        raise DataError(path, "unreadable table", 'It must have a column "Elapsed time(s)" and rows below it.')
    if table.iloc[-1].isna().any():
        raise DataError(path, "truncated", "Its last row is not whole. Fetch it again, or delete the row.")
    if (table.isna() & cells.notna()).any(axis=None):
        raise DataError(path, "not a number", "Something in it is none. Fetch it again.")
    times_s = table["elapsed time"].to_numpy(np.float64)
    if not (np.diff(times_s) > 0).all():
        raise DataError(path, "time stamps", "They are missing somewhere, repeat, or go back.")
    base_rates.check_rate(times_s, _FRAME_HZ, path)
    names = tuple(table.columns.drop("elapsed time"))
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is gated
        rows_TC = table[list(names)].to_numpy(np.float32)
    samples_TC, gaps = base_rates.on_grid(times_s, rows_TC, _FRAME_HZ, path)
    return _Drive(
        names=names,
        read=lambda name: Signal(samples_TC[:, [names.index(name)]], _FRAME_HZ, "unknown", (name,)),
        sources=(file,),
        events=("drivedb_gap",) * gaps,
    )


def _read_parts(table: Path) -> dict[str, list[tuple[str, float]]]:
    """(condition, minutes) of the parts of each drive, by its number; those that were not recorded are left out."""
    names, *rows = list(base_tables.read_rows(table)) or [()]
    conditions = [next((c for c in _CONDITIONS if c in name.casefold()), "") for name in names]
    parts: dict[str, list[tuple[str, float]]] = {}
    for row in filter(None, rows):
        number = re.search(r"\d+", row[0])
        try:
            minutes = [float(cell or "nan") for cell in row[1:]]
            cells = [(c, m) for c, m in zip(conditions[1:], minutes, strict=True) if c and not np.isnan(m)]
        except ValueError as error:
            raise DataError(table, "unreadable table", f"A row of {row[0]!r}: {error}. Fetch it again.") from error
        if number is None or not all(0 < m < 1000 for _, m in cells):
            raise DataError(table, "unreadable table", f"The row of {row[0]!r} has no number, or no minutes.")
        parts[number.group().zfill(2)] = cells
    return parts


def _presses(marker: Signal) -> np.ndarray:
    """When the marker was pressed, (n, 2) from and to in seconds."""
    x_T = np.nan_to_num(marker.samples_TC[:, 0])
    at_s = np.flatnonzero(x_T - np.median(x_T) > _PRESS) / marker.rate_hz
    if not len(at_s):
        return np.zeros((0, 2))
    first = np.flatnonzero(np.diff(at_s, prepend=-np.inf) > _APART_S)
    presses_s = np.stack([at_s[first], at_s[np.append(first[1:], len(at_s)) - 1]], axis=1)
    return presses_s[np.diff(presses_s)[:, 0] <= _LONGEST_S]


def _off_s(borders_s: np.ndarray, presses_s: np.ndarray) -> np.ndarray:
    """How far each border is from the nearest press."""
    at_s = borders_s[:, None]
    return np.maximum(np.maximum(presses_s[:, 0] - at_s, at_s - presses_s[:, 1]), 0.0).min(axis=1)


def _place(borders_s: np.ndarray, presses_s: np.ndarray, duration_s: float) -> np.ndarray | None:
    """Borders moved to where the most of them are presses, and nearest to these.

    None unless enough presses confirm those that the recording holds: three quarters, and no fewer than four.
    """
    best, most = None, (0, 0.0)  # a count, and seconds off in all
    for press_s in presses_s.ravel() if len(presses_s) <= _MAX_PRESSES else ():
        for border_s in borders_s:
            moved_s = borders_s - border_s + press_s
            held_s = moved_s[(moved_s >= 0) & (moved_s <= duration_s)]
            off_s = _off_s(held_s, presses_s)
            found = (int((off_s <= _NEAR_S).sum()), -float(off_s[off_s <= _NEAR_S].sum()))
            if found > most and found[0] >= max(_CONFIRMED * len(held_s), _MIN_CONFIRMED):
                best, most = moved_s, found
    return best
