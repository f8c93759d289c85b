"""AMIGOS, the preprocessed release (Miranda-Correa et al., TAFFC 2021, 12(2):479-493; signed agreement).

40 people (P08, P24 and P28 without long videos), one `Data_Preprocessed_P01.mat` each, in one folder or a folder a
person. A trial is a video, told by `VideoIDs`, not by its place. Of the 17 columns of `joined_data`, all at 128 Hz and
low-passed at 60 Hz, 14 and 15 are ECG and 16 is GSR.

The first 5 s of a trial are before the video: labels of the person hold from second 5 on. External annotators rated
seconds 0-20, then every 20 s from second 5 on, then the last 20 s (loaders of others agree with the published numbers
of segments). These overlap, and one second has one label here: that of the 20-s grid, so the first of them keeps
seconds 0-5, and the last what is left behind the grid.

Contradictions of those who read these files: column 14 is the right arm and 15 the left by most and by the readme, the
reverse by one. GSR is called resistance by one and raw counts by another; its unit is unknown here.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_amigos, base_channels, base_files, base_mat
from ecgjax.datasets.base_amigos import Clips
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_PREFIX = "Data_Preprocessed"
_VARIABLES = ("VideoIDs", "joined_data", "labels_selfassessment", "labels_ext_annotation")
_RATE_HZ = 128.0
_NUM_COLUMNS, _GSR = 17, 16
_BASELINE_S, _SEGMENT_S = 5.0, 20.0
_EXTERNAL_SPEC = LabelSpec(low=-1.0, high=1.0, rater="external")
_LABEL_SPECS = {
    **base_amigos.SELF_SPECS,
    "external_valence": _EXTERNAL_SPEC,
    "external_arousal": _EXTERNAL_SPEC,
}


@dataclasses.dataclass
class Config:
    """`root` is the folder of the files or of the people's folders, or one file.

    `ecg_columns` are columns of `joined_data`, 14 or 15; both make one signal of two channels. By most, 15 is the left
    arm, which Vazquez-Rodriguez et al. use. The first `eda_unreliable` samples of GSR become NaN (one source).
    """

    root: str = ""
    modalities: tuple[str, ...] = ("ecg", "eda")
    ecg_columns: tuple[int, ...] = (15,)
    eda_unreliable: int = 20
    clips: Clips = Clips.ALL

    def make(self) -> "Amigos":
        return Amigos(dataclasses.replace(self))


class Amigos:
    """A key is a person and a video, as "P01/4"; a file that cannot be read has its person's, "P01"."""

    name = "amigos"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, ("ecg", "eda"), "this release")
        fits = len(config.ecg_columns) > 0 and set(config.ecg_columns) <= {14, 15}
        require(fits, "--config.dataset.ecg_columns", config.ecg_columns, "(14,), (15,), or both")
        require(config.eda_unreliable >= 0, "--config.dataset.eda_unreliable", config.eda_unreliable, "0 or above")
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        keys: list[str] = []
        for person, file in self._files()[0].items():
            path = base_files.locate(self.config.root, file)
            try:
                videos = _videos(base_mat.read_mat(path, ("VideoIDs",)), path)
            except DataError:  # listed all the same, so that loading it reports what is wrong
                videos = ()
            keys += [f"{person}/{video}" for video in set(videos) if self.config.clips.holds(video)]
            keys += [person] * (not videos)
        return tuple(sorted(keys))

    def group(self, key: str) -> str:
        return key.partition("/")[0]

    def load(self, key: str) -> Recording:
        person, _, video = key.partition("/")
        files, copied = self._files()
        file = files.get(person)
        if file is None:
            raise DataError(key, "missing file", f"There is no {_PREFIX}_{person}.mat below {self.config.root}.")
        path = base_files.locate(self.config.root, file)
        trial = _trial(path, video)
        signals, events = self._signals(trial.samples_TC)
        if not signals:
            raise DataError(trial.where, "trial all NaN", "Nothing of it was recorded; leave it out.")
        duration_s = len(trial.samples_TC) / _RATE_HZ
        labels, more = _labels(trial, duration_s)
        return Recording(
            key=key,
            subject=person,
            signals=signals,
            labels=tuple(labels),
            session="long" if Clips.LONG.holds(video) else "short",
            trial=video,
            events=tuple(events + more + [base_files.COPY] * (file in copied)),
            sources=(file,),
        )

    def _files(self) -> tuple[dict[str, str], set[str]]:
        return base_amigos.list_people(self.config.root, _PREFIX)

    def _signals(self, samples_TC: np.ndarray) -> tuple[dict[str, Signal], list[str]]:
        signals, events = {}, []
        columns = {"ecg": list(self.config.ecg_columns), "eda": [_GSR]}
        for modality in self.config.modalities:
            own_TC, met = base_mat.pick_columns(samples_TC, columns[modality], f"amigos_{modality}")
            events += met
            if own_TC is not None:
                if modality == "eda":
                    own_TC[: self.config.eda_unreliable] = np.nan
                    events += ["amigos_eda_beginning_left_out"] * (self.config.eda_unreliable > 0)
                names = tuple(f"column {column}" for column in columns[modality])
                signals[modality] = Signal(own_TC, _RATE_HZ, "unknown", names)
        return signals, events


@dataclasses.dataclass(frozen=True)
class _Trial:
    """Of one video: all columns, and the two arrays of labels, empty where there are none."""

    where: str
    samples_TC: np.ndarray
    answers: np.ndarray
    segments: np.ndarray


@base_files.keep_last
def _read_person(path: Path) -> dict[str, Any]:
    return base_mat.read_mat(path, _VARIABLES, keep=base_mat.single_if(_NUM_COLUMNS))


def _videos(found: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The name of each trial's video; "unnamed3" where the third has none."""
    cells = base_mat.items(base_mat.variable(found, "VideoIDs", path), "VideoIDs", path)
    return tuple(base_amigos.video_id(cell) or f"unnamed{n}" for n, cell in enumerate(cells, start=1))


def _trial(path: Path, video: str) -> _Trial:
    found, where = _read_person(path), f"{path}, video {video}"
    videos = _videos(found, path)
    if videos.count(video) != 1 or video.startswith("unnamed"):
        times = f"It names this video {videos.count(video)} times among its {len(videos)}."
        raise DataError(where, "trial without a VideoID of its own", times)
    position, empty = videos.index(video), np.zeros((0, 0))
    trials = base_mat.items(base_mat.variable(found, "joined_data", path), "joined_data", path)
    samples_TC = base_mat.numbers(trials[position], where, path) if position < len(trials) else empty
    base_amigos.check_trial(samples_TC, _NUM_COLUMNS, where)
    labels = [base_mat.items(found.get(name, empty), name, path) for name in _VARIABLES[2:]]
    answers, segments = (
        base_mat.numbers(cells[position], where, path) if position < len(cells) else empty for cells in labels
    )
    return _Trial(where, samples_TC, answers, segments)


def _labels(trial: _Trial, duration_s: float) -> tuple[list[Label], list[str]]:
    if duration_s <= _BASELINE_S:
        return [], ["amigos_trial_ends_before_its_video"]
    names, labels, events = (*base_amigos.RATINGS, *base_amigos.FLAGS), [], []
    if trial.answers.size == len(names):
        answers = dict(zip(names, trial.answers.astype(np.float64).ravel().tolist(), strict=True))
        labels, events = base_amigos.self_labels(answers, _BASELINE_S, duration_s)
    else:
        events = ["amigos_other_self_assessment" if trial.answers.size else "amigos_no_self_assessment"]
    external, more = _external_labels(trial.segments, duration_s)
    return [*labels, *external], [*events, *more]


def _external_labels(segments: np.ndarray, duration_s: float) -> tuple[list[Label], list[str]]:
    """By the rule of the docstring; rows of `segments` are index, valence, arousal."""
    if not segments.size:
        return [], ["amigos_no_external_annotation"]
    rows = segments.astype(np.float64)
    if rows.ndim != 2 or rows.shape[1] != 3 or not (np.diff(rows[:, 0]) == 1).all():
        return [], ["amigos_other_external_annotation"]
    on_grid = int((duration_s - _BASELINE_S) // _SEGMENT_S)
    borders_s = [0.0, *(_BASELINE_S + _SEGMENT_S * np.arange(on_grid + 1)).tolist(), duration_s]
    events, labels = [], []
    if len(rows) != on_grid + 2:  # then nobody knows where the last one lies
        events.append("amigos_other_number_of_segments")
        rows, borders_s = rows[: min(len(rows) - 1, on_grid + 1)], borders_s[:-1]
    for (_, valence, arousal), start_s, stop_s in zip(rows.tolist(), borders_s, borders_s[1:], strict=False):
        for name, value in (("external_valence", valence), ("external_arousal", arousal)):
            if not np.isfinite(value):
                events.append("amigos_external_annotation_missing")
            elif stop_s > start_s:
                labels.append(Label(name, start_s, stop_s, value))
    return labels, events
