from pathlib import Path

import numpy as np
import scipy.io

from tests import pickle_files
from tests.fixtures import Corpus, Expected, wave

NUM_TRIALS = 3  # 40 in the published files
SECONDS = 4.5  # 63


def person(seed: int, num_trials: int = NUM_TRIALS, seconds: float = SECONDS) -> dict[str, np.ndarray]:
    """The two arrays of a file."""
    rng = np.random.default_rng(seed)
    num = round(128 * seconds)
    data = [[wave(num, 900, 1000 * seed + 50 * trial + c) / 7.0 for c in range(40)] for trial in range(num_trials)]
    return {"labels": np.round(rng.uniform(1, 9, (num_trials, 4)), 2), "data": np.array(data)}


def expected(own: dict[str, np.ndarray], trial: int) -> tuple[dict, dict]:
    """Values and labels of `Expected`."""
    channels = {"emg": ((34, 35), ("zEMG", "tEMG")), "eda": ((36,), ("GSR",)), "resp": ((37,), ("Resp",))}
    channels |= {"bvp": ((38,), ("Plet",)), "temp": ((39,), ("Temp",))}
    values = {
        modality: (own["data"][trial, list(rows)].T, 128.0, "Ohm" if modality == "eda" else "unknown", names)
        for modality, (rows, names) in channels.items()
    }
    return values, dict(zip(("valence", "arousal", "dominance", "liking"), own["labels"][trial].tolist(), strict=True))


def write(folder: Path) -> Corpus:
    """Pickles of both protocols, and a file of the other release for somebody who is in one of them alone."""
    found = {}
    for number, name in enumerate(("data_preprocessed_python/s01.dat", "data_preprocessed_matlab/s02.mat", "s32.dat")):
        own, path = person(number), folder / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".mat":
            scipy.io.savemat(path, own, do_compression=True)
        else:
            pickle_files.write(path, own, number)
        for trial in range(NUM_TRIALS):
            key = f"{path.stem}/{trial + 1:02d}"
            found[key] = Expected(path.stem, *expected(own, trial))
    return Corpus({"root": str(folder), "num_trials": NUM_TRIALS}, found, "s32.dat")
