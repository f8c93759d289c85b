from pathlib import Path

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb

LEADS = ("i", "ii", "iii", "avr", "avl", "avf", *(f"v{i}" for i in range(1, 7)))


def write(folder: Path) -> Corpus:
    found = {}
    for seed, record in enumerate(("1", "2", "10")):
        digital = [wave(500, seed=20 * seed + i) for i in range(len(LEADS))]
        signals = [WfdbSignal(name, values, gain="1000.0(0)/mV") for name, values in zip(LEADS, digital, strict=True)]
        write_wfdb(folder / "data", record, signals, "500")
        for lead in LEADS:
            (folder / "data" / f"{record}.{lead}").write_bytes(b"\0\0")
        values = {"ecg": ((digital[1] / 1000)[:, None], 500.0, "mV", ("ii",))}
        found[f"data/{record}"] = Expected(record, values)
    (folder / "ludb.csv").write_text("ID,Sex,Age,Rhythms\n1,F,51,Sinus rhythm\n")
    return Corpus({"root": str(folder)}, found, "data/10.dat")
