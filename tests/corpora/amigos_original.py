from pathlib import Path

import numpy as np
import openpyxl
import scipy.io

from tests.corpora.amigos import VIDEOS, answers
from tests.fixtures import Corpus, Expected, cells, wave

HEADER = (
    "UserID", "VideoID", "Rep_Index", "arousal", "valence", "dominance", "liking", "familiarity",
    "neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness",
)  # fmt: skip


def trial(seed: int, seconds: float = 1.0, start_ms: float = 5000.0) -> np.ndarray:
    """Time in ms, two channels of ECG, acceleration in x, y, z: 256 Hz."""
    num = round(256 * seconds)
    columns = [wave(num, 900, seed + i) / 1000 for i in range(5)]
    return np.column_stack([start_ms + np.arange(num) / 0.256, *columns])


def write_person(path: Path, trials, videos=(), packed: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"ECG_DATA": cells(trials), "EEG_DATA": cells([np.ones((4, 20))]), "GSR_DATA": cells([np.ones((4, 3))])}
    if len(videos):
        values["VideoIDs"] = cells([np.array([video]) for video in videos])
    scipy.io.savemat(path, values, do_compression=packed)


def write_table(path: Path, rows, header=HEADER) -> None:
    book = openpyxl.Workbook()
    for row in [header, *rows]:
        book.active.append(row)
    book.save(path)


def seen(person: int) -> list[str]:
    """The order in which a person saw the videos."""
    return np.random.default_rng(person).permutation(VIDEOS[:16]).tolist() + list(VIDEOS[16:])


def write(folder: Path) -> Corpus:
    """P03 in a folder of its own, P12 beside it; ratings in the workbook, with quote marks around the videos."""
    found, rows = {}, []
    for person, place in ((3, "data_original/Data_Original_P03"), (12, "data_original")):
        trials = [trial(100 * person + i) for i in range(20)]
        write_person(folder / place / f"Data_Original_P{person:02d}.mat", trials, seen(person))
        for number, video in enumerate(seen(person), start=1):
            own = answers(number).ravel().tolist()
            rows.append((person, f"'{video}'", number, *own))
            values = {"ecg": (trials[number - 1][:, 2:3], 256.0, "unknown", ("column 2",))}
            labels = {"arousal": own[0], "valence": own[1], "neutral": own[5]}
            found[f"P{person:02d}/{number:02d}"] = Expected(f"P{person:02d}", values, labels)
    write_table(folder / "SelfAsessment.xlsx", rows[::-1])
    return Corpus({"root": str(folder)}, found, "data_original/Data_Original_P03/Data_Original_P03.mat")
