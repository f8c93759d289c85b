"""What the two releases of AMIGOS share: people, videos, and what people said of them."""

import enum
import re
from typing import Any

import numpy as np

from ecgjax.datasets import base_files
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec

# In the order of the preprocessed files. The short ones were watched by all 40, the long ones by 37 of them.
SHORT_VIDEOS = ("4", "5", "9", "10", "13", "18", "19", "20", "23", "30", "31", "34", "36", "58", "80", "138")
LONG_VIDEOS = ("N1", "P1", "B1", "U1")
RATINGS = ("arousal", "valence", "dominance", "liking", "familiarity")
FLAGS = ("neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness")
SELF_SPECS = {
    **{name: LabelSpec(low=1.0, high=9.0, rater="self") for name in RATINGS},
    **{name: LabelSpec(classes=("no", "yes"), rater="self") for name in FLAGS},
}


class Clips(enum.Enum):
    ALL = "all"
    SHORT = "short"  # of 1 to 3 minutes, watched alone
    LONG = "long"  # of 14 to 24 minutes, watched alone or in a group of four

    def holds(self, video: str) -> bool:
        return self is Clips.ALL or (video in LONG_VIDEOS) is (self is Clips.LONG)


def list_people(root: str, prefix: str) -> tuple[dict[str, str], set[str]]:
    """(file of each person, "P01" and so on, from files named by the prefix and the person; those with copies).

    Raises:
      UserError: the root is missing or holds no such file.
    """
    pattern = rf"{prefix}_P(\d+)\.mat"
    files = base_files.list_files(root, pattern, f"{prefix}_P01.mat, {prefix}_P02.mat, ...")
    named = ((f"P{int(m[1]):02d}", file) for file in files if (m := re.search(pattern, file, re.IGNORECASE)))
    return base_files.first_of_each(named, f"{root}: not named as AMIGOS's files are, {prefix}_P01.mat and so on.")


def video_id(value: Any) -> str:
    """A video's name without quotes, blanks or a cell around it; "" where the value is none."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip(" '\"\0\n") if isinstance(value, str | int) else ""
    return text if re.fullmatch(r"[A-Za-z0-9]{1,20}", text) else ""


def self_labels(answers: dict[str, float], start_s: float, stop_s: float) -> tuple[list[Label], list[str]]:
    """Labels from one person's answers on one video, and an event for every answer that is missing."""
    given = {name: value for name, value in answers.items() if np.isfinite(value)}
    labels = [Label(name, start_s, stop_s, value) for name, value in given.items()]
    return labels, ["amigos_answer_missing"] * (len(answers) - len(given))


def check_trial(trial_TC: np.ndarray, num_columns: int, where: str) -> None:
    """Raises DataError where a trial is empty or has other columns."""
    if not trial_TC.size:
        raise DataError(where, "empty trial", "Nothing was recorded of it.")
    if trial_TC.ndim != 2 or trial_TC.shape[1] != num_columns:
        found = " x ".join(map(str, trial_TC.shape))
        raise DataError(where, "other columns", f"It has {found} numbers instead of samples x {num_columns}.")
