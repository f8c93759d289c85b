"""EEG During Mental Arithmetic Tasks (Zyma et al., Data 2019, 4(1):14; physionet.org/content/eegmat/1.0.0, ODC-By).

36 people, each with one recording at rest and then one of serial subtraction: `SubjectNN_1.edf`, `SubjectNN_2.edf`
(22 signals, of which "ECG ECG" at 500 Hz is read), or files of that signal alone, as `SubjectNN_1_ecg.edf`.

Rest always comes first and is longer, and a recording ends in some two seconds of padding, so length and flat tail
give the label away: leave the quality gate on, and cut windows of one length.
"""

import dataclasses
import re

from ecgjax.datasets import base_edf, base_files, base_tables
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording

_FILE = r"(Subject\d+)_([12]).*\.edf"
_LABEL_SPECS = {
    "condition": LabelSpec(classes=("rest", "arithmetic")),
    "counter": LabelSpec(classes=("bad", "good")),  # of the person: how well they subtracted
}


@dataclasses.dataclass
class Config:
    """`root` is a folder with the EDF files, searched with its sub-folders.

    `subject-info.csv` lies beside a file or above it, as far up as the parent of `root`.
    """

    root: str = ""

    def make(self) -> "Eegmat":
        return Eegmat(dataclasses.replace(self))


class Eegmat:
    """A key is a file's subject and session, as "Subject00_1"."""

    name = "eegmat"

    def __init__(self, config: Config):
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted(self._files()[0]))

    def load(self, key: str) -> Recording:
        files, copied = self._files()
        file = files.get(key)
        if file is None:
            raise DataError(key, "missing file", f"There is no {key}*.edf below {self.config.root}.")
        subject, session = key.split("_")
        signals, _, events = base_edf.read_edf(base_files.locate(self.config.root, file), ("ecg",), Channels())
        duration_s = signals["ecg"].duration_s
        labels = [Label("condition", 0.0, duration_s, float(session) - 1.0)]
        good = self._good_counters(file)
        if subject in good:
            labels.append(Label("counter", 0.0, duration_s, good[subject]))
        else:
            events = (*events, "eegmat_no_counter_label")
        events = (*events, *[base_files.COPY] * (file in copied))
        # No start time: the dates in these files are fillers.
        return Recording(key, subject, signals, tuple(labels), session=session, events=events, sources=(file,))

    def _files(self) -> tuple[dict[str, str], set[str]]:
        """(file of each key; those with copies, also where originals and ECG-only files lie side by side)."""
        files = base_files.list_files(self.config.root, _FILE, "SubjectNN_1*.edf or SubjectNN_2*.edf")
        matches = [(re.fullmatch(_FILE, file.rsplit("/", 1)[-1], re.IGNORECASE), file) for file in files]
        named = ((f"{match[1].capitalize()}_{match[2]}", file) for match, file in matches if match)
        told = f"{self.config.root}: not named as eegmat's files are. Use the EDF reader for one file."
        return base_files.first_of_each(named, told)

    def _good_counters(self, file: str) -> dict[str, float]:
        table = base_files.nearest(self.config.root, file, "subject-info.csv")
        if table is None:
            return {}
        rows = base_tables.read_records(table, {"subject": "Subject", "good": "Countquality"}, ("subject", "good"))
        return {str(row["subject"]): float(row["good"]) for row in rows if row["good"] in ("0", "1")}
