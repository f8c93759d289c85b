"""Reads WFDB records (PhysioNet's format): listing, headers, and signals of one or several segments.

Formats, headers and codes: WFDB Applications Guide, header(5) and signal(5), physionet.org. Decoding is the `wfdb`
package's; the checks before it are ours, because it answers a short or missing file with whatever NumPy raises.
"""

import dataclasses
import os.path
import re
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files
from ecgjax.errors import DataError, UserError, regex, require
from ecgjax.signals.recording import Signal

_BITS = {"8": 8, "80": 8, "16": 16, "61": 16, "160": 16, "212": 12, "24": 24, "32": 32}  # a sample, uncompressed
_COMPRESSED = ("508", "516", "524")  # FLAC
_BLOCK_SAMPLES = 2**22  # decoded at once; bounds the memory of a Holter record
_MAX_SAMPLES = 2**28  # of one channel, 12 days at 250 Hz: a header that claims more is broken, or a gap too long
_FAULTS = (ValueError, TypeError, LookupError, OverflowError, OSError, RuntimeError)  # of wfdb on damaged files
_MAX_HEADER_BYTES, _MAX_LIST_BYTES = 2**22, 2**28  # many times the longest of PhysioNet's


def list_records(root: str, wanted: str = "") -> tuple[str, ...]:
    """Paths of records below a folder, sorted: those its RECORDS names, else every header that is no segment.

    Without RECORDS, a signal file whose header is missing is listed too where headers beside it name files of its kind,
    so that loading it reports what is wrong.

    Args:
      root: a folder, or one record.
      wanted: regex that must occur in a record's path; empty takes all.

    Raises:
      UserError: nothing is there, or nothing that is wanted, or RECORDS leads out of the folder.
    """
    path = Path(record_root(root)).expanduser()
    if root and Path(f"{path}.hea").is_file():
        return (path.name,)
    path = base_files.existing_root(root)
    if not path.is_dir():
        raise UserError(f"{path}: not a WFDB record: there is no header {path.stem}.hea beside it.")
    has_list = (path / "RECORDS").is_file()
    listed = _listed(path, "") if has_list else _found(path)
    if not listed and has_list:
        raise UserError(f"{path / 'RECORDS'}: names no record. Delete it to take every header in the folder.")
    if not listed:
        raise UserError(f"{path}: holds no WFDB header (*.hea). Check --config.dataset.root.")
    if wanted:
        pattern = regex(wanted, "--config.dataset.records")
        listed = [record for record in listed if pattern.search(record)]
        require(bool(listed), "--config.dataset.records", wanted, f"a regex that occurs in paths below {path}")
    return tuple(sorted(set(listed)))


def _listed(root: Path, folder: str) -> list[str]:
    path = root / folder / "RECORDS"
    base_files.check_size(path, _MAX_LIST_BYTES)
    names = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        entry = folder + line.strip()
        if not line.strip():
            continue
        if not base_files.is_inside(entry.rstrip("/")):
            raise UserError(f"{path}: {line.strip()!r} leads out of the folder.")
        if entry.endswith("/") and os.path.isfile(root / entry / "RECORDS"):  # Path's raises on too long a name
            names += _listed(root, entry)
        elif entry.endswith("/") and os.path.isdir(root / entry):
            names += [entry + name for name in _found(root / entry)] or [entry.rstrip("/")]
        else:
            names.append(entry.rstrip("/"))
    return names


def _found(root: Path) -> list[str]:
    return [below + name for below, files in base_files.walk(root) for name in _records_of(root / below, files)]


def _records_of(folder: Path, files: list[str]) -> set[str]:
    """Records of one folder by its headers and signal files.

    A header is opened only where it may tell of others: a record of segments has no signal file of its own name.
    """
    headers = {name[:-4] for name in files if name[-4:].lower() == ".hea"}
    signals_beside = {name for name in files if name[-4:].lower() in (".dat", ".mat")}
    lone = {name for name in signals_beside if name[:-4] not in headers}
    if not lone and (len(headers) <= 1 or headers <= {name[:-4] for name in signals_beside}):
        return headers
    named = [_named_in(folder / f"{header}.hea") for header in headers]
    segments = {name for names, are_segments in named if are_segments for name in names}
    signals = {name for names, are_segments in named if not are_segments for name in names}
    kinds = {name[-4:] for name in signals}
    return headers - segments | {name[:-4] for name in lone - signals if name[-4:] in kinds}


def _named_in(path: Path) -> tuple[set[str], bool]:
    """What a header names, and whether these are segments (or else signal files)."""
    try:
        with path.open(encoding="ascii", errors="ignore") as file:
            lines = [line.split() for line in file.read(_MAX_HEADER_BYTES).split("\n") if not line.startswith("#")]
    except OSError:  # listed as a record all the same, so that loading it reports what is wrong
        return set(), False
    lines = [words for words in lines if words]
    return {words[0] for words in lines[1:]}, bool(lines) and "/" in lines[0][0]


def record_root(root: str) -> str:
    return re.sub(r"\.(hea|dat)$", "", root, flags=re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Segment:
    path: Path
    num_frames: int
    header: object  # wfdb.Record, or None where nothing was recorded


@dataclasses.dataclass(frozen=True)
class Header:
    """What a record holds. A frame is one step of the record's clock; fast signals have several samples in it."""

    path: Path
    frame_hz: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    samples_per_frame: tuple[int, ...]
    segments: tuple[Segment, ...]
    by_name: bool  # signals of a segment are found by name (variable layout), not by place
    start_time: str


def read_header(path: Path) -> Header:
    import wfdb

    master = _parse(path)
    by_name = False
    if isinstance(master, wfdb.MultiRecord):
        names = zip(master.seg_name, master.seg_len, strict=True)
        segments = [Segment(path.with_name(name), length, None) for name, length in names]
        by_name = master.layout == "variable"
        read = [dataclasses.replace(s, header=None if s.path.name == "~" else _parse(s.path)) for s in segments]
        if any(isinstance(s.header, wfdb.MultiRecord) for s in read):
            raise DataError(path, "unreadable header", "One of its segments has segments itself.")
        layout = next((s.header for s in read if s.header), None)
        segments = read[1:] if by_name else read
    else:
        layout = master
        segments = [Segment(path, _num_frames(path, master), master)]
    if layout is None or not layout.n_sig or not layout.sig_name:
        raise DataError(path, "header without signal", "The record holds no signals; leave it out.")
    if sum(s.num_frames for s in segments) == 0:
        raise DataError(
            path, "no samples", "Its header says so; leave it out, or write the length into its first line."
        )
    names = tuple(name or f"signal {i}" for i, name in enumerate(layout.sig_name))
    start = master.base_datetime.isoformat() if master.base_datetime else ""
    spf = tuple(layout.samps_per_frame)
    return Header(path, float(master.fs), names, tuple(layout.units), spf, tuple(segments), by_name, start)


def _parse(path: Path):
    """The header as wfdb reads it. Its grammar admits no name with a slash, colon or dots: no file elsewhere."""
    import wfdb

    file = path.with_name(path.name + ".hea")
    if not os.path.isfile(file):
        raise DataError(path, "missing header", f"There is no {path.name}.hea.")
    base_files.check_size(file, _MAX_HEADER_BYTES)
    try:
        header = wfdb.rdheader(str(path))
    except _FAULTS as error:
        raise DataError(path, "unreadable header", f"Not a WFDB header: {error}.") from error
    if header.fs is None or not header.fs > 0:
        raise DataError(path, "no sampling rate", "Write it into the header's first line.")
    if isinstance(header, wfdb.Record) and header.n_sig:
        if len(header.file_name or ()) != header.n_sig:
            remedy = f"It promises {header.n_sig} signals and describes {len(header.file_name or ())}. Fetch it again."
            raise DataError(path, "unreadable header", remedy)
        if len(set(header.file_name)) != len(set(zip(header.file_name, header.fmt, strict=True))):
            raise DataError(path, "unreadable header", "It states two formats for one signal file.")
        if not (min(header.samps_per_frame) > 0 and all(header.adc_gain)):
            raise DataError(path, "unreadable header", "It states a gain or a number of samples in a frame of 0.")
    return header


def _num_frames(path: Path, header) -> int:
    """Frames of a single-segment record, from the header, or from the file's size where the header does not say."""
    for name in dict.fromkeys(header.file_name or ()):
        if not os.path.isfile(path.with_name(name)):
            raise DataError(path, "missing signal file", f"The header names {name}, which is not beside it.")
    if header.sig_len is not None or not header.n_sig:
        return int(header.sig_len or 0)
    name, fmt = header.file_name[0], header.fmt[0]
    frame_samples = sum(s for s, other in zip(header.samps_per_frame, header.file_name, strict=True) if other == name)
    num_bytes = path.with_name(name).stat().st_size - (header.byte_offset[0] or 0)
    return max(0, _samples_in(num_bytes, fmt, path)) // frame_samples


def _samples_in(num_bytes: int, fmt: str, path: Path) -> int:
    if fmt in ("310", "311"):  # three samples in four bytes
        return num_bytes // 4 * 3
    if fmt not in _BITS:
        raise DataError(path, "unknown length", f"The header must say how long a signal of format {fmt} is.")
    return num_bytes * 8 // _BITS[fmt]


def _check_sizes(segment: Segment) -> None:
    """wfdb raises from inside a reshape, or returns fewer samples, where a signal file is short."""
    header = segment.header
    for name in dict.fromkeys(header.file_name):
        if not os.path.isfile(segment.path.with_name(name)):
            raise DataError(segment.path, "missing signal file", f"The header names {name}, which is not beside it.")
        rows = [i for i, other in enumerate(header.file_name) if other == name]
        if header.fmt[rows[0]] in _COMPRESSED:  # compressed: only decoding tells
            continue
        num_bytes = segment.path.with_name(name).stat().st_size - (header.byte_offset[rows[0]] or 0)
        needed = segment.num_frames * sum(header.samps_per_frame[i] for i in rows)
        slack = 2 if header.fmt[rows[0]] in ("310", "311") else 0  # a last block may be cut to what it holds
        present = _samples_in(num_bytes, header.fmt[rows[0]], segment.path) + slack
        if present < needed:
            remedy = f"{name} holds {present} of {needed} samples that its header promises. Fetch it again."
            raise DataError(segment.path, "truncated", remedy)


def sources(header: Header) -> tuple[str, ...]:
    """Names of the files that hold the record, all in the folder of its header."""
    parts = [s for s in header.segments if s.header is not None]
    signals = [name for part in parts for name in part.header.file_name]
    return tuple(dict.fromkeys([header.path.name + ".hea", *(p.path.name + ".hea" for p in parts), *signals]))


def lead_names(header: Header) -> list[str]:
    """Channel names made unique by a number, since they become keys."""
    return [f"{n}.{i}" if header.names.index(n) != i else n for i, n in enumerate(header.names)]


def read_signal(header: Header, picked: list[int]) -> Signal:
    """The picked channels of one modality on one grid, in the normal unit of the first; NaN where none was recorded."""
    names, units, rates = (
        [field[i] for i in picked] for field in (header.names, header.units, header.samples_per_frame)
    )
    unit, per_frame = base_channels.common_unit(names, units, rates, header.path), rates[0]
    num_samples = sum(s.num_frames for s in header.segments) * per_frame
    if num_samples > _MAX_SAMPLES:
        raise DataError(header.path, "too long", f"The header promises {num_samples} samples a channel.")
    columns = [_columns(header, segment, picked) for segment in header.segments]
    for segment, held in zip(header.segments, columns, strict=True):  # before memory is taken for what is promised
        if held:
            _check_sizes(segment)
    samples_TC = np.full((num_samples, len(picked)), np.nan, np.float32)
    row = 0
    for segment, held in zip(header.segments, columns, strict=True):
        stop = row + segment.num_frames * per_frame
        if held:
            _fill(samples_TC[row:stop], segment, held, per_frame)
        row = stop
    return Signal(samples_TC, header.frame_hz * per_frame, unit, tuple(names))


def _columns(header: Header, segment: Segment, picked: list[int]) -> list[tuple[int, int]]:
    """(column, channel in the segment) of the picked channels that a segment holds."""
    if segment.header is None or not segment.num_frames:
        return []
    if not header.by_name:
        return list(enumerate(picked))
    held = segment.header.sig_name
    return [(column, held.index(header.names[i])) for column, i in enumerate(picked) if header.names[i] in held]


def _fill(out_TC: np.ndarray, segment: Segment, columns: list[tuple[int, int]], per_frame: int) -> None:
    """Decodes a segment block by block into physical values; wfdb turns the codes for "no sample" into NaN."""
    import wfdb

    record = segment.header
    channels = [channel for _, channel in columns]
    if any(record.samps_per_frame[channel] != per_frame for channel in channels):
        raise DataError(segment.path, "rate changes between segments", "Give its segments one by one.")
    # Format 8 stores differences and compressed ones are sequential: both are read in one go.
    formats = {record.fmt[channel] for channel in channels}
    block = max(1, _BLOCK_SAMPLES // sum(record.samps_per_frame))
    block = segment.num_frames if formats & {"8", *_COMPRESSED} or record.sig_len is None else block
    for start in range(0, segment.num_frames, block):
        stop = min(start + block, segment.num_frames)
        end = None if record.sig_len is None else stop  # None: wfdb finds out by the file's size, as we did
        try:
            with np.errstate(all="ignore"):  # of a damaged gain: what becomes infinite is gated
                part = wfdb.rdrecord(str(segment.path), start, end, channels, smooth_frames=False)
        except _FAULTS as error:
            raise DataError(segment.path, "unreadable signal file", f"{error}.") from error
        for (column, channel), values in zip(columns, part.e_p_signal, strict=True):
            _, factor = base_channels.normal_unit(record.units[channel])
            with np.errstate(all="ignore"):
                out_TC[start * per_frame : stop * per_frame, column] = values * factor if factor != 1 else values
    for column, channel in columns:  # a skewed signal ends before the others; wfdb marks one sample a frame of that
        skewed = (record.skew[channel] or 0) * per_frame
        out_TC[max(0, len(out_TC) - skewed) :, column] = np.nan
