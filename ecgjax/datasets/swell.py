"""SWELL-KW (Koldijk et al., ICMI 2014; DANS, doi 10.17026/dans-x55-69zp, CC BY-NC-SA 4.0).

25 people at knowledge work, three blocks each: neutral, interrupted by e-mail, under time pressure, after minutes of
relaxing. A block is a Poly5 file of TMSi's Mobi at 2048 Hz, `pp1_18-9-2012_c1.S00`; `..._c2_cont.S00` goes on with the
block before. ECG is the channel `portiHeartPre` (filtered, uV), else the eighth; skin conductance `portiSkinRaw`, else
the seventh. Whether the files say these names, and which unit skin conductance has, is unverified.

**The number of a block is its place in time, not its condition**: the order is balanced over people. Conditions come
from tables below `tables` (or `root`), as text or workbook:
- by the minute (`Behavioral-features - per minute`, `D - Physiology features (HR_HRV_SCL - final)`), with columns PP,
  Blok or C, Condition, timestamp, and ratings. Minutes are placed by the start that the signal's header states, so
  relaxing is told from working. That a timestamp is a minute's beginning is unverified.
- `SWELL-KW - overview available data`, sheet "Sheet3": person, block and condition, by their names, else the first
  three columns (two public readers take these). It says nothing of minutes: the label is the whole block's.

Ratings are a block's: valence, arousal, dominance 1-9; stress and the six of NASA-TLX 0-10; mental effort on RSME's
scale, where one source saw 11.3 (0-15 is taken). Relaxing has none. "#VALUE!" and 999 are no values.
"""

import contextlib
import dataclasses
import datetime
import enum
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_poly5, base_tables
from ecgjax.datasets.base_poly5 import Poly5
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_FILE = r"pp(\d+)[_-]\d+-\d+-\d+[_-]c(\d)([_-]cont\w*)?\.S00"
_CHANNELS = {  # words of the name, and the place if no name has them
    "ecg": (re.compile(r"heart.?pre", re.IGNORECASE), 7),
    "eda": (re.compile(r"skin.?raw", re.IGNORECASE), 6),
}
CLASSES = ("neutral", "interruption", "time pressure", "relax")
_RELAX = CLASSES.index("relax")
_LETTERS = {"N": 0, "I": 1, "T": 2, "R": 3}
_UNKNOWN = -1
_RATINGS = {  # the column, and the ends of the scale
    "valence": ("Valence_rc", 1, 9),
    "arousal": ("Arousal_rc", 1, 9),
    "dominance": ("Dominance", 1, 9),
    "stress": ("Stress", 0, 10),
    "mental_effort": ("MentalEffort", 0, 15),
    "mental_demand": ("MentalDemand", 0, 10),
    "physical_demand": ("PhysicalDemand", 0, 10),
    "temporal_demand": ("TemporalDemand", 0, 10),
    "effort": ("Effort", 0, 10),
    "performance": ("Performance_rc", 0, 10),
    "frustration": ("Frustration", 0, 10),
}
_LABEL_SPECS = {"condition": LabelSpec(classes=CLASSES)} | {
    name: LabelSpec(low=low, high=high, rater="self") for name, (_, low, high) in _RATINGS.items()
}
_TABLE = r"\.(tab|tsv|csv|txt|xlsx)"
_MINUTES = (r"behaviou?ral.features.*per.minute.*" + _TABLE, r".*physiology.features.*" + _TABLE)
_OVERVIEW = r"swell.*overview.*" + _TABLE
_COLUMNS = {"person": r"pp|participant\w*", "block": r"blo(k|ck)|c", "condition": r"conditi(on|e)", "time": "timestamp"}
_NEEDED = ("person", "block", "condition")
_COLUMNS |= {name: column for name, (column, *_) in _RATINGS.items()}
_MISSING = 999.0


_Block = tuple[int, int]  # person and number
_Moment = datetime.datetime | None
_Span = tuple[float, float, int]  # start and stop in seconds, class


class _Minute(NamedTuple):
    """A row of a table: a class, when it began, and ratings: NaN for none, infinite for what is no number."""

    condition: int
    start: _Moment
    ratings: tuple[float, ...]


class Conditions(enum.Enum):
    """Where a block's condition comes from."""

    TABLES = "tables"
    BLOCK_NUMBER = "block_number"  # as in the released code of Sarkar & Etemad: no condition, to compare with


@dataclasses.dataclass
class Config:
    """`root` is searched with its sub-folders for .S00 files; `tables` for the tables, empty is `root`."""

    root: str = ""
    modalities: tuple[str, ...] = ("ecg", "eda")
    tables: str = ""
    conditions: Conditions = Conditions.TABLES

    def make(self) -> "Swell":
        return Swell(dataclasses.replace(self))


class Swell:
    """A key is a person's block, as "PP01/c2"."""

    name = "swell"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _CHANNELS, "SWELL-KW")
        found = not config.tables or Path(config.tables).expanduser().is_dir()
        require(found, "--config.dataset.tables", config.tables, "a folder that is there, or nothing for the root")
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted({key for key, _ in self._files()[0]}))

    def load(self, key: str) -> Recording:
        listed, copied = self._files()
        found = {part: file for (block, part), file in listed.items() if block == key}
        if not found:
            raise DataError(key, "missing file", f"There is no file of it below {self.config.root}.")
        files = [found[part] for part in sorted(found)]  # what continues a block comes after it
        parts = [Poly5(base_files.locate(self.config.root, file)) for file in files]
        events = [event for part in parts for event in part.events]
        events += [base_files.COPY] * (not copied.isdisjoint(files))
        events += ["swell_without_its_beginning"] * ("" not in found)
        signals = _signals(self.config.modalities, parts, events)
        start, duration_s = parts[0].start, next(iter(signals.values())).duration_s
        person, block = int(key[2:].split("/")[0]), int(key[-1])
        labels = self._labels((person, block), start, duration_s, events)
        return Recording(
            key=key,
            subject=f"PP{person:02d}",
            signals=signals,
            labels=tuple(labels),
            trial=f"c{block}",
            start_time=start.isoformat() if start else "",
            events=tuple(events),
            sources=tuple(files),
        )

    def _files(self) -> tuple[dict[tuple[str, str], str], set[str]]:
        """(files by key and part of the block: "" the first, "_cont" what continues it; those with copies)."""
        files = base_files.list_files(self.config.root, _FILE, "block such as pp1_18-9-2012_c1.S00")
        matches = [(re.fullmatch(_FILE, file.rsplit("/", 1)[-1], re.IGNORECASE), file) for file in files]
        named = (((f"PP{int(m[1]):02d}/c{m[2]}", (m[3] or "").lower()), file) for m, file in matches if m)
        told = f"{self.config.root}: not named as SWELL-KW's files are, pp1_18-9-2012_c1.S00."
        return base_files.first_of_each(named, told)

    def _labels(self, block: _Block, start: _Moment, duration_s: float, events: list[str]) -> list[Label]:
        by_minute, overview = _tables(self.config.tables or self.config.root, block, events)
        minutes = next((m for m in by_minute if any(row.start for row in m)), (*by_minute, ())[0])
        spans = _timed(minutes, start, duration_s, events) or _whole(minutes or overview, duration_s, events)
        if minutes and not {m.condition for m in overview} <= {m.condition for m in minutes}:
            events.append("swell_tables_disagree")
        labels = [Label("condition", a, b, float(value)) for a, b, value in spans]
        if self.config.conditions is Conditions.BLOCK_NUMBER:
            events.append("swell_block_number_as_condition")
            labels = [Label("condition", 0.0, duration_s, block[1] - 1.0)] if 1 <= block[1] <= 3 else []
        events += ["swell_without_condition"] * (not labels)
        at_work = [(a, b) for a, b, value in spans if value != _RELAX] or [(0.0, duration_s)]
        ratings = next((found for m in by_minute if (found := _ratings(m, events))), {})
        return labels + [Label(name, a, b, value) for name, value in ratings.items() for a, b in at_work]


def _tables(root: str, block: _Block, events: list[str]) -> tuple[list[tuple[_Minute, ...]], tuple[_Minute, ...]]:
    """(what each table by the minute has of a block, if anything; what the overview has)."""
    found: list[tuple[_Minute, ...]] = []
    for pattern in (*_MINUTES, _OVERVIEW):
        names = base_files.find_files(root, pattern)
        if not names:  # what is not labelled for that is told
            found.append(())
            continue
        path = base_files.locate(root, names[0])
        rows = _read_table(path, pattern == _OVERVIEW)
        events += ["swell_table_not_understood"] * (not rows)
        own = rows.get(block, ())
        found.append(tuple(row for row in own if row.condition != _UNKNOWN))
        events += ["swell_unknown_condition"] * (len(own) - len(found[-1]))
    return [rows for rows in found[:-1] if rows], found[-1]


@base_files.keep(3)
def _read_table(path: Path, overview: bool) -> dict[_Block, tuple[_Minute, ...]]:
    """Rows of each block; none where no columns of person, block and condition are found."""
    sheet, records = "Sheet3" if overview else "", iter(())
    try:
        records = base_tables.read_records(path, _COLUMNS, _NEEDED, sheet)
    except DataError as error:
        if error.reason != "no column":
            raise
        if overview:
            records = (dict(zip(_NEEDED, row, strict=False)) for row in base_tables.read_rows(path, sheet))
    blocks: dict[_Block, list[_Minute]] = {}
    for record in records:
        person = re.fullmatch(r"(?:pp)?(\d{1,3})(?:\.0)?", str(record.get("person")).strip(), re.IGNORECASE)
        block = re.fullmatch(r"c?(\d)(?:\.0)?", str(record.get("block")).strip(), re.IGNORECASE)
        letter = str(record.get("condition") or " ").strip()[:1].upper()
        if person and block:
            ratings = [_number(record.get(name)) for name in _RATINGS]
            minute = _Minute(_LETTERS.get(letter, _UNKNOWN), _moment(record.get("time")), tuple(ratings))
            blocks.setdefault((int(person[1]), int(block[1])), []).append(minute)
    return {block: tuple(minutes) for block, minutes in blocks.items()}


def _number(cell: object) -> float:
    try:
        value = float(str(cell if cell is not None else "").replace(",", ".") or "nan")
    except ValueError:
        return math.inf
    return math.nan if value == _MISSING else value


def _moment(cell: object) -> _Moment:
    """Of a date, or "20120918T131600000", whose last zeros a spreadsheet may have lost."""
    match = re.fullmatch(r"(\d{8})T(\d{1,9})", str(cell).strip())
    if match is None:
        return cell if isinstance(cell, datetime.datetime) and cell.tzinfo is None else None
    with contextlib.suppress(ValueError):
        return datetime.datetime.strptime(match[1] + match[2].ljust(6, "0")[:6], "%Y%m%d%H%M%S")
    return None


def _timed(minutes: Sequence[_Minute], start: _Moment, duration_s: float, events: list[str]) -> list[_Span]:
    """Minute by minute, where the clocks of table and recorder agree."""
    if start is None or not any(m.start for m in minutes):
        return []
    at = [((m.start - start).total_seconds(), m.condition) for m in minutes if m.start]
    inside = [(max(a, 0.0), min(a + 60.0, duration_s), value) for a, value in sorted(at) if -60.0 < a < duration_s]
    if 2 * len(inside) < len(at):
        events.append("swell_clocks_disagree")
        return []
    events += ["swell_minutes_outside_recording"] * (len(inside) < len(at))
    spans: list[_Span] = []
    for a, b, value in inside:
        if spans and a < spans[-1][1]:  # of two rows of one minute, one
            events += ["swell_minute_of_two_conditions"] * (value != spans[-1][2])
            a = spans[-1][1]
        if spans and spans[-1][1:] == (a, value):
            a = spans.pop()[0]
        if a < b:
            spans.append((a, b, value))
    return spans


def _whole(minutes: Sequence[_Minute], duration_s: float, events: list[str]) -> list[_Span]:
    found = {m.condition for m in minutes}
    found = found - {_RELAX} or found
    events += ["swell_block_of_several_conditions"] * (len(found) > 1)
    events += ["swell_condition_of_whole_block"] * (len(found) == 1)
    return [(0.0, duration_s, *found)] if len(found) == 1 else []


def _ratings(minutes: Sequence[_Minute], events: list[str]) -> dict[str, float]:
    """The one value that each rating has in a block."""
    ratings = {}
    for name, values in zip(_RATINGS, zip(*(m.ratings for m in minutes), strict=True), strict=True):
        given = {value for value in values if math.isfinite(value)}
        events += ["swell_not_a_number"] * (math.inf in values) + ["swell_ratings_differ"] * (len(given) > 1)
        if len(given) == 1:
            ratings[name] = given.pop()
    return ratings


def _signals(modalities: Sequence[str], parts: list[Poly5], events: list[str]) -> dict[str, Signal]:
    """Channels of all files of a block on one axis, NaN between the files."""
    picked = {m: [_channel(m, part, events) for part in parts] for m in modalities}
    events += [f"swell_no_{m}" for m, numbers in picked.items() if None in numbers]
    picked = {m: numbers for m, numbers in picked.items() if None not in numbers}
    if not picked:
        names = ", ".join(channel.name for channel in parts[0].channels)
        raise DataError(parts[0].path, f"no {' or '.join(modalities)} channel", f"Its channels are {names}.")
    offsets, signals = base_poly5.offsets(parts, events), {}
    samples_TC = np.full((offsets[-1] + parts[-1].length, len(picked)), np.nan, np.float32)
    for i, (part, offset) in enumerate(zip(parts, offsets, strict=True)):
        samples_TC[offset : offset + part.length] = part.read([numbers[i] for numbers in picked.values()])
    for column, (modality, numbers) in enumerate(picked.items()):
        channels = [part.channels[number] for part, number in zip(parts, numbers, strict=True)]
        names, units = [c.name or modality.upper() for c in channels], [c.unit for c in channels]
        unit = base_channels.common_unit(names, units, [0.0] * len(parts), parts[-1].path)
        for part, offset, given in zip(parts, offsets, units, strict=True):
            samples_TC[offset : offset + part.length, column] *= base_channels.normal_unit(given)[1]
        signals[modality] = Signal(samples_TC[:, [column]], parts[0].rate_hz, unit, (names[0],))
    return signals


def _channel(modality: str, part: Poly5, events: list[str]) -> int | None:
    """By its name, else by its place."""
    words, place = _CHANNELS[modality]
    named = [i for i, channel in enumerate(part.channels) if words.search(channel.name)]
    if not named and place < len(part.channels):
        events.append(f"swell_{modality}_by_its_place")
        named = [place]
    return named[0] if named else None
