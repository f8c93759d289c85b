"""WESAD (Schmidt et al., ICMI 2018): 15 people, nearly two hours each, with a RespiBAN belt and an Empatica E4.

Baseline, stress (the Trier test), amusement and two meditations, in folders `S2` to `S17` (without S12):

- `SX.pkl`: both devices on one clock, and the condition at 700 Hz. It was written by Python 2; by its size (S2 has 229
  bytes a sample, for 66 of numbers) in protocol 0, as text.
- `SX_respiban.txt`, and `SX_E4_Data.zip` or the folder of that name: each device by itself, longer than in the pickle.
  The readme says that the first begins with the labels, a public audit of the files that both signals of the pickle are
  cut out of these. So the pickle's ECG, or BVP, is looked for in them, and there are labels where it is found.
- `SX_quest.csv`: what people said after each condition; see `base_wesad_quest`.

Of the labels, 0 is transient, and 5, 6 and 7 are to be ignored (the readme).
"""

import dataclasses
import enum
import re
from pathlib import Path
from typing import Any

from ecgjax.datasets import (
    base_chest_wrist,
    base_empatica,
    base_files,
    base_labels,
    base_pickle,
    base_respiban,
    base_wesad_quest,
)
from ecgjax.datasets.base_chest_wrist import CHEST, WRIST, Device
from ecgjax.errors import DataError
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_CONDITIONS = ("transient", "baseline", "stress", "amusement", "meditation", "ignored 5", "ignored 6", "ignored 7")
_LABELS_HZ = 700.0
_SESSION = re.compile(r"(?:.*/)?(S\d+)_E4_Data(\.zip)?", re.IGNORECASE)


class Source(enum.Enum):
    PICKLE = "pickle"
    RAW = "raw"  # the text file of the belt, or the session of the wristband


@dataclasses.dataclass
class Config:
    """`root` is a folder, searched with its sub-folders, or one file. Empty `modalities` are all of the device."""

    root: str = ""
    device: Device = Device.CHEST
    source: Source = Source.PICKLE
    modalities: tuple[str, ...] = ()

    def make(self) -> "Wesad":
        return Wesad(dataclasses.replace(self))


class Wesad:
    """A key is a person, as "S2"."""

    name = "wesad"

    def __init__(self, config: Config):
        self.config = config
        self.label_specs = {"condition": LabelSpec(classes=_CONDITIONS), **base_wesad_quest.LABEL_SPECS}
        self._all = CHEST if config.device is Device.CHEST else WRIST
        self._kinds = base_chest_wrist.wanted(self._all, config.modalities)

    def keys(self) -> tuple[str, ...]:
        return tuple(sorted(self._files()[0]))

    def load(self, key: str) -> Recording:
        files, copied = self._files()
        file = files.get(key)
        if file is None:
            raise DataError(key, "missing file", f"There is nothing of it below {self.config.root}.")
        recording = self._pickled(key, file) if self.config.source is Source.PICKLE else self._raw(key, file)
        events = (*recording.events, *[base_files.COPY] * (file in copied))
        return dataclasses.replace(recording, events=events)

    def _files(self) -> tuple[dict[str, str], set[str]]:
        root = self.config.root
        if self.config.source is Source.PICKLE:
            return base_chest_wrist.people(root, r"(S\d+)\.pkl", "SX.pkl of WESAD")
        if self.config.device is Device.CHEST:
            return base_chest_wrist.people(root, r"(S\d+)_respiban\.txt", "SX_respiban.txt of WESAD")
        places = base_empatica.list_sessions(root)
        named = ((m[1].upper(), place) for place in places if (m := _SESSION.fullmatch(place)))
        return base_files.first_of_each(named, f"{root}: holds no SX_E4_Data of WESAD. Check --config.dataset.root.")

    def _pickled(self, key: str, file: str) -> Recording:
        path = base_files.locate(self.config.root, file)
        tree = _tree(path)
        signals, events = base_chest_wrist.read_signals(path, tree, self.config.device, self._kinds, self.name)
        if base_pickle.entry(tree, "subject") != key:
            events.append("wesad_other_subject_in_file")
        labels, told = _labels(tree, key, path)
        labelled_s = max((label.stop_s for label in labels), default=0.0)
        told += base_chest_wrist.unequal(signals, labelled_s, self.name) if labels else []
        within, outside = base_labels.on_axis(labels, signals, self.name)
        return Recording(
            key=key,
            subject=key,
            signals=signals,
            labels=within,
            events=(*events, *told, *outside),
            sources=(file,),
        )

    def _raw(self, key: str, file: str) -> Recording:
        """One device by itself, and what the pickle beside it says of the same samples."""
        path = base_empatica.locate_session(self.config.root, file)
        known = "ecg" if self.config.device is Device.CHEST else "bvp"
        modalities = tuple(dict.fromkeys((*self._kinds, known)))
        if self.config.device is Device.CHEST:
            everything, start_time, events = base_respiban.read(path, modalities, self.name)
            sources = (file,)
        else:
            session = base_empatica.read_session(path, modalities)
            everything, start_time, events = session.signals, session.start_time, [*session.events]
            sources = base_empatica.sources(self.config.root, path, session)
        signals = {modality: everything[modality] for modality in self._kinds if modality in everything}
        if not signals:
            raise DataError(path, "no signal", f"It has none of {', '.join(self._kinds)}.")
        pickled = path.absolute().with_name(f"{key}.pkl")
        labels, zero_s, told = self._labels_of_samples(key, pickled, known, everything.get(known))
        within, outside = base_labels.on_axis(labels, signals, self.name, zero_s)
        return Recording(
            key=key,
            subject=key,
            signals=signals,
            labels=within,
            start_time=start_time,
            events=(*events, *told, *outside),
            sources=sources,
        )

    def _labels_of_samples(
        self, key: str, path: Path, known: str, whole: Signal | None
    ) -> tuple[list[Label], float, list[str]]:
        """Labels of the pickle, the second of it at which `whole` begins, and events."""
        if not path.is_file():
            return [], 0.0, ["wesad_without_labels"]
        tree = _tree(path)
        kinds = {known: self._all[known]}
        part, _ = base_chest_wrist.read_signals(path, tree, self.config.device, kinds, self.name)
        start_s = None if whole is None else base_chest_wrist.place_of(part[known], whole)
        if start_s is None:
            return [], 0.0, ["wesad_not_synchronised"]
        labels, told = _labels(tree, key, path)
        return labels, -start_s, [*told, "wesad_synchronised_by_samples"]


def _tree(path: Path) -> Any:
    tree = base_pickle.read(path)
    if base_pickle.entry(tree, "activity") is not None:
        raise DataError(path, "another data set", "It has activities: take configs/prepare_ppg_dalia.py.")
    return tree


def _labels(tree: Any, key: str, path: Path) -> tuple[list[Label], list[str]]:
    """Labels of a pickle, and of the questionnaire beside it, and events."""
    array = base_pickle.entry(tree, "label")
    if not isinstance(array, base_pickle.Array):
        return [], ["wesad_without_labels"]
    stretches = base_chest_wrist.read_stretches(path, array, "label", _LABELS_HZ)
    known = [stretch for stretch in stretches if stretch[2] in range(len(_CONDITIONS))]
    events = ["wesad_unknown_condition"] * (len(stretches) - len(known))
    labels = [Label("condition", start_s, stop_s, float(number)) for start_s, stop_s, number in known]
    said, told = base_wesad_quest.read(path.with_name(f"{key}_quest.csv"), known)
    return [*labels, *said], [*events, *told]
