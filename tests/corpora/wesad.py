import json
from pathlib import Path

import numpy as np

from tests import chest_wrist, pickle_files
from tests.chest_wrist import SENSORS, Person
from tests.fixtures import Corpus, Expected, write_e4, write_zip

# (condition, seconds): every id of the protocol. What is told of a condition's time begins 10 s before it and ends
# 10 s after.
STRETCHES = (
    (0, 0.5), (1, 2.0), (5, 0.25), (0, 0.25), (2, 1.0), (6, 0.25), (0, 0.25),
    (4, 1.0), (0, 0.25), (3, 1.0), (7, 0.25), (0, 0.25), (4, 1.0), (0, 0.5),
)  # fmt: skip
SECONDS = sum(seconds for _, seconds in STRETCHES)
BELT_S = (2.0, 1.0)  # that the belt recorded before the pickle begins, and after it ends
BAND_S = (3.0, 1.25)  # and the wristband
ORDER = ("Base", "TSST", "Medi 1", "Fun", "Medi 2", "sRead", "fRead")
START = ("7.08", "39.55", "70.19", "81.25", "93.38", "54.42", "89.51")
END = ("7.3", "40.16", "70.4", "81.46", "93.59", "55.1", "91")  # 7:30, 70:40; their zeros are lost
AROUSAL = (2, 7, 3, 6, 1)
VALENCE = (6, 2, 7, 8, 5)
STAI = ((4, 1, 1, 4, 1, 3), (1, 4, 3, 1, 4, 2), (3, 2, 1, 3, 2, 3), (4, 1, 1, 4, 1, 4), (2, 2, 2, 2, 2, 2))
ANXIETY = (7, 22, 11, 6, 15)
BELT_ORDER = (1, 0, 3, 4, 5, 6, 7, 2)  # of the sensors in a file whose header has another order than usual
BAND_START = 1495437325


def ids(dtype: str = "<i4") -> np.ndarray:
    return np.concatenate([np.full(round(700 * seconds), number) for number, seconds in STRETCHES]).astype(dtype)


def panas(row: int) -> list:
    """26 numbers; two were only asked after stress."""
    numbers = [1 + (3 * row + item) % 5 for item in range(26)]
    return numbers if row == 1 else [*numbers[:23], "", "", numbers[25]]


def quest(subject: str, start=START, end=END, order=ORDER) -> str:
    rows = [["# Subj", subject], ["# ORDER", *order], ["# START", *start], ["# END", *end], []]
    rows += [["# PANAS", *panas(row)] for row in range(5)] + [[]]
    rows += [["# STAI", *row] for row in STAI] + [[]]
    rows += [["# DIM", *pair] for pair in zip(VALENCE, AROUSAL, strict=True)] + [[]]
    rows += [["# SSSQ", 3, 2, 4, 1, 5, 2]]
    return "".join(";".join(map(str, row)) + ";" * (28 - len(row)) + "\n" for row in rows)


def write_belt(path: Path, counts: np.ndarray, order=range(8), **changes) -> None:
    said = {
        "sensor": [SENSORS[i] for i in order], "device name": "00:07:80:D8:AB:58", "sync interval": 2,
        "column": ["nSeq", "DI", *(f"CH{i}" for i in range(1, 9))], "time": "9:39:8.0", "date": "2017-5-22",
        "comments": "", "channels": list(range(1, 9)), "device": "respiban", "sampling rate": 700,
        "resolution": [16] * 8, "special": [{}] * 8,
    }  # fmt: skip
    head = (
        f"# OpenSignals Text File Format\n# {json.dumps({'00:07:80:D8:AB:58': {**said, **changes}})}\n# EndOfHeader\n"
    )
    rows = np.column_stack([np.arange(len(counts)), np.zeros(len(counts)), counts[:, list(order)]]).astype(int)
    path.write_text(head + "".join("\t".join(map(str, row)) + "\t\n" for row in rows.tolist()))


def write_person(folder: Path, key: str, seed: int, protocol: int = 0) -> Person:
    """Everything of one person. Returns what is in the pickle: a part of what either device recorded."""
    folder.mkdir(parents=True, exist_ok=True)
    belt = chest_wrist.person(BELT_S[0] + SECONDS + BELT_S[1], seed)
    rows = slice(round(700 * BELT_S[0]), round(700 * (BELT_S[0] + SECONDS)))
    write_belt(folder / f"{key}_respiban.txt", belt.counts, BELT_ORDER)
    band = write_e4(folder / "e4", BAND_START, BAND_S[0] + SECONDS + BAND_S[1], seed)
    write_zip(folder / f"{key}_E4_Data.zip", folder / "e4")
    for file in (folder / "e4").iterdir():
        file.unlink()
    (folder / "e4").rmdir()
    wrist = {}
    for modality, (samples_TC, rate_hz, *_) in band.items():
        first, count = round(rate_hz * BAND_S[0]), round(rate_hz * SECONDS)
        wrist[modality.upper()] = samples_TC[first : first + count] * (64 if modality == "acc" else 1)
    own = Person(belt.counts[rows], {name: samples[rows] for name, samples in belt.chest.items()}, wrist)
    tree = {"signal": {"chest": own.chest, "wrist": own.wrist}, "label": ids(), "subject": key}
    pickle_files.write(folder / f"{key}.pkl", tree, protocol)
    (folder / f"{key}_quest.csv").write_text(quest(key))
    (folder / f"{key}_readme.txt").write_text("### Personal information ###\nAge: 27\n")
    return own


def write(folder: Path) -> Corpus:
    """S2 as distributed; S10 beside the folders, with the readme's spelling of keys, and nothing but the pickle."""
    first = write_person(folder / "S2", "S2", 1)
    second = chest_wrist.person(SECONDS, 2)
    upper = {name.upper(): samples for name, samples in second.chest.items()}
    tree = {"Signal": {"CHEST": upper, "wrist": second.wrist}, "label": ids("<f8"), "subject": "S10"}
    pickle_files.write(folder / "S10.pkl", tree, 2)
    found = {"S2": Expected("S2", first.expected("chest")), "S10": Expected("S10", second.expected("chest"))}
    return Corpus({"root": str(folder)}, found, "S10.pkl")
