"""Stress-Predict (Iqbal et al., Sensors 2022, 22(21):8135; github.com/italha-d/Stress-Predict-Dataset, MIT).

35 people with an Empatica E4 (no ECG), an hour each: rest, the Stroop test, rest, an interview, rest, hyperventilation,
rest. `Raw_data/SNN` is a session, with the borders of the tasks in `tags_SNN.csv`;
`Processed_data/Improved_All_Combined_hr_rsp_binary.csv` says of each second whether it is in a task (for all but S01).

Faults of the files that are counted as events: tags that are 12 hours early (written by a clock without a.m. and p.m.),
which are mended, and borders of tasks that no tag confirms (most of S06's are minutes off), which stay as labelled.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_empatica, base_files
from ecgjax.datasets.base_empatica import Session
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording

_FOLDER = re.compile(r"(?:.*/)?S(\d+)")
_TABLE = "Improved_All_Combined_hr_rsp_binary.csv"
_COLUMNS = ("Participant", "Time(sec)", "Label")
_TASKS = ("stroop", "interview", "hyperventilation")  # in this order, for all
_LABEL_SPECS = {
    "stress": LabelSpec(classes=("calm", "stress")),
    "task": LabelSpec(classes=("rest", *_TASKS)),
}
_MAX_TABLE_BYTES = 2**26  # the table has 3 MB
_HALF_DAY_S = 12 * 3600.0
_NEAR_S = 5.0  # ours: a tag confirms a border


@dataclasses.dataclass
class Config:
    """`root` is the data set's folder, `Raw_data` in it, or a folder above them."""

    root: str = ""
    modalities: tuple[str, ...] = base_empatica.MODALITIES

    def make(self) -> "StressPredict":
        return StressPredict(dataclasses.replace(self))


class StressPredict:
    """A key is a person, as "S05"."""

    name = "stress_predict"

    def __init__(self, config: Config):
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted(self._sessions()[0]))

    def load(self, key: str) -> Recording:
        sessions, copied = self._sessions()
        listed = sessions.get(key)
        if listed is None:
            raise DataError(key, "missing file", f"There is no session {key} below {self.config.root}.")
        path = base_empatica.locate_session(self.config.root, listed)
        session = base_empatica.read_session(path, self.config.modalities)
        table = path.absolute().parent.parent / "Processed_data" / _TABLE
        rows = _read_table(table) if table.is_file() else np.zeros((0, 3))
        stress, events = _stress(rows[rows[:, 0] == int(key[1:]), 1:], session)
        events += [base_files.COPY] * (listed in copied)
        return Recording(
            key=key,
            subject=key,
            signals=session.signals,
            labels=(*stress, *_tasks(stress, events)),
            start_time=session.start_time,
            events=(*session.events, *events, *_compare(stress, session)),
            sources=base_empatica.sources(self.config.root, path, session),
        )

    def _sessions(self) -> tuple[dict[str, str], set[str]]:
        """(place of each person's session; those with copies)."""
        places = base_empatica.list_sessions(self.config.root)
        named = ((f"S{int(m[1]):02d}", place) for place in places if (m := _FOLDER.fullmatch(place)))
        told = f"{self.config.root}: holds no folders S01, S02, ... Use the Empatica reader for others."
        return base_files.first_of_each(named, told)


@base_files.keep_last
def _read_table(table: Path) -> np.ndarray:
    """(person, Unix second, 1 in a task) of each labelled second, in order of time."""
    import pandas as pd

    base_files.check_size(table, _MAX_TABLE_BYTES)
    try:
        rows = pd.read_csv(table, usecols=_COLUMNS)
    except ValueError as error:
        raise DataError(table, "unreadable table", f"It must have columns {', '.join(_COLUMNS)}: {error}.") from error
    numbers = rows.apply(pd.to_numeric, errors="coerce")
    bad = numbers.isna().any(axis=1) | ~numbers["Label"].isin((0, 1))
    if bad.any():
        remedy = f"Row {bad.idxmax() + 2} has no time, or a label that is not 0 or 1. Fetch it again."
        raise DataError(table, "unreadable table", remedy)
    return numbers.sort_values("Time(sec)", kind="stable")[list(_COLUMNS)].to_numpy(np.float64)


def _stress(seconds: np.ndarray, session: Session) -> tuple[list[Label], list[str]]:
    """Labelled stretches: seconds that follow each other with one label."""
    at_s, value = seconds[:, 0] - session.start_unix_s, seconds[:, 1]
    inside = (at_s >= 0) & (at_s < session.stop_s)
    events = ["stress_predict_labels_outside_recording"] * (not inside.all())
    at_s, value = at_s[inside], value[inside]
    if not len(at_s):
        return [], [*events, "stress_predict_without_labels"]
    gap = np.diff(at_s) > 1.5
    events += ["stress_predict_gap_in_labels"] * int(gap.sum())
    first = np.concatenate([[0], np.flatnonzero(gap | (np.diff(value) != 0)) + 1])
    last = np.append(first[1:], len(at_s)) - 1
    stops_s = np.minimum(at_s[last] + 1, session.stop_s)
    spans = zip(at_s[first], stops_s, value[first], strict=True)
    return [Label("stress", float(start), float(stop), float(v)) for start, stop, v in spans], events


def _tasks(stress: list[Label], events: list[str]) -> list[Label]:
    """Which task each stressful stretch is; nothing unless there are as many as tasks."""
    stressful = [label for label in stress if label.value == 1]
    if len(stressful) != len(_TASKS):
        events += ["stress_predict_other_number_of_tasks"] * bool(stress)
        return []
    return [
        dataclasses.replace(label, name="task", value=1.0 + stressful.index(label) if label.value else 0.0)
        for label in stress
    ]


def _compare(stress: list[Label], session: Session) -> list[str]:
    """What tags and labels say of each other."""
    early = [session.holds(at_s + _HALF_DAY_S) for at_s in session.tags_s]
    tags_s = [at_s + _HALF_DAY_S * is_early for at_s, is_early in zip(session.tags_s, early, strict=True)]
    borders_s = [at_s for label in stress if label.value == 1 for at_s in (label.start_s, label.stop_s)]
    lonely = [at_s for at_s in borders_s if not any(abs(at_s - tag_s) <= _NEAR_S for tag_s in tags_s)]
    return (
        ["stress_predict_tag_12_h_early"] * sum(early)
        + ["e4_tag_outside_recording"] * sum(not session.holds(tag_s) for tag_s in tags_s)
        + ["stress_predict_border_without_tag"] * len(lonely)
    )
