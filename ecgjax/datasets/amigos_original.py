"""AMIGOS, the original release (Miranda-Correa et al., TAFFC 2021, 12(2):479-493; signed agreement).

One `Data_Original_P01.mat` a person, in one folder or a folder a person. `ECG_DATA` has a cell a trial, of six columns:
time in ms, two channels of ECG, acceleration in x, y and z (one source). 256 Hz is from memory of the device; time
stamps are compared with it, and samples that the device lost become NaN.

Which video a cell holds is not agreed on. One loader takes cell k for the k-th video its person saw, and joins it with
`Rep_Index` of `SelfAsessment.xlsx` (the files' spelling); a script reads a variable `VideoIDs`; the preprocessed
release is ordered by video. `order` chooses; a trial whose video stays unknown has no labels. Labels hold for all of a
trial, since nobody says whether it begins before its video. GSR_DATA is not read: nobody describes it.
"""

import dataclasses
import enum
import re
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_amigos, base_channels, base_files, base_mat, base_rates, base_tables
from ecgjax.datasets.base_amigos import FLAGS, LONG_VIDEOS, RATINGS, SHORT_VIDEOS, Clips
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import Label, Recording, Signal

_PREFIX = "Data_Original"
_TABLE = r"Self_?As+es+ments?\.xlsx"
_COLUMNS = {
    "person": "User_?ID",
    "video": "Video_?ID",
    "place": "Rep_?Index",
    **{name: name for name in (*RATINGS, *FLAGS)},
}
_NUM_COLUMNS, _NUM_TRIALS = 6, len(SHORT_VIDEOS) + len(LONG_VIDEOS)


class Order(enum.Enum):
    """Which video the cells of a file hold."""

    VIDEO_IDS = "video_ids"  # what the file's own VideoIDs say; unknown without
    PRESENTATION = "presentation"  # short ones as seen, by Rep_Index of the table (one loader); long ones unknown
    VIDEO_LIST = "video_list"  # as in the preprocessed release


@dataclasses.dataclass
class Config:
    """`root` is the folder of the files or of the people's folders, or one above it, with `SelfAsessment.xlsx`.

    `ecg_columns` are columns of `ECG_DATA`, 1 or 2; both make one signal of two channels. One source calls 1 the left
    arm, but that source is alone with its sides in the preprocessed release. `rate_hz` is unverified.
    """

    root: str = ""
    modalities: tuple[str, ...] = ("ecg",)
    ecg_columns: tuple[int, ...] = (2,)
    rate_hz: float = 256.0
    order: Order = Order.VIDEO_IDS
    clips: Clips = Clips.ALL

    def make(self) -> "AmigosOriginal":
        return AmigosOriginal(dataclasses.replace(self))


class AmigosOriginal:
    """A key is a person and the number of a cell, as "P01/07"; cells 17 to 20 are taken for the long videos."""

    name = "amigos_original"

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, ("ecg", "acc"), "this release")
        fits = len(config.ecg_columns) > 0 and set(config.ecg_columns) <= {1, 2}
        require(fits, "--config.dataset.ecg_columns", config.ecg_columns, "(1,), (2,), or both")
        require(0 < config.rate_hz < 1e5, "--config.dataset.rate_hz", config.rate_hz, "a rate in Hz")
        self.config = config
        self.label_specs = dict(base_amigos.SELF_SPECS)

    def keys(self) -> tuple[str, ...]:
        cells = range(1, _NUM_TRIALS + 1)
        wanted = [cell for cell in cells if self.config.clips.holds((*SHORT_VIDEOS, *LONG_VIDEOS)[cell - 1])]
        return tuple(sorted(f"{person}/{cell:02d}" for person in self._files()[0] for cell in wanted))

    def group(self, key: str) -> str:
        return key.partition("/")[0]

    def load(self, key: str) -> Recording:
        person, _, cell = key.partition("/")
        files, copied = self._files()
        file = files.get(person)
        if file is None:
            raise DataError(key, "missing file", f"There is no {_PREFIX}_{person}.mat below {self.config.root}.")
        path = base_files.locate(self.config.root, file)
        found, where, number = _read_person(path), f"{path}, cell {cell}", int(cell)
        trials = base_mat.items(base_mat.variable(found, "ECG_DATA", path), "ECG_DATA", path)
        trial_TC = base_mat.numbers(trials[number - 1], where, path) if number <= len(trials) else np.zeros((0, 0))
        base_amigos.check_trial(trial_TC, _NUM_COLUMNS, where)
        signals, events, start_time = self._signals(trial_TC, where)
        table = self._table()
        video, met = self._video(found, path, table, person, number)
        labels, more = _labels(table, person, video, max(signal.duration_s for signal in signals.values()))
        return Recording(
            key=key,
            subject=person,
            signals=signals,
            labels=tuple(labels),
            session="long" if video in LONG_VIDEOS or not video and number > len(SHORT_VIDEOS) else "short",
            trial=video or cell,
            start_time=start_time,
            events=tuple(events + met + more + [base_files.COPY] * (file in copied)),
            sources=(file,),
        )

    def _files(self) -> tuple[dict[str, str], set[str]]:
        return base_amigos.list_people(self.config.root, _PREFIX)

    def _signals(self, trial_TC: np.ndarray, where: str) -> tuple[dict[str, Signal], list[str], str]:
        """On the grid of the rate, from the first time stamp on; events; and when that was, where the stamps tell."""
        stamps_s = base_rates.seconds(trial_TC[:, 0])
        order, faults = base_rates.in_order(stamps_s)
        if not len(order):
            raise DataError(where, "time stamps", "There are none.")
        times_s, trial_TC = stamps_s[order], trial_TC[order]
        base_rates.check_rate(times_s, self.config.rate_hz, where)
        events, signals = ["amigos_time_stamps_mended"] * (faults > 0), {}
        columns = {"ecg": list(self.config.ecg_columns), "acc": [3, 4, 5]}
        for modality in self.config.modalities:
            own_TC, met = base_mat.pick_columns(trial_TC, columns[modality], f"amigos_{modality}")
            events += met
            if own_TC is not None:
                own_TC, gaps = base_rates.on_grid(times_s, own_TC, self.config.rate_hz, where)
                events += [f"amigos_{modality}_gap"] * gaps
                names = ("x", "y", "z") if modality == "acc" else tuple(f"column {c}" for c in columns[modality])
                signals[modality] = Signal(own_TC, self.config.rate_hz, "unknown", names)
        if not signals:
            raise DataError(where, "trial all NaN", "Nothing of it was recorded; leave it out.")
        return signals, events, base_rates.start_time(times_s[0])

    def _table(self) -> "_Table | None":
        root = base_files.existing_root(self.config.root)
        if root.is_file():
            return None
        found = base_files.find_files(self.config.root, _TABLE)
        return _read_table(root / found[0]) if found else None

    def _video(
        self, found: dict[str, Any], path: Path, table: "_Table | None", person: str, cell: int
    ) -> tuple[str, list[str]]:
        """The video of a cell, "" where it is unknown, and what was met."""
        own = base_mat.items(found["VideoIDs"], "VideoIDs", path) if "VideoIDs" in found else []
        said = {
            Order.VIDEO_IDS: base_amigos.video_id(own[cell - 1]) if cell <= len(own) else "",
            Order.PRESENTATION: table.seen.get((person, cell), "") if table and cell <= len(SHORT_VIDEOS) else "",
            Order.VIDEO_LIST: (*SHORT_VIDEOS, *LONG_VIDEOS)[cell - 1],
        }
        video, named = said[self.config.order], said[Order.VIDEO_IDS]
        if not video:
            return "", ["amigos_unknown_video"]
        return video, ["amigos_video_ids_say_another_video"] * (named not in ("", video))


@dataclasses.dataclass(frozen=True)
class _Table:
    """Of `SelfAsessment.xlsx`: videos by person and place in the order seen, and answers by person and video."""

    seen: dict[tuple[str, int], str]
    answers: dict[tuple[str, str], dict[str, float]]


@base_files.keep_last
def _read_person(path: Path) -> dict[str, Any]:
    return base_mat.read_mat(path, ("ECG_DATA", "VideoIDs"))


@base_files.keep_last
def _read_table(path: Path) -> _Table:
    seen, answers = {}, {}
    for row in base_tables.read_records(path, _COLUMNS, ("person", "video")):
        match = re.fullmatch(r"[Pp]?(\d{1,3})", base_amigos.video_id(row["person"]))
        video, place = base_amigos.video_id(row["video"]), base_tables.number(row.get("place"))
        if not match or not video:
            continue
        person = f"P{int(match.group(1)):02d}"
        if place.is_integer() and video not in LONG_VIDEOS:
            seen.setdefault((person, int(place)), video)
        answers[person, video] = {name: base_tables.number(row[name]) for name in (*RATINGS, *FLAGS) if name in row}
    return _Table(seen, answers)


def _labels(table: _Table | None, person: str, video: str, stop_s: float) -> tuple[list[Label], list[str]]:
    if table is None:
        return [], ["amigos_no_table_of_self_assessments"]
    if not video or (person, video) not in table.answers:
        return [], ["amigos_no_self_assessment"]
    return base_amigos.self_labels(table.answers[person, video], 0.0, stop_s)
