from pathlib import Path

import numpy as np

from tests import chest_wrist, pickle_files
from tests.fixtures import Corpus, Expected

SECONDS = 14.0
ACTIVITIES = ((0, 1.5), (1, 2.0), (0, 0.5), (2, 1.5), (3, 1.0), (4, 1.0), (5, 1.5), (6, 1.0), (7, 2.0), (8, 2.0))


def write_person(folder: Path, key: str, seed: int, protocol: int = 0, **changes) -> dict:
    """Returns the values of the wrist. Nothing was plugged into three inputs of the belt."""
    own = chest_wrist.person(SECONDS, seed)
    num = len(own.counts)
    chest = {**own.chest, "EMG": np.full((num, 1), -1.5), "EDA": np.zeros((num, 1)), "Temp": np.full((num, 1), -273.15)}
    tree = {
        "rpeaks": np.arange(200, num, 600, dtype=np.int32),
        "signal": {"chest": chest, "wrist": own.wrist},
        "label": 60 + seed + np.arange((SECONDS - 8) // 2 + 1) / 4,
        "activity": np.concatenate([np.full(round(4 * s), float(i)) for i, s in ACTIVITIES])[:, None],
        "questionnaire": {"AGE": 25, "Gender": " m", "HEIGHT": 178.0, "WEIGHT": 73.0, "SKIN": 3, "SPORT": 6},
        "subject": key,
    }
    pickle_files.write(folder / key / f"{key}.pkl", {**tree, **changes}, protocol)
    return own.expected("wrist")


def write(folder: Path) -> Corpus:
    found = {key: Expected(key, write_person(folder, key, i, i)) for i, key in enumerate(("S1", "S2", "S15"))}
    return Corpus({"root": str(folder)}, found, "S15/S15.pkl")
