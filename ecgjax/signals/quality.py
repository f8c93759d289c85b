"""The quality gate: which stretches of a signal are not worth learning from, and why.

Two passes. `raw_faults` looks at the samples as recorded, and what it finds is bridged before any filter can smear it.
`judge` looks at the filtered signal, segment by segment: is there a heartbeat in it? Rules are general, thresholds are
config, and a rule with a threshold of 0 is off.
"""

import dataclasses
import enum
import math

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ecgjax.errors import require
from ecgjax.signals.spans import (
    NO_SPANS,
    block_range,
    block_starts,
    bridge,
    group_quantile,
    rolling_quantile,
    runs,
    union,
    untouched,
)

NEIGHBOURS = 6  # beats on either side that a beat is compared with
MIN_BEAT_ENERGY = 0.02  # of the usual beat's: a seventh of its slope
MIN_JUDGED_S = 3.0  # a shorter rest of a segment holds too few beats to judge


class Reason(enum.IntEnum):
    """Why a sample is dropped; one with several faults counts under the lowest number. 0 is good."""

    NON_FINITE = 1
    PADDING = 2  # frozen at the very start or end of the recording
    FLAT = 3
    CLIPPED = 4
    OUT_OF_RANGE = 5
    BURST = 6
    WEAK = 7
    HEART_RATE = 8
    NO_REGULAR_BEATS = 9
    NO_VARIANCE = 10
    PAUSE = 11

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclasses.dataclass
class Gate:
    """Thresholds of one modality; 0 turns a rule off. Defaults of all rules are ours.

    Attributes:
      unit: the unit of the levels and ranges below; a signal in another unit is spared these rules.
      guard_s: dropped on both sides of a fault found in the raw samples, for what a filter makes of its edges.
      flat_s: a value frozen for so long is a fault.
      padding_s: the same at the very start or end of a recording, where a chain of frozen values counts as one.
      clip_s: so long at the recording's highest or lowest value is clipping.
      min_level, max_level: legal values (equal: off).
      max_range: of a second of raw signal, top to bottom.
      burst_ratio: range of a second over the usual one of the minute around it.
      segment_s: what the rules below judge at a time; 3 s or more.
      min_range: of the filtered signal, in three seconds of four; less is a lead that is off.
      min_bpm, max_bpm: beats found in a segment.
      max_pause_s: without a beat, in good signal; a lead that is off for a few seconds leaves its segment regular.
      min_prominence: of the steepest slopes over the median one, as energies: QRS complexes stand out, hum does not.
      min_similarity: correlation of the median beat with the second most similar of its neighbours. With neighbours,
        not with one template (Orphanidou et al. 2015), so that ectopic beats of one kind vouch for each other.
    """

    unit: str = ""
    guard_s: float = 0.25
    flat_s: float = 0.5
    padding_s: float = 0.1
    clip_s: float = 0.0
    min_level: float = 0.0
    max_level: float = 0.0
    max_range: float = 0.0
    burst_ratio: float = 0.0
    segment_s: float = 10.0
    min_range: float = 0.0
    min_bpm: float = 0.0
    max_bpm: float = 0.0
    max_pause_s: float = 0.0
    min_prominence: float = 0.0
    min_similarity: float = 0.0


def check(gate: Gate, name: str) -> None:
    """Raises a UserError that names the threshold which cannot be meant; `name` is that of the gate."""
    for field in dataclasses.fields(gate):
        if field.type is float:
            value = getattr(gate, field.name)
            require(math.isfinite(value), f"{name}.{field.name}", value, "a finite number")
            require(value >= 0 or field.name.endswith("_level"), f"{name}.{field.name}", value, "0 or above")
    for field, fits, wanted in (
        ("segment_s", gate.segment_s >= MIN_JUDGED_S, f"{MIN_JUDGED_S} or above"),
        ("burst_ratio", gate.burst_ratio == 0 or gate.burst_ratio > 1, "a ratio above 1, or 0 for none"),
        ("min_similarity", gate.min_similarity <= 1, "a correlation from 0 to 1"),
        ("max_level", gate.max_level >= gate.min_level, f"min_level={gate.min_level} or above"),
        ("max_bpm", gate.max_bpm == 0 or gate.max_bpm >= gate.min_bpm, f"min_bpm={gate.min_bpm} or above"),
    ):
        require(fits, f"{name}.{field}", getattr(gate, field), wanted)


def raw_faults(
    x_T: Float[np.ndarray, " T"], rate_hz: float, gate: Gate, unit_known: bool = True
) -> dict[Reason, Int[np.ndarray, "n 2"]]:
    """Half-open sample spans of the faults of one channel. Bridges them in `x_T`, in place."""
    if len(x_T) == 0:
        return {}
    faults = {Reason.NON_FINITE: runs(~np.isfinite(x_T))}
    bridge(x_T, faults[Reason.NON_FINITE])
    faults |= _frozen(x_T, rate_hz, gate)
    if unit_known and gate.max_level > gate.min_level:
        faults[Reason.OUT_OF_RANGE] = runs((x_T < gate.min_level) | (x_T > gate.max_level))
    bridge(x_T, union(*faults.values()))  # so that a step into padding is no burst
    if gate.burst_ratio or gate.max_range:
        faults |= _bursts(x_T, rate_hz, gate, unit_known, faults)
        bridge(x_T, union(*faults.values()))
    return faults


def _frozen(x_T: np.ndarray, rate_hz: float, gate: Gate) -> dict[Reason, np.ndarray]:
    """Padding, flat and clipped spans: all are runs of one value."""
    spans = runs(x_T[1:] == x_T[:-1]) + [0, 1]
    length_s = np.diff(spans)[:, 0] / rate_hz
    clipped = spans[:0]
    if gate.clip_s:
        held = spans[length_s >= max(gate.clip_s, 3 / rate_hz)]
        value = x_T[held[:, 0]]
        clipped = held[(value == x_T.max(initial=-np.inf)) | (value == x_T.min(initial=np.inf))]
    padding = _padding(spans[length_s >= gate.padding_s], len(x_T)) if gate.padding_s else spans[:0]
    flat = spans[length_s >= gate.flat_s] if gate.flat_s else spans[:0]
    return {Reason.PADDING: padding, Reason.FLAT: flat, Reason.CLIPPED: clipped}


def _padding(frozen: np.ndarray, length: int) -> np.ndarray:
    """Frozen spans at both ends, one after another: zeros, then a last value held."""
    lead, tail, start, stop = 0, len(frozen), 0, length
    while lead < tail and frozen[lead, 0] == start:
        start, lead = frozen[lead, 1], lead + 1
    while tail > lead and frozen[tail - 1, 1] == stop:
        stop, tail = frozen[tail - 1, 0], tail - 1
    return np.concatenate([frozen[:lead], frozen[tail:]])


def _bursts(x_T: np.ndarray, rate_hz: float, gate: Gate, unit_known: bool, faults: dict) -> dict[Reason, np.ndarray]:
    """Seconds that are far larger than their surroundings, or than anything of the body."""
    starts = block_starts(len(x_T), rate_hz)
    stops = np.append(starts[1:], len(x_T))
    range_B = block_range(x_T, starts)
    found = {}
    if unit_known and gate.max_range:
        found[Reason.OUT_OF_RANGE] = union(
            faults.get(Reason.OUT_OF_RANGE, NO_SPANS),
            np.stack([starts, stops], axis=1)[range_B > gate.max_range],
        )
    if gate.burst_ratio:
        whole = untouched(starts, stops, union(*faults.values()))
        usual_B = rolling_quantile(range_B, whole, 61, 0.5)
        bursts = runs(range_B > gate.burst_ratio * usual_B)
        bursts = bursts[np.diff(bursts)[:, 0] <= gate.segment_s]  # a longer one is how the signal is from now on
        bursts = np.clip(bursts + [-1, 1], 0, len(starts))  # they begin before and die away after their worst second
        found[Reason.BURST] = np.stack([starts[bursts[:, 0]], stops[bursts[:, 1] - 1]], axis=1)
    return found


def judge(
    y_T: Float[np.ndarray, " T"], code_T: UInt8[np.ndarray, " T"], rate_hz: float, gate: Gate, unit_known: bool = True
) -> None:
    """Adds to `code_T`, in place, the segments of the filtered channel `y_T` that hold no usable signal.

    Args:
      y_T: filtered signal of one channel.
      code_T: `Reason` of each sample, 0 where good; what is already bad is left out of the judgement.
    """
    if len(y_T) == 0:
        return
    first = block_starts(len(y_T), gate.segment_s * rate_hz)
    good_S = (np.diff(np.append(first, len(y_T))) - _count_bad(code_T, first)) / rate_hz
    judged_S = good_S >= MIN_JUDGED_S
    bad_S = {}
    if unit_known and gate.min_range:
        starts = block_starts(len(y_T), rate_hz)
        whole = _count_bad(code_T, starts) == 0
        range_S = group_quantile(block_range(y_T, starts)[whole], _segment(starts[whole], first), len(first), 0.75)
        bad_S[Reason.WEAK] = range_S < gate.min_range
    if gate.max_bpm:
        beats, energy_N, level_B, floor_B = find_beats(y_T, code_T == 0, rate_hz)
        bad_S |= _heartless(y_T, beats, level_B / np.maximum(floor_B, 1e-30), rate_hz, gate, first, good_S)
    stops = np.append(first[1:], len(y_T))
    for reason, bad in bad_S.items():
        for segment in np.flatnonzero(bad & judged_S):
            _drop(code_T[first[segment] : stops[segment]], reason)
    if gate.max_bpm and gate.max_pause_s:
        # Against the beats of the minute around: where the lead is off, the least ripple passes for a beat.
        usual_B = rolling_quantile(level_B, level_B > 0, 31, 0.5)
        strong = beats[energy_N > MIN_BEAT_ENERGY * usual_B[beats // _level_block(rate_hz)]]
        edges = np.concatenate([[0], strong, [len(y_T)]])
        good_N = np.add.reduceat(np.append(code_T == 0, False), edges[:-1], dtype=np.int64)
        for gap in np.flatnonzero(good_N > gate.max_pause_s * rate_hz):
            _drop(code_T[edges[gap] : edges[gap + 1]], Reason.PAUSE)


def _drop(code_T: np.ndarray, reason: Reason) -> None:
    code_T[code_T == 0] = reason


def _heartless(y_T, beats, prominence_B, rate_hz, gate, first, good_S) -> dict[Reason, np.ndarray]:
    segment = _segment(beats, first)
    bpm_S = np.bincount(segment, minlength=len(first)) / np.maximum(good_S, 1e-9) * 60
    blocks = np.arange(len(prominence_B)) * _level_block(rate_hz)
    prominence_S = group_quantile(prominence_B, _segment(blocks, first), len(first), 0.5)
    near, similarity = beat_similarity(y_T, beats, rate_hz)
    similarity_S = group_quantile(similarity, segment[near], len(first), 0.5)
    return {
        Reason.HEART_RATE: (bpm_S < gate.min_bpm) | (bpm_S > gate.max_bpm),
        Reason.NO_REGULAR_BEATS: (prominence_S < gate.min_prominence) | (similarity_S < gate.min_similarity),
    }


def find_beats(
    y_T: Float[np.ndarray, " T"], good_T: Bool[np.ndarray, " T"], rate_hz: float
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Where the slope's energy peaks, whatever the polarity; for judging quality, not for measuring intervals.

    Returns:
      Positions of beats and their energies, and for every 2 s the energy of a usual beat and the median energy.
    """
    from scipy import ndimage, signal

    lag = max(1, round(0.016 * rate_hz))
    block = _level_block(rate_hz)
    energy_BT = np.zeros((-(-len(y_T) // block), block))
    energy_T = energy_BT.reshape(-1)[: len(y_T)]
    if len(y_T) > 2 * lag:
        np.subtract(y_T[2 * lag :], y_T[: -2 * lag], out=energy_T[lag:-lag])
    energy_T *= energy_T
    energy_T[:] = ndimage.uniform_filter1d(energy_T, max(1, round(0.1 * rate_hz)))
    energy_T *= good_T
    peak_B = energy_BT.max(axis=1)
    level_B = rolling_quantile(peak_B, peak_B > 0, 5, 0.25)  # a low one, lest ectopic beats hide the others
    thin = max(1, round(0.03 * rate_hz))  # the energy is smooth enough, and a median is slow
    floor_B = np.median(energy_BT[:, ::thin], axis=1)
    height_T = np.repeat(np.maximum(0.25 * level_B, 1e-30), block)[: len(y_T)]
    beats, _ = signal.find_peaks(energy_T, height=height_T, distance=max(1, round(0.25 * rate_hz)))
    return beats, energy_T[beats], level_B, floor_B


def beat_similarity(
    y_T: Float[np.ndarray, " T"], beats: Int[np.ndarray, " n"], rate_hz: float
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Correlation of each beat with the second most similar of its neighbours.

    Returns:
      Which beats have at least two neighbours and a whole window of 0.6 s, and their correlation.
    """
    half = round(0.3 * rate_hz)
    near = np.flatnonzero((beats >= half) & (beats < len(y_T) - half))
    if len(near) < 3:
        return near[:0], np.zeros(0)
    tame_T = np.clip(y_T, -1e17, 1e17)  # the squares of larger ones, of damaged files, are none of float32
    beats_KT = np.lib.stride_tricks.sliding_window_view(tame_T, 2 * half + 1)[beats[near] - half].astype(np.float32)
    beats_KT -= beats_KT.mean(axis=1, keepdims=True)
    beats_KT /= np.maximum(np.linalg.norm(beats_KT, axis=1, keepdims=True), 1e-30)
    best = np.full(len(near), -1.0, np.float32)
    second = best.copy()
    for lag in range(1, min(NEIGHBOURS, len(near) - 1) + 1):
        correlation = np.einsum("kt,kt->k", beats_KT[lag:], beats_KT[:-lag])
        for side in (slice(lag, None), slice(None, -lag)):
            second[side] = np.maximum(second[side], np.minimum(best[side], correlation))
            best[side] = np.maximum(best[side], correlation)
    return near, second


def _segment(at: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.searchsorted(first, at, side="right") - 1


def _count_bad(code_T: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.bincount(_segment(np.flatnonzero(code_T), starts), minlength=len(starts))


def _level_block(rate_hz: float) -> int:
    return max(1, round(2.0 * rate_hz))
