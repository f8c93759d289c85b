"""Reads a Poly5 file ("TMS32"), which TMSi's PortiLab and Polybench write: `.S00`, `.Poly5`.

The layout is that of FieldTrip's `read_tmsi_poly5`: a header of 217 bytes (version 2.03; 218 in 2.04), 136 bytes a
signal, then blocks of 86 bytes and float32 samples, interleaved. A channel is a pair of signals, its low and its high
word. FieldTrip scaled by the second description of a pair until 2022 and by the first since; where they differ, the
second is taken and an event tells. The clock in the blocks is compared with the rate, and that is only told, too:
nobody says when, while a block filled, it was read.
"""

import dataclasses
import datetime
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from ecgjax.datasets.base_rates import TOLERANCE
from ecgjax.errors import DataError

_VERSIONS = {203: 31, 204: 32}  # bytes of the text before the version
_HEADER = struct.Struct("<81shhBhi4x14siHHh64x")  # after the version
_SIGNAL = struct.Struct("<41s4x11s4f4x60x")
_BLOCK_HEADER = struct.Struct("<i4x14s64x")
_MAX_SIGNALS = 512
_MAX_SAMPLES = 1 << 25  # of a channel, with gaps: over four hours at 2048 Hz
_CHUNK_BYTES = 1 << 24
_CLOCK_S = 2.0  # ours: the clock counts whole seconds
_LONGEST_PAUSE_S = 2 * 3600.0  # ours, between files that go on with each other
_ABSURD = 1e9  # in whatever unit: no body signal, but what damaged bytes may say
_REFETCH = "Fetch it again."


class _Header(NamedTuple):
    measurement: bytes
    rate_hz: int
    storage_hz: int
    storage_type: int  # 0: storage_hz is a rate
    signals: int
    samples: int
    start: bytes
    blocks: int
    per_block: int
    block_bytes: int
    delta: int


@dataclasses.dataclass(frozen=True)
class Channel:
    """Its name without "(Lo)", its unit, and what takes a stored number to it: `stored * gain + offset`."""

    name: str
    unit: str
    gain: float
    offset: float


class Poly5:
    """The header of a file, checked against its size.

    Attributes:
      rate_hz, channels.
      num_samples: of a channel, stored; `length` counts those in gaps, too.
      start: by the clock of the recorder, which states no time zone; None where there is none.
      events: oddities met, as "poly5_...".

    Raises:
      DataError: it is none, truncated, compressed, or contradicts itself.
    """

    def __init__(self, path: Path):
        self.path, self.events = path, []
        if not path.is_file():
            raise DataError(path, "missing file", "Check the folder.")
        if not path.stat().st_size:
            raise DataError(path, "empty file", _REFETCH)
        with path.open("rb") as file:
            header, at = self._header(file.read(max(_VERSIONS.values()) + 2 + _HEADER.size))
            file.seek(at)
            self.channels = tuple(self._channels(file.read(_SIGNAL.size * header.signals), header.signals))
        self._check(header)
        self.rate_hz, self.num_samples, self._per_block = float(header.rate_hz), header.samples, header.per_block
        self._first = at + _SIGNAL.size * header.signals
        self._block_bytes = _BLOCK_HEADER.size + header.block_bytes
        self._num_blocks = -(-header.samples // header.per_block)
        self._check_size(header.blocks)
        index, clock = zip(*self._block_headers(), strict=True)
        self.start = _moment(header.start) or clock[0]
        self._starts = self._starts_of(np.array(index, np.int64))
        self._check_clock(clock[0], clock[-1])

    @property
    def length(self) -> int:
        return int(self._starts[-1]) + self._last()

    def read(self, picked: Sequence[int]) -> np.ndarray:
        """Channels by number: (samples, channels) float32 in their units, NaN where the recorder lost samples."""
        for channel in (self.channels[i] for i in picked):
            if not np.isfinite(channel.gain):
                self._refuse("unreadable header", f"{channel.name or 'A channel'} has no scale.")
        gain_C, offset_C = np.array([(self.channels[i].gain, self.channels[i].offset) for i in picked]).T
        samples_TC = np.full((self.length, len(picked)), np.nan, np.float32)
        block = 0
        for stored_BTC in self._blocks(picked):
            with np.errstate(invalid="ignore"):
                values_BTC = stored_BTC.astype(np.float64) * gain_C + offset_C
                values_BTC[~(np.abs(values_BTC) < _ABSURD)] = np.nan
            for start, values_TC in zip(self._starts[block:], values_BTC, strict=False):
                samples_TC[start : start + self._per_block] = values_TC[: len(samples_TC) - start]
            block += len(values_BTC)
        return samples_TC

    def _header(self, head: bytes) -> tuple[_Header, int]:
        """The header, and where it ends."""
        for version, at in _VERSIONS.items():
            told = head.startswith(b"POLY SAMPLE FIL") and head[at : at + 2] == version.to_bytes(2, "little")
            if told and len(head) >= at + 2 + _HEADER.size:
                header = _Header(*_HEADER.unpack_from(head, at + 2))
                if not 0 < header.signals <= _MAX_SIGNALS or header.signals % 2:
                    self._refuse("unreadable header", f"{header.signals} signals are no pairs.")
                return header, at + 2 + _HEADER.size
        self._refuse("unreadable header", "Not a Poly5 file of version 2.03 or 2.04.")

    def _channels(self, text: bytes, num_signals: int) -> Iterator[Channel]:
        if len(text) < num_signals * _SIGNAL.size:
            self._refuse("truncated", f"It ends within the descriptions of its signals. {_REFETCH}")
        rows = [(_pascal(name), _pascal(unit), scale) for name, unit, *scale in _SIGNAL.iter_unpack(text)]
        for (first, _, other), (second, unit, scale) in zip(rows[::2], rows[1::2], strict=True):
            if other != scale:
                self.events.append("poly5_scales_of_a_pair_differ")
            name = re.sub(r"^\((lo|hi)\)\s*", "", first or second, flags=re.IGNORECASE)
            low, high, stored_low, stored_high = scale
            usable = max(map(abs, scale)) < 1e30 and stored_low != stored_high and low != high
            gain = (high - low) / (stored_high - stored_low) if usable else np.nan
            yield Channel(name, unit, gain, low - stored_low * gain)

    def _check(self, header: _Header) -> None:
        if header.delta:
            self._refuse("compressed", "Its samples are stored as differences; export it without delta compression.")
        if header.rate_hz <= 0 or header.storage_type == 0 and header.storage_hz not in (0, header.rate_hz):
            self._refuse("wrong rate", f"Sampled at {header.rate_hz} Hz, it is stored at {header.storage_hz} Hz.")
        expected = header.per_block * len(self.channels) * 4
        if not expected or header.block_bytes != expected:
            what = f"{header.per_block} samples of {len(self.channels)} channels"
            self._refuse("unreadable header", f"A block of {header.block_bytes} bytes does not hold {what}.")
        if header.samples <= 0:
            self._refuse("no samples", "The file ends with its header; leave it out.")
        if header.samples > min(header.blocks * header.per_block, _MAX_SAMPLES):
            what = f"{header.samples} samples in {header.blocks} blocks of {header.per_block}"
            self._refuse("unreadable header", f"It promises {what}.")

    def _check_size(self, promised_blocks: int) -> None:
        """The last block may be filled in part; what comes after is no samples."""
        needed = self._first + self._num_blocks * self._block_bytes
        needed -= (self._per_block - self._last()) * len(self.channels) * 4
        if self.path.stat().st_size < needed:
            remedy = f"It has {self.path.stat().st_size} of the {needed} bytes that its header promises. {_REFETCH}"
            self._refuse("truncated", remedy)
        if promised_blocks > self._num_blocks:
            self.events.append("poly5_more_blocks_than_samples")

    def _last(self) -> int:
        """Samples in the last block."""
        return self.num_samples - (self._num_blocks - 1) * self._per_block

    def _block_headers(self) -> Iterator[tuple[int, datetime.datetime | None]]:
        with self.path.open("rb") as file:
            for block in range(self._num_blocks):
                file.seek(self._first + block * self._block_bytes)
                index, stamp = _BLOCK_HEADER.unpack(file.read(_BLOCK_HEADER.size))
                yield index, _moment(stamp)

    def _blocks(self, picked: Sequence[int]) -> Iterator[np.ndarray]:
        """(blocks, samples, picked channels) as stored, a few blocks at a time."""
        step = max(1, _CHUNK_BYTES // self._block_bytes)
        with self.path.open("rb") as file:
            file.seek(self._first)
            for block in range(0, self._num_blocks, step):
                count = min(step, self._num_blocks - block)
                raw = file.read(count * self._block_bytes).ljust(count * self._block_bytes, b"\0")
                blocks = np.frombuffer(raw, np.uint8).reshape(count, self._block_bytes)[:, _BLOCK_HEADER.size :]
                stored = np.ascontiguousarray(blocks).view("<f4")
                yield stored.reshape(count, self._per_block, len(self.channels))[:, :, list(picked)]

    def _starts_of(self, index: np.ndarray) -> np.ndarray:
        """The first sample of each block: as the blocks number it where that can be, else one after the other."""
        said = index - index[0]
        lost = np.diff(said) - self._per_block
        if (lost < 0).any() or said[-1] + self._per_block > _MAX_SAMPLES:
            self.events.append("poly5_numbers_of_blocks_cannot_be")
            return np.arange(len(index), dtype=np.int64) * self._per_block
        self.events += ["poly5_gap"] * int(np.count_nonzero(lost))
        return said

    def _check_clock(self, first: datetime.datetime | None, last: datetime.datetime | None) -> None:
        if first is None or last is None or first == last:
            return
        expected_s = float(self._starts[-1]) / self.rate_hz
        if abs((last - first).total_seconds() - expected_s) > TOLERANCE * expected_s + _CLOCK_S:
            self.events.append("poly5_clock_disagrees_with_rate")

    def _refuse(self, reason: str, remedy: str) -> NoReturn:
        raise DataError(self.path, reason, remedy)


def offsets(parts: Sequence[Poly5], events: list[str]) -> list[int]:
    """The first sample of each of the files that go on with each other, on the axis of the first.

    By the start that their headers state, where it can be: else one begins where the one before ends. Pauses, and
    files placed without a clock, are told in `events`.

    Raises:
      DataError: they differ in rate.
    """
    found, stop, first = [0], parts[0].length, parts[0]
    for part in parts[1:]:
        if part.rate_hz != first.rate_hz:
            raise DataError(part.path, "wrong rate", f"{part.rate_hz:g} Hz, but {first.rate_hz:g} Hz before.")
        pause_s = np.nan
        if part.start and first.start:
            pause_s = (part.start - first.start).total_seconds() - stop / part.rate_hz
        if not -_CLOCK_S <= pause_s <= _LONGEST_PAUSE_S:
            events.append("poly5_placed_without_clock")
        elif pause_s > _CLOCK_S:
            events.append("poly5_pause_between_files")
            stop += round(pause_s * part.rate_hz)
        found.append(stop)
        stop += part.length
    return found


def _pascal(text: bytes) -> str:
    """A string that begins with its length."""
    return text[1 : 1 + text[0]].decode("latin-1").strip("\0 ")


def _moment(stamp: bytes) -> datetime.datetime | None:
    """Of year, month, day, day of the week, hour, minute, second."""
    year, month, day, _, hour, minute, second = struct.unpack("<7h", stamp)
    try:
        return datetime.datetime(year, month, day, hour, minute, second) if year >= 1980 else None
    except ValueError:
        return None
