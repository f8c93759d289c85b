from pathlib import Path

import h5py
import numpy as np

from tests.fixtures import Corpus, Expected, wave

COLUMNS = "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
PARTS = {"exams_part0": (3001, 1, 2000), "exams_part1": (77,)}  # exam_id of the rows, which are in no order


def tracing(seed: int, samples: int, length: int = 4096) -> np.ndarray:
    """An exam of 12 leads in the middle of zeros."""
    row = np.zeros((length, 12), np.float32)
    start = (length - samples) // 2
    row[start : start + samples] = wave(samples * 12, seed=seed).reshape(samples, 12) / 300 + 0.001
    return row


def write_part(path: Path, exams: tuple[int, ...], rows: list[np.ndarray]) -> None:
    """The last row is a dummy, with number 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["tracings"] = np.stack([*rows, np.zeros_like(rows[0])])
        file["exam_id"] = np.array([*exams, 0])


def write(folder: Path) -> Corpus:
    """One part lies in a folder of its own; the table is in the order of patients, and one exam fills its row."""
    found, lines = {}, []
    for part, exams in PARTS.items():
        rows = [tracing(exam, 4096 if exam == 1 else 2800 + exam % 7) for exam in exams]
        write_part(folder / ("" if part.endswith("0") else part) / f"{part}.hdf5", exams, rows)
        for i, (exam, row) in enumerate(zip(exams, rows, strict=True)):
            stripped = row[row.any(axis=1)][:, 1:2]
            labels = {"1dAVb": 0.0, "RBBB": float(exam == 1), "AF": 1.0}
            patient = f"{exam % 1000}"  # 3001 and 1 are of one person
            found[f"{part}/{i:06d}-{exam}"] = Expected(patient, {"ecg": (stripped, 400.0, "unknown", ("DII",))}, labels)
            lines.append(f"{exam},38,True,40.16,False,{exam == 1},False,False,True,True,{patient},,,False,{part}.hdf5")
    lines.append("5,38,True,40.16,False,False,False,False,True,True,5,,,False,exams_part17.hdf5")  # not downloaded
    (folder / "exams.csv").write_text("\n".join([COLUMNS, *lines[::-1]]) + "\n")
    return Corpus({"root": str(folder)}, found, "exams_part1/exams_part1.hdf5")
