"""What every reader returns: one recording with its signals and labels on one time axis, in seconds."""

import dataclasses
import hashlib
import math

import numpy as np

_BLOCK = 1 << 20  # samples digested at a time


@dataclasses.dataclass(frozen=True)
class Signal:
    """One modality on its own regular grid.

    Attributes:
      samples_TC: physical values, float32 or float64, time first; NaN where the device recorded nothing.
      rate_hz: samples a second.
      unit: "mV", "uS", "degC", ...; "unknown" is legal.
      channels: one name a column.
      start_s: when sample 0 was taken, in seconds from the recording's start.
    """

    samples_TC: np.ndarray
    rate_hz: float
    unit: str
    channels: tuple[str, ...]
    start_s: float = 0.0

    def __post_init__(self):
        if self.samples_TC.ndim != 2 or self.samples_TC.shape[1] != len(self.channels):
            raise ValueError(f"samples {self.samples_TC.shape} do not fit the channels {self.channels}")
        if not self.rate_hz > 0:
            raise ValueError(f"rate_hz is {self.rate_hz}")

    @property
    def duration_s(self) -> float:
        return len(self.samples_TC) / self.rate_hz

    def digest(self) -> str:
        """16 hex digits of the samples alone: the same under whatever name, unit or rate a file gives them."""
        digest = hashlib.sha256()
        for start in range(0, len(self.samples_TC), _BLOCK):
            digest.update(np.ascontiguousarray(self.samples_TC[start : start + _BLOCK], np.float32))
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Label:
    """A value that holds over [start_s, stop_s) of a recording: a class index, or a rating on its scale."""

    name: str
    start_s: float
    stop_s: float
    value: float


@dataclasses.dataclass(frozen=True)
class LabelSpec:
    """What a label's values mean.

    Attributes:
      classes: names of class 0, 1, ...; empty for a rating.
      low, high: ends of a rating's scale.
      rater: who gave it: "protocol", "self", "external", ...
    """

    classes: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    rater: str = "protocol"

    def holds(self, value: float) -> bool:
        """Whether it is one of the classes, or on the scale where one is given. A missing rating, NaN, is none."""
        if self.classes:
            return value in range(len(self.classes))
        return self.low >= self.high or math.isnan(value) or self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Recording:
    """One stretch of signals of one person.

    Attributes:
      key: unique within the data set, and stable over runs and file orders.
      subject: the person; splits keep a subject on one side.
      signals: by modality: "ecg", "eda", "bvp", "temp", "resp", "emg", "acc".
      labels: intervals on the recording's time axis.
      session, trial: identifiers where the data set has them.
      start_time: ISO 8601 where the files tell, else "".
      events: oddities the reader met and mended, one short countable name each.
      sources: the files of its signals, relative to the data set's root; tables beside them are not named.
    """

    key: str
    subject: str
    signals: dict[str, Signal]
    labels: tuple[Label, ...] = ()
    session: str = ""
    trial: str = ""
    start_time: str = ""
    events: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
