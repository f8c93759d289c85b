"""Writers of tiny files in the exact layouts of data sets. They know the formats, and nothing of the readers.

`CORPORA` has one entry a module of ecgjax/datasets; the contract tests read back what it writes.
"""

import dataclasses
import zipfile
from collections.abc import Callable, Sequence
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


def wave(num: int, size: int = 900, seed: int = 0) -> np.ndarray:
    """Whole numbers that look like nothing else: a sine and noise, within +-size."""
    noise = np.random.default_rng(seed).uniform(-1, 1, num)
    return np.round(size * (0.6 * np.sin(np.arange(num) / 9.0) + 0.4 * noise)).astype(np.int64)


def _wfdb(folder: Path) -> Corpus:
    found = {}
    for seed, record in enumerate(("p1/a", "p1/b", "p2/c")):
        ecg, other, eda = wave(1000, seed=seed), wave(1000, seed=9), wave(250, seed=seed + 20)
        signals = [WfdbSignal("V5", other, per_frame=4), WfdbSignal("mlii", ecg, gain="400(10)/mV", per_frame=4)]
        write_wfdb(folder / record[:2], record[3:], [*signals, WfdbSignal("GSR", eda, gain="100/uS")], "50/60(0)")
        values = {"ecg": (((ecg - 10) / 400)[:, None], 200.0, "mV", ("mlii",))}
        values["eda"] = ((eda / 100)[:, None], 50.0, "uS", ("GSR",))
        found[record] = Expected(record[:2], values)
    config = {"root": str(folder), "modalities": ("ecg", "eda"), "subject": r"^(p\d)/"}
    return Corpus(config, found, "p1/b.dat")


def _edf(folder: Path) -> Corpus:
    found = {}
    for seed, name in enumerate(("b.edf", "sub/a.edf")):
        eeg = EdfChannel("EEG Fp1", wave(1200, seed=8).reshape(6, 200), "uV")
        ecg = EdfChannel("ECG", wave(600, 9000, seed).reshape(6, 100), "uV", (-4000.0, 6000.0), (-16384, 16383))
        write_edf(folder / name, [eeg, ecg], kind="EDF+C")
        found[name] = Expected(name[-5], {"ecg": (ecg.values()[:, None] / 1000, 100.0, "mV", ("ECG",))})
    return Corpus({"root": str(folder)}, found, "b.edf")


def _csv(folder: Path) -> Corpus:
    found = {}
    for seed, name in enumerate(("x.csv", "y.csv")):
        volts = wave(500, seed=seed) / 1000
        rows = [f"{i / 125:.3f},{1000 * v:.0f},{i % 3}" for i, v in enumerate(volts)]
        (folder / name).write_text("\n".join(["time (s),Lead II (uV),marker", *rows]) + "\n")
        found[name] = Expected(name[0], {"ecg": (volts[:, None], 125.0, "mV", ("Lead II",))})
    return Corpus({"root": str(folder)}, found, "y.csv")


def _eegmat(folder: Path) -> Corpus:
    found = {}
    quality = {"Subject00": 0, "Subject07": 1}
    for subject, good in quality.items():
        for session, num_records in (("1", 5), ("2", 3)):
            ecg = EdfChannel("ECG ECG", wave(500 * num_records, 8000, good).reshape(num_records, 500))
            write_edf(folder / "ecg_only" / f"{subject}_{session}_ecg.edf", [ecg])
            values = {"ecg": (ecg.values()[:, None], 500.0, "mV", ("ECG ECG",))}
            labels = {"condition": float(session == "2"), "counter": float(good)}
            found[f"{subject}_{session}"] = Expected(subject, values, labels)
    header = "Subject,Age,Gender,Recording year,Number of subtractions,Count quality"
    rows = [f"{subject},20,F,2011,9.7,{good}" for subject, good in quality.items()]
    (folder / "subject-info.csv").write_text("\n".join([header, *rows]) + "\n")
    return Corpus({"root": str(folder)}, found, "ecg_only/Subject00_2_ecg.edf")


def _synthetic(folder: Path) -> Corpus:
    """Generated, so only what is fixed can be expected here; tests/test_synthetic.py looks inside."""
    found = {f"s{person:03d}/t{trial:02d}": Expected(f"s{person:03d}", {}) for person in (0, 1) for trial in (0, 1, 2)}
    return Corpus({"num_subjects": 2, "trials_per_subject": 3, "trial_s": 8.0}, found)


def _empatica(folder: Path) -> Corpus:
    scratch = folder.parent / "unpacked"
    found = {"p1/a": Expected("p1", write_e4(folder / "p1" / "a", 1644226061, 12.5, end="\r\n"))}
    for seed, key in enumerate(("p1/b.zip", "p2/1644226061_A0123B.ZIP"), start=1):
        found[key] = Expected(key[:2], write_e4(scratch / str(seed), 1644300000 + seed, 11.0, seed))
        (folder / key).parent.mkdir(exist_ok=True)
        write_zip(folder / key, scratch / str(seed), inside=("", "SX_E4_Data/")[seed - 1])
    return Corpus({"root": str(folder), "subject": r"^(p\d)/"}, found, "p1/b.zip")


def _stress_predict(folder: Path) -> Corpus:
    """S01 is not in the table of labels; tasks are 6 s long, every 6 s, from 15 s."""
    found, rows = {}, ["Participant,HR,respr,Time(sec),Label"]
    for number, kinds in enumerate(("EDA BVP TEMP", "EDA BVP TEMP ACC", "EDA BVP TEMP", "ACC"), start=1):
        key, start = f"S{number:02d}", 1644226000 + 90000 * number
        tags = [start + 15 + 6 * i for i in range(7)]
        place = folder / "Raw_data" / key
        found[key] = Expected(key, write_e4(place, start, 57.5, number, kinds, tags, f"tags_{key}.csv"))
        labelled = range(9, 57) if number > 1 else ()
        rows += [f"{number},,12.1,{start + i},{int(15 <= i < 51 and (i - 15) // 6 % 2 == 0)}" for i in labelled]
    (folder / "Processed_data").mkdir()
    (folder / "Processed_data" / "Improved_All_Combined_hr_rsp_binary.csv").write_text("\n".join(rows) + "\n")
    return Corpus({"root": str(folder)}, found, "Raw_data/S04/ACC.csv")


CORPORA: dict[str, Callable[[Path], Corpus]] = {
    "csv": _csv,
    "edf": _edf,
    "eegmat": _eegmat,
    "empatica": _empatica,
    "stress_predict": _stress_predict,
    "synthetic": _synthetic,
    "wfdb": _wfdb,
}
