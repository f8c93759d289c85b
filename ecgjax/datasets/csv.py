"""Tables: Parquet, or text with comma, tab or semicolon, with or without a row of names, or '#' lines before it.

A channel's unit is read from its name ("ECG (mV)", "time [ms]"). A column of times, where there is one, gives the
rate or checks the one that is stated; '#' lines may state it too, as "# Sampling Rate (Hz):= 1000.00" (the text
format of BioSPPy and bitalino tools).
"""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_parquet, base_rates
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import LabelSpec, Recording, Signal

_RATE = re.compile(  # no part of "1,000" or "1.2.3", which would be another rate
    r"(?:sampl\w*.?(?:rate|freq\w*)|\bfs\b|\brate\b)[^=:]*[=:]+\s*\[?(\d+(?:\.\d*)?(?:e\+?\d)?)(?![\d.e]|,\d{3})",
    re.IGNORECASE,
)
_LABELS = re.compile(r"(?:labels?|columns?|channels?)\s*[=:]+\s*(.+)", re.IGNORECASE)
_UNIT = re.compile(r"^(.*?)\s*[(\[]([^)\]]*)[)\]]\s*$")
_TIME = re.compile(r"(elapsed.?|rel\w*.?)?(time|t|timestamps?|time.?stamps?|seconds|datetime|date)", re.IGNORECASE)
_SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3, "us": 1e-6}
_SECONDS |= {"microseconds": 1e-6, "ns": 1e-9, "nanoseconds": 1e-9, "min": 60.0, "minutes": 60.0, "h": 3600.0}
_TOLERANCE = 0.01  # between a stated rate and that of the time stamps, ours
_MAX_SAMPLES = 2**27  # 12 days at 128 Hz
_MAX_LINE = 2**20


@dataclasses.dataclass
class Config:
    """Tables. `root` is a folder, searched with its sub-folders for `files` (a regex), or one file.

    `rate_hz` is needed where neither a column of times nor a '#' line tells; 0 takes theirs. `channels` names columns,
    by number ("0", "1", ...) where they have no names. `time` names the column of times; empty finds it by its name.
    `unit` is that of columns that state none. `subject` is a regex on the file's path without suffix, whose first
    group is the subject; empty takes the file's name.
    """

    root: str = ""
    name: str = ""
    modalities: tuple[str, ...] = ("ecg",)
    channels: Channels = dataclasses.field(default_factory=Channels)
    rate_hz: float = 0.0
    unit: str = ""
    time: str = ""
    files: str = r".*\.(csv|tsv|txt|parquet)"
    subject: str = ""

    def make(self) -> "Csv":
        return Csv(dataclasses.replace(self, channels=dataclasses.replace(self.channels)))


class Csv:
    """Files as `Recording`s. A key is the file's path below the root."""

    def __init__(self, config: Config):
        fits = 0 <= config.rate_hz < math.inf
        require(fits, "--config.dataset.rate_hz", config.rate_hz, "a rate in Hz, or 0 to take the file's own")
        self.config = config
        self.name = base_files.dataset_name(config.name, config.root)
        self.label_specs: dict[str, LabelSpec] = {}

    def keys(self) -> tuple[str, ...]:
        return base_files.list_files(self.config.root, self.config.files, f"table ({self.config.files})")

    def load(self, key: str) -> Recording:
        config, path = self.config, base_files.locate(self.config.root, key)
        layout = _parquet_layout(path) if _is_parquet(path) else _read_layout(path)
        time = _time_column(layout, config.time, path)
        picked = _picked(layout, time, config, path)
        read = sorted({i for indices in picked.values() for i in indices} | ({time} - {None}))
        table = _read_columns(path, layout, read, time)
        time_unit = "" if time is None else layout.columns[time][1]
        rate_hz, rows, start_time, events = _grid(path, layout, table.get(time), time_unit, config.rate_hz)
        signals = {}
        for modality, indices in picked.items():
            samples_TC = np.stack([table[i] for i in indices], axis=1)
            columns = [(name, unit or config.unit) for name, unit in (layout.columns[i] for i in indices)]
            signals[modality] = _signal(path, samples_TC, rate_hz, rows, columns)
            wanted = getattr(config.channels, modality, ())
            events += ["ecg_channel_guessed"] * base_channels.was_guessed(modality, columns[0][0], wanted)
        subject = base_files.subject_of(config.subject, key.rpartition(".")[0] or key)
        return Recording(key, subject, signals, start_time=start_time, events=tuple(events), sources=(key,))


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How a table is laid out: (name, unit) of each column; of text, lines before the data, and what '#' lines say."""

    columns: tuple[tuple[str, str], ...]
    num_skipped: int = 0
    delimiter: str = ","
    decimal: str = "."
    stated_hz: float = 0.0


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _parquet_layout(path: Path) -> _Layout:
    return _Layout(tuple(_split_unit(name) for name in base_parquet.column_names(path)))


def _read_layout(path: Path) -> _Layout:
    if not path.is_file():
        raise DataError(path, "missing file", "Check the folder.")
    comments, first, second, num_lines = [], "", "", 0
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in iter(lambda: file.readline(_MAX_LINE), ""):
            if len(line) == _MAX_LINE:
                raise DataError(path, "unreadable table", f"Line {num_lines + 1} has {_MAX_LINE} characters or more.")
            if line.startswith("#"):
                comments.append(line[1:].strip())
            elif line.strip() and not first:
                first, first_at = line.strip("\r\n"), num_lines
            elif line.strip():
                second = line.strip("\r\n")
                break
            num_lines += 1
    if not first:
        raise DataError(path, "no samples" if comments else "empty file", "There are no rows; leave it out.")
    sample = second or first
    delimiter = next((d for d in "\t;," if d in sample), ",")
    decimal = "," if delimiter in "\t;" and "," in sample and "." not in sample else "."
    cells = [cell.strip().strip('"') for cell in first.split(delimiter)]
    named = not all(_is_number(cell, decimal) for cell in cells)
    if named and not second:
        raise DataError(path, "no samples", "There is a row of names and nothing below it; leave it out.")
    if second and len(second.rstrip(delimiter).split(delimiter)) > len(cells):
        raise DataError(path, "unreadable table", f"Its second row has more columns than its first, {len(cells)}.")
    labels = next((m.group(1) for m in map(_LABELS.search, comments) if m), "")
    labels = [label.strip(" '\"") for label in re.split(r"[\t;,]", labels.strip("[]"))]
    names = cells if named else labels if len(labels) == len(cells) and labels[0] else map(str, range(len(cells)))
    columns = tuple(_split_unit(name) for name in names)
    stated_hz = next((float(m.group(1)) for m in map(_RATE.search, comments) if m), 0.0)
    return _Layout(columns, first_at + named, delimiter, decimal, stated_hz)


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.replace(decimal, ".") or "nan")
    except ValueError:
        return False
    return True


def _split_unit(name: str) -> tuple[str, str]:
    match = _UNIT.match(name)
    return (match.group(1), match.group(2).strip()) if match and match.group(1) else (name, "")


def _time_column(layout: _Layout, wanted: str, path: Path) -> int | None:
    names = [name.casefold() for name, _ in layout.columns]
    if wanted:
        if wanted.casefold() not in names:
            remedy = f"--config.dataset.time={wanted!r} is not among: {', '.join(n for n, _ in layout.columns)}."
            raise DataError(path, "unknown column", remedy)
        return names.index(wanted.casefold())
    return next((i for i, name in enumerate(names) if _TIME.fullmatch(name)), None)


def _picked(layout: _Layout, time: int | None, config: Config, path: Path) -> dict[str, list[int]]:
    """Columns of each modality found. The only column of a file is the only modality asked for."""
    free = [i for i in range(len(layout.columns)) if i != time]
    names, units = [layout.columns[i][0] for i in free], [layout.columns[i][1] or config.unit for i in free]
    picked = {}
    for modality in config.modalities:
        wanted = getattr(config.channels, modality, ())
        indices = base_channels.pick(modality, names, units, wanted, path)
        if not indices and len(free) == 1 and len(config.modalities) == 1 and names[0].isdigit():
            indices = [0]
        if indices:
            picked[modality] = [free[i] for i in indices]
    if not picked:
        remedy = f"Its columns are {', '.join(names)}. Name one in --config.dataset.channels."
        raise DataError(path, f"no {' or '.join(config.modalities)} channel", remedy)
    return picked


def _read_columns(path: Path, layout: _Layout, wanted: list[int], time: int | None) -> dict[int, np.ndarray]:
    """Columns by number: float64, or of strings where they hold dates."""
    import pandas as pd

    table = base_parquet.read_columns(path, wanted, time) if _is_parquet(path) else _read_text(path, layout, wanted)
    columns = {}
    for i in wanted:
        column = table[i]
        if i != time and not pd.api.types.is_numeric_dtype(column):
            number = pd.to_numeric(column, errors="coerce")
            for row in np.flatnonzero(number.isna() & column.notna())[:1]:
                remedy = f"Column {layout.columns[i][0]!r} holds {str(column.iloc[row])[:40]!r} in row {row + 1}."
                raise DataError(path, "not a number", remedy)
            column = number
        columns[i] = column.to_numpy()
    return columns


def _read_text(path: Path, layout: _Layout, wanted: list[int]):
    import pandas as pd

    _check_last_line(path, layout)
    try:
        table = pd.read_csv(
            path, sep=layout.delimiter, decimal=layout.decimal, header=None, names=range(len(layout.columns)),
            usecols=wanted, skiprows=layout.num_skipped, comment="#", encoding="utf-8-sig", encoding_errors="replace",
            skipinitialspace=True, low_memory=False, index_col=False, nrows=base_parquet.MAX_ROWS + 1,
            skip_blank_lines=len(layout.columns) > 1,
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataError(path, "unreadable table", f"{error}.") from error
    if len(table) > base_parquet.MAX_ROWS:
        raise DataError(path, "too long", f"It has more than {base_parquet.MAX_ROWS} rows. Write it in several files.")
    # Of a single column, an empty line is a missing sample, but for those at the end.
    return table if len(layout.columns) > 1 else table.loc[: table[0].last_valid_index()]


def _check_last_line(path: Path, layout: _Layout) -> None:
    """A download that broke off ends within a row."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        last = file.read().decode("utf-8", "replace").rstrip("\r\n").rsplit("\n", 1)[-1]
    if not last.startswith("#") and last.count(layout.delimiter) < len(layout.columns) - 1:
        remedy = f"The last row has {last.count(layout.delimiter) + 1} of {len(layout.columns)} columns."
        raise DataError(path, "truncated", f"{remedy} Fetch it again, or delete the row.")


def _grid(path: Path, layout: _Layout, times: np.ndarray | None, unit: str, rate_hz: float):
    """(rate, place of each row on the regular grid or None, start or "", events), of time stamps, '#' lines, config."""
    stated_hz = rate_hz or layout.stated_hz
    if layout.stated_hz and abs(layout.stated_hz / stated_hz - 1) > _TOLERANCE:
        remedy = f"Its '#' line says {layout.stated_hz:g} Hz, --config.dataset.rate_hz says {rate_hz:g}."
        raise DataError(path, "wrong rate", remedy)
    if times is None:
        if not stated_hz:
            remedy = "Neither a column of times nor a '#' line tells it. Give it with --config.dataset.rate_hz."
            raise DataError(path, "no sampling rate", remedy)
        return stated_hz, None, "", []
    unit_s = _SECONDS.get(unit.casefold(), 0.0)  # of "time (UTC)" there is none
    with np.errstate(all="ignore"):  # what is no time is refused below
        times_s, start_time = base_rates.parse_times(times, unit_s, path)
        steps_s = np.diff(times_s)
    if len(steps_s) == 0 or not ((steps_s > 1e-9) & (steps_s < 1e12)).all():
        raise DataError(path, "time stamps", "They are missing somewhere, repeat, or go back.")
    gap = steps_s > 1.6 * np.median(steps_s)  # rounded stamps vary; a missing sample doubles the step
    measured_hz = float(1 / steps_s[~gap].mean())
    if not unit_s and stated_hz and abs(measured_hz * 1e3 / stated_hz - 1) < _TOLERANCE:  # milliseconds, it turns out
        measured_hz, steps_s, start_time = measured_hz * 1e3, steps_s * 1e-3, ""
    if stated_hz and abs(measured_hz / stated_hz - 1) > _TOLERANCE:
        remedy = f"The time stamps say {measured_hz:g} Hz, {stated_hz:g} Hz is stated. Mend --config.dataset.rate_hz."
        raise DataError(path, "wrong rate", remedy)
    rate = stated_hz or base_rates.roundest(measured_hz, len(times))
    if not gap.any():
        return rate, None, start_time, []
    if (span := steps_s.sum() * rate) >= _MAX_SAMPLES:
        raise DataError(path, "too long", f"Its time stamps span {span:.0f} samples; one of them must be wrong.")
    missing = np.where(gap, np.round(steps_s * rate).astype(np.int64) - 1, 0)
    rows = np.arange(len(times)) + np.concatenate([[0], np.cumsum(missing)])
    return rate, rows, start_time, ["csv_gap"] * int(gap.sum())


def _signal(path: Path, samples_TC: np.ndarray, rate_hz: float, rows: np.ndarray | None, columns: list) -> Signal:
    """In the normal unit of the (name, unit) columns, NaN where rows are missing."""
    names, units = zip(*columns, strict=True)
    normal = base_channels.common_unit(names, units, [rate_hz] * len(names), path)
    factors_C = np.array([base_channels.normal_unit(unit)[1] for unit in units])
    with np.errstate(all="ignore"):  # what is too large for float32 becomes infinite, and is gated
        values_TC = (samples_TC * factors_C).astype(np.float32)
    if rows is not None:
        spread_TC = np.full((rows[-1] + 1, len(columns)), np.nan, np.float32)
        spread_TC[rows] = values_TC
        values_TC = spread_TC
    return Signal(values_TC, rate_hz, normal, names)
