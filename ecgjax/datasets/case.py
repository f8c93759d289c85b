"""CASE, continuously annotated signals of emotion (Sharma et al., Scientific Data 2019, 6:196; figshare 4260668).

30 people watch eight clips, two each that amuse, bore, relax and scare, with two minutes of blue screen between them,
and say all along with a joystick how they feel. Three releases of the same 41 minutes, after the readmes and scripts of
the authors:
- raw: `raw/physiological/sub1_DAQ.txt`, tabs, no header, seconds and volts; `raw/annotations/sub1_joystick.txt`,
  seconds and whole numbers up to 26225. No clips: they follow from `metadata/seqs_order.txt` (a column a person) and
  `videos_duration.txt` (ms); without these there are no "video" labels, and ratings are given all along.
- interpolated and non-interpolated: `<release>/physiological/sub_1.csv`, with a header, ms, units and the number of
  what is shown; `<release>/annotations/sub_1.csv`, 0.5 to 9.5.

Which a file is, its name and its header must agree on, and its values must be possible; none is mixed with another.
All are put on 1 kHz by their stamps. A rating (20 Hz) holds until the next one; those that do not change are one label.
Only what lies within clips 1 to 8 is labelled. EMG is the RMS that its sensor gives, an envelope.
"""

import dataclasses
import enum
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_labels, base_rates, base_tables, base_text
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

CLIPS = ("amusing-1", "amusing-2", "boring-1", "boring-2", "relaxed-1", "relaxed-2", "scary-1", "scary-2")  # 1 to 8
_OTHERS = {"startvid": 10, "bluvid": 11, "endvid": 12}
_IDS = {name: number for number, name in enumerate(CLIPS, start=1)} | _OTHERS
_RATE_HZ, _JOYSTICK_HZ = 1000.0, 20.0
_RAW_COLUMNS = ("daqtime", "ecg", "bvp", "gsr", "rsp", "skt", "emg_zygo", "emg_coru", "emg_trap")
_KINDS = {  # columns, unit, and what takes volts to it
    "ecg": (("ecg",), "mV", 20.0, -56.0),
    "bvp": (("bvp",), "%", 58.962, -115.09),
    "eda": (("gsr",), "uS", 24.0, -49.2),
    "resp": (("rsp",), "%", 58.923, -115.01),
    "temp": (("skt",), "degC", 21.341, -32.085),
    "emg": (("emg_zygo", "emg_coru", "emg_trap"), "uV", 250.0, -500.0),
}
_LABEL_SPECS = {
    "video": LabelSpec(classes=CLIPS),
    "valence": LabelSpec(low=0.5, high=9.5, rater="self"),
    "arousal": LabelSpec(low=0.5, high=9.5, rater="self"),
}
_FILE = re.compile(r"(?:sub(\d+)_DAQ\.txt|sub_(\d+)\.csv)", re.IGNORECASE)
_MAX_VOLTS = 10.5  # ours: of the acquisition card
_HELD_S = 0.26  # ours: a position of the joystick is known for so long, five times its period
_RATED = (0.49, 9.51)  # 0.5 to 9.5, rounded
_FEW = 0.01  # ours: more values out of range are another release's


class Release(enum.Enum):
    """Which files are read; ANY: the first of the others, in this order, that is there."""

    ANY = "any"
    INTERPOLATED = "interpolated"
    NON_INTERPOLATED = "non-interpolated"
    RAW = "raw"


@dataclasses.dataclass
class Config:
    """`root` is the data set's folder, or one of its folders `physiological`, whose sister is `annotations`."""

    root: str = ""
    modalities: tuple[str, ...] = tuple(_KINDS)
    release: Release = Release.ANY

    def make(self) -> "Case":
        return Case(dataclasses.replace(self))


class Case:
    """A key is a person, as "sub_01"."""

    name = "case"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _KINDS, "CASE")
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted(self._files()[0]))

    def load(self, key: str) -> Recording:
        files, copied = self._files()
        file = files.get(key)
        if file is None:
            raise DataError(key, "missing file", f"There is no file of it below {self.config.root}.")
        path, events = base_files.locate(self.config.root, file), [base_files.COPY] * (file in copied)
        columns = [name for modality in self.config.modalities for name in _KINDS[modality][0]]
        times_s, table = _read(path, _RAW_COLUMNS, columns + ["video"] * (not _is_raw(path)), events)
        base_rates.check_rate(times_s, _RATE_HZ, path)
        clips = _clips_of_raw(path, events) if _is_raw(path) else _runs(times_s, table.pop("video"), events)
        signals = _signals(path, times_s, table, self.config.modalities, events)
        labels = [Label("video", a, b, number - 1.0) for a, b, number in clips or ()]
        labels += _ratings(path, clips, events)
        within, outside = base_labels.on_axis(labels, signals, self.name, float(times_s[0]))
        return Recording(key, key, signals, within, events=(*events, *outside), sources=(file,))

    def _files(self) -> tuple[dict[str, str], set[str]]:
        """(the file of signals of each person, of one release; those with copies)."""
        places, wanted, what = [], self.config.release, "file of signals sub_1.csv or sub1_DAQ.txt"
        for file in base_files.list_files(self.config.root, _FILE.pattern, what):
            path = base_files.locate(self.config.root, file).absolute()
            if (match := _FILE.fullmatch(path.name)) and path.parent.name.lower() != "annotations":
                places.append((_release(path), f"sub_{int(match[1] or match[2]):02d}", file))
        if wanted is Release.ANY:
            there = {release for release, _, _ in places}
            wanted = next((release for release in Release if release in there), wanted)
        told = f"{self.config.root}: holds no file of signals of the release {wanted.value}."
        return base_files.first_of_each(
            ((person, file) for release, person, file in places if release is wanted),
            f"{told} Check --config.dataset.root and --config.dataset.release.",
        )


def _is_raw(path: Path) -> bool:
    return path.suffix.lower() == ".txt"


def _release(path: Path) -> Release:
    if _is_raw(path):
        return Release.RAW
    above = {part.lower() for part in path.parts[-4:-1]}
    return Release.NON_INTERPOLATED if "non-interpolated" in above else Release.INTERPOLATED


def _read(
    path: Path, raw_columns: Sequence[str], wanted: Sequence[str], events: list[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(times in s, ascending; the columns wanted). Of raw files, which do not name theirs, the names; first the time.

    Raises:
      DataError: also where the header does not go with the name of the file.
    """
    raw, separator = _is_raw(path), "\t" if _is_raw(path) else ","
    header = tuple(name.casefold() for name in base_text.first_row(path, separator))
    if header[0].startswith(raw_columns[0]) == raw:
        needed = "numbers, as a raw file does" if raw else f"names, the first of which is {raw_columns[0]}"
        raise DataError(path, "another release", f"Its first row is {header[0]!r}, ...; it must hold {needed}.")
    names, time = raw_columns if raw else header, raw_columns[0]
    table = base_text.read_columns(path, separator, names, [time, *wanted], header=not raw, doubles=(time,))
    times_s = table.pop(time) * (1.0 if raw else 1e-3)
    order, faults = base_rates.in_order(times_s)
    if not len(order):
        raise DataError(path, "no samples", "None of its rows has a time; leave it out.")
    if not faults:
        return times_s, table
    events.append("case_rows_out_of_order")
    return times_s[order], {name: column[order] for name, column in table.items()}


def _check_range(path: Path, values: np.ndarray, low: float, high: float, what: str) -> None:
    outside = np.count_nonzero((values < low) | (values > high))
    if outside > _FEW * values.size:
        remedy = f"{outside} of {values.size} values are outside {low:g} to {high:g}, so they are not {what}."
        raise DataError(path, "another release", remedy)


def _signals(
    path: Path, times_s: np.ndarray, table: dict[str, np.ndarray], modalities: Sequence[str], events: list[str]
) -> dict[str, Signal]:
    names = list(table)
    samples_TC = np.stack([table[name] for name in names], axis=1)
    if _is_raw(path):
        _check_range(path, samples_TC, -_MAX_VOLTS, _MAX_VOLTS, "volts")
    elif "skt" in table:
        known = table["skt"][np.isfinite(table["skt"])]
        if len(known) and 0 < np.median(known) < 5:
            raise DataError(path, "another release", "Its skin temperature is that of volts, not degrees.")
    samples_TC, gaps = base_rates.on_grid(times_s, samples_TC, _RATE_HZ, path)
    events += ["case_gap"] * gaps
    signals = {}
    for modality in modalities:
        columns, unit, gain, offset = _KINDS[modality]
        own_TC = samples_TC[:, [names.index(column) for column in columns]]
        normal, factor = base_channels.normal_unit(unit)
        gain, offset = (gain, offset) if _is_raw(path) else (1.0, 0.0)
        signals[modality] = Signal(
            own_TC * np.float32(gain * factor) + np.float32(offset * factor), _RATE_HZ, normal, columns
        )
    return signals


def _runs(times_s: np.ndarray, video: np.ndarray, events: list[str]) -> list[tuple[float, float, int]]:
    """(start, stop, number) of each of the eight clips, by the column that says at each sample what is seen."""
    number = np.nan_to_num(video).clip(-1, 99).astype(np.int64)
    first = np.concatenate([[0], np.flatnonzero(np.diff(number)) + 1])
    stops_s = np.append(times_s[first[1:]], times_s[-1] + 1 / _RATE_HZ)
    if not np.isin(number[first], (0, *_IDS.values())).all():
        events.append("case_unknown_video")
    runs = zip(times_s[first].tolist(), stops_s.tolist(), number[first].tolist(), strict=True)
    return [run for run in runs if 1 <= run[2] <= len(CLIPS)]


def _clips_of_raw(path: Path, events: list[str]) -> list[tuple[float, float, int]] | None:
    """The same from the order and the lengths of all that is shown, one after the other from second 0; or None."""
    person = int(_FILE.fullmatch(path.name)[1])
    above = [folder / "metadata" for folder in list(path.absolute().parents)[:5]]
    folder = next((folder for folder in above if (folder / "seqs_order.txt").is_file()), None)
    if folder is None or not (folder / "videos_duration.txt").is_file():
        events.append("case_clips_unknown")
        return None
    rows = base_tables.read_rows(folder / "seqs_order.txt")
    shown = [row[person - 1].casefold() for row in rows if len(row) >= person]
    if shown and shown[0] not in _IDS:
        del shown[0]  # names of columns
    rows = [row for row in base_tables.read_rows(folder / "videos_duration.txt") if len(row) > 1]
    lasts_s = {name.casefold(): _seconds(ms) for name, ms, *_ in rows}
    numbers = [_IDS.get(name, 0) for name in shown]
    if sorted(n for n in numbers if n <= len(CLIPS)) != list(range(1, 9)) or not all(lasts_s.get(n) for n in shown):
        raise DataError(folder, "unreadable table", f"What person {person} saw, and how long, cannot be told from it.")
    stops_s = np.cumsum([lasts_s[name] for name in shown]).tolist()
    runs = zip([0.0, *stops_s], stops_s, numbers, strict=False)
    return [run for run in runs if run[2] <= len(CLIPS)]


def _seconds(cell: object) -> float:
    """0 for what is no time."""
    ms = base_tables.number(cell)
    return ms * 1e-3 if 0 < ms < 1e7 else 0.0


def _ratings(path: Path, clips: list[tuple[float, float, int]] | None, events: list[str]) -> list[Label]:
    """The joystick within the clips, on its own clock, which is that of the signals."""
    file = re.sub("_DAQ", "_joystick", path.name, flags=re.IGNORECASE)
    places = [path.parent.parent / "annotations" / file, path.with_name(file)]
    place = next((p for p in places if p.is_file() and p != path), None)
    if place is None:
        events.append("case_no_joystick")
        return []
    times_s, table = _read(place, ("jstime", "valence", "arousal"), ("valence", "arousal"), events)
    base_rates.check_rate(times_s, _JOYSTICK_HZ, place)
    steps_s = np.diff(times_s)
    held = steps_s <= _HELD_S
    events += ["case_gap_of_joystick"] * int(np.count_nonzero(~held))
    stops_s = times_s + 1 / _JOYSTICK_HZ
    stops_s[:-1][held] = times_s[1:][held]
    labels = []
    for name, values in table.items():
        values = 0.5 + 9 * (values.astype(np.float64) + 26225) / 52450 if _is_raw(place) else values.astype(np.float64)
        _check_range(place, values, *_RATED, "ratings of this release")
        possible = (values >= _RATED[0]) & (values <= _RATED[1])
        events += ["case_rating_off_scale"] * (not possible.all())
        rows = np.stack([times_s, stops_s, values.clip(0.5, 9.5)], axis=1)[possible]
        for start_s, stop_s, _ in [(-np.inf, np.inf, 0)] if clips is None else clips:
            labels += _held(name, rows, start_s, stop_s)
    return labels


def _held(name: str, rows: np.ndarray, start_s: float, stop_s: float) -> list[Label]:
    """Stretches of one value between two times, of (start, stop, value) in order."""
    rows = rows[(rows[:, 1] > start_s) & (rows[:, 0] < stop_s)]
    if not len(rows):
        return []
    changes = np.flatnonzero((np.diff(rows[:, 2]) != 0) | (rows[1:, 0] > rows[:-1, 1])) + 1
    first, last = np.concatenate([[0], changes]), np.append(changes, len(rows)) - 1
    starts, stops = rows[first, 0].clip(min=start_s).tolist(), rows[last, 1].clip(max=stop_s).tolist()
    return [Label(name, *held) for held in zip(starts, stops, rows[first, 2].tolist(), strict=True)]
