"""Reads WFDB records (PhysioNet's format): listing, headers, and signals of one or several segments.

Formats, headers and codes: WFDB Applications Guide, header(5) and signal(5), physionet.org. Decoding is the `wfdb`
package's; the checks before it are ours, because it answers a short or missing file with whatever NumPy raises.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from ecgjax.datasets import base_channels, base_files
from ecgjax.errors import DataError, UserError
from ecgjax.signals.recording import Signal

_BITS = {"8": 8, "80": 8, "16": 16, "61": 16, "160": 16, "212": 12, "24": 24, "32": 32}  # a sample, uncompressed
_COMPRESSED = ("508", "516", "524")  # FLAC
_BLOCK_SAMPLES = 2**22  # decoded at once; bounds the memory of a Holter record
_MAX_SAMPLES = 2**30  # of one channel: a header that claims more is broken


def list_records(root: str) -> tuple[str, ...]:
    """Paths of records below a folder, sorted: those its RECORDS names, else every header that is no segment.

    Raises:
      UserError: nothing is there, or RECORDS leads out of the folder.
    """
    path = Path(record_root(root)).expanduser()
    if root and Path(f"{path}.hea").is_file():
        return (path.name,)
    path = base_files.existing_root(root)
    if not path.is_dir():
        raise UserError(f"{path}: not a WFDB record: there is no header {path.stem}.hea beside it.")
    if (path / "RECORDS").is_file():
        listed = _listed(path, "")
        if not listed:
            raise UserError(f"{path / 'RECORDS'}: names no record. Delete it to take every header in the folder.")
        return tuple(sorted(set(listed)))
    headers = base_files.list_files(root, r".*\.hea", "WFDB header (*.hea)")
    segments = {segment for name in headers for segment in _segments_named_in(path, name)}
    return tuple(sorted({name[: -len(".hea")] for name in headers} - segments))


def _listed(root: Path, folder: str) -> list[str]:
    names = []
    for line in (root / folder / "RECORDS").read_text(encoding="utf-8", errors="replace").split("\n"):
        entry = folder + line.strip()
        if not line.strip():
            continue
        if entry.startswith("/") or ".." in entry.split("/") or ":" in entry:
            raise UserError(f"{root / folder / 'RECORDS'}: {line.strip()!r} leads out of the folder.")
        nested = entry.endswith("/") and (root / entry / "RECORDS").is_file()
        names += _listed(root, entry) if nested else [entry.rstrip("/")]
    return names


def _segments_named_in(root: Path, name: str) -> set[str]:
    try:
        lines = (root / name).read_text(encoding="ascii", errors="ignore").split("\n")
    except OSError:  # listed as a record all the same, so that loading it reports what is wrong
        return set()
    lines = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if not lines or "/" not in lines[0][0]:
        return set()
    folder = name.rpartition("/")[0]
    return {f"{folder}/{line[0]}" if folder else line[0] for line in lines[1:]}


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
    from wfdb.io.header import HeaderSyntaxError

    if not path.with_name(path.name + ".hea").is_file():
        raise DataError(path, "missing header", f"There is no {path.name}.hea.")
    try:
        header = wfdb.rdheader(str(path))
    except (HeaderSyntaxError, ValueError, IndexError, OSError) as error:
        raise DataError(path, "unreadable header", f"Not a WFDB header: {error}.") from error
    if header.fs is None or not header.fs > 0:
        raise DataError(path, "no sampling rate", "Write it into the header's first line.")
    if isinstance(header, wfdb.Record) and header.n_sig and header.file_name:
        if len(set(header.file_name)) != len(set(zip(header.file_name, header.fmt, strict=True))):
            raise DataError(path, "unreadable header", "It states two formats for one signal file.")
        if not (min(header.samps_per_frame) > 0 and all(header.adc_gain)):
            raise DataError(path, "unreadable header", "It states a gain or a number of samples in a frame of 0.")
    return header


def _num_frames(path: Path, header) -> int:
    """Frames of a single-segment record, from the header, or from the file's size where the header does not say."""
    for name in dict.fromkeys(header.file_name or ()):
        if not path.with_name(name).is_file():
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
        if not segment.path.with_name(name).is_file():
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
    samples_TC = np.full((num_samples, len(picked)), np.nan, np.float32)
    row = 0
    for segment in header.segments:
        stop = row + segment.num_frames * per_frame
        if segment.header is not None and segment.num_frames:
            _fill(samples_TC[row:stop], header, segment, picked, per_frame)
        row = stop
    return Signal(samples_TC, header.frame_hz * per_frame, unit, tuple(names))


def _fill(out_TC: np.ndarray, header: Header, segment: Segment, picked: list[int], per_frame: int) -> None:
    """Decodes a segment block by block into physical values; wfdb turns the codes for "no sample" into NaN."""
    import wfdb

    record = segment.header
    columns = []  # (column of out, channel in the segment)
    for column, i in enumerate(picked):
        channel = record.sig_name.index(header.names[i]) if header.names[i] in record.sig_name else None
        channel = channel if header.by_name else i
        if channel is not None:
            columns.append((column, channel))
    if not columns:
        return
    _check_sizes(segment)
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
            part = wfdb.rdrecord(str(segment.path), start, end, channels, smooth_frames=False)
        except (ValueError, IndexError, OSError, RuntimeError) as error:
            raise DataError(segment.path, "unreadable signal file", f"{error}.") from error
        for (column, channel), values in zip(columns, part.e_p_signal, strict=True):
            _, factor = base_channels.normal_unit(record.units[channel])
            out_TC[start * per_frame : stop * per_frame, column] = values * factor if factor != 1 else values
    for column, channel in columns:  # a skewed signal ends before the others; wfdb marks one sample a frame of that
        skewed = (record.skew[channel] or 0) * per_frame
        out_TC[max(0, len(out_TC) - skewed) :, column] = np.nan
