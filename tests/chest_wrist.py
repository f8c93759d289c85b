"""A person with a RespiBAN belt and an Empatica E4, as WESAD and PPG-DaLiA pickle them: made-up signals."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tests.fixtures import wave

CHEST_HZ = 700
WRIST_HZ = {"ACC": 32, "BVP": 64, "EDA": 4, "TEMP": 4}
SENSORS = ("ECG", "EDA", "EMG", "TEMP", "XYZ", "XYZ", "XYZ", "RESPIRATION")  # in the order of `Person.counts`
AXES = ("x", "y", "z")


@dataclasses.dataclass(frozen=True)
class Person:
    """`counts`: of the belt's converter, one column a sensor; `chest`, `wrist`: what a pickle has under "signal"."""

    counts: np.ndarray
    chest: dict[str, np.ndarray]
    wrist: dict[str, np.ndarray]

    def expected(self, device: str, modalities: Sequence[str] = ()) -> dict:
        """Values for `Expected`."""
        chest = {"ecg": ("ECG", "mV"), "eda": ("EDA", "uS"), "emg": ("EMG", "mV"), "temp": ("Temp", "degC")}
        chest |= {"resp": ("Resp", "%"), "acc": ("ACC", "g")}
        wrist = {"acc": ("ACC", "g"), "bvp": ("BVP", "unknown"), "eda": ("EDA", "uS"), "temp": ("TEMP", "degC")}
        own, known = (self.chest, chest) if device == "chest" else (self.wrist, wrist)
        found = {}
        for modality, (key, unit) in known.items():
            scale = 64 if (device, modality) == ("wrist", "acc") else 1
            rate = CHEST_HZ if device == "chest" else WRIST_HZ[key]
            names = AXES if modality == "acc" else (modality.upper(),)
            found[modality] = (own[key] / scale, float(rate), unit, names)
        return {modality: found[modality] for modality in modalities or found}


def person(seconds: float, seed: int = 0) -> Person:
    num = round(CHEST_HZ * seconds)
    counts = np.stack([33000 + wave(num, 4000, 10 * seed + column) for column in range(8)], axis=1)
    wrist = {name: wave(round(rate * seconds), 900, seed + rate)[:, None] / 100 for name, rate in WRIST_HZ.items()}
    wrist["ACC"] = np.stack([wave(round(32 * seconds), 127, seed + axis) for axis in range(3)], axis=1).astype(float)
    wrist["TEMP"] += 33
    return Person(counts, converted(counts), wrist)


def converted(counts: np.ndarray) -> dict[str, np.ndarray]:
    """What WESAD's readme makes of counts."""
    ecg, eda, emg, temp, *acc, resp = counts.astype(float).T
    volts = temp * 3 / 65535
    ohm = 10_000 * volts / (3 - volts)
    kelvin = 1 / (1.12764514e-3 + 2.34282709e-4 * np.log(ohm) + 8.77303013e-8 * np.log(ohm) ** 3)
    return {
        "ACC": np.stack([(axis - 28000) / (38000 - 28000) * 2 - 1 for axis in acc], axis=1),
        "ECG": ((ecg / 65536 - 0.5) * 3)[:, None],
        "EMG": ((emg / 65536 - 0.5) * 3)[:, None],
        "EDA": ((eda / 65536) * 3 / 0.12)[:, None],
        "Temp": (kelvin - 273.15)[:, None].astype(np.float32),
        "Resp": ((resp / 65536 - 0.5) * 100)[:, None],
    }
