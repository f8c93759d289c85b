from pathlib import Path

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb


def write(folder: Path) -> Corpus:
    found = {}
    for seed, record in enumerate(("p1/a", "p1/b", "p2/c")):
        ecg, other, eda = wave(1000, seed=seed), wave(1000, seed=9), wave(250, seed=seed + 20)
        signals = [WfdbSignal("V5", other, per_frame=4), WfdbSignal("mlii", ecg, gain="400(10)/mV", per_frame=4)]
        write_wfdb(folder / record[:2], record[3:], [*signals, WfdbSignal("GSR", eda, gain="100/uS")], "50/60(0)")
        values = {"ecg": (((ecg - 10) / 400)[:, None], 200.0, "mV", ("mlii",))}
        values["eda"] = ((eda / 100)[:, None], 50.0, "uS", ("GSR",))
        found[record] = Expected(record[:2], values)
    config = {"root": str(folder), "modalities": ("ecg", "eda"), "subject": r"^(p\d)/"}
    return Corpus(config, found, "p1/b.dat")
