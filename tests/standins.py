"""Generated people as in WESAD, CASE, K-EmoCon and Stress-Predict: channels, rates and labels of those sets, no files.

Minutes instead of hours. What the labels of a person are, anyone can ask: `conditions`, `ratings`.
"""

import dataclasses
from pathlib import Path

import numpy as np

from ecgjax.data.prepare import Preparation, prepare
from ecgjax.signals import published
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

CONDITIONS = ("transient", "baseline", "stress", "amusement", "meditation", "ignored 5", "ignored 6", "ignored 7")
RATED = ("arousal", "valence")
SCALES = {"case": LabelSpec(low=0.5, high=9.5, rater="self"), "kemocon": LabelSpec(low=1, high=5, rater="self")}
EVERY_S = {"case": 0.05, "kemocon": 5.0}  # a joystick at 20 Hz; a rating every 5 s
FIRST_S = {"case": 0.0, "kemocon": 30.0}  # K-EmoCon begins with a baseline that nobody rates
UNITS = {"eda": "uS", "bvp": "unknown", "temp": "degC"}


@dataclasses.dataclass
class Config:
    """`lacking`: a person and a signal that was not recorded, "3:temp"."""

    root: str = ""
    kind: str = "wesad"
    num_people: int = 4
    lacking: tuple[str, ...] = ()

    def make(self) -> "StandIn":
        return StandIn(self)


class StandIn:
    def __init__(self, config: Config):
        self.config, self.name = config, config.kind
        rated = dict.fromkeys(RATED, SCALES.get(config.kind))
        self.label_specs = {
            "wesad": {"condition": LabelSpec(classes=CONDITIONS)},
            "stress": {"stress": LabelSpec(classes=("no stress", "stress"))},
        }.get(config.kind, rated)

    def keys(self) -> tuple[str, ...]:
        return tuple(f"p{person}" for person in range(self.config.num_people))

    def load(self, key: str) -> Recording:
        person, kind = int(key[1:]), self.config.kind
        if kind == "wesad":
            labels = tuple(Label("condition", *interval) for interval in conditions(person))
        elif kind == "stress":
            labels = tuple(Label("stress", a, b, float(v == 2)) for a, b, v in conditions(person) if v in (1, 2))
        else:
            labels = tuple(
                Label(name, start_s, start_s + EVERY_S[kind], value)
                for name in RATED
                for start_s, value in np.stack(ratings(kind, person, name), axis=1).tolist()
            )
        duration_s, rng = max(label.stop_s for label in labels), np.random.default_rng([person, len(kind)])
        rates_hz = dict.fromkeys(UNITS, 1000.0) if kind == "case" else {"eda": 4.0, "bvp": 64.0, "temp": 4.0}
        signals = {
            name: Signal(_samples(name, duration_s, rate_hz, rng), rate_hz, UNITS[name], (name.upper(),))
            for name, rate_hz in rates_hz.items()
            if f"{person}:{name}" not in self.config.lacking
        }
        return Recording(key, key, signals, labels)


def conditions(person: int) -> list[tuple[float, float, float]]:
    """(start_s, stop_s, id): every id of WESAD's protocol, stress before or after amusement."""
    order, start_s, found = (0, 1, 5, 0, 2, 6, 0, 3, 7, 4), 0.0, []
    for value in (0, 1, 5, 0, 3, 6, 0, 2, 7, 4) if person % 2 else order:
        stop_s = start_s + {0: 20.0, 1: 150.0, 2: 120.0, 3: 105.0, 4: 90.0}.get(value, 10.0)
        found.append((start_s, stop_s, float(value)))
        start_s = stop_s
    return found


def ratings(kind: str, person: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(when each begins, its value), from low over middle to high; of K-EmoCon's, whole numbers and one missing."""
    starts_s = FIRST_S[kind] + np.arange(0, 270, EVERY_S[kind])
    rng, scale = np.random.default_rng([person, RATED.index(name), len(kind)]), SCALES[kind]
    share = np.interp(starts_s - FIRST_S[kind], (80, 100, 170, 190), (0.2, 0.5, 0.5, 0.9))
    share = (share if name == "arousal" else 1 - share) + rng.uniform(-0.1, 0.1, len(starts_s))
    values = scale.low + (scale.high - scale.low) * share
    if kind == "kemocon":
        values = np.rint(values)
        values[-3] = np.nan
    return starts_s, values


def _samples(name: str, duration_s: float, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    level, height, period_s, noise = {
        "eda": (3, 0.5, 40, 0.02), "bvp": (0, 30, 0.8, 3), "temp": (33, 0.2, 90, 0.01),
    }[name]  # fmt: skip
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave = height * np.sin(2 * np.pi * (time_s / (period_s * rng.uniform(0.9, 1.1)) + rng.uniform()))
    return (level + wave + noise * rng.standard_normal(len(time_s)))[:, None].astype(np.float32)


def make_store(folder: Path, kind: str, num_people: int = 4, lacking: tuple[str, ...] = ()) -> Path:
    """A store at 4 Hz, prepared as `wu2023` of the configs."""
    people = Config("", kind, num_people, lacking)
    prepare(Preparation(people, published.wu2023(), workers=1), folder / kind)
    return folder / kind
