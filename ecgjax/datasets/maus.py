"""MAUS (Beh, Wu and Wu 2021, arXiv 2111.02561; IEEE DataPort, doi 10.21227/q4td-yd35): mental workload by n-back.

22 people, each at rest and in six trials of five minutes: 0-, 2-, 3-, 2-, 3- and 0-back. ECG, finger PPG and skin
conductance at 256 Hz (ProComp Infiniti) in `Raw_data/002/inf_ecg.csv`, `inf_ppg.csv`, `inf_gsr.csv`, a column a trial
("Trial 1:0back"), and `inf_resting.csv` (Resting_ECG, Resting_PPG, Resting_GSR), which 003 lacks. There are no time
stamps, and nobody says units. The wrist's PPG (`pixart.csv`) is left out: by the authors' code it was sampled at 100 Hz
for the first five people and at 102.5 Hz for the others.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_text
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_RATE_HZ = 256.0
_KINDS = {"ecg": "ecg", "bvp": "ppg", "eda": "gsr"}  # as the files call them
_LEVELS = ("rest", "0-back", "2-back", "3-back")
_NUM_TRIALS = 6
_FILE = re.compile(r"(?:.*/)?(\d{3})/inf_(ecg|ppg|gsr|resting)\.csv", re.IGNORECASE)
_COLUMN = re.compile(r"resting_(ecg|ppg|gsr)|trial\s*(\d)\s*:\s*(\d)\s*-?\s*back", re.IGNORECASE)


@dataclasses.dataclass
class Config:
    """`root` is searched with its sub-folders."""

    root: str = ""
    modalities: tuple[str, ...] = tuple(_KINDS)

    def make(self) -> "Maus":
        return Maus(dataclasses.replace(self))


class Maus:
    """A key is a person's trial, as "002/1" to "002/6", or "002/rest"."""

    name = "maus"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _KINDS, "MAUS")
        self.config = config
        self.label_specs = {"n_back": LabelSpec(classes=_LEVELS)}

    def keys(self) -> tuple[str, ...]:
        trials = {kind: [str(number) for number in range(1, _NUM_TRIALS + 1)] for kind in _KINDS.values()}
        trials["resting"] = ["rest"]
        return tuple(sorted({f"{person}/{trial}" for person, kind in self._files()[0] for trial in trials[kind]}))

    def group(self, key: str) -> str:
        """A person, each of whose files has all trials."""
        return key.partition("/")[0]

    def load(self, key: str) -> Recording:
        person, trial = key.split("/")
        (files, copied), signals, levels, events = self._files(), {}, set(), []
        for modality in self.config.modalities:
            file = files.get((person, "resting" if trial == "rest" else _KINDS[modality]))
            found = self._column(file, trial, modality) if file else None
            if found is None or not len(found[1]):
                events.append(f"maus_no_{modality}")
                continue
            level, samples_T = found
            levels.add(level)
            signals[modality] = Signal(samples_T[:, None], _RATE_HZ, "unknown", (modality.upper(),)), file
        if not signals:
            raise DataError(key, "missing file", f"No file below {self.config.root} has samples of it.")
        sources = tuple(dict.fromkeys(file for _, file in signals.values()))
        events += [base_files.COPY] * (not copied.isdisjoint(sources))
        events += ["maus_person_without_rest"] * ((person, "resting") not in files)
        signals = {modality: signal for modality, (signal, _) in signals.items()}
        stop_s = max(signal.duration_s for signal in signals.values())
        labels = [Label("n_back", 0.0, stop_s, float(_LEVELS.index(level))) for level in levels]
        if len(labels) > 1:
            labels, events = [], [*events, "maus_files_say_different_levels"]
        return Recording(key, person, signals, tuple(labels), trial=trial, events=tuple(events), sources=sources)

    def _files(self) -> tuple[dict[tuple[str, str], str], set[str]]:
        """(files by person and kind; those with copies)."""
        root = self.config.root
        files = base_files.list_files(root, r"inf_(ecg|ppg|gsr|resting)\.csv", "file 002/inf_ecg.csv")
        matches = [(_FILE.fullmatch(base_files.locate(root, file).absolute().as_posix()), file) for file in files]
        named = (((match[1], match[2].lower()), file) for match, file in matches if match)
        told = f"{root}: no inf_*.csv lies in a folder that is a person's number, such as 002."
        return base_files.first_of_each(named, told)

    def _column(self, file: str, trial: str, modality: str) -> tuple[str, np.ndarray]:
        """(level, samples) of one trial, without the empty cells of those that are longer."""
        path = base_files.locate(self.config.root, file)
        columns = _read(path)
        found = columns.get(_KINDS[modality] if trial == "rest" else trial)
        if found is None:
            raise DataError(path, "no column", f"None of its columns is of {trial}, only of {', '.join(columns)}.")
        level, samples_T = found
        if level not in _LEVELS:
            raise DataError(path, "no column", f"Trial {trial} is {level}, none of {', '.join(_LEVELS)}.")
        recorded = np.flatnonzero(np.isfinite(samples_T))
        return level, samples_T[: recorded[-1] + 1 if len(recorded) else 0].copy()


@base_files.keep(len(_KINDS))
def _read(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """(level, samples) by the number of the trial, or by what the file calls a signal at rest; of two, the first."""
    names = base_text.first_row(path, ",")
    matches = {name: match for name in names if (match := _COLUMN.fullmatch(name))}
    table = base_text.read_columns(path, ",", names, list(matches)) if matches else {}
    columns: dict[str, tuple[str, np.ndarray]] = {}
    for name, match in matches.items():
        signal, trial, level = match.groups()
        columns.setdefault(trial or signal.lower(), (f"{level}-back" if trial else "rest", table[name]))
    return columns
