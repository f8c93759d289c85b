from pathlib import Path

import numpy as np
import scipy.io

from tests.fixtures import Corpus, Expected, wave

NUM_CLIPS = 36
START = (2014, 6, 3, 15, 20)  # year, month, day, hour, minute


def ecg(seed: int, later: bool, seconds: float = 1.0) -> np.ndarray:
    """Time in ms, then ECG in columns 1 and 2, or in 4 and 5 of 6."""
    num = round(256 * seconds)
    pair = [wave(num, 400, seed), wave(num, 300, seed + 1)]
    filler = [np.zeros(num)] * 3 if later else []
    return np.column_stack([1e6 + np.arange(num) / 0.256, *filler, *pair])


def gsr(seed: int, seconds: float = 1.0, rate_hz: float = 128.0) -> np.ndarray:
    num = round(rate_hz * seconds)
    return np.column_stack([np.arange(num) * 1000 / rate_hz, *[np.ones(num)] * 3, wave(num, 90, seed) + 500])


def write_clip(folder: Path, kind: str, person: int, clip: int, data: np.ndarray, second: float | None) -> None:
    path = folder / "ASCERTAIN_Raw" / f"{kind}Data" / f"Movie_P{person:02d}" / f"{kind}_Clip{clip}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    clock = {} if second is None else {f"time{kind}": np.array([[*START, second]])}
    scipy.io.savemat(path, {f"Data_{kind}": data, **clock})


def write_ratings(folder: Path, ratings: np.ndarray) -> None:
    path = folder / "ASCERTAIN_Features" / "Dt_SelfReports.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"Ratings": ratings})


def all_ratings() -> np.ndarray:
    """Of everybody; arousal 0 to 6, valence -3 to 3, engagement, liking, familiarity. Some are missing."""
    ratings = np.random.default_rng(0).integers(0, 7, (5, 58, NUM_CLIPS)).astype(np.float64)
    ratings[1] -= 3
    ratings[3, 0, 0] = np.nan
    return ratings


def write(folder: Path) -> Corpus:
    """P01 has 3 columns of ECG, P12 has 6."""
    ratings, found = all_ratings(), {}
    for person in (1, 12):
        for clip in range(1, NUM_CLIPS + 1):
            seed = 100 * person + clip
            samples, skin = ecg(seed, person == 12), gsr(seed)
            write_clip(folder, "ECG", person, clip, samples, 7.5)
            write_clip(folder, "GSR", person, clip, skin, None)
            column = 4 if person == 12 else 1
            values = {"ecg": (samples[:, [column]], 256.0, "unknown", (f"column {column}",))}
            values["eda"] = (skin[:, 4:5], 128.0, "unknown", ("column 4",))
            own = ratings[:, person - 1, clip - 1]
            names = ("arousal", "valence", "engagement", "liking", "familiarity")
            labels = {name: value for name, value in zip(names, own, strict=True) if np.isfinite(value)}
            found[f"P{person:02d}/c{clip:02d}"] = Expected(f"P{person:02d}", values, labels)
    write_ratings(folder, ratings)
    return Corpus({"root": str(folder)}, found, "ASCERTAIN_Raw/ECGData/Movie_P12/ECG_Clip7.mat")
