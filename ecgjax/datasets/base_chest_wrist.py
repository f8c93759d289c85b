"""What WESAD and PPG-DaLiA share: a RespiBAN on the chest, an Empatica E4 on the wrist, and a pickle a person of both.

`SX.pkl` is a dict of "subject", "signal" with "chest" and "wrist", "label" and more, all beginning at the same second
(the readme of WESAD). Its keys are looked up in any case: the readme prints TEMP and RESP for the chest, the files have
Temp and Resp. Rates are those of the devices, since the files tell none.
"""

import dataclasses
import enum
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_channels, base_empatica, base_files, base_pickle
from ecgjax.errors import DataError
from ecgjax.signals.recording import Signal

_MAX_STRETCHES = 2000  # of one label; a protocol has some twenty. Ours
_APART_S = 1.0  # ours: two lengths that are the same but for rounding
_MATCHED_S = 10.0  # ours: so much of a signal is looked for in another


class Device(enum.Enum):
    CHEST = "chest"
    WRIST = "wrist"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A signal of a pickle: its key there, and what the numbers are."""

    key: str
    rate_hz: float
    unit: str
    channels: tuple[str, ...]
    scale: float = 1.0


CHEST = {
    "ecg": Kind("ECG", 700.0, "mV", ("ECG",)),
    "eda": Kind("EDA", 700.0, "uS", ("EDA",)),
    "emg": Kind("EMG", 700.0, "mV", ("EMG",)),
    "temp": Kind("Temp", 700.0, "degC", ("TEMP",)),
    "resp": Kind("Resp", 700.0, "%", ("RESP",)),
    "acc": Kind("ACC", 700.0, "g", ("x", "y", "z")),
}
WRIST = {
    modality: Kind(modality.upper(), kind.rate_hz, kind.unit, kind.channels, kind.scale)
    for modality, kind in base_empatica.KINDS.items()
}


def people(root: str, pattern: str, what: str) -> tuple[dict[str, str], set[str]]:
    """(file of each person, as "S2"; those with copies).

    Args:
      root: a folder, searched with its sub-folders, or one file.
      pattern: regex of a file's name, whose first group is the person.
      what: what is looked for, for the error message.

    Raises:
      UserError: there is none.
    """
    files = [(file, file.rsplit("/", 1)[-1]) for file in base_files.list_files(root, pattern, what)]
    named = ((m[1].upper(), file) for file, name in files if (m := re.fullmatch(pattern, name, re.IGNORECASE)))
    return base_files.first_of_each(named, f"{root}: is no {what}. Check --config.dataset.root.")


def wanted(kinds: Mapping[str, Kind], modalities: Collection[str]) -> dict[str, Kind]:
    """Those of the kinds that are wanted; all of them where nothing is.

    Raises:
      UserError: the device has no such modality.
    """
    base_channels.check_modalities(modalities, kinds, "this device")
    return {modality: kind for modality, kind in kinds.items() if not modalities or modality in modalities}


def read_signals(
    path: Path, tree: Any, device: Device, kinds: Mapping[str, Kind], name: str
) -> tuple[dict[str, Signal], list[str]]:
    """(signals, events) of one device of a pickle; a signal it lacks is an event, such as "wesad_no_emg".

    Raises:
      DataError: it has none of them, or one of another shape.
    """
    signals, events = {}, []
    for modality, kind in kinds.items():
        array = base_pickle.entry(tree, "signal", device.value, kind.key)
        if not isinstance(array, base_pickle.Array) or not math.prod(array.shape):
            events.append(f"{name}_no_{modality}")
            continue
        samples_TC = float32(_columns(path, array, kind), kind.scale)
        signals[modality] = Signal(samples_TC, kind.rate_hz, kind.unit, kind.channels)
    if not signals:
        raise DataError(path, "no signal", f"It has none of {', '.join(kinds)} of the {device.value}.")
    return signals, events


def _columns(path: Path, array: base_pickle.Array, kind: Kind) -> np.ndarray:
    columns = len(kind.channels)
    if array.shape[1:] != (columns,) and (columns > 1 or len(array.shape) != 1):
        remedy = f"{kind.key} has the shape {array.shape}, and should have {columns} column(s)."
        raise DataError(path, "unexpected shape", remedy)
    return array.read().reshape(-1, columns)


def float32(values_TC: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """A copy as it is kept; what is too large for it becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (values_TC * scale if scale != 1 else values_TC).astype(np.float32)


def read_stretches(path: Path, array: base_pickle.Array, what: str, rate_hz: float) -> list[tuple[float, float, int]]:
    """(start_s, stop_s, id) of each stretch of one id, of an array with an id a sample.

    Raises:
      DataError: it is no such array.
    """
    ids_T = array.read().reshape(-1)
    with np.errstate(invalid="ignore"):
        whole_T = ids_T.astype(np.int64)
    borders = np.flatnonzero(ids_T[1:] != ids_T[:-1]) + 1
    if max(array.shape, default=0) != len(ids_T) or (whole_T != ids_T).any() or len(borders) >= _MAX_STRETCHES:
        remedy = f"{what} must be one whole number a sample, which changes less than {_MAX_STRETCHES} times."
        raise DataError(path, "unreadable labels", remedy)
    edges = [0, *borders.tolist(), len(ids_T)] if len(ids_T) else []
    return [(a / rate_hz, b / rate_hz, int(whole_T[a])) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def unequal(signals: Mapping[str, Signal], labelled_s: float, name: str) -> list[str]:
    """An event for each signal that ends a second or more before or after the labels: "wesad_ecg_and_labels_differ"."""
    differ = [m for m, signal in signals.items() if abs(signal.duration_s - labelled_s) >= _APART_S]
    return [f"{name}_{modality}_and_labels_differ" for modality in differ]


def place_of(part: Signal, whole: Signal) -> float | None:
    """Second of `whole` at which `part` begins: where the middle of one is found in the other, to the last bit.

    None where it is not found, or at several places, as a frozen signal would be.
    """
    count = min(len(part.samples_TC), int(_MATCHED_S * part.rate_hz))
    first = (len(part.samples_TC) - count) // 2
    probe_T, whole_T = part.samples_TC[first : first + count, 0], whole.samples_TC[:, 0]
    places = np.arange(len(whole_T) - count + 1)
    for at in np.linspace(0, count - 1, 64).astype(int):  # few places are left after some of these
        places = places[whole_T[places + at] == probe_T[at]]
    same = [place for place in places[:100].tolist() if np.array_equal(whole_T[place : place + count], probe_T)]
    if len(same) != 1 or len(places) > 100:
        return None
    return whole.start_s + (same[0] - first) / whole.rate_hz
