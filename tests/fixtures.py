"""Writers of tiny files in the exact layouts of data sets. They know the formats, and nothing of the readers.

tests/corpora has one module for each of ecgjax/datasets; the contract tests read back what it writes.
"""

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a recording must be. `values`: by modality (samples_TC, rate_hz, unit, channels); `labels`: name: value."""

    subject: str
    values: dict[str, tuple[np.ndarray, float, str, tuple[str, ...]]]
    labels: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Fields of the Config that reads what was written, what it must find, and the file to break ("": no files)."""

    config: dict[str, object]
    recordings: dict[str, Expected]
    breakable: str = ""


@dataclasses.dataclass(frozen=True)
class WfdbSignal:
    """A line of a WFDB header and its digital samples. `file` defaults to the record's own .dat."""

    name: str
    digital_T: np.ndarray
    fmt: str = "16"
    gain: str = "200/mV"
    per_frame: int = 1
    skew: int = 0
    file: str = ""


def write_wfdb(folder: Path, record: str, signals: Sequence[WfdbSignal], rate: str = "250", tail: str = "") -> None:
    """A single-segment record: header(5) and signal(5). `rate` may carry a counter; `tail` follows the length."""
    folder.mkdir(parents=True, exist_ok=True)
    num_frames = len(signals[0].digital_T) // signals[0].per_frame
    lines = [f"# a comment before everything\n{record} {len(signals)} {rate} {num_frames}{tail}"]
    frames: dict[tuple[str, str], list[np.ndarray]] = {}
    for s in signals:
        file = s.file or f"{record}.dat"
        frames.setdefault((file, s.fmt), []).append(np.asarray(s.digital_T).reshape(num_frames, s.per_frame))
        fmt = s.fmt + (f"x{s.per_frame}" if s.per_frame > 1 else "") + (f":{s.skew}" if s.skew else "")
        lines.append(f"{file} {fmt} {s.gain} 12 0 {s.digital_T[0]} 0 0 {s.name}")
    (folder / f"{record}.hea").write_text("\n".join([*lines, "# Diagnose: none, 200(0)/mV"]) + "\n")
    for (file, fmt), parts in frames.items():
        (folder / file).write_bytes(_PACK[fmt](np.concatenate(parts, axis=1)))


def write_wfdb_segments(folder: Path, record: str, segments: Sequence[tuple[str, int]], num_signals: int, rate: str):
    """A header of several segments, which are written apart: (name, frames) each, "~" for a gap."""
    lines = [f"{record}/{len(segments)} {num_signals} {rate} {sum(length for _, length in segments)}"]
    (folder / f"{record}.hea").write_text("\n".join(lines + [f"{name} {length}" for name, length in segments]) + "\n")


def _pack_212(frames: np.ndarray) -> bytes:
    flat = frames.ravel().astype(np.int64) & 0xFFF
    first, second = np.append(flat, 0)[: 2 * ((len(flat) + 1) // 2)].reshape(-1, 2).T
    packed = np.stack([first & 0xFF, (first >> 8) | (second >> 8 << 4), second & 0xFF], axis=1)
    return packed.astype(np.uint8).tobytes()[: (3 * len(flat) + 1) // 2]


def _pack_differences(frames: np.ndarray) -> bytes:
    """Format 8, one sample a frame: the header's initial value is the first sample, so its difference is 0."""
    return np.diff(frames, axis=0, prepend=frames[:1]).astype(np.int8).tobytes()


_PACK = {
    "8": _pack_differences,
    "16": lambda frames: frames.astype("<i2").tobytes(),
    "24": lambda frames: frames.astype("<i4").ravel().view(np.uint8).reshape(-1, 4)[:, :3].tobytes(),
    "32": lambda frames: frames.astype("<i4").tobytes(),
    "61": lambda frames: frames.astype(">i2").tobytes(),
    "80": lambda frames: (frames + 128).astype(np.uint8).tobytes(),
    "160": lambda frames: (frames.astype(np.int64) + 32768).astype("<u2").tobytes(),
    "212": _pack_212,
}


@dataclasses.dataclass(frozen=True)
class EdfChannel:
    """A signal of an EDF file: digital samples of shape (records, samples a record) and how they scale."""

    label: str
    digital_RN: np.ndarray
    unit: str = "mV"
    physical: tuple[float, float] = (-5.0, 5.0)
    digital: tuple[int, int] = (-32768, 32767)

    def values(self) -> np.ndarray:
        (low, high), (first, last) = self.physical, self.digital
        return low + (self.digital_RN.ravel() - first) * (high - low) / (last - first)


def write_edf(
    path: Path, channels: Sequence[EdfChannel], kind: str = "", record_s: float = 1.0, promised: int | None = None,
    onsets_s: Sequence[float] = (), bits: int = 16,
) -> None:  # fmt: skip
    """A file of Kemp 1992 and 2003. `kind` "EDF+C" or "EDF+D" adds an annotation signal with the records' onsets.
    With 24 bits it is BioSemi's BDF, whose kinds are "24BIT", "BDF+C" and "BDF+D"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    num_records = len(channels[0].digital_RN)
    pack = _PACK[str(bits)]
    blocks = [np.frombuffer(pack(c.digital_RN), np.uint8).reshape(num_records, -1) for c in channels]
    rows = [(c.label, "", c.unit, *c.physical, *c.digital, "", c.digital_RN.shape[1], "") for c in channels]
    if "+" in kind:
        onsets_s = onsets_s or [i * record_s for i in range(num_records)]
        stamps = [
            f"+{onset:.12g}\x14\x14\0+{onset:.12g}\x151\x14note\x14\0".encode().ljust(66, b"\0") for onset in onsets_s
        ]
        blocks.insert(1, np.frombuffer(b"".join(stamps), np.uint8).reshape(num_records, 66))
        rows.insert(1, (f"{kind[:3]} Annotations", "", "", -1, 1, -32768, 32767, "", 528 // bits, ""))
    head = [("0" if bits == 16 else "?BIOSEMI", 8), ("X X X X", 80)]
    head += [("Startdate 02-JAN-2011 X X X", 80), ("02.01.11", 8), ("10.20.30", 8)]
    head += [(256 * (len(rows) + 1), 8), (kind, 44), (num_records if promised is None else promised, 8)]
    head += [(record_s, 8), (len(rows), 4)]
    text = "".join(f"{value:<{width}}" for value, width in head)
    for field, width in enumerate((16, 80, 8, 8, 8, 8, 8, 80, 8, 32)):
        text += "".join(f"{row[field]:<{width}}" for row in rows)
    path.write_bytes(text.encode("ascii").replace(b"?", b"\xff", 1) + np.concatenate(blocks, axis=1).tobytes())


def write_e4(folder: Path, start: int, seconds: float, seed: int = 0, kinds: str = "EDA BVP TEMP ACC", tags=(),
             tags_file: str = "tags.csv", end: str = "\n") -> dict:  # fmt: skip
    """A session of an Empatica E4 as a folder, each number as the device writes it. Returns values for `Expected`."""
    folder.mkdir(parents=True, exist_ok=True)
    eda, bvp = np.abs(wave(int(4 * seconds), seed=seed)) / 700 + 0.1, wave(int(64 * seconds), 90000, seed) / 100
    temp, acc = 32 + wave(int(4 * seconds), 80, seed + 1) / 100, wave(int(96 * seconds), 127, seed).reshape(-1, 3)
    eda[0] = 0  # in every file of the device
    long = f"{start}.000000"
    written = {  # values, their format, the rate and the start as the device writes them
        "EDA": (eda[:, None], "%.6f", "4.000000", long), "BVP": (bvp[:, None], "%.2f", "64.000000", f"{start}.00"),
        "TEMP": (temp[:, None], "%.2f", "4.000000", long), "ACC": (acc, "%d", "32.000000", long),
    }  # fmt: skip
    for kind in kinds.split():
        values_TC, form, rate, begin = written[kind]
        rows = [",".join(form % value for value in row) for row in values_TC]
        head = [", ".join([text] * values_TC.shape[1]) for text in (begin, rate)]
        (folder / f"{kind}.csv").write_bytes((end.join([*head, *rows]) + end).encode())
    (folder / "HR.csv").write_text(f"{start + 10}.000000\n1.000000\n72.00\n")
    (folder / "IBI.csv").write_text(f"{start}.000000, IBI\n12.5,0.812500\n")
    (folder / "info.txt").write_text(".csv files in this archive are in the following format: ...\n")
    (folder / tags_file).write_text("".join(f"{tag}\n" for tag in tags))
    eda[0] = np.nan
    values = {"EDA": (eda[:, None].round(6), 4.0, "uS", ("EDA",)), "BVP": (bvp[:, None], 64.0, "unknown", ("BVP",))}
    values |= {"TEMP": (temp[:, None], 4.0, "degC", ("TEMP",)), "ACC": (acc / 64, 32.0, "g", ("x", "y", "z"))}
    return {kind.lower(): values[kind] for kind in kinds.split()}


def write_zip(path: Path, folder: Path, inside: str = "") -> None:
    """The files of a folder, below the folder `inside` of the archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, inside + file.name)


def cells(values: Sequence, shape: tuple[int, ...] = (1, -1)) -> np.ndarray:
    """A MATLAB cell array, as `scipy.io.savemat` wants it."""
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array.reshape(shape)


def wave(num: int, size: int = 900, seed: int = 0) -> np.ndarray:
    """Whole numbers that look like nothing else: a sine and noise, within +-size."""
    noise = np.random.default_rng(seed).uniform(-1, 1, num)
    return np.round(size * (0.6 * np.sin(np.arange(num) / 9.0) + 0.4 * noise)).astype(np.int64)
