"""Files of PsPM (bachlab.org/pspm), in which its authors share recordings of fear and of emotion on Zenodo.

`data.zip`, or the folder `Data` in it, has a file a person (and session), `<SET>_spike_XX.mat`, and others without
signals. A file has `infos`, with its duration, and `data`, channels with a header each: type, rate, unit. Everything
is taken from the headers, since no two sets have the same channels. What PsPM's own reader tolerates is tolerated: row
vectors, empty channels, `channeltype` for `chantype`, capitals, lengths up to 3 samples off, `markerinfo` of another
length. What it refuses is refused: a file without a duration, a channel of another length, events outside the file's
duration (they are in seconds; in another unit the file would have to be guessed at).

`data_pp.zip` (folder `data_pp`) has the same recordings once more, with derived channels; it is read where there is
nothing else. PsPM-FR (Zenodo 5573765) is described by its readme; of HRM5, RRM1-2 and VIS no description was found, so
their people, channels and rates are what the files say.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files, base_mat, base_rates, base_zip
from ecgjax.errors import DataError, require
from ecgjax.signals.recording import LabelSpec, Recording, Signal

_FILE = re.compile(r"(?:.*/)?([^/]*_spike_[^/]*)\.mat", re.IGNORECASE)
_SESSION = re.compile(r"_spike_[^_]+_(.+)", re.IGNORECASE)
_PREPROCESSED = re.compile(r"(^|/)[^/]*_pp(\.zip|\.mat|/)", re.IGNORECASE)
_TYPES = {"ecg": "ecg", "eda": "scr", "resp": "resp", "bvp": "ppg", "emg": "emg"}
_TOLERANCE = 3  # samples, PsPM's
_MAX_MEMBER, _MAX_FILES = 1 << 29, 10_000  # bytes of a file in a zip, and files in it; ours
_MAX_HZ = 1e6


@dataclasses.dataclass
class Positions:
    """Which of several channels of a kind is read, in the order of the file: 0 the first."""

    ecg: int = 0
    eda: int = 0
    resp: int = 0
    bvp: int = 0
    emg: int = 0


@dataclasses.dataclass
class Config:
    """`root` is a folder, searched with its sub-folders for `*_spike_*.mat` and for zips, or one zip or file.

    `name` is for manifests and tables; empty takes the folder's. `subject` is a regex on the file's name whose first
    group is the subject: sets that share people must agree on it.
    """

    root: str = ""
    name: str = ""
    modalities: tuple[str, ...] = ("ecg", "eda", "resp")
    positions: Positions = dataclasses.field(default_factory=Positions)
    subject: str = r"_spike_0*(\d+)"

    def make(self) -> "Pspm":
        return Pspm(dataclasses.replace(self, positions=dataclasses.replace(self.positions)))


class Pspm:
    """A key is the name of a file without ".mat", as "PsPM-FR_spike_01"; a zip that is damaged has its own."""

    def __init__(self, config: Config):
        base_channels.check_modalities(config.modalities, _TYPES, "PsPM")
        for modality in config.modalities:
            position = getattr(config.positions, modality)
            require(position >= 0, f"--config.dataset.positions.{modality}", position, "0 or above")
        self.config = config
        self.name = base_files.dataset_name(config.name, config.root)
        self.label_specs: dict[str, LabelSpec] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._copied: set[tuple[str, str]] = set()

    def keys(self) -> tuple[str, ...]:
        self._places, self._copied = self._list()
        return tuple(sorted(self._places))

    def load(self, key: str) -> Recording:
        if not self._places:  # zips are not opened anew for every recording
            self._places, self._copied = self._list()
        file, member = self._places.get(key, ("", ""))
        if not file:
            raise DataError(key, "missing file", f"There is no {key}.mat below {self.config.root}.")
        path = base_files.locate(self.config.root, file)
        content = _unpacked(path, member) if file.lower().endswith(".zip") else None
        channels, events, start_time = _read_channels(path / member if member else path, content)
        events += [base_files.COPY] * ((file, member) in self._copied)
        signals = {}
        for modality in self.config.modalities:
            signal, met = self._signal(channels, modality, path / member if member else path)
            events += met
            if signal is not None:
                signals[modality] = signal
        if not signals:
            found = ", ".join(sorted({channel.type for channel in channels})) or "none"
            raise DataError(path / member, f"no {' or '.join(self.config.modalities)} channel", f"It has: {found}.")
        session = _SESSION.search(key)
        return Recording(
            key=key,
            subject=base_files.subject_of(self.config.subject, key),
            signals=signals,
            session=session.group(1) if session else "",
            start_time=start_time,
            events=tuple(events),
            sources=(file,),
        )

    def _list(self) -> tuple[dict[str, tuple[str, str]], set[tuple[str, str]]]:
        """(file and member of each key, one that is no zip before one that is; those with copies)."""
        pattern = r".*_spike_.*\.mat|.*\.zip"
        files = base_files.list_files(self.config.root, pattern, "*_spike_*.mat, nor a zip")
        places, broken = [], []
        for file in files:
            if not file.lower().endswith(".zip"):
                places.append((file, ""))
                continue
            try:
                infos = base_zip.members(base_files.locate(self.config.root, file), 1 << 40, _MAX_FILES)
            except DataError:  # listed all the same, so that loading it reports what is wrong
                broken.append((file, (file, "")))
                continue
            places += [(file, info.filename) for info in infos]
        places = [place for place in places if _FILE.fullmatch("/".join(place).rstrip("/"))]
        raw = [place for place in places if not _PREPROCESSED.search("/".join(place).rstrip("/"))]
        preferred = sorted(raw or places, key=lambda place: (place[1] != "", place))
        named = [(_FILE.fullmatch("/".join(place).rstrip("/"))[1], place) for place in preferred]
        told = f"{self.config.root}: holds no *_spike_*.mat. Check --config.dataset.root."
        return base_files.first_of_each(named + broken, told)

    def _signal(self, channels: "list[_Channel]", modality: str, path: Path) -> tuple[Signal | None, list[str]]:
        own = [channel for channel in channels if channel.type == _TYPES[modality] and not channel.is_event]
        full = [channel for channel in own if len(channel.values_T)]
        events = [f"pspm_empty_{modality}"] * (len(own) - len(full))
        position = getattr(self.config.positions, modality)
        if not full:
            return None, [*events, f"pspm_no_{modality}"]
        if position >= len(full):
            remedy = f"It has {len(full)}, --config.dataset.positions.{modality}={position}."
            raise DataError(path, f"fewer {modality} channels", remedy)
        events += [f"pspm_several_{modality}"] * (len(full) > 1)
        channel = full[position]
        _check_length(channel, path)
        unit, factor = base_channels.normal_unit(channel.unit)
        with np.errstate(all="ignore"):
            samples_T1 = (channel.values_T * np.float32(factor))[:, None]
        if not np.isfinite(samples_T1).any():
            return None, [*events, f"pspm_{modality}_all_nan"]
        return Signal(samples_T1, channel.rate_hz, unit, (channel.type,)), events


@dataclasses.dataclass(frozen=True)
class _Channel:
    type: str
    unit: str
    rate_hz: float
    values_T: np.ndarray
    duration_s: float  # of the file

    @property
    def is_event(self) -> bool:
        return self.unit.lower() == "events"


def _unpacked(path: Path, member: str) -> bytes:
    infos = base_zip.members(path, 1 << 40, _MAX_FILES)
    info = next((info for info in infos if info.filename == member), None)
    if info is None:
        raise DataError(path / member, "missing file", "The archive has it no more.")
    return base_zip.unpack(path, info, _MAX_MEMBER)


def _read_channels(path: Path, content: bytes | None) -> tuple[list[_Channel], list[str], str]:
    """All channels, what was met, and the start or "". Raises DataError where PsPM would not read the file."""
    found = base_mat.read_mat(path, ("infos", "data"), skip=("markerinfo",), keep=_in_single_precision, content=content)
    infos = base_mat.fields(base_mat.variable(found, "infos", path), "infos", path)
    duration_s = base_mat.number(infos.get("duration"))
    if not 0 < duration_s < 1e7:
        raise DataError(path, "no duration", "Its infos.duration, in seconds, is missing or none.")
    channels, events = [], []
    for number, cell in enumerate(base_mat.items(base_mat.variable(found, "data", path), "data", path), start=1):
        parts = base_mat.fields(cell, f"channel {number}", path)
        header = base_mat.fields(parts.get("header"), f"the header of channel {number}", path)
        values = base_mat.numbers(parts.get("data"), f"the data of channel {number}", path)
        if values.size and max(values.shape) != values.size:
            raise DataError(path, "other columns", f"Channel {number} is {values.shape} instead of one column.")
        spelled = "chantype" if "chantype" in header else "channeltype"
        events += ["pspm_channeltype"] * (spelled == "channeltype") + ["pspm_row_vector"] * (
            values.shape[0] == 1 < values.size
        )
        texts = (header.get(field) for field in (spelled, "units"))
        kind, unit = (text.strip()[:20] if isinstance(text, str) and text.isprintable() else "" for text in texts)
        rate_hz = base_mat.number(header.get("sr"))
        channels.append(_Channel(kind.lower(), unit, rate_hz, values.ravel(), duration_s))
        _check_events(channels[-1], path)
    # No source says how these are written; and of what was trimmed, which has a history, they tell the start no more.
    start_time = "" if "history" in infos else base_rates.local_time(infos.get("recdate"), infos.get("rectime"))
    return channels, events, start_time


def _in_single_precision(values: np.ndarray) -> np.ndarray:
    return base_mat.single(values) if values.size > 1 else values


def _check_events(channel: _Channel, path: Path) -> None:
    stamps_s = channel.values_T[np.isfinite(channel.values_T)] if channel.is_event else channel.values_T[:0]
    if ((stamps_s < 0) | (stamps_s > channel.duration_s * (1 + 1e-6))).any():
        remedy = f"Its {channel.type} run from {stamps_s.min():g} to {stamps_s.max():g} in {channel.duration_s:g} s."
        raise DataError(path, "events outside the duration", remedy)


def _check_length(channel: _Channel, path: Path) -> None:
    if not 0 < channel.rate_hz <= _MAX_HZ:
        raise DataError(path, "no sampling rate", f"The header of {channel.type} says {channel.rate_hz:g} Hz.")
    promised = channel.duration_s * channel.rate_hz
    if abs(len(channel.values_T) - promised) > _TOLERANCE:
        found = f"{channel.type} has {len(channel.values_T)} samples, {channel.duration_s:g} s at "
        raise DataError(path, "wrong length", f"{found}{channel.rate_hz:g} Hz would be {promised:.0f}.")
