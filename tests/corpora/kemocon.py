from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected, wave

START_MS = 1_548_000_000_123  # of the E4 of person 0
SERIALS = {29: "A013E1", 30: "A01A3A", 31: "A013E1", 32: "A01A3A"}
RATES_HZ = {"ACC": 32, "BVP": 64, "EDA": 4, "TEMP": 4}
UNITS = {
    "ACC": ("g", ("x", "y", "z")),
    "BVP": ("unknown", ("BVP",)),
    "EDA": ("uS", ("EDA",)),
    "TEMP": ("degC", ("TEMP",)),
}
RATINGS = ("arousal", "valence", "cheerful", "happy", "angry", "nervous", "sad")
MARKS = ("boredom", "confusion", "delight", "concentration", "frustration", "surprise", "none_1", "confrustion",
         "contempt", "dejection", "disgust", "eureka", "pride", "sorrow", "none_2")  # fmt: skip
SESSION_S = (1.0, 4.0, 24.0)  # when the session, the debate, and its end come, in seconds of the E4 (not minutes)


def start_ms(pid: int) -> int:
    return START_MS + 10_000_000 * pid


def samples(kind: str, pid: int, seconds: float) -> np.ndarray:
    """(samples, channels), as the files have them."""
    num = int(RATES_HZ[kind] * seconds)
    if kind == "ACC":
        return wave(3 * num, 127, pid).reshape(-1, 3).astype(float)
    size, level, factor = {"BVP": (9000, 0, 1e-2), "EDA": (900, 2000, 1e-3), "TEMP": (80, 3300, 1e-2)}[kind]
    return ((wave(num, size, pid) + level) * factor).round(6)[:, None]


def stamps(kind: str, pid: int, num: int, factor: float = 1.0) -> np.ndarray:
    """In ms, rounded to thousandths."""
    return np.round(start_ms(pid) + factor * 1000 / RATES_HZ[kind] * np.arange(num), 3)


def write_stream(path: Path, stamps_ms, values_TC: np.ndarray, serial) -> None:
    """`serial`: of the device, or one a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    serials = [serial] * len(values_TC) if isinstance(serial, str) else serial
    columns = ("x", "y", "z") if values_TC.shape[1] == 3 else ("value",)
    rows = [",".join(("timestamp", *columns, "device_serial"))]
    for at, values, device in zip(stamps_ms, values_TC.tolist(), serials, strict=True):
        rows.append(",".join([str(at), *(f"{value:g}" for value in values), device]))
    path.write_text("\n".join(rows) + "\n")


def write_e4(folder: Path, pid: int, kinds: str = "ACC BVP EDA TEMP", seconds: float = 26.0) -> dict:
    """Values for `Expected`."""
    values = {}
    for kind in kinds.split():
        values_TC = samples(kind, pid, seconds)
        place = folder / "e4_data" / str(pid) / f"E4_{kind}.csv"
        write_stream(place, stamps(kind, pid, len(values_TC)), values_TC, SERIALS.get(pid, "A01525"))
        unit, channels = UNITS[kind]
        values[kind.lower()] = (values_TC / (64 if kind == "ACC" else 1), float(RATES_HZ[kind]), unit, channels)
    return values


def write_ratings(folder: Path, pid: int, rater: str, rows: list[tuple], first_s: int = 5) -> None:
    """A row every 5 s: seven ratings, then marks; external files also say whose they are."""
    place = "aggregated_external_annotations" if rater == "external" else f"{rater}_annotations"
    path = folder / "emotion_annotations" / place / f"P{pid}.{rater}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join((*(("pid",) if rater == "external" else ()), "seconds", *RATINGS, *MARKS))]
    for number, row in enumerate(rows):
        marks = ["x" if i == number % len(MARKS) else "" for i in range(len(MARKS))]
        own = [str(pid)] if rater == "external" else []
        lines.append(",".join([*own, str(first_s + 5 * number), *map(str, row), *marks]))
    path.write_text("\n".join(lines) + "\n")


def write_subjects(folder: Path, people, session_s=SESSION_S) -> None:
    path = folder / "metadata" / "subjects.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ["pid,initTime,startTime,endTime"]
    rows += [",".join([str(pid), *(str(start_ms(pid) + round(1000 * s)) for s in session_s)]) for pid in people]
    path.write_text("\n".join(rows) + "\n")


def rating(number: int) -> tuple[int, ...]:
    return (1 + number % 5, 5 - number % 5, *(1 + (number + i) % 4 for i in range(5)))


def write(folder: Path) -> Corpus:
    """P2 has ratings and no E4; P17 has no file of EDA, and P20 one without rows; the device of P29 is not the only
    one in its files; all that P21 has is acceleration, and nobody else rated P5."""
    found = {}
    for pid, kinds in {
        1: "ACC BVP EDA TEMP",
        5: "BVP EDA TEMP",
        17: "BVP TEMP",
        20: "BVP TEMP",
        21: "ACC",
        29: "EDA",
    }.items():
        found[f"P{pid:02d}"] = Expected(f"P{pid:02d}", write_e4(folder, pid, kinds))
    (folder / "e4_data" / "20" / "E4_EDA.csv").write_text("timestamp,value,device_serial\n")
    place = folder / "e4_data" / "29" / "E4_EDA.csv"
    header, *rows = place.read_text().splitlines()
    other = [row.replace("A013E1", "A01A3A").replace(",", ",9", 1) for row in rows]
    place.write_text("\n".join([header, *(row for pair in zip(rows, other, strict=True) for row in pair)]) + "\n")
    people = [1, 2, 5, 17, 20, 21, 29]
    for pid in people:
        write_ratings(folder, pid, "self", [rating(i) for i in range(6)])
        if pid != 5:
            write_ratings(folder, pid, "partner", [rating(i) for i in range(3)])
            write_ratings(folder, pid, "external", [rating(i) for i in range(4)])
    write_subjects(folder, people)
    (folder / "metadata" / "data_availability.csv").write_text("pid,E4_BVP\n1,TRUE\n2,FALSE\n")
    polar = folder / "neurosky_polar_data" / "1" / "Polar_HR.csv"
    polar.parent.mkdir(parents=True)
    polar.write_text(f"timestamp,value\n{start_ms(1)},80\n{start_ms(1)},81\n")
    return Corpus({"root": str(folder)}, found, "e4_data/21/E4_ACC.csv")
