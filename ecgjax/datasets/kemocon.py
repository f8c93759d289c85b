"""K-EmoCon (Park et al., Scientific Data 2020, 7:293; Zenodo 3931963, restricted): debates of two, rated every 5 s.

32 people, of whom 28 have an Empatica E4: `e4_data/<pid>/E4_BVP.csv` and the like, with columns timestamp (ms), value
(or x, y, z in 1/64 g) and device_serial. This is not Empatica's own format. There is no ECG: what papers on this set
call so is the heart rate of a Polar belt. Seconds count from the earliest sample; `metadata/subjects.csv` says when a
person's session began and when the debate began and ended.

Ratings of arousal and valence (1-5) and of five emotions (1-4) come from the person ("arousal", ...), the partner
("partner_arousal", ...) and outside raters together ("external_arousal", ...). Their series differ in length; they end
with the debate, and what then lies before its start is left out. So the authors' code has it for those that are longer
than the debate; that shorter ones end with it, too, is ours. `seconds` is the end of a rating's 5 s (deduced from that
code). Not read: what each of the outside raters (R1 to R5) said, and marks of other states (boredom, confusion, ...).

P29 to P32 wore devices that recorded others, too; the authors say which serial number is whose. What else is known to
be missing: the E4 of P2, P3, P6, P7, EDA of P17, P20.
"""

import dataclasses
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ecgjax.datasets import base_channels, base_empatica, base_files, base_labels, base_rates, base_tables, base_text
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_KINDS = base_empatica.KINDS
_SERIALS = {29: "A013E1", 30: "A01A3A", 31: "A013E1", 32: "A01A3A"}
_RATERS = {"self": "", "partner": "partner_", "external": "external_"}  # in names of files; what labels begin with
_SCALES = {"arousal": 5, "valence": 5, "cheerful": 4, "happy": 4, "angry": 4, "nervous": 4, "sad": 4}  # from 1
_LABEL_SPECS = {"condition": LabelSpec(classes=("baseline", "debate"))} | {
    prefix + name: LabelSpec(low=1, high=high, rater=rater)
    for rater, prefix in _RATERS.items()
    for name, high in _SCALES.items()
}
_STREAM = re.compile(r"(?:.*/)?(\d{1,2})/E4_(ACC|BVP|EDA|TEMP)\.csv", re.IGNORECASE)
_RATED_S, _BASELINE_S = 5.0, 120.0
_LONGEST_S = 6 * 3600.0  # ours: a session lasts less than one; a stamp as far as that is none


class _Times(NamedTuple):
    """Of a session, in Unix seconds."""

    inittime: float
    starttime: float
    endtime: float


@dataclasses.dataclass
class Config:
    """`root` is the data set's folder, searched with its sub-folders."""

    root: str = ""
    modalities: tuple[str, ...] = tuple(_KINDS)

    def make(self) -> "KEmoCon":
        return KEmoCon(dataclasses.replace(self))


class KEmoCon:
    """A key is a person with files of an E4, as "P01"."""

    name = "kemocon"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _KINDS, "K-EmoCon")
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted({person for person, _ in self._files()[0]}))

    def load(self, key: str) -> Recording:
        found, copied = self._files()
        files = {modality: file for (person, modality), file in found.items() if person == key}
        if not files:
            raise DataError(key, "missing file", f"There is no file of its E4 below {self.config.root}.")
        pid, events = int(key[1:]), []
        times = self._times(pid, events)
        streams = {}
        for modality in self.config.modalities:
            path = base_files.locate(self.config.root, files[modality]) if modality in files else None
            if path and (stream := _read_stream(path, modality, pid, times, events)):
                streams[modality] = stream
            else:
                events.append(f"kemocon_no_{modality}")
        if not streams:
            raise DataError(key, "no samples", f"Its E4 recorded no {' or '.join(self.config.modalities)}.")
        zero = min(start for start, _ in streams.values())
        signals = {m: dataclasses.replace(signal, start_s=start - zero) for m, (start, signal) in streams.items()}
        labels = [*_conditions(times), *self._ratings(pid, times, events)] if times else []
        within, outside = base_labels.on_axis(labels, signals, self.name, zero)
        sources = tuple(files[modality] for modality in signals)
        events += [base_files.COPY] * (not copied.isdisjoint(sources))
        return Recording(
            key=key,
            subject=key,
            signals=signals,
            labels=within,
            start_time=base_rates.start_time(zero),
            events=(*events, *outside),
            sources=sources,
        )

    def _files(self) -> tuple[dict[tuple[str, str], str], set[str]]:
        """(files by person and modality; those with copies)."""
        root, pattern = self.config.root, rf"E4_({'|'.join(_KINDS)})\.csv"
        files = base_files.list_files(root, pattern, "E4 file such as e4_data/1/E4_BVP.csv")
        matches = [(_STREAM.fullmatch(base_files.locate(root, file).absolute().as_posix()), file) for file in files]
        named = (((f"P{int(match[1]):02d}", match[2].lower()), file) for match, file in matches if match)
        return base_files.first_of_each(named, f"{root}: no E4 file lies in a folder that is a person's number.")

    def _find(self, pattern: str) -> list[Path]:
        """Tables; where there are none, what is not labelled for that is told."""
        root = self.config.root
        return [base_files.locate(root, name) for name in base_files.find_files(root, pattern)]

    def _times(self, pid: int, events: list[str]) -> _Times | None:
        columns = {"pid": "pid"} | {name: name for name in _Times._fields}
        for path in self._find(r"subjects\.csv")[:1]:
            for row in base_tables.read_records(path, columns, tuple(columns)):
                if base_tables.number(row["pid"]) == pid:
                    times = _Times(*(base_tables.number(row[name]) / 1000 for name in _Times._fields))
                    if 1e9 < times.inittime <= times.starttime < times.endtime < times.inittime + _LONGEST_S:
                        return times
        events.append("kemocon_without_times")
        return None

    def _ratings(self, pid: int, times: _Times, events: list[str]) -> list[Label]:
        labels = []
        for rater, prefix in _RATERS.items():
            paths = self._find(rf"P0*{pid}\.{rater}\.csv")
            own = _read_ratings(paths[0], prefix, times, events) if paths else []
            events += [f"kemocon_no_{rater}_ratings"] * (not own)
            labels += own
        return labels


def _read_stream(
    path: Path, modality: str, pid: int, times: _Times | None, events: list[str]
) -> tuple[float, Signal] | None:
    """(Unix time of the first sample, the signal); None where there are no samples of this person."""
    kind, names = _KINDS[modality], tuple(name.casefold() for name in base_text.first_row(path, ","))
    serial = [name for name in names if name == "device_serial"][:1]
    columns = kind.channels if modality == "acc" else ("value",)
    wanted = ["timestamp", *columns, *serial]
    table = base_text.read_columns(path, ",", names, wanted, doubles=("timestamp",), texts=serial)
    times_s = table["timestamp"] / 1000
    own = np.isfinite(times_s)
    if serial:
        own &= _of_person(table["device_serial"], pid, modality, events)
    middle_s = (times.inittime + times.endtime) / 2 if times else np.median(times_s[own]) if own.any() else 0.0
    near = np.abs(times_s - middle_s) < _LONGEST_S / 2
    events += [f"kemocon_{modality}_far_from_session"] * bool((own & ~near).any())
    rows = np.flatnonzero(own & near)
    order, faults = base_rates.in_order(times_s[rows])
    events += [f"kemocon_{modality}_out_of_order"] * bool(faults)
    if not len(order):
        return None
    rows = rows[order]
    base_rates.check_rate(times_s[rows], kind.rate_hz, path)
    samples_TC = np.stack([table[name][rows] for name in columns], axis=1) * np.float32(kind.scale)
    samples_TC, gaps = base_rates.on_grid(times_s[rows], samples_TC, kind.rate_hz, path)
    events += [f"kemocon_{modality}_gap"] * gaps
    return float(times_s[rows[0]]), Signal(samples_TC, kind.rate_hz, kind.unit, kind.channels)


def _of_person(serials: np.ndarray, pid: int, modality: str, events: list[str]) -> np.ndarray:
    """Which rows are of the person's own device."""
    found = sorted({serial.strip(' "') for serial in serials})
    mine = _SERIALS.get(pid, found[0] if len(found) == 1 else "")
    own = np.array([serial.strip(' "') == mine for serial in serials], bool)
    if len(found) > 1:
        events.append(f"kemocon_{modality}_of_several_devices")
    elif len(found) and not own.any():
        events.append(f"kemocon_{modality}_of_another_device")
    return own


def _conditions(times: _Times) -> list[Label]:
    spans = (times.inittime, min(times.inittime + _BASELINE_S, times.starttime)), (times.starttime, times.endtime)
    return [Label("condition", start, stop, float(i)) for i, (start, stop) in enumerate(spans) if start < stop]


def _read_ratings(path: Path, prefix: str, times: _Times, events: list[str]) -> list[Label]:
    """Of one rater, in Unix time: the last one ends with the debate, and none begins before it does."""
    columns = {"seconds": "seconds"} | {name: name for name in _SCALES}
    records = base_tables.read_records(path, columns, ("seconds", "arousal", "valence"))
    rows = [(base_tables.number(row["seconds"]), row) for row in records]
    timed = sorted(((at, row) for at, row in rows if math.isfinite(at)), key=lambda row: row[0])
    events += ["kemocon_rating_without_time"] * (len(rows) - len(timed))
    labels, before = [], -math.inf
    for at, row in timed:
        stop = times.endtime - (timed[-1][0] - at)
        start = stop - _RATED_S
        if start < times.starttime - 1e-3:
            events.append("kemocon_rating_before_debate")
            continue
        if start < before - 1e-3:
            events.append("kemocon_ratings_overlap")
            continue
        before = stop
        values = {name: base_tables.number(row.get(name)) for name in _SCALES}
        events += ["kemocon_rating_missing"] * (not all(map(math.isfinite, values.values())))
        labels += [Label(prefix + name, start, stop, v) for name, v in values.items() if math.isfinite(v)]
    return labels
