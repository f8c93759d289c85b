"""PPG-DaLiA (Reiss et al., Sensors 2019, 19(14):3079): 15 people in daily life, two and a half hours each.

A RespiBAN and an Empatica E4 in `S1/S1.pkl` to `S15/S15.pkl`, pickles like WESAD's: made for the heart rate from a
wrist that moves. Of the belt only ECG, respiration and acceleration were recorded: its EDA, EMG and temperature are the
zeros of a converter with nothing plugged in (0 uS, -1.5 mV and -273.15 degC in a public print of S1), and not read.

Activities are at 4 Hz. The heart rate is that of the ECG, in windows of 8 s every 2 s; since labels must not overlap,
each holds here over the middle 2 s of its window.
"""

import dataclasses
from typing import Any

import numpy as np

from ecgjax.datasets import base_chest_wrist, base_files, base_labels, base_pickle
from ecgjax.datasets.base_chest_wrist import CHEST, WRIST, Device
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording

_ACTIVITIES = ("none", "sitting", "stairs", "table soccer", "cycling", "driving", "lunch", "walking", "working")
_ACTIVITY_HZ = 4.0
_WINDOW_S, _EVERY_S = 8.0, 2.0  # of heart rates
_MAX_WINDOWS = 100_000  # two days; ours
_LABEL_SPECS = {
    "activity": LabelSpec(classes=_ACTIVITIES),
    "heart_rate": LabelSpec(low=20, high=250, rater="ecg"),  # a minute; ends ours
}


@dataclasses.dataclass
class Config:
    """`root` is a folder, searched with its sub-folders, or one file. Empty `modalities` are all of the device."""

    root: str = ""
    device: Device = Device.WRIST
    modalities: tuple[str, ...] = ()

    def make(self) -> "PpgDalia":
        return PpgDalia(dataclasses.replace(self))


class PpgDalia:
    """A key is a person, as "S1"."""

    name = "ppg_dalia"

    def __init__(self, config: Config):
        self.config = config
        self.label_specs = dict(_LABEL_SPECS)
        chest = {modality: CHEST[modality] for modality in ("ecg", "resp", "acc")}
        device = chest if config.device is Device.CHEST else WRIST
        self._kinds = base_chest_wrist.wanted(device, config.modalities)

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted(self._files()[0]))

    def load(self, key: str) -> Recording:
        files, copied = self._files()
        file = files.get(key)
        if file is None:
            raise DataError(key, "missing file", f"There is no {key}.pkl below {self.config.root}.")
        path = base_files.locate(self.config.root, file)
        tree = base_pickle.read(path)
        activity = base_pickle.entry(tree, "activity")
        if not isinstance(activity, base_pickle.Array):
            raise DataError(path, "another data set", "It has no activities. WESAD's: configs/prepare_wesad.py.")
        signals, events = base_chest_wrist.read_signals(path, tree, self.config.device, self._kinds, self.name)
        if base_pickle.entry(tree, "subject") != key:
            events.append("ppg_dalia_other_subject_in_file")
        stretches = base_chest_wrist.read_stretches(path, activity, "activity", _ACTIVITY_HZ)
        known = [stretch for stretch in stretches if stretch[2] in range(len(_ACTIVITIES))]
        events += ["ppg_dalia_unknown_activity"] * (len(stretches) - len(known))
        labels = [Label("activity", start_s, stop_s, float(number)) for start_s, stop_s, number in known]
        labelled_s = stretches[-1][1] if stretches else 0.0
        rates, told = _heart_rates(base_pickle.entry(tree, "label"), labelled_s)
        told += base_chest_wrist.unequal(signals, labelled_s, self.name)
        within, outside = base_labels.on_axis([*labels, *rates], signals, self.name)
        return Recording(
            key=key,
            subject=key,
            signals=signals,
            labels=within,
            events=(*events, *told, *outside, *[base_files.COPY] * (file in copied)),
            sources=(file,),
        )

    def _files(self) -> tuple[dict[str, str], set[str]]:
        return base_chest_wrist.people(self.config.root, r"(S\d+)\.pkl", "SX.pkl of PPG-DaLiA")


def _heart_rates(array: Any, labelled_s: float) -> tuple[list[Label], list[str]]:
    """Of the middle of each window, and events."""
    if not isinstance(array, base_pickle.Array) or max(array.shape, default=0) > _MAX_WINDOWS:
        return [], ["ppg_dalia_no_heart_rates"]
    rates = array.read().reshape(-1).astype(np.float64)
    expected = max(0, int((labelled_s - _WINDOW_S) / _EVERY_S) + 1)
    events = ["ppg_dalia_other_number_of_heart_rates"] * (abs(len(rates) - expected) > 1)
    events += ["ppg_dalia_heart_rate_missing"] * int(np.count_nonzero(~np.isfinite(rates)))
    first_s = (_WINDOW_S - _EVERY_S) / 2
    starts_s = [first_s + _EVERY_S * i for i in range(len(rates))]
    pairs = zip(starts_s, rates.tolist(), strict=True)
    return [Label("heart_rate", at, at + _EVERY_S, rate) for at, rate in pairs if np.isfinite(rate)], events
