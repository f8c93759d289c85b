from pathlib import Path

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb

# Of MIT-BIH, of another with no gain stated (then it is 200), and of the European ST-T Database.
RECORDS = {
    "sel100": ("250/360", "200(0)", ("MLII", "V5")),
    "sel14046": ("250/128", "0", ("ECG1", "ECG2")),
    "sele0104": ("250", "200", ("D3", "D4")),
}


def write(folder: Path) -> Corpus:
    """Each lead is a recording. Beside the records lie their annotations, of which not all have every kind.
    Without RECORDS, so that the folder is searched."""
    found = {}
    for seed, (record, (rate, gain, leads)) in enumerate(RECORDS.items()):
        signals = [WfdbSignal(lead, wave(499, seed=2 * seed + i), "212", gain) for i, lead in enumerate(leads)]
        write_wfdb(folder, record, signals, rate)
        for kind in ("atr", "man", "q1c", "pu0")[seed > 0 :]:
            (folder / f"{record}.{kind}").write_bytes(b"\0\0")
        for one in signals:
            values = {"ecg": ((one.digital_T / 200)[:, None], 250.0, "mV", (one.name,))}
            found[f"{record}#{one.name}"] = Expected(record, values)
    (folder / "ANNOTATORS").write_text("atr\treference beat annotations\n")
    return Corpus({"root": str(folder)}, found, "sele0104.dat")
