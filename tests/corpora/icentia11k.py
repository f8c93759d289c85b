from pathlib import Path

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb


def write(folder: Path) -> Corpus:
    """Segments of people in folders of a thousand, and of one person without such a folder."""
    found = {}
    for seed, place in enumerate(("p00/p00000", "p00/p00000", "p00/p00001", "p01000")):
        digital, person = wave(500, 90, seed), place[-6:]
        record = f"{person}_s{seed:02d}"
        write_wfdb(folder / place, record, [WfdbSignal("ecg", digital, gain="74.36(0)/mV")], "250")
        (folder / place / f"{record}.atr").write_bytes(b"\0\0" * (seed != 1))  # some have no annotation
        found[f"{place}/{record}"] = Expected(person, {"ecg": ((digital / 74.36)[:, None], 250.0, "mV", ("ecg",))})
    return Corpus({"root": str(folder)}, found, f"{place}/{record}.dat")
