from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb

MINUTES = (0.30, 0.25, 0.20, 0.25, 0.30, 0.20, 0.35)  # of rest, city, highway, city, highway, city, rest
NAMES = "Drive No,Initial Rest,City 1,Highway,City 2,Highway 2,City 3,Final Rest,Total rec. time(min)"
FRAMES = 2000  # 129 s at 15.5 Hz


def marker(first_s: float, minutes: tuple[float, ...] = MINUTES) -> np.ndarray:
    """Volts of a button that was pressed at every border, a second each time, and once more."""
    volts = 11.4 + 0.2 * np.sin(np.arange(FRAMES) / 50)
    for at_s in (*(first_s + 60 * np.cumsum((0, *minutes))), 7.0):
        volts[round(15.5 * at_s) : round(15.5 * (at_s + 1))] += 27
    return volts


def write_record(folder: Path, drive: str, rate: str, signals: list[WfdbSignal]) -> None:
    write_wfdb(folder, drive, signals, rate)


def write_table(path: Path, columns: dict[str, np.ndarray], rate_hz: float = 15.5) -> None:
    num = len(next(iter(columns.values())))
    rows = [
        ",".join([f"{round(i / rate_hz, 3):g}", *(f"{values[i]:g}" for values in columns.values())]) for i in range(num)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(["Elapsed time(s)", *columns]), *rows]) + "\n")


def write(folder: Path) -> Corpus:
    """A record whose header says 15 Hz, one without GSR of the hand, and a table of 15.5 Hz whose marker is there."""
    ecg, foot, hand, resp = wave(640 * 32), wave(640, seed=1) + 2000, wave(640 * 2, seed=2) + 5000, wave(640, seed=3)
    signals = [WfdbSignal("ECG", ecg, gain="1000", per_frame=32), WfdbSignal("EMG", wave(640), gain="1000")]
    write_record(folder, "drive01", "15.5", [*signals, WfdbSignal("foot GSR", foot, gain="1000")])
    signals += [WfdbSignal("hand GSR", hand, gain="1000", per_frame=2), WfdbSignal("HR", wave(640), gain="1/bpm")]
    write_record(folder, "drive17a", "15", [*signals, WfdbSignal("RESP", resp, gain="100")])
    found = {"drive01": Expected("drive01", {"ecg": ((ecg / 1000)[:, None], 496.0, "mV", ("ECG",))})}
    found["drive01"].values["eda"] = ((foot / 1000)[:, None], 15.5, "unknown", ("foot GSR",))
    found["drive17a"] = Expected("drive17", {"ecg": ((ecg / 1000)[:, None], 496.0, "mV", ("ECG",))})
    found["drive17a"].values["eda"] = ((hand / 1000)[:, None], 31.0, "unknown", ("hand GSR",))
    found["drive17a"].values["resp"] = ((resp / 100)[:, None], 15.5, "unknown", ("RESP",))
    gsr, breath = (wave(FRAMES, seed=4) + 2000) / 1000, wave(FRAMES, seed=5) / 10
    columns = {"ECG(mV)": wave(FRAMES) / 1000, "hand GSR(mV)": gsr, "marker(mV)": marker(11.0), "RESP(mV)": breath}
    write_table(folder / "csv_15hz" / "drive10.csv", columns)
    values = {
        "eda": (gsr[:, None], 15.5, "unknown", ("hand GSR",)),
        "resp": (breath[:, None], 15.5, "unknown", ("RESP",)),
    }
    found["drive10"] = Expected("drive10", values)
    cells = ",".join(f"{m:g}" for m in MINUTES)
    lines = [NAMES, f"Drive09,{','.join(['15'] * 6)},NaN,68.8", f"Drive10,{cells},{sum(MINUTES):g}"]
    (folder / "time_intervals_clean.csv").write_text("\n".join(lines) + "\n")
    return Corpus({"root": str(folder)}, found, "csv_15hz/drive10.csv")
