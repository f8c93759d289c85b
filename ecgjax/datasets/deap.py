"""DEAP (Koelstra et al., IEEE TAC 2012, 3(1):18-31): 32 people, each of whom watched and rated 40 music videos.

The preprocessed release, at 128 Hz: `s01.dat` to `s32.dat`, pickles of Python 2, or `s01.mat` to `s32.mat`, with the
same two arrays, "data" (40 trials x 40 channels x 8064 samples) and "labels" (40 x 4). Read are the six channels after
EEG and EOG; there is no ECG. A recording is a trial. Trials stand in the order of the videos, not as they were shown,
so trial 7 is of one video for everybody.

None of this is from the files: it is general knowledge, and what public loaders and copies of the readme agree on. By
that readme GSR is a resistance in Ohm, so it falls where conductance rises; the other units nobody says. It also says
that 3 s before each video were removed; but there are 63 s, and everybody takes the first 3 for these. So signals begin
there and labels `baseline_s` later.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_mat, base_pickle
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_FILE = r"(s\d\d)\.(dat|mat)"
_RATE_HZ = 128.0
_NUM_CHANNELS, _FIRST = 40, 34  # channels, and the first that is read
_KINDS = {  # columns from there, unit
    "emg": (("zEMG", "tEMG"), "unknown"),  # of the cheek and of the shoulder
    "eda": (("GSR",), "Ohm"),
    "resp": (("Resp",), "unknown"),
    "bvp": (("Plet",), "unknown"),
    "temp": (("Temp",), "unknown"),
}
_COLUMNS = tuple(name for names, _ in _KINDS.values() for name in names)
_ARRAYS = ("data", "labels")
_RATED = ("valence", "arousal", "dominance", "liking")  # columns of "labels"


@dataclasses.dataclass
class Config:
    """`root` is a folder, searched with its sub-folders, or one file. Empty `modalities` are all there are.

    Labels hold from `baseline_s` to the end. `num_trials` is that of the published files.
    """

    root: str = ""
    modalities: tuple[str, ...] = ()
    baseline_s: float = 3.0
    num_trials: int = 40

    def make(self) -> "Deap":
        return Deap(dataclasses.replace(self))


class Deap:
    """A key is a person and a trial, as "s01/07"."""

    name = "deap"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _KINDS, "what is read of DEAP")
        require(0 <= config.baseline_s < 60, "--config.dataset.baseline_s", config.baseline_s, "0 to 60 s")
        require(0 < config.num_trials <= 99, "--config.dataset.num_trials", config.num_trials, "1 to 99")
        self.config = config
        self.label_specs = {name: LabelSpec(low=1.0, high=9.0, rater="self") for name in _RATED}

    def keys(self) -> tuple[str, ...]:
        trials = range(1, self.config.num_trials + 1)
        return tuple(f"{subject}/{trial:02d}" for subject in sorted(self._files()[0]) for trial in trials)

    def group(self, key: str) -> str:
        """A person, who is a file."""
        return key.partition("/")[0]

    def load(self, key: str) -> Recording:
        subject, _, trial = key.partition("/")
        files, copied = self._files()
        file = files.get(subject)
        if file is None:
            raise DataError(key, "missing file", f"There is no {subject}.dat or .mat below {self.config.root}.")
        path = base_files.locate(self.config.root, file)
        data_NCT, ratings_NK = _read(path)
        if len(data_NCT) != self.config.num_trials:
            remedy = f"It has {len(data_NCT)}: set --config.dataset.num_trials={len(data_NCT)}."
            raise DataError(path, "other number of trials", remedy)
        signals, events = {}, [base_files.COPY] * (file in copied)
        for modality, (names, unit) in _KINDS.items():
            if not self.config.modalities or modality in self.config.modalities:
                samples_TC = data_NCT[int(trial) - 1, [_COLUMNS.index(name) for name in names]].T.copy()
                signals[modality] = Signal(samples_TC, _RATE_HZ, unit, names)
        start_s, stop_s = self.config.baseline_s, data_NCT.shape[2] / _RATE_HZ
        rated = dict(zip(_RATED, ratings_NK[int(trial) - 1].tolist(), strict=True))
        labels = [Label(name, start_s, stop_s, value) for name, value in rated.items() if np.isfinite(value)]
        events += ["deap_no_rating"] * (len(rated) - len(labels))
        events += ["deap_shorter_than_its_baseline"] * (stop_s <= start_s)
        labels = labels if start_s < stop_s else []
        return Recording(key, subject, signals, tuple(labels), trial=trial, events=tuple(events), sources=(file,))

    def _files(self) -> tuple[dict[str, str], set[str]]:
        """(file of each person, a pickle rather than a MATLAB file; those with copies)."""
        root, what = self.config.root, "s01.dat or s01.mat of DEAP"
        files = sorted(base_files.list_files(root, _FILE, what), key=lambda file: file[-4:].lower())
        matches = [(re.fullmatch(_FILE, file.rsplit("/", 1)[-1], re.IGNORECASE), file) for file in files]
        named = ((match[1].lower(), file) for match, file in matches if match)
        return base_files.first_of_each(named, f"{root}: is no {what}. Check --config.dataset.root.")


@base_files.keep_last
def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(trials, the channels that are read, samples) and (trials, ratings) of a person."""
    if path.suffix.lower() == ".mat":
        found = base_mat.read_mat(path, _ARRAYS, keep=_wanted)
        data, ratings = (base_mat.numbers(base_mat.variable(found, name, path), name, path) for name in _ARRAYS)
    else:
        tree = base_pickle.read(path)
        parts = [base_pickle.entry(tree, name) for name in _ARRAYS]
        if not all(isinstance(part, base_pickle.Array) for part in parts):
            raise DataError(path, "unlike its documentation", 'It must have two arrays, "data" and "labels".')
        data, ratings = (_wanted(part.read()) for part in parts)
    whole = data.ndim == 3 and data.shape[1] == len(_COLUMNS) and data.size
    if not whole or ratings.shape != (len(data), len(_RATED)):
        remedy = f"Of 40 channels and 4 ratings a trial, {data.shape} and {ratings.shape} are left."
        raise DataError(path, "unlike its documentation", remedy)
    return data, ratings


def _wanted(values: np.ndarray) -> np.ndarray:
    """A copy of the channels that are read; of ratings, all."""
    channels = values.ndim == 3 and values.shape[1] == _NUM_CHANNELS
    return base_mat.single(values[:, _FIRST:]) if channels else values.astype(np.float64)
