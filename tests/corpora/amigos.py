from pathlib import Path

import numpy as np
import scipy.io

from tests.fixtures import Corpus, Expected, cells, wave

SHORT = ("4", "5", "9", "10", "13", "18", "19", "20", "23", "30", "31", "34", "36", "58", "80", "138")
VIDEOS = (*SHORT, "N1", "P1", "B1", "U1")


def trial(seed: int, seconds: float = 6.0) -> np.ndarray:
    """14 channels of EEG, ECG of two arms, GSR: 128 Hz, the first 5 s before the video."""
    num = round(128 * seconds)
    eeg = np.outer(wave(num, 50, seed) + 0.25, np.linspace(0.5, 1.5, 14))
    return np.column_stack([eeg, wave(num, 900, seed + 1) / 1000, wave(num, 700, seed + 2) / 1000, wave(num, 9, seed)])


def answers(seed: int) -> np.ndarray:
    """Arousal, valence, dominance, liking, familiarity, and seven flags."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(1, 9, 5).round(2), rng.integers(0, 2, 7)])[None]


def segments(seed: int, count: int) -> np.ndarray:
    """Index, valence, arousal of external annotators."""
    rated = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).round(3)
    return np.column_stack([np.arange(1, count + 1), rated])


def write_person(path: Path, videos, trials, self_assessments, annotations, packed: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "joined_data": cells(trials),
        "labels_selfassessment": cells(self_assessments),
        "labels_ext_annotation": cells(annotations),
        "VideoIDs": cells([np.array([video]) for video in videos]),
    }
    scipy.io.savemat(path, values, do_compression=packed)


def write(folder: Path) -> Corpus:
    """P01 in a folder of its own, with 20 trials; P08 beside it, with 16. Some EEG, and the GSR of a trial, is NaN."""
    found = {}
    for person, videos, place in (
        ("P01", VIDEOS, "data_preprocessed/Data_Preprocessed_P01"),
        ("P08", SHORT, "data_preprocessed"),
    ):
        videos = np.random.default_rng(int(person[1:])).permutation(videos).tolist()
        trials = [trial(100 * int(person[1:]) + i) for i in range(len(videos))]
        trials[1][:, 3] = np.nan
        trials[2][:, 16] = np.nan
        rated = [answers(seed) for seed in range(len(videos))]
        annotated = [segments(seed, 2) for seed in range(len(videos))]
        write_person(folder / place / f"Data_Preprocessed_{person}.mat", videos, trials, rated, annotated)
        for video, samples, own in zip(videos, trials, rated, strict=True):
            eda = samples[:, 16:].copy()
            eda[:20] = np.nan
            values = {"ecg": (samples[:, 15:16], 128.0, "unknown", ("column 15",))}
            if not np.isnan(eda).all():
                values["eda"] = (eda, 128.0, "unknown", ("column 16",))
            labels = {"arousal": own[0, 0], "valence": own[0, 1], "dominance": own[0, 2], "sadness": own[0, 11]}
            found[f"{person}/{video}"] = Expected(person, values, labels)
    broken = "data_preprocessed/Data_Preprocessed_P01/Data_Preprocessed_P01.mat"
    return Corpus({"root": str(folder)}, found, broken)
