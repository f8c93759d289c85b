"""Reads one EDF or BDF file: plain, continuous (EDF+C) and discontinuous (EDF+D), with signals at several rates.

Formats: Kemp et al. 1992 (EDF) and Kemp & Olivan 2003 (EDF+), edfplus.info; BDF is the same with samples of 24 bits
instead of 16 and other first bytes, biosemi.com/faq/file_format.htm. The header is read by the `edfio` package; the
checks before it, the samples (edfio would read a whole BDF file at once) and the record times are ours.
"""

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_channels
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError
from ecgjax.signals.recording import Signal

_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # bytes a signal of: label, transducer, ..., samples a record, reserved
_VERSIONS = {b"0": 2, b"": 2, b"\xffBIOSEMI": 3}  # first eight bytes: bytes a sample
_ANNOTATIONS = {2: "EDF Annotations", 3: "BDF Annotations"}
_ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15[^\x14]*)?\x14")
_MAX_SAMPLES = 2**28  # of one signal with its gaps, 12 days at 250 Hz: more is a broken time stamp
_CHUNK_BYTES = 1 << 22  # of one signal, converted at a time


def read_edf(
    path: Path, modalities: Sequence[str], channels: Channels
) -> tuple[dict[str, Signal], str, tuple[str, ...]]:
    """(signals by modality, ISO start time or "", events) of one file.

    Raises:
      DataError: neither EDF nor BDF, truncated, empty, or without a wanted channel.
    """
    import edfio

    layout = _Layout(path)
    with warnings.catch_warnings():  # edfio warns of what `_Layout` has judged already
        warnings.simplefilter("ignore")
        try:
            read = edfio.read_bdf if layout.sample_bytes == 3 else edfio.read_edf
            edf = read(io.BytesIO(layout.head()))
            signals = edf.signals
            names = [signal.label for signal in signals]
            units = [signal.physical_dimension for signal in signals]
        except (ValueError, IndexError, OSError) as error:
            raise DataError(path, "unreadable header", f"Not an EDF or BDF file: {error}.") from error
        try:
            start_time = edf.startdatetime.isoformat()
        except (ValueError, IndexError):  # anonymised, or no date
            start_time = ""
    if not signals:
        raise DataError(path, "header without signal", "The file holds annotations only; leave it out.")
    if len(signals) != len(layout.places):
        raise DataError(path, "unreadable header", "Its signals and its annotations cannot be told apart.")
    onsets_s = layout.record_onsets_s()
    events = list(layout.events)
    found = {}
    for modality in modalities:
        wanted = getattr(channels, modality, ())
        picked = base_channels.pick(modality, names, units, wanted, path)
        if picked:
            places = [layout.places[i] for i in picked]
            found[modality] = _signal(layout, [signals[i] for i in picked], places, onsets_s)
            events += ["ecg_channel_guessed"] * base_channels.was_guessed(modality, names[picked[0]], wanted)
    if not found:
        remedy = f"Its channels are {', '.join(names)}. Name one in --config.dataset.channels."
        raise DataError(path, f"no {' or '.join(modalities)} channel", remedy)
    return found, start_time, tuple(events)


class _Layout:
    """Where things lie in the file, from its first bytes; refuses what cannot be read in full."""

    def __init__(self, path: Path):
        self.path, self.events = path, []
        if not path.is_file():
            raise DataError(path, "missing file", "Check the folder.")
        size = path.stat().st_size
        if size == 0:
            raise DataError(path, "empty file", "Fetch it again.")
        with path.open("rb") as file:
            head = file.read(256)
            if len(head) < 256 or head[:8].strip() not in _VERSIONS:
                raise DataError(path, "unreadable header", "Not an EDF or BDF file.")
            self.sample_bytes = _VERSIONS[head[:8].strip()]
            num_signals = self._number(head[252:256], "number of signals", int)
            if not 0 < num_signals < 10_000:
                raise DataError(path, "header without signal", f"It promises {num_signals} signals.")
            fields = file.read(256 * num_signals)
        self.header_bytes = 256 * (num_signals + 1)
        if size < self.header_bytes:
            raise DataError(path, "truncated", f"{size} bytes are less than its header. Fetch it again.")
        self.record_s = self._number(head[244:252], "duration of a record", float)
        self.discontinuous = head[192:236].startswith((b"EDF+D", b"BDF+D"))
        at = num_signals * sum(_FIELDS[:8])
        per_record = [self._number(fields[at + 8 * i : at + 8 * i + 8], "samples", int) for i in range(num_signals)]
        labels = [fields[16 * i : 16 * i + 16].decode("ascii", "replace").strip() for i in range(num_signals)]
        if min(per_record) < 0 or sum(per_record) == 0:
            raise DataError(path, "unreadable header", "It promises no samples in a record.")
        ends = self.sample_bytes * np.cumsum(per_record)
        self.record_bytes = int(ends[-1])
        slices = [slice(int(end) - self.sample_bytes * n, int(end)) for n, end in zip(per_record, ends, strict=True)]
        stamps = [label == _ANNOTATIONS[self.sample_bytes] for label in labels]
        self.places = [place for place, is_stamp in zip(slices, stamps, strict=True) if not is_stamp]
        self.stamps = slices[stamps.index(True)] if True in stamps else None
        if self.places and not 0 < self.record_s < math.inf:
            raise DataError(path, "no sampling rate", f"Its records are said to take {self.record_s:g} s.")
        self.num_records = self._num_records(self._number(head[236:244], "number of records", int), size)

    def _number(self, field: bytes, what: str, kind: type):
        try:
            return kind(field.decode("ascii", "replace").strip("\x00 "))
        except ValueError as error:
            raise DataError(self.path, "unreadable header", f"Its {what} is {field!r}.") from error

    def _num_records(self, promised: int, size: int) -> int:
        present, rest = divmod(size - self.header_bytes, self.record_bytes)
        if promised > present:
            remedy = f"It holds {present} of {promised} records that its header promises. Fetch it again."
            raise DataError(self.path, "truncated", remedy)
        if promised == -1:  # the recorder was stopped before it could write the number
            self.events.append("edf_number_of_records_unknown")
        elif promised < present:
            self.events.append("edf_more_records_than_promised")
        if rest:
            self.events.append("edf_part_of_a_record_at_the_end")
        if present == 0:
            raise DataError(self.path, "no samples", "The file ends with its header; leave it out.")
        return present

    def head(self) -> bytes:
        """The header and the first record, whose time stamp may move the start by part of a second."""
        with self.path.open("rb") as file:
            return file.read(self.header_bytes + self.record_bytes)

    def records(self) -> np.ndarray:
        """(records, bytes of a record), mapped."""
        return np.memmap(self.path, np.uint8, "r", self.header_bytes, (self.num_records, self.record_bytes))

    def record_onsets_s(self) -> np.ndarray | None:
        """When each record of an EDF+D file starts, in seconds from the first; None where they follow each other."""
        if not self.discontinuous:
            return None
        if self.stamps is None:
            raise DataError(self.path, "no time stamps", "An EDF+D file must have an annotation signal.")
        matches = [_ONSET.match(row.tobytes()) for row in self.records()[:, self.stamps]]
        if None in matches:
            raise DataError(self.path, "no time stamps", f"Record {matches.index(None)} says not when it starts.")
        onsets_s = np.array([float(match.group(1)) for match in matches])
        if (np.diff(onsets_s) < self.record_s - 1e-3).any():
            raise DataError(self.path, "records overlap", "Its time stamps go back or overlap.")
        gaps = int((np.diff(onsets_s) > self.record_s + 1e-3).sum())
        self.events += ["edf_gap"] * gaps
        return onsets_s - onsets_s[0] if gaps else None


def _signal(layout: _Layout, picked: list, places: list[slice], onsets_s: np.ndarray | None) -> Signal:
    """Picked channels of one modality on one grid; NaN in the gaps between records."""
    names, units = [channel.label for channel in picked], [channel.physical_dimension for channel in picked]
    rates_hz = [channel.sampling_frequency for channel in picked]
    unit, rate_hz = base_channels.common_unit(names, units, rates_hz, layout.path), rates_hz[0]
    per_record = (places[0].stop - places[0].start) // layout.sample_bytes
    samples_TC = np.empty((layout.num_records * per_record, len(picked)), np.float32)
    for channel, place, samples_T in zip(picked, places, samples_TC.T, strict=True):
        gain, low, digital_low = _scale(layout.path, channel)
        factor, row = base_channels.normal_unit(channel.physical_dimension)[1], 0
        for digital in _digital(layout, place):
            samples_T[row : row + len(digital)] = ((digital.astype(np.float64) - digital_low) * gain + low) * factor
            row += len(digital)
    if onsets_s is not None:
        samples_TC = _with_gaps(layout.path, samples_TC, np.round(onsets_s * rate_hz).astype(np.int64))
    return Signal(samples_TC, float(rate_hz), unit, tuple(names))


def _digital(layout: _Layout, place: slice) -> Iterator[np.ndarray]:
    """A signal's whole numbers, a few records at a time; `place` is where its bytes lie in each record."""
    records, step = layout.records(), max(1, _CHUNK_BYTES // max(place.stop - place.start, 1))
    for start in range(0, layout.num_records, step):
        raw = np.ascontiguousarray(records[start : start + step, place])
        if layout.sample_bytes == 2:
            yield raw.view("<i2").ravel()
        else:
            wide = np.zeros((raw.size // 3, 4), np.uint8)
            wide[:, 1:] = raw.reshape(-1, 3)  # on top of four bytes, so that the shift keeps the sign
            yield wide.view("<i4").ravel() >> 8


def _scale(path: Path, channel: Any) -> tuple[float, float, int]:
    """(physical units a step, lowest physical value, its whole number)."""
    try:
        low, high = channel.physical_min, channel.physical_max
        digital_low, digital_high = channel.digital_min, channel.digital_max
    except ValueError as error:
        raise DataError(path, "unreadable header", f"Scale of {channel.label}: {error}.") from error
    if digital_low == digital_high or low == high:
        remedy = f"{channel.label} maps {digital_low}..{digital_high} to {low}..{high}, which is no scale."
        raise DataError(path, "unreadable header", remedy)
    return (high - low) / (digital_high - digital_low), low, digital_low


def _with_gaps(path: Path, samples_TC: np.ndarray, starts: np.ndarray) -> np.ndarray:
    per_record = len(samples_TC) // len(starts)
    total = int(starts[-1]) + per_record
    if total > _MAX_SAMPLES:
        raise DataError(path, "too long", f"Its time stamps span {total} samples; one of them must be wrong.")
    spread_TC = np.full((total, samples_TC.shape[1]), np.nan, np.float32)
    for record, start in enumerate(starts):
        spread_TC[start : start + per_record] = samples_TC[record * per_record : (record + 1) * per_record]
    return spread_TC
