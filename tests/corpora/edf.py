from pathlib import Path

from tests.fixtures import Corpus, EdfChannel, Expected, wave, write_edf


def write(folder: Path) -> Corpus:
    found = {}
    for seed, name in enumerate(("b.edf", "sub/a.edf")):
        eeg = EdfChannel("EEG Fp1", wave(1200, seed=8).reshape(6, 200), "uV")
        ecg = EdfChannel("ECG", wave(600, 9000, seed).reshape(6, 100), "uV", (-4000.0, 6000.0), (-16384, 16383))
        write_edf(folder / name, [eeg, ecg], kind="EDF+C")
        found[name] = Expected(name[-5], {"ecg": (ecg.values()[:, None] / 1000, 100.0, "mV", ("ECG",))})
    return Corpus({"root": str(folder)}, found, "b.edf")
