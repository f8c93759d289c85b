from pathlib import Path

import numpy as np
import scipy.io

from tests.fixtures import Corpus, Expected, cells, wave

NUM_CLIPS = 18
ELECTRODES = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")


def ecg(seed: int, seconds: float) -> np.ndarray:
    """Two channels at 256 Hz, raw counts of the device."""
    num = round(256 * seconds)
    return np.column_stack([2100 + wave(num, 300, seed), 2200 + wave(num, 200, seed + 1)]).astype(np.float64)


def person(number: int, seconds: float = 2.0) -> dict:
    seeds = [100 * number + clip for clip in range(NUM_CLIPS)]
    scores = np.random.default_rng(number).integers(1, 6, (3, NUM_CLIPS, 1)).astype(np.uint8)
    scores[0, 0] = 3
    column = (NUM_CLIPS, 1)
    return {
        "Age": "22",
        "Gender": "male",
        "EEG": {part: cells([np.ones((64, 14))] * NUM_CLIPS, column) for part in ("baseline", "stimuli")},
        "ECG": {
            "baseline": cells([ecg(seed + 50, 1.0) for seed in seeds], column),
            "stimuli": cells([ecg(seed, seconds + seed % 3) for seed in seeds], column),
        },
        "ScoreValence": scores[0],
        "ScoreArousal": scores[1],
        "ScoreDominance": scores[2],
    }


def write_file(path: Path, people: list[dict], packed: bool = True, **changes) -> None:
    root = {
        "Data": cells(people),
        "EEG_SamplingRate": 128,
        "ECG_SamplingRate": 256,
        "EEG_Electrodes": cells(ELECTRODES),
        "noOfSubjects": len(people),
        "noOfVideoSequences": NUM_CLIPS,
        "Disclaimer": "While every care has been taken ...",
        "Provider": "University of the West of Scotland",
        "Version": "1.0.2",
        "Acknowledgement": "The authors would like to thank ...",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"DREAMER": {**root, **changes}}, do_compression=packed)


def write(folder: Path) -> Corpus:
    """Two people, the second without age and gender; a rating of 3."""
    people = [person(1), {name: value for name, value in person(2).items() if name not in ("Age", "Gender")}]
    write_file(folder / "DREAMER.mat", people)
    found = {}
    for number, own in enumerate(people, start=1):
        for part, field in (("c", "stimuli"), ("b", "baseline")):
            for clip in range(NUM_CLIPS):
                samples = own["ECG"][field][clip, 0][:, :1]
                names = ("Valence", "Arousal", "Dominance") if part == "c" else ()
                labels = {name.lower(): float(own[f"Score{name}"][clip, 0]) for name in names}
                values = {"ecg": (samples, 256.0, "unknown", ("column 0",))}
                found[f"s{number:02d}/{part}{clip + 1:02d}"] = Expected(f"s{number:02d}", values, labels)
    return Corpus({"root": str(folder), "num_people": 2}, found, "DREAMER.mat")
