from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected

# What is shown, with its number and how long it lasts here, in ms (of 2,451,583 in all).
SHOWN = {"startVid": (10, 200.0), "bluVid": (11, 120.0), "endVid": (12, 150.0), "amusing-1": (1, 185.5),
         "amusing-2": (2, 173.0), "boring-1": (3, 118.5), "boring-2": (4, 160.0), "relaxed-1": (5, 145.0),
         "relaxed-2": (6, 146.5), "scary-1": (7, 197.0), "scary-2": (8, 143.5)}  # fmt: skip
NAMES = ("ecg", "bvp", "gsr", "rsp", "skt", "emg_zygo", "emg_coru", "emg_trap")
TO_UNITS = {"ecg": (20.0, -56.0), "bvp": (58.962, -115.09), "gsr": (24.0, -49.2), "rsp": (58.923, -115.01),
            "skt": (21.341, -32.085), "emg_zygo": (250.0, -500.0), "emg_coru": (250.0, -500.0),
            "emg_trap": (250.0, -500.0)}  # fmt: skip
MODALITIES = {"ecg": ("ecg",), "bvp": ("bvp",), "eda": ("gsr",), "resp": ("rsp",), "temp": ("skt",), "emg": NAMES[5:]}
UNITS = {"ecg": "mV", "bvp": "%", "eda": "uS", "resp": "%", "temp": "degC", "emg": "mV"}


def order(person: int) -> list[str]:
    """As in seqs_order.txt: a start, blue before every clip, an end; the clips of each person in another order."""
    clips = [name for name, (number, _) in SHOWN.items() if number <= 8]
    clips = clips[3 * person % 8 :] + clips[: 3 * person % 8]
    return ["startVid", *(name for clip in clips for name in ("bluVid", clip)), "endVid"]


def borders_ms(person: int) -> list[tuple[str, float, float]]:
    """(what is shown, from, to), from second 0."""
    stops = np.cumsum([SHOWN[name][1] for name in order(person)])
    return list(zip(order(person), [0.0, *stops.tolist()], stops.tolist(), strict=False))


def shown_at(times_ms: np.ndarray, person: int) -> np.ndarray:
    number = np.zeros(len(times_ms), np.int64)
    for name, start, stop in borders_ms(person):
        number[(times_ms > start) & (times_ms <= stop)] = SHOWN[name][0]
    number[times_ms <= 0] = 10
    return number


def volts(times_s: np.ndarray, person: int) -> np.ndarray:
    """(samples, 8): each channel around its middle, so that a line between samples is nearly the curve."""
    middle = np.array([2.8, 2.8, 2.3, 2.6, 3.05, 2.01, 2.02, 2.03])
    speed, height = 3 + np.arange(8) + person, np.array([0.1, 0.3, 0.1, 0.3, 0.01, 0.002, 0.002, 0.002])
    return middle + height * np.sin(speed * times_s[:, None])


def joystick(times_s: np.ndarray, person: int) -> np.ndarray:
    """(samples, 2): whole numbers from -26225 to 26225, at rest for a while."""
    wander = np.stack([np.sin(4 * times_s + person), np.cos(3 * times_s)], axis=1)
    return np.rint(26225 * np.where(times_s[:, None] < 1, [-1.0, 1.0], wander)).astype(np.int64)


def to_units(values_TC: np.ndarray) -> np.ndarray:
    gain, offset = np.array([TO_UNITS[name] for name in NAMES]).T
    return values_TC * gain + offset


def to_ratings(values: np.ndarray) -> np.ndarray:
    return 0.5 + 9 * (values + 26225) / 52450


def write_raw(folder: Path, person: int, times_s: np.ndarray, js_s: np.ndarray) -> None:
    rows = np.concatenate([times_s[:, None], volts(times_s, person)], axis=1)
    write_rows(folder / f"raw/physiological/sub{person}_DAQ.txt", rows, "%.6f", "\t")
    rows = np.concatenate([js_s[:, None], joystick(js_s, person)], axis=1)
    write_rows(folder / f"raw/annotations/sub{person}_joystick.txt", rows, ["%.6f", "%d", "%d"], "\t")


def write_processed(folder: Path, person: int, times_s: np.ndarray, js_s: np.ndarray, release: str) -> None:
    for kind, header, at_s, values in (
        ("physiological", ("daqtime", *NAMES), times_s, to_units(volts(times_s, person))),
        ("annotations", ("jstime", "valence", "arousal"), js_s, to_ratings(joystick(js_s, person))),
    ):
        times_ms = 1000 * at_s
        rows = np.concatenate([times_ms[:, None], values, shown_at(times_ms, person)[:, None]], axis=1)
        forms = ["%.9g", *["%.3f"] * values.shape[1], "%d"]
        write_rows(folder / release / kind / f"sub_{person}.csv", rows, forms, ",", (*header, "video"))


def write_rows(path: Path, rows: np.ndarray, forms, separator: str, header: tuple[str, ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, forms, separator, header=separator.join(header), comments="")
    if not header:
        path.write_text(path.read_text().lstrip("\n"))


def write_metadata(folder: Path, people: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = [order(person) for person in range(1, people + 1)]
    rows = [[f"sub_{i + 1}" for i in range(people)], *zip(*columns, strict=True)]
    (folder / "seqs_order.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    rows = [("video_name", "duration_ms"), *((name, str(ms)) for name, (_, ms) in SHOWN.items())]
    (folder / "videos_duration.txt").write_text("".join("\t".join(row) + "\n" for row in rows))


def grid(person: int, rate_hz: float, end_ms: float = 0.0) -> np.ndarray:
    return np.arange(0.0, (end_ms or borders_ms(person)[-1][2]) + 1e-6, 1000 / rate_hz) / 1000


def write(folder: Path) -> Corpus:
    """Three people in all releases, as CASE_full has them; what is read is the interpolated one. README.txt lies in
    every folder."""
    found = {}
    for person in (1, 2, 30):
        times_s, js_s = grid(person, 1000), grid(person, 20)
        wander = np.random.default_rng(person).uniform(-2e-4, 2e-4, (2, len(times_s)))
        write_processed(folder / "data", person, times_s, js_s, "interpolated")
        write_processed(folder / "data", person, times_s + wander[0], js_s + 0.003, "non-interpolated")
        write_raw(folder / "data", person, times_s + 0.0004, js_s + 0.003)
        truth = dict(zip(NAMES, to_units(volts(times_s, person)).round(3).T, strict=True))
        values = {
            m: (
                np.stack([truth[name] for name in names], axis=1) / (1000 if m == "emg" else 1),
                1000.0,
                UNITS[m],
                names,
            )
            for m, names in MODALITIES.items()
        }
        found[f"sub_{person:02d}"] = Expected(f"sub_{person:02d}", values)
    for place in ("raw", "interpolated", "non-interpolated"):
        for kind in ("physiological", "annotations"):
            (folder / "data" / place / kind / "README.txt").write_text("README -- CASE_dataset\n")
    write_metadata(folder / "metadata", 30)
    return Corpus({"root": str(folder)}, found, "data/interpolated/physiological/sub_2.csv")
