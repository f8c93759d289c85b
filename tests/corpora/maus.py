from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected, wave

TRIALS = ("Trial 1:0back", "Trial 2:2back", "Trial 3:3back", "Trial 4:2back", "Trial 5:3back", "Trial 6:0back")
CLASSES = (1.0, 2.0, 3.0, 2.0, 3.0, 1.0)  # of rest, 0-back, 2-back, 3-back
KINDS = {"ecg": "ecg", "bvp": "ppg", "eda": "gsr"}


def write_columns(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Of columns that differ in length, the shorter ones end in empty cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(columns)]
    for i in range(max(map(len, columns.values()))):
        rows.append(",".join(f"{column[i]:g}" if i < len(column) else "" for column in columns.values()))
    path.write_text("\n".join(rows) + "\n")


def samples(person: int, kind: str, trial: int) -> np.ndarray:
    return wave(400 - 10 * trial, 2000, 100 * person + 10 * trial + list(KINDS.values()).index(kind)) / 1000


def write(folder: Path) -> Corpus:
    """003 has no rest, 004 has nothing else."""
    found, raw = {}, folder / "MAUS" / "Data" / "Raw_data"
    for person in (2, 3, 4):
        name = f"{person:03d}"
        for trial in range(7):
            if person == (3 if trial == 0 else 4):
                continue
            values = {
                m: (samples(person, kind, trial)[:, None], 256.0, "unknown", (m.upper(),)) for m, kind in KINDS.items()
            }
            label = {"n_back": CLASSES[trial - 1] if trial else 0.0}
            found[f"{name}/{trial or 'rest'}"] = Expected(name, values, label)
        if person != 4:
            for kind in KINDS.values():
                columns = {header: samples(person, kind, i + 1) for i, header in enumerate(TRIALS)}
                write_columns(raw / name / f"inf_{kind}.csv", columns)
            write_columns(raw / name / "pixart.csv", dict.fromkeys(TRIALS, np.zeros(3)))
        if person != 3:
            columns = {f"Resting_{kind.upper()}": samples(person, kind, 0) for kind in ("ecg", "ppg", "gsr")}
            write_columns(raw / name / "inf_resting.csv", columns)
    return Corpus({"root": str(folder)}, found, "MAUS/Data/Raw_data/004/inf_resting.csv")
