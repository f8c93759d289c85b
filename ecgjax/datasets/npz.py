"""NumPy archives (.npz) of signals, or of windows that somebody has cut from signals, such as PRESAGE's.

A file is one person: `segs` (windows, time, channels) or (time, channels), `fs` in Hz, and where they are known
`channel_names` and `units` (channels), `subject`, `scenario` (a session), and `hop`, the samples from the start of a
window to that of the next. Plain arrays alone are read: what needs pickle is refused, so a file cannot run code.

Windows that overlap are put together again, and cut anew as a model wants them: a window that begins within the one
before repeats its samples, which tells by how much they overlap, and that they are of one stretch. Where that ends, a
missing sample keeps windows from spanning the break. Windows that were normalised one by one, or do not overlap, hold
no stretch: they are taken each for itself, by `windows=APART`. There, overlapping ones are counted as events, since a
person whose file has 99.5 % overlap would have 200 times the weight.
"""

import dataclasses
import enum
import re
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError
from ecgjax.signals.recording import LabelSpec, Recording, Signal

_NUMBERS, _TEXTS = ("segs", "fs", "hop"), ("channel_names", "units", "subject", "scenario")
_MAX_BYTES = 2**28  # of an array, unpacked: six days of three channels at 4 Hz in windows that overlap by 99 %
_MAX_HEAD_BYTES, _MAX_TEXT_BYTES, _MAX_FILE_BYTES, _MAX_HZ = 2**12, 2**20, 2**30, 1e6
_MAX_WINDOWS = 2**20  # ours: of six days, one each half second
_BLOCK = 256  # windows that one process takes in a row
_MIN_JOINED = 0.5  # ours: if fewer windows than that go on with the one before, there is no stretch
_HEADER = re.compile(  # of the format .npy, as NumPy writes it for arrays of numbers and texts
    r"\{\s*'descr'\s*:\s*'([<>|=]?[fiuSU]\d{1,9})'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,"
    r"\s*'shape'\s*:\s*\(([\d,\s]*)\)\s*,?\s*\}\s*"
)
_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, TypeError)
_REMEDY = "Write it again with numpy.savez_compressed."


class Windows(enum.Enum):
    JOINED = "joined"  # put together where they overlap: a file is a recording
    APART = "apart"  # each window is a recording


@dataclasses.dataclass
class Config:
    """.npz files. `root` is a folder, searched with its sub-folders for `files` (a regex), or one file.

    `channels` names channels, by number ("0", "1", ...) where they have no names. `unit` is that of channels whose file
    states none. `subject` is a regex on the path of a file that states no subject, whose first group it is; empty takes
    the file's name.
    """

    root: str = ""
    name: str = ""
    modalities: tuple[str, ...] = ("eda", "bvp", "temp")
    channels: Channels = dataclasses.field(default_factory=Channels)
    windows: Windows = Windows.JOINED
    unit: str = ""
    files: str = r".*\.npz"
    subject: str = ""

    def make(self) -> "Npz":
        return Npz(dataclasses.replace(self, channels=dataclasses.replace(self.channels)))


class Npz:
    """A key is the file's path below the root, with `#window` where each is taken for itself."""

    def __init__(self, config: Config):
        self.config = config
        self.name = base_files.dataset_name(config.name, config.root)
        self.label_specs: dict[str, LabelSpec] = {}

    def keys(self) -> tuple[str, ...]:
        files = base_files.list_files(self.config.root, self.config.files, f"NumPy archive ({self.config.files})")
        if self.config.windows is Windows.JOINED:
            return files
        return tuple(sorted(key for file in files for key in self._window_keys(file)))

    def group(self, key: str) -> str:
        file, _, window = key.partition("#")
        return f"{file}#{int(window) // _BLOCK}" if window else file

    def load(self, key: str) -> Recording:
        config, (file, _, window) = self.config, key.partition("#")
        path = base_files.locate(config.root, file)
        held = _read(path)
        samples_TC, events = held.window(int(window)) if window else held.joined()
        signals = {}
        for modality in config.modalities:
            wanted = getattr(config.channels, modality, ())
            if picked := base_channels.pick(modality, held.names, held.units, wanted, path):
                signals[modality] = held.signal(samples_TC, picked, config.unit)
                events += ["ecg_channel_guessed"] * base_channels.was_guessed(modality, held.names[picked[0]], wanted)
        if not signals:
            remedy = f"Its channels are {', '.join(held.names)}. Name one in --config.dataset.channels."
            raise DataError(path, f"no {' or '.join(config.modalities)} channel", remedy)
        subject = held.subject or base_files.subject_of(config.subject, file.rpartition(".")[0] or file)
        return Recording(key, subject, signals, (), held.session, window, events=tuple(events), sources=(file,))

    def _window_keys(self, file: str) -> list[str]:
        try:
            num_windows = _num_windows(base_files.locate(self.config.root, file))
        except DataError:  # listed all the same, so that loading it reports what is wrong
            return [file]
        return [f"{file}#{window:06d}" for window in range(num_windows)] if num_windows else [file]


@dataclasses.dataclass(frozen=True)
class _Held:
    """What a file holds, and that must not be changed: it is kept for the next window."""

    path: Path
    segs_NTC: np.ndarray
    rate_hz: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    subject: str
    session: str
    hop: int  # 0: unknown

    def window(self, number: int) -> tuple[np.ndarray, list[str]]:
        if number >= len(self.segs_NTC):
            raise DataError(self.path, "missing window", f"It holds {len(self.segs_NTC)} and not number {number}.")
        overlaps = number > 0 and 0 < self.hop < self.segs_NTC.shape[1] and self._follows(number)
        return self.segs_NTC[number], ["npz_window_overlaps_the_one_before"] * overlaps

    def joined(self) -> tuple[np.ndarray, list[str]]:
        """The stretches that the windows were cut from, with a missing sample between them."""
        if len(self.segs_NTC) == 1:
            return self.segs_NTC[0], []
        follows = [bool(self.hop) and self._follows(number) for number in range(1, len(self.segs_NTC))]
        if np.mean(follows) < _MIN_JOINED:
            remedy = "Take each for itself by --config.dataset.windows=APART."
            raise DataError(self.path, "windows do not overlap", remedy)
        gap_1C = np.full((1, self.segs_NTC.shape[2]), np.nan, np.float32)
        parts = [self.segs_NTC[0]]
        for window_TC, goes_on in zip(self.segs_NTC[1:], follows, strict=True):
            parts += [window_TC[-self.hop :]] if goes_on else [gap_1C, window_TC]
        return np.concatenate(parts), ["npz_break"] * follows.count(False)

    def _follows(self, number: int) -> bool:
        return _overlap(self.segs_NTC[number - 1], self.segs_NTC[number], self.hop)

    def signal(self, samples_TC: np.ndarray, picked: list[int], unit: str) -> Signal:
        names, units = [self.names[i] for i in picked], [self.units[i] or unit for i in picked]
        normal = base_channels.common_unit(names, units, [self.rate_hz] * len(names), self.path)
        factors_C = np.array([base_channels.normal_unit(unit)[1] for unit in units])
        with np.errstate(all="ignore"):
            values_TC = (samples_TC[:, picked] * factors_C).astype(np.float32)
        return Signal(values_TC, self.rate_hz, normal, tuple(names))


def _overlap(one_TC: np.ndarray, next_TC: np.ndarray, hop: int) -> bool:
    """Whether a window that begins `hop` samples after another repeats it; missing samples are alike."""
    return np.array_equal(one_TC[hop:], next_TC[: len(next_TC) - hop], equal_nan=True)


def _find_hop(segs_NTC: np.ndarray) -> int:
    """The hop that most of some windows agree on, the least of several; 0 where none overlap.

    More than one window is asked, since in a flat one every hop fits.
    """
    length, votes = segs_NTC.shape[1], np.zeros(segs_NTC.shape[1], np.int64)
    for i in np.unique(np.linspace(0, len(segs_NTC) - 2, 9).astype(int)):
        one_TC, next_TC = segs_NTC[i], segs_NTC[i + 1]
        same = (one_TC == next_TC[0]) | (np.isnan(one_TC) & np.isnan(next_TC[0]))
        hops = [hop for hop in np.flatnonzero(same.all(axis=1)).tolist() if 0 < hop < length]
        votes[[hop for hop in hops if _overlap(one_TC, next_TC, hop)]] += 1
    return int(votes.argmax())


@base_files.keep_last
def _read(path: Path) -> _Held:
    base_files.check_size(path, _MAX_FILE_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            there = [name for name in (*_NUMBERS, *_TEXTS) if f"{name}.npy" in archive.namelist()]
            arrays = {name: _array(path, archive, name) for name in there}
        texts = {name: _texts(arrays[name]) for name in _TEXTS if name in arrays}
    except _FAULTS as error:
        raise DataError(path, _reason(path), f"{error}. {_REMEDY}") from error
    for name in ("segs", "fs"):
        if name not in arrays:
            raise DataError(path, f"no array {name}", _REMEDY)
    with np.errstate(all="ignore"):  # what is too large for float32 becomes infinite, and is gated
        segs_NTC = arrays["segs"].astype(np.float32, copy=False)
    segs_NTC = segs_NTC[None] if segs_NTC.ndim == 2 else segs_NTC
    if segs_NTC.ndim != 3 or not segs_NTC.size:
        raise DataError(path, "other layout", f"segs has shape {segs_NTC.shape}, not (windows, time, channels).")
    rate_hz, hop = (float(arrays[name].reshape(-1)[0]) if arrays.get(name, _NONE).size else 0 for name in ("fs", "hop"))
    if not 0 < rate_hz < _MAX_HZ:
        raise DataError(path, "no sampling rate", f"fs is {rate_hz:g}. {_REMEDY}")
    if not 0 <= hop <= segs_NTC.shape[1]:
        raise DataError(path, "other layout", f"hop is {hop:g}, where a window has {segs_NTC.shape[1]} samples.")
    num = segs_NTC.shape[2]
    names, units = texts.get("channel_names", tuple(map(str, range(num)))), texts.get("units", ("",) * num)
    if not len(names) == len(units) == num:
        raise DataError(path, "other layout", f"{len(names)} channel_names, {len(units)} units, {num} channels.")
    one = {name: set(texts.get(name, ())) - {""} for name in ("subject", "scenario")}
    for name, values in one.items():
        if len(values) > 1:
            raise DataError(path, f"more than one {name}", "Write a file for each.")
    subject, session = ("".join(values) for values in one.values())
    hop = int(hop) or (_find_hop(segs_NTC) if len(segs_NTC) > 1 else 0)
    return _Held(path, segs_NTC, rate_hz, names, units, subject, session, hop)


_NONE = np.zeros(0)


def _num_windows(path: Path) -> int:
    """How many windows a file holds, by the head of its array; 0 where it is a signal."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("segs.npy") as stream:
            shape = _head(path, stream)[1]
    except (*_FAULTS, KeyError) as error:
        raise DataError(path, _reason(path), f"{error}. {_REMEDY}") from error
    if len(shape) == 3 and shape[0] > _MAX_WINDOWS:  # each would be a key
        raise DataError(path, "other layout", f"It states {shape[0]} windows. Write it in several files.")
    return shape[0] if len(shape) == 3 else 0


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(path, "other layout", f"{name} is packed in another way than NumPy's. {_REMEDY}")
    with archive.open(info) as stream:
        dtype, shape, order = _head(path, stream)
        kinds, most = ("fiu", _MAX_BYTES) if name in _NUMBERS else ("SUiu", _MAX_TEXT_BYTES)
        num_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if dtype.kind not in kinds or num_bytes > most:
            raise DataError(path, "other layout", f"{name} is an array of {dtype} and {num_bytes} bytes. {_REMEDY}")
        content = stream.read(num_bytes)
        if len(content) != num_bytes or stream.read(1):  # the second also makes zipfile compare its checksum
            raise DataError(path, "truncated", f"{name} has not the {num_bytes} bytes that it states. {_REMEDY}")
    if dtype.kind == "U" and (np.frombuffer(content, f"{dtype.str[0]}u4") > sys.maxunicode).any():
        raise DataError(path, "other layout", f"{name} holds what is no text. {_REMEDY}")
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _head(path: Path, stream) -> tuple[np.dtype, tuple[int, ...], str]:
    """(dtype, shape, order) of an array in NumPy's format, up to where its values begin."""
    magic = stream.read(8)
    if magic[:7] not in (b"\x93NUMPY\x01", b"\x93NUMPY\x02", b"\x93NUMPY\x03"):
        raise DataError(path, "other layout", f"A member is no array. {_REMEDY}")
    form = "<H" if magic[6] == 1 else "<I"
    (length,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    match = _HEADER.fullmatch(stream.read(length).decode("latin1")) if length <= _MAX_HEAD_BYTES else None
    if match is None:
        raise DataError(path, "other layout", f"An array is not of plain numbers or texts. {_REMEDY}")
    shape = tuple(int(number) for number in match.group(3).split(",") if number.strip())
    return np.dtype(match.group(1)), shape, "F" if match.group(2) == "True" else "C"


def _texts(array: np.ndarray) -> tuple[str, ...]:
    values = array.reshape(-1).tolist()
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
    return tuple(text.strip().encode("utf-8", "replace").decode() for text in texts)


def _reason(path: Path) -> str:
    with path.open("rb") as file:
        return "truncated" if file.read(4) == b"PK\x03\x04" else "not a zip"
