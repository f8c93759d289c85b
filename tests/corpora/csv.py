from pathlib import Path

from tests.fixtures import Corpus, Expected, wave


def write(folder: Path) -> Corpus:
    found = {}
    for seed, name in enumerate(("x.csv", "y.csv")):
        volts = wave(500, seed=seed) / 1000
        rows = [f"{i / 125:.3f},{1000 * v:.0f},{i % 3}" for i, v in enumerate(volts)]
        (folder / name).write_text("\n".join(["time (s),Lead II (uV),marker", *rows]) + "\n")
        found[name] = Expected(name[0], {"ecg": (volts[:, None], 125.0, "mV", ("Lead II",))})
    return Corpus({"root": str(folder)}, found, "y.csv")
