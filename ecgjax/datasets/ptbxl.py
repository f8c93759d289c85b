"""PTB-XL (Wagner et al., Sci Data 7:154, 2020; physionet.org/content/ptb-xl/1.0.3, CC-BY 4.0).

21,799 clinical ECGs of 10 s and 12 leads of 18,869 people, each as a WFDB record at 500 Hz (`records500/`, names that
end in `_hr`) and at 100 Hz (`records100/`, `_lr`). `ptbxl_database.csv` says whose each is (`patient_id`, written as
"15709.0"), and what cardiologists saw (`scp_codes`, a Python dict as text); `scp_statements.csv` puts the diagnostic
codes into five superclasses. As in the authors' example, a code counts whatever its likelihood, which is often 0 for
"not stated".
"""

import ast
import csv
import dataclasses
import datetime
import os.path
import warnings
from pathlib import Path

from ecgjax.datasets import base_channels, base_files, base_wfdb
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import Label, LabelSpec, Recording

_TABLE, _STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
_FILES = {500.0: "filename_hr", 100.0: "filename_lr"}
_COLUMNS = ("ecg_id", "patient_id", "recording_date", "scp_codes", *_FILES.values())
_SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
_LABEL_SPECS = {
    "superclass": LabelSpec(classes=_SUPERCLASSES, rater="external"),  # of records that have one alone
    **{name.lower(): LabelSpec(classes=("absent", "present"), rater="external") for name in _SUPERCLASSES},
}
_MAX_TABLE_BYTES, _MAX_CODES = 2**28, 4096  # the table of 1.0.3 has 2**24 bytes, its longest codes 200 characters


def _ii() -> Channels:
    return Channels(ecg=("II",))


@dataclasses.dataclass
class Config:
    """`root` is the folder with `ptbxl_database.csv`, or one above it.

    `rate_hz` is 500 or 100. `channels.ecg` names the leads, which make one signal.
    """

    root: str = ""
    rate_hz: float = 500.0
    channels: Channels = dataclasses.field(default_factory=_ii)

    def make(self) -> "PtbXl":
        return PtbXl(dataclasses.replace(self, channels=dataclasses.replace(self.channels)))


class PtbXl:
    """A key is an `ecg_id` of five digits, whatever the rate."""

    name = "ptbxl"

    def __init__(self, config: Config):
        require(config.rate_hz in _FILES, "--config.dataset.rate_hz", config.rate_hz, "500 or 100")
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)
        self._found: Path | None = None

    def keys(self) -> tuple[str, ...]:
        self._found = None
        return tuple(sorted(_rows(self._table())))

    def load(self, key: str) -> Recording:
        table = self._table()
        row = _rows(table).get(key)
        if row is None:
            raise DataError(key, "not in the table", f"{table} has no such ecg_id.")
        if not row["patient_id"]:
            raise DataError(key, "no subject", f"{table} does not say whose it is.")
        header = base_wfdb.read_header(_place(table, row[_FILES[self.config.rate_hz]]))
        if header.frame_hz != self.config.rate_hz:
            raise DataError(header.path, "wrong rate", f"Its header says {header.frame_hz:g} Hz.")
        picked = base_channels.pick("ecg", header.names, header.units, self.config.channels.ecg, header.path)
        if not picked:
            raise DataError(header.path, "no ecg channel", f"Its channels are {', '.join(header.names)}.")
        signal = base_wfdb.read_signal(header, picked)
        labels, events = _diagnoses(row["scp_codes"], table.with_name(_STATEMENTS), signal.duration_s)
        root = base_files.existing_root(self.config.root)
        folder = header.path.parent.relative_to(root if root.is_dir() else root.parent)
        return Recording(
            key=key,
            subject=row["patient_id"],
            signals={"ecg": signal},
            labels=labels,
            start_time=_start_time(row["recording_date"]),
            events=events,
            sources=tuple((folder / name).as_posix() for name in base_wfdb.sources(header)),
        )

    def _table(self) -> Path:
        """The table, which is looked for once, and not among 87,000 files for each of 21,799 records."""
        beside = base_files.existing_root(self.config.root) / _TABLE
        if beside.is_file():
            return beside
        if self._found is None or not self._found.is_file():
            listed = base_files.list_files(self.config.root, _TABLE, _TABLE)
            self._found = base_files.locate(self.config.root, listed[0])
        return self._found


@base_files.keep_last
def _rows(table: Path) -> dict[str, dict[str, str]]:
    """What the table says of each record, by key."""
    rows = {}
    for number, row in enumerate(_read_csv(table, _COLUMNS), start=1):
        said = {column: row[column] for column in _COLUMNS}
        patient, dot, zeros = said["patient_id"].partition(".")
        said["patient_id"] = patient if patient.isdigit() and not zeros.strip("0") else ""
        if not said["ecg_id"].isdigit() or not all(base_files.is_inside(said[file]) for file in _FILES.values()):
            remedy = f"Record {number} has no number, or files that are not below its folder. Fetch it again."
            raise DataError(table, "unreadable table", remedy)
        rows[said["ecg_id"].zfill(5)] = said
    if not rows:
        raise DataError(table, "unreadable table", "It has no rows. Fetch it again.")
    return rows


@base_files.keep_last
def _superclasses(statements: Path) -> dict[str, str]:
    """Superclass of each diagnostic code."""
    rows = _read_csv(statements, ("", "diagnostic", "diagnostic_class"))
    return {row[""]: row["diagnostic_class"] for row in rows if row["diagnostic"] in ("1", "1.0")}


def _read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a table with such columns; a cell that is not there is empty."""
    base_files.check_size(path, _MAX_TABLE_BYTES)
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.DictReader(file, restval="")
            missing = [column for column in columns if column not in (rows.fieldnames or ())]
            if missing:
                raise DataError(path, "unreadable table", f'It must have a column "{missing[0]}".')
            return list(rows)
    except csv.Error as error:
        raise DataError(path, "unreadable table", f"{error}. Fetch it again.") from error


def _place(table: Path, name: str) -> Path:
    """The record below the table's folder, or beside the table where a copy has no folders."""
    place = table.parent / name
    flat = table.with_name(place.name)
    return flat if not os.path.isdir(place.parent) and os.path.isfile(f"{flat}.hea") else place


def _start_time(date: str) -> str:
    try:
        return datetime.datetime.fromisoformat(date).isoformat()
    except ValueError:
        return ""


def _diagnoses(codes: str, statements: Path, duration_s: float) -> tuple[tuple[Label, ...], tuple[str, ...]]:
    """Labels of a whole record, and what is odd about them."""
    if not statements.is_file():
        return (), ("ptbxl_without_statements",)
    superclasses, told = _superclasses(statements), _parse_codes(codes)
    if told is None:
        return (), ("ptbxl_scp_codes_unreadable",)
    found = {superclasses[code] for code in told if code in superclasses} & set(_SUPERCLASSES)
    if not found:
        return (), ("ptbxl_no_superclass",)
    labels = [Label(name.lower(), 0.0, duration_s, float(name in found)) for name in _SUPERCLASSES]
    if len(found) > 1:
        return tuple(labels), ("ptbxl_several_superclasses",)
    return (*labels, Label("superclass", 0.0, duration_s, float(_SUPERCLASSES.index(found.pop())))), ()


def _parse_codes(text: str) -> list[str] | None:
    """Codes of a dict written as text, which is parsed and never run; None where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's parser, about what stands in damaged text
            told = ast.literal_eval(text[:_MAX_CODES])
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return [str(code) for code in told] if isinstance(told, dict) else None
