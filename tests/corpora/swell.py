import datetime
import struct
from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected, wave

# In the order of the files; values as stored are of the second signal of each pair: unit, its range, that of the ADC.
CHANNELS = (
    ("Lead 1", "mV"), ("Lead 2", "mV"), ("HR", "bpm"), ("HR beat", "bpm"), ("Beats", ""), ("Heart raw", "uV"),
    ("portiSkinRaw", "uS"), ("portiHeartPre", "uV"),
)  # fmt: skip
SCALES = {"portiHeartPre": (-1000.0, 1000.0, -32000.0, 32000.0), "portiSkinRaw": (0.0, 50.0, 0.0, 5000.0)}
RATED = ("Valence_rc", "Arousal_rc", "Dominance", "Stress", "MentalEffort", "MentalDemand", "PhysicalDemand",
         "TemporalDemand", "Effort", "Performance_rc", "Frustration", "NasaTLX")  # fmt: skip
MOBI = "0 - Raw data/D - Physiology - raw data/Mobi signals (raw and filtered)"
MINUTES = "Behavioral-features - per minute"
PHYSIOLOGY = "3 - Feature dataset/per sensor/D - Physiology features (HR_HRV_SCL - final).csv"
OVERVIEW = "SWELL-KW - overview available data.xlsx"
START = datetime.datetime(2012, 9, 18, 13, 14, 25)


def stored(num: int, seed: int, channels=CHANNELS) -> np.ndarray:
    """(channels, samples) as float32 numbers of the ADC; the ones read are whole."""
    return np.stack([wave(num, 2000, 10 * seed + i) for i in range(len(channels))]).astype(np.float32)


def physical(values_CT: np.ndarray, name: str, channels=CHANNELS) -> np.ndarray:
    """(samples, 1) in the unit of the file."""
    low, high, first, last = SCALES[name]
    row = values_CT[[known for known, _ in channels].index(name)].astype(np.float64)
    return ((row - first) / (last - first) * (high - low) + low)[:, None]


def write_poly5(
    path: Path, values_CT: np.ndarray, channels=CHANNELS, *, rate: int = 2048, start: datetime.datetime | None = START,
    version: int = 203, per_block: int = 256, whole: bool = False, lost: dict[int, int] | None = None, **fields: int,
) -> None:  # fmt: skip
    """Whole blocks but the last, which is cut where its samples end unless it is to be `whole`. `lost`: samples missing
    before a block. `fields` replaces numbers of the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    num_channels, num = values_CT.shape
    num_blocks = -(-num // per_block)
    head = {"rate": rate, "storage": rate, "kind": 0, "signals": 2 * num_channels, "samples": num}
    head |= {"blocks": num_blocks, "in_block": per_block, "size": per_block * num_channels * 4, "delta": 0} | fields
    text = b"POLY SAMPLE FILEversion 2.03\r\n\x1a".ljust({203: 31, 204: 32}[version], b"\0")
    out = text + struct.pack("<h", version) + pascal("block", 81)
    out += struct.pack("<hhBhi4x", *(head[name] for name in ("rate", "storage", "kind", "signals", "samples")))
    out += moment(start)
    out += struct.pack("<iHHh64x", *(head[name] for name in ("blocks", "in_block", "size", "delta")))
    for index, (name, unit) in enumerate(channels):
        for word in ("Lo", "Hi"):
            scale = SCALES.get(name, (0.0, 1.0, 0.0, 1.0))
            out += pascal(f"({word}) {name}", 41) + bytes(4) + pascal(unit, 11)
            out += struct.pack("<4fhh60x", *scale, index, 0)
    at = 0
    for block in range(num_blocks):
        at += (lost or {}).get(block, 0)
        clock = start and start + datetime.timedelta(seconds=at // max(rate, 1))
        out += struct.pack("<i4x", at) + moment(clock) + bytes(64)
        rows = values_CT[:, block * per_block : (block + 1) * per_block]
        rows = np.pad(rows, ((0, 0), (0, whole * (per_block - rows.shape[1]))), constant_values=7)
        out += np.ascontiguousarray(rows.T).astype("<f4").tobytes()
        at += per_block
    path.write_bytes(out)


def pascal(text: str, width: int) -> bytes:
    raw = text.encode("latin-1")
    return (bytes([len(raw)]) + raw).ljust(width, b"\0")


def moment(at: datetime.datetime | None) -> bytes:
    if at is None:
        return bytes(14)
    return struct.pack("<7h", at.year, at.month, at.day, at.isoweekday(), at.hour, at.minute, at.second)


def minute_row(person: int, block: int, condition: str, at: datetime.datetime | None, ratings=()) -> list[object]:
    """Of the table by the minute, whose other columns stand for the 160 of the real one."""
    stamp = "" if at is None else f"{at:%Y%m%dT%H%M%S}000"
    ratings = list(ratings) or [""] * len(RATED)
    return [f"PP{person}", stamp, block, condition, "#VALUE!", *ratings, 999]


def write_minutes(path: Path, rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = [["PP", "timestamp", "Blok", "Condition", "SnMouseDistance", *RATED, "HR"], *rows]
    if path.suffix == ".xlsx":
        write_workbook(path, {"SWELLdata": table})
    else:
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in table))


def write_workbook(path: Path, sheets: dict[str, list[list[object]]]) -> None:
    import openpyxl

    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for row in rows:
            page.append(row)
    book.save(path)


def write(folder: Path) -> Corpus:
    """PP1's second block is continued, and only the workbook knows the condition of the third; PP10's files are named
    otherwise. The minutes of the table are of another day than the files: they say no more than the whole block's."""
    found, rows = {}, []
    names = {(1, 1): "pp1_18-9-2012_c1", (1, 2): "pp1_18-9-2012_c2", (1, 3): "pp1_18-9-2012_c3"}
    names |= {(10, 1): "pp10_8-10-2012-c1", (10, 2): "PP10_8-10-2012_C2"}
    conditions = {(1, 1): "T", (1, 2): "N", (1, 3): "I", (10, 1): "I", (10, 2): "N"}
    classes = {"N": 0.0, "I": 1.0, "T": 2.0}
    for seed, ((person, block), name) in enumerate(names.items()):
        at = START + datetime.timedelta(hours=block)
        values_CT = stored(1000 + 100 * seed, seed)
        write_poly5(folder / MOBI / f"{name}.S00", values_CT, start=at, whole=block == 2, version=203 + (person == 10))
        ecg, eda = physical(values_CT, "portiHeartPre") / 1000, physical(values_CT, "portiSkinRaw")
        if (person, block) == (1, 2):  # goes on at once: the clocks count seconds
            more_CT = stored(300, 9)
            write_poly5(folder / MOBI / f"{name}_cont.S00", more_CT, start=at)
            ecg = np.concatenate([ecg, physical(more_CT, "portiHeartPre") / 1000])
            eda = np.concatenate([eda, physical(more_CT, "portiSkinRaw")])
        values = {
            "ecg": (ecg, 2048.0, "mV", ("portiHeartPre",)),
            "eda": (eda, 2048.0, "uS", ("portiSkinRaw",)),
        }
        labels = {"condition": classes[conditions[person, block]]}
        if (person, block) != (1, 3):
            ratings = [1 + seed, 9 - seed, 5, 2.5, 11.3, 3, 1, 8, 6, 7, "#VALUE!", 40]
            rows.append(minute_row(person, block, conditions[person, block], at - datetime.timedelta(20), ratings))
            labels |= {"valence": 1.0 + seed, "arousal": 9.0 - seed, "mental_effort": 11.3}
        found[f"PP{person:02d}/c{block}"] = Expected(f"PP{person:02d}", values, labels)
    write_minutes(folder / f"{MINUTES}.tab", rows)
    overview = [[None, None, None], *([p, b, c] for (p, b), c in conditions.items()), [None, "made by hand", None]]
    write_workbook(folder / OVERVIEW, {"Sheet1": [["PP", "Ulog", "Mobi"], [1, "x", "x"]], "Sheet3": overview})
    return Corpus({"root": str(folder)}, found, f"{MOBI}/pp1_18-9-2012_c3.S00")
