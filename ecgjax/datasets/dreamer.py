"""DREAMER (Katsigiannis & Ramzan, IEEE JBHI 2018, 22(1):98-107; zenodo.org/records/546113, on request, academic use).

One file of 450 MB: 23 people, 18 film clips each, ECG of two channels at 256 Hz, and EEG, which is passed over. Before
every clip a neutral one of 61 s was shown, the baseline. Nobody says that it and the clip follow each other without a
break, so each is a recording: "s01/c01" is person 1's first clip, and "s01/b01" the baseline before it. The clips were
rated from 1 to 5.

Which arms the two channels are, and in what unit, nobody says; nor which of them papers use.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_files, base_mat
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_FILE = r"DREAMER.*\.mat"
_SCORES = {"valence": "ScoreValence", "arousal": "ScoreArousal", "dominance": "ScoreDominance"}
_NOT_READ = ("EEG", "EEG_Electrodes", "Disclaimer", "Provider", "Acknowledgement")
_RATE_HZ = 256.0  # where the file does not say
_PARTS = {"b": "baseline", "c": "stimuli"}
_NUM_CHANNELS = 2
_EMOTIONS = ("amusement", "anger", "calmness", "disgust", "excitement", "fear", "happiness", "sadness", "surprise")
_AIMED_AT = (  # of clips 1 to 18
    "calmness", "surprise", "amusement", "fear", "excitement", "disgust", "happiness", "anger", "sadness",
    "disgust", "calmness", "amusement", "happiness", "anger", "fear", "excitement", "sadness", "surprise",
)  # fmt: skip
_LABEL_SPECS = {
    **{name: LabelSpec(low=1.0, high=5.0, rater="self") for name in _SCORES},
    "emotion": LabelSpec(classes=_EMOTIONS),  # that the clip was chosen for
}


@dataclasses.dataclass
class Config:
    """`root` is DREAMER.mat or a folder that holds it.

    `ecg_columns` are columns of the ECG, 0 or 1; both make one signal of two channels. With `baselines` False there
    are clips alone, and each counts the baseline left out. Labels hold for the last `labelled_s` of a clip, 0 for all
    of it; the data set's paper takes 60. `num_people` and `num_clips` are those of the published file.
    """

    root: str = ""
    ecg_columns: tuple[int, ...] = (0,)
    baselines: bool = True
    labelled_s: float = 0.0
    num_people: int = 23
    num_clips: int = 18

    def make(self) -> "Dreamer":
        return Dreamer(dataclasses.replace(self))


class Dreamer:
    """A key is a person and a clip or the baseline before it, as "s01/c01" and "s01/b01"."""

    name = "dreamer"

    def __init__(self, config: Config):
        fits = len(config.ecg_columns) > 0 and set(config.ecg_columns) <= {0, 1}
        require(fits, "--config.dataset.ecg_columns", config.ecg_columns, "(0,), (1,), or both")
        require(0 <= config.labelled_s < 1e4, "--config.dataset.labelled_s", config.labelled_s, "seconds, or 0 for all")
        require(0 < config.num_people <= 99, "--config.dataset.num_people", config.num_people, "1 to 99")
        require(0 < config.num_clips <= 18, "--config.dataset.num_clips", config.num_clips, "1 to 18")
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        base_files.list_files(self.config.root, _FILE, "DREAMER.mat")
        people, clips = range(1, self.config.num_people + 1), range(1, self.config.num_clips + 1)
        parts = "bc" if self.config.baselines else "c"
        return tuple(f"s{person:02d}/{part}{clip:02d}" for person in people for part in parts for clip in clips)

    def group(self, key: str) -> str:
        """A person: every process reads the file once, which takes seconds; filtering takes minutes."""
        return key.partition("/")[0]

    def load(self, key: str) -> Recording:
        subject, _, trial = key.partition("/")
        person, part, clip = int(subject[1:]) - 1, trial[0], int(trial[1:]) - 1
        files = base_files.find_files(self.config.root, _FILE)
        if not files:
            raise DataError(key, "missing file", f"There is no DREAMER.mat below {self.config.root}.")
        file = files[0]
        path = base_files.locate(self.config.root, file)
        root = _read(path)
        data = base_mat.items(root.get("Data"), "DREAMER.Data", path)
        if len(data) != self.config.num_people:
            remedy = f"It holds {len(data)}: set --config.dataset.num_people={len(data)}."
            raise DataError(path, "other number of people", remedy)
        own = base_mat.fields(data[person], f"person {person + 1}", path)
        signal, events = self._signal(own, part, clip, root, f"{path}, {key}")
        labels, more = self._labels(own, clip, signal.duration_s) if part == "c" else ([], ["dreamer_baseline"])
        more += ["dreamer_baseline_left_out"] * (not self.config.baselines) + [base_files.COPY] * (len(files) > 1)
        return Recording(
            key, subject, {"ecg": signal}, tuple(labels), trial=trial, events=tuple(events + more), sources=(file,)
        )

    def _signal(
        self, own: dict[str, Any], part: str, clip: int, root: dict[str, Any], where: str
    ) -> tuple[Signal, list[str]]:
        ecg = base_mat.fields(own.get("ECG"), "ECG", where)
        cells = base_mat.items(ecg.get(_PARTS[part]), f"ECG.{_PARTS[part]}", where)
        if clip >= len(cells):
            raise DataError(where, "missing clip", f"The file has {len(cells)} of its person.")
        samples_TC = base_mat.numbers(cells[clip], "It", where)
        if not samples_TC.size:
            raise DataError(where, "empty clip", "Nothing was recorded of it.")
        if samples_TC.ndim != 2 or samples_TC.shape[1] != _NUM_CHANNELS:
            raise DataError(where, "other columns", f"It has {samples_TC.shape} numbers instead of samples x 2.")
        columns = list(self.config.ecg_columns)
        own_TC, events = base_mat.pick_columns(samples_TC, columns, self.name)
        if own_TC is None:
            raise DataError(where, "clip all NaN", "Nothing of it was recorded; leave it out.")
        rate_hz = base_mat.number(root.get("ECG_SamplingRate"))
        if not 1 <= rate_hz <= 1e5:
            rate_hz, events = _RATE_HZ, [*events, "dreamer_no_sampling_rate"]
        return Signal(own_TC, rate_hz, "unknown", tuple(f"column {column}" for column in columns)), events

    def _labels(self, own: dict[str, Any], clip: int, stop_s: float) -> tuple[list[Label], list[str]]:
        start_s = max(0.0, stop_s - self.config.labelled_s) if self.config.labelled_s else 0.0
        labels = [Label("emotion", start_s, stop_s, float(_EMOTIONS.index(_AIMED_AT[clip])))]
        events = ["dreamer_shorter_than_labelled_s"] * (self.config.labelled_s > stop_s)
        for name, field in _SCORES.items():
            scores = own.get(field)
            scores = scores.ravel() if isinstance(scores, np.ndarray) else np.zeros(0)
            if clip < len(scores) and np.isfinite(scores[clip]):
                labels.append(Label(name, start_s, stop_s, float(scores[clip])))
            else:
                events.append("dreamer_score_missing")
        return labels, events


@base_files.keep_last
def _read(path: Path) -> dict[str, Any]:
    found = base_mat.read_mat(path, ("DREAMER",), skip=_NOT_READ, keep=base_mat.single_if(_NUM_CHANNELS))
    return base_mat.fields(base_mat.variable(found, "DREAMER", path), "DREAMER", path)
