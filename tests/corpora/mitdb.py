from pathlib import Path

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb


def write(folder: Path) -> Corpus:
    """Leads of two are swapped, as in record 114; 201 and 202 are of one person."""
    found = {}
    people = {"100": "100", "114": "114", "201": "20", "202": "20"}
    for seed, (record, person) in enumerate(people.items()):
        names = ("V5", "MLII") if record == "114" else ("MLII", "V1")
        signals = [WfdbSignal(name, wave(720, seed=2 * seed + i), "212", "200") for i, name in enumerate(names)]
        write_wfdb(folder, record, signals, "360")
        (folder / f"{record}.atr").write_bytes(b"\0\0")
        values = signals[names.index("MLII")].digital_T / 200
        found[record] = Expected(person, {"ecg": (values[:, None], 360.0, "mV", ("MLII",))})
    return Corpus({"root": str(folder)}, found, "202.dat")
