"""ASCERTAIN (Subramanian et al., TAFFC 2018, 9(2):147-160; on request from the MHUG group, Trento).

58 people, 36 film clips each. A file a person and clip: `ECGData/Movie_P01/ECG_Clip1.mat` (`Data_ECG`, at 256 Hz) and
`GSRData/Movie_P01/GSR_Clip1.mat` (`Data_GSR`), with time in ms in the first column. `Dt_SelfReports.mat` has the
ratings of everybody. EEG and what was made of the face are not read.

Files of ECG have 3 columns or 6. Loaders of others agree that the ECG is in columns 1 and 2 of some and 4 and 5 of the
others; one goes by the number of columns, as is done here, one by the person (from P09 on), and where the two disagree
it is counted. Which of the two columns is which arm they do not agree on. From one source alone: column 4 of Data_GSR
(no unit), `timeECG` (when a file starts; that `timeGSR` is its like is a guess), and that P44 and P52 are bad or
missing. The rate of GSR is that of its time stamps. ECG and GSR of a clip are taken to start together, unless their
files say when they do.
"""

import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_mat, base_rates
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_FILE = r"(ECG|GSR)_Clip(\d+)\.mat"
_PLACE = re.compile(r"(?:.*/)?Movie_P(\d+)/(ECG|GSR)_Clip(\d+)\.mat", re.IGNORECASE)
_KINDS = {"ecg": "ECG", "eda": "GSR"}
_NUM_PEOPLE, _NUM_CLIPS = 58, 36
_GSR_COLUMN = 4
_FIRST_OF_LATER_ECG = 9  # the person from whom on the ECG is in columns 4 and 5, by one loader
_DOUBTFUL = ("P44", "P52")
_MAX_REPEATED = 0.1  # of time stamps, ours
_APART_S = 60.0  # ours: files of a clip that start further apart have wrong clocks
_RATINGS = {  # in the order of the file; the scales of the last three are from memory
    "arousal": LabelSpec(low=0.0, high=6.0, rater="self"),
    "valence": LabelSpec(low=-3.0, high=3.0, rater="self"),
    "engagement": LabelSpec(low=0.0, high=6.0, rater="self"),
    "liking": LabelSpec(low=0.0, high=6.0, rater="self"),
    "familiarity": LabelSpec(low=0.0, high=6.0, rater="self"),
}


@dataclasses.dataclass
class Config:
    """`root` is the folder of ASCERTAIN_Raw and ASCERTAIN_Features, or one of those of the signals below it.

    `ecg_leads` are 0 or 1, the first or the second column of ECG; both make one signal of two channels. `rate_hz` is
    that of ECG, with which time stamps are compared.
    """

    root: str = ""
    modalities: tuple[str, ...] = ("ecg", "eda")
    ecg_leads: tuple[int, ...] = (0,)
    rate_hz: float = 256.0

    def make(self) -> "Ascertain":
        return Ascertain(dataclasses.replace(self))


class Ascertain:
    """A key is a person and a clip, as "P01/c01": all 36 of everybody who has a file."""

    name = "ascertain"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _KINDS, "ASCERTAIN")
        fits = len(config.ecg_leads) > 0 and set(config.ecg_leads) <= {0, 1}
        require(fits, "--config.dataset.ecg_leads", config.ecg_leads, "(0,), (1,), or both")
        require(0 < config.rate_hz < 1e5, "--config.dataset.rate_hz", config.rate_hz, "a rate in Hz")
        self.config = config
        self.label_specs = dict(_RATINGS)
        self._files: dict[tuple[str, str, int], str] = {}
        self._copied: set[str] = set()

    def keys(self) -> tuple[str, ...]:
        self._files, self._copied = self._list()
        people = {person for person, _, _ in self._files}
        return tuple(sorted(f"{person}/c{clip:02d}" for person in people for clip in range(1, _NUM_CLIPS + 1)))

    def load(self, key: str) -> Recording:
        person, _, trial = key.partition("/")
        clip = int(trial[1:])
        if not self._files:  # thousands of files are not looked for anew for each
            self._files, self._copied = self._list()
        files = {m: self._files.get((person, _KINDS[m], clip), "") for m in self.config.modalities}
        read, events = {}, ["ascertain_doubtful_person"] * (person in _DOUBTFUL)
        for modality, file in files.items():
            if file:
                read[modality] = self._read(base_files.locate(self.config.root, file), modality, int(person[1:]))
                events += read[modality].events
            else:
                events.append(f"ascertain_no_{modality}")
        if not read:
            raise DataError(key, "missing file", "The folder of its person has no file of this clip.")
        signals = {m: part.signal for m, part in read.items() if part.signal}
        if not signals:
            raise DataError(key, "clip all NaN", "Nothing of it was recorded; leave it out.")
        offsets_s, start, more = _common_start({m: read[m].start for m in signals})
        signals = {m: dataclasses.replace(signal, start_s=offsets_s[m]) for m, signal in signals.items()}
        stop_s = max(signal.start_s + signal.duration_s for signal in signals.values())
        labels, met = self._labels(int(person[1:]), clip, stop_s)
        sources = tuple(file for file in files.values() if file)
        events += [base_files.COPY] * (not self._copied.isdisjoint(sources))
        return Recording(
            key=key,
            subject=person,
            signals=signals,
            labels=tuple(labels),
            trial=trial,
            start_time=start,
            events=tuple(events + more + met),
            sources=sources,
        )

    def _list(self) -> tuple[dict[tuple[str, str, int], str], set[str]]:
        """(files by person, kind and clip; those with copies)."""
        kinds = {_KINDS[modality] for modality in self.config.modalities}
        above = Path(self.config.root).expanduser().absolute().name
        what = "Movie_P01/ECG_Clip1.mat and so on"
        files = base_files.list_files(self.config.root, _FILE, what)
        places = [(match, file) for file in files if (match := _PLACE.fullmatch(f"{above}/{file}"))]
        named = (((f"P{int(m[1]):02d}", m[2].upper(), int(m[3])), file) for m, file in places if m[2].upper() in kinds)
        return base_files.first_of_each(named, f"{self.config.root}: holds no {what}. Check --config.dataset.root.")

    def _read(self, path: Path, modality: str, person: int) -> "_Part":
        kind = _KINDS[modality]
        found = base_mat.read_mat(path, (f"Data_{kind}", f"time{kind}"))
        data_TC = base_mat.numbers(base_mat.variable(found, f"Data_{kind}", path), f"Data_{kind}", path)
        if not data_TC.size:
            raise DataError(path, "empty clip", "Nothing was recorded of it.")
        columns, events = self._columns(data_TC.shape, modality, person, path)
        start = _start(found.get(f"time{kind}"))
        if start is None and f"time{kind}" in found:
            events.append(f"ascertain_{modality}_start_unreadable")
        own_TC, nan = base_mat.pick_columns(data_TC, columns, f"ascertain_{modality}")
        events += nan
        if own_TC is None:
            return _Part(None, start, tuple(events))
        stated_hz = self.config.rate_hz if modality == "ecg" else 0.0
        order, times_s, rate_hz, met = _times(data_TC[:, 0].astype(np.float64), stated_hz, path)
        own_TC, gaps = base_rates.on_grid(times_s, own_TC[order], rate_hz, path)
        events += [f"ascertain_{modality}_{event}" for event in met + ["gap"] * gaps]
        names = tuple(f"column {column}" for column in columns)
        return _Part(Signal(own_TC, rate_hz, "unknown", names), start, tuple(events))

    def _columns(self, shape: tuple[int, ...], modality: str, person: int, path: Path) -> tuple[list[int], list[str]]:
        num_columns = shape[1] if len(shape) == 2 else 0
        if num_columns < (3 if modality == "ecg" else _GSR_COLUMN + 1):
            raise DataError(path, "other columns", f"Its numbers are {' x '.join(map(str, shape))}.")
        if modality == "eda":
            return [_GSR_COLUMN], []
        later = num_columns >= 6
        events = ["ascertain_columns_unlike_the_person"] * (later != (person >= _FIRST_OF_LATER_ECG))
        events += ["ascertain_other_number_of_columns"] * (num_columns not in (3, 6))
        return [(4 if later else 1) + lead for lead in self.config.ecg_leads], events

    def _labels(self, person: int, clip: int, stop_s: float) -> tuple[list[Label], list[str]]:
        path = self._ratings_file()
        if path is None:
            return [], ["ascertain_no_ratings_file"]
        ratings = _read_ratings(path)
        own = ratings[:, person - 1, clip - 1].tolist() if person <= ratings.shape[1] else []
        given = [(name, value) for name, value in zip(_RATINGS, own, strict=False) if np.isfinite(value)]
        labels = [Label(name, 0.0, stop_s, value) for name, value in given]
        return labels, ["ascertain_rating_missing"] * (len(_RATINGS) - len(given))

    def _ratings_file(self) -> Path | None:
        """Below the root, or in a folder beside it."""
        root = base_files.existing_root(self.config.root).absolute()
        for folder in (root, root.parent / "ASCERTAIN_Features", root.parent.parent / "ASCERTAIN_Features"):
            for found in sorted(folder.glob("Dt_SelfReports.mat")) or sorted(folder.glob("*/Dt_SelfReports.mat")):
                return found
        return None


@dataclasses.dataclass(frozen=True)
class _Part:
    """What a file holds: no signal where it is all NaN, no start where it does not say."""

    signal: Signal | None
    start: datetime.datetime | None
    events: tuple[str, ...]


def _times(stamps_ms: np.ndarray, stated_hz: float, path: Path) -> tuple[np.ndarray, np.ndarray, float, list[str]]:
    """(order of the samples, their times in s, rate, what was met); the rate is the stamps' where none is stated."""
    stamps_s = base_rates.seconds(stamps_ms)
    order, faults = base_rates.in_order(stamps_s)
    if len(order) < 2:
        if not stated_hz:
            raise DataError(path, "no sampling rate", "It has no time stamps that would tell.")
        return np.arange(len(stamps_s)), np.arange(len(stamps_s)) / stated_hz, stated_hz, ["no_time_stamps"]
    if faults - np.count_nonzero(~np.isfinite(stamps_s)) > len(stamps_s) * _MAX_REPEATED:
        raise DataError(path, "time stamps", f"{faults} of {len(stamps_s)} are missing, repeat, or go back.")
    times_s = stamps_s[order]
    rate_hz = stated_hz or _measured(times_s, path)
    base_rates.check_rate(times_s, rate_hz, path)
    return order, times_s, rate_hz, ["time_stamps_mended"] * (faults > 0)


def _measured(times_s: np.ndarray, path: Path) -> float:
    """The rate in Hz that was chosen, by the steps."""
    steps_s = np.diff(times_s)
    measured_hz = 1 / float(steps_s[steps_s <= 5 * np.median(steps_s)].mean())
    if not 1 <= measured_hz <= 1e4:
        raise DataError(path, "wrong rate", f"Its time stamps say {measured_hz:g} Hz.")
    return base_rates.roundest(measured_hz, len(times_s))


def _start(clock: Any) -> datetime.datetime | None:
    """From year, month, day, hour, minute, second."""
    if not isinstance(clock, np.ndarray) or clock.size != 6 or not np.isfinite(clock).all():
        return None
    *date, second = clock.ravel().tolist()
    try:
        start = datetime.datetime(*(int(part) for part in date))
        return start + datetime.timedelta(seconds=round(second, 3)) if 0 <= second < 61 else None
    except (ValueError, OverflowError):
        return None


def _common_start(starts: dict[str, datetime.datetime | None]) -> tuple[dict[str, float], str, list[str]]:
    """When each signal begins, in seconds from the first; when that was; what was met."""
    together, known = dict.fromkeys(starts, 0.0), [start for start in starts.values() if start]
    first = min(known).isoformat() if known else ""
    events = ["ascertain_no_start_time"] * (not known)
    if len(known) < len(starts):
        return together, first, events + ["ascertain_starts_taken_for_equal"] * (len(starts) > 1)
    offsets_s = {m: (start - min(known)).total_seconds() for m, start in starts.items() if start}
    if max(offsets_s.values()) > _APART_S:
        return together, first, ["ascertain_starts_far_apart"]
    return offsets_s, first, events


@base_files.keep_last
def _read_ratings(path: Path) -> np.ndarray:
    """(rating, person, clip)."""
    ratings = base_mat.numbers(base_mat.variable(base_mat.read_mat(path, ("Ratings",)), "Ratings", path), "It", path)
    if ratings.ndim != 3 or ratings.shape[0] != len(_RATINGS) or ratings.shape[2] != _NUM_CLIPS:
        raise DataError(path, "other size", f"Ratings is {ratings.shape} instead of (5, {_NUM_PEOPLE}, 36).")
    return ratings.astype(np.float64)
