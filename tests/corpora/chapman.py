from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected, wave

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", *(f"V{i}" for i in range(1, 7)))
HEADS = (  # formats and first lines as found: with and without a date, which is in no order of the WFDB format's
    ("JS00001", "01/010", "16+24", ""),
    ("JS10647", "01/010", "16x1+24", " 23-Mar-2021 20:20:47"),
    ("JS45551", "46/460", "16x1+24", ""),
)


def write_record(folder: Path, record: str, fmt: str, tail: str, digital_TC: np.ndarray) -> None:
    """A MATLAB 4 file, whose head of 24 bytes is skipped, and its header."""
    folder.mkdir(parents=True, exist_ok=True)
    head = np.array([30, digital_TC.shape[1], digital_TC.shape[0], 0, 4], "<i4").tobytes() + b"val\0"
    (folder / f"{record}.mat").write_bytes(head + digital_TC.astype("<i2").tobytes())
    lines = [f"{record} {len(LEADS)} 500 {len(digital_TC)}{tail}"]
    lines += [f"{record}.mat {fmt} 1000/mV 16 0 {digital_TC[0, i]} 0 0 {name}" for i, name in enumerate(LEADS)]
    lines += ["#Age: 85", "#Sex: Male", "#Dx: 164889003,59118001,", "#Rx: Unknown"]
    (folder / f"{record}.hea").write_text("\n".join(lines) + "\n")


def write(folder: Path) -> Corpus:
    """Some samples of the second are missing."""
    found = {}
    for seed, (record, place, fmt, tail) in enumerate(HEADS):
        digital_TC = np.stack([wave(500, seed=20 * seed + i) for i in range(len(LEADS))], axis=1)
        if seed == 1:
            digital_TC[200:210] = -32768
        write_record(folder / "WFDBRecords" / place, record, fmt, tail, digital_TC)
        ecg = np.where(digital_TC[:, 1] == -32768, np.nan, digital_TC[:, 1] / 1000)[:, None]
        found[f"WFDBRecords/{place}/{record}"] = Expected(record, {"ecg": (ecg, 500.0, "mV", ("II",))})
    (folder / "ConditionNames_SNOMED-CT.csv").write_text("Acronym Name,Full Name,Snomed_CT\n")
    return Corpus({"root": str(folder)}, found, f"WFDBRecords/{place}/{record}.mat")
