from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb

LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", *(f"V{i}" for i in range(1, 7)))  # aVF before aVL
NO_SAMPLE = -32768


def write(folder: Path) -> Corpus:
    """In the second study one lead was not recorded, and another not all of the time."""
    found = {}
    for seed, (subject, study) in enumerate(((10000032, 40689238), (10000032, 44458630), (10000117, 45090959))):
        digital = [wave(500, seed=20 * seed + i) for i in range(len(LEADS))]
        if seed == 1:
            digital[8][:], digital[1][100:150] = NO_SAMPLE, NO_SAMPLE
        signals = [WfdbSignal(name, values, gain="200.0(0)/mV") for name, values in zip(LEADS, digital, strict=True)]
        record = f"files/p{subject // 10000}/p{subject}/s{study}/{study}"
        write_wfdb((folder / record).parent, str(study), signals, "500", tail=" 09:54:00 18/09/2180")
        ecg = np.where(digital[1] == NO_SAMPLE, np.nan, digital[1] / 200)[:, None]
        found[record] = Expected(f"p{subject}", {"ecg": (ecg, 500.0, "mV", ("II",))})
    (folder / "record_list.csv").write_text("subject_id,study_id,file_name,ecg_time,path\n")
    return Corpus({"root": str(folder)}, found, f"{record}.dat")
