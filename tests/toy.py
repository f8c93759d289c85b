"""A heart and a data set small enough to know by heart."""

import dataclasses
import errno
import os

import numpy as np

from ecgjax.errors import DataError, UserError
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal


def ecg(duration_s: float, rate_hz: float = 256.0, bpm: float = 70.0, seed: int = 0, noise: float = 0.01) -> np.ndarray:
    """One clean lead in mV with R waves of 1 mV, the first after half a second."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    out_T = noise * rng.standard_normal(len(time_s))
    for beat_s in np.arange(0.5, duration_s, 60 / bpm) + rng.uniform(-0.02, 0.02):
        out_T += np.exp(-(((time_s - beat_s) / 0.012) ** 2)) + 0.25 * np.exp(-(((time_s - beat_s - 0.25) / 0.05) ** 2))
    return out_T


def recording(key: str = "r0", subject: str = "s0", labels: tuple[Label, ...] = (), **signals: Signal) -> Recording:
    signals = signals or {"ecg": lead(ecg(30.0))}
    return Recording(key, subject, signals, labels, session="1", trial=key, start_time="2020-01-01T00:00:00")


def lead(samples: np.ndarray, rate_hz: float = 256.0, unit: str = "mV", channel: str = "II") -> Signal:
    samples = np.asarray(samples)
    samples = samples[:, None] if samples.ndim == 1 else samples
    names = (channel,) if samples.shape[1] == 1 else tuple(f"{channel}{i}" for i in range(samples.shape[1]))
    return Signal(samples, rate_hz, unit, names)


@dataclasses.dataclass
class Config:
    """Recordings r0, r1, ...; two of each subject. `faults` turns some into bad files: "r2:truncated"."""

    root: str = ""
    num_recordings: int = 6
    duration_s: float = 20.0
    faults: tuple[str, ...] = ()
    in_a_file: int = 0  # recordings that would be in one; each then tells which process read it

    def make(self) -> "Toy":
        return Toy(self)


class Toy:
    name = "toy"
    label_specs = {"mood": LabelSpec(classes=("calm", "tense")), "arousal": LabelSpec(low=1, high=9, rater="self")}

    def __init__(self, config: Config):
        self.config = config
        self.faults = dict(fault.split(":") for fault in config.faults)

    def keys(self) -> tuple[str, ...]:
        return tuple(f"r{i}" for i in range(self.config.num_recordings))

    def group(self, key: str) -> str:
        return str(int(key[1:]) // self.config.in_a_file) if self.config.in_a_file else key

    def load(self, key: str) -> Recording:
        number, fault = int(key[1:]), self.faults.get(key)
        if fault == "dies":
            os._exit(9)
        if fault == "mistake":
            raise UserError("the pattern is wrong.")
        if fault == "no permission":
            raise PermissionError(errno.EACCES, "Permission denied", f"{key}.edf")
        if fault == "bad sector":
            raise OSError(errno.EIO, "Input/output error", f"{key}.edf")
        if fault and fault != "flat" and fault != "two leads":
            raise DataError(key, fault, "Fetch it again.")
        samples = (1 + number) * ecg(self.config.duration_s, seed=number, bpm=60 + 3 * number)
        samples = np.zeros_like(samples) if fault == "flat" else samples
        samples = np.stack([samples, samples], axis=1) if fault == "two leads" else samples
        labels = (Label("mood", 0.0, 10.0, float(number % 2)), Label("arousal", 0.0, self.config.duration_s, 5.5))
        events = (f"file {self.group(key)} by {os.getpid()}",) if self.config.in_a_file else ()
        return dataclasses.replace(recording(key, f"s{number // 2}", labels, ecg=lead(samples)), events=events)
