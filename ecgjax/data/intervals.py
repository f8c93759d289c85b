"""Half-open intervals on the time axes of recordings: columns (recording, start_s, stop_s), and what holds what."""

from collections.abc import Iterable, Sequence

import numpy as np

EPSILON_S = 1e-6  # spans and strides are sums of floats; a microsecond is far below any sampling period here


def intersect(
    sets: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces that lie in one interval of every set. Each set: (recording, start_s, stop_s), disjoint within itself.

    Returns:
      (recording, start_s, stop_s), sorted by recording and time.
    """
    recording = np.concatenate([np.concatenate([r, r]) for r, _, _ in sets])
    time_s = np.concatenate([np.concatenate([start, stop]) for _, start, stop in sets])
    change = np.concatenate([np.repeat([1, -1], len(r)) for r, _, _ in sets])
    order = np.lexsort((change, time_s, recording))  # at equal times, ends come before starts
    covered = np.cumsum(change[order]) == len(sets)
    opens = np.flatnonzero(covered)
    return recording[order][opens], time_s[order][opens], time_s[order][opens + 1]


def containing(intervals: tuple[np.ndarray, ...], recording: np.ndarray, start_s: np.ndarray) -> np.ndarray:
    """Position of the last of the sorted intervals that begins at each start or before it; -1: none."""
    far = max(intervals[2].max(initial=0.0), start_s.max(initial=0.0)) + 1.0
    return np.searchsorted(intervals[0] * far + intervals[1], recording * far + start_s + EPSILON_S) - 1


def greatest(
    intervals: tuple[np.ndarray, ...], recording: np.ndarray, start_s: np.ndarray, window_s: float
) -> np.ndarray:
    """Position of the interval with the greatest value among those that reach into each window; -1 where none does."""
    found, best = np.full(len(start_s), -1), np.full(len(start_s), -np.inf)
    for position, (of, begin_s, end_s, _, value) in enumerate(zip(*intervals, strict=True)):
        reaches = (recording == of) & (start_s + window_s > begin_s + EPSILON_S) & (start_s < end_s - EPSILON_S)
        greater = reaches & (value > best)
        found[greater], best[greater] = position, value
    return found


def hulls(sets: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each recording the interval from the first start to the last stop in any of the sets."""
    recording, start_s, stop_s = (np.concatenate(column) for column in zip(*sets, strict=True))
    which, at = np.unique(recording, return_inverse=True)
    first_s, last_s = np.full(len(which), np.inf), np.full(len(which), -np.inf)
    np.minimum.at(first_s, at, start_s)
    np.maximum.at(last_s, at, stop_s)
    return which, first_s, last_s


def inside(
    intervals: tuple[np.ndarray, ...], recording: np.ndarray, start_s: np.ndarray, stop_s: np.ndarray
) -> np.ndarray:
    """Whether one of the intervals, sorted by recording and time, holds the whole of each stretch."""
    position = containing(intervals, recording, start_s)
    return (position >= 0) & (intervals[0][position] == recording) & (stop_s <= intervals[2][position] + EPSILON_S)


def mean_over(
    intervals: tuple[np.ndarray, ...], recording: np.ndarray, start_s: np.ndarray, stop_s: np.ndarray
) -> np.ndarray:
    """Mean over time of the values (column 4) of sorted intervals within each stretch.

    NaN where they do not cover it; an interval without a value covers nothing.
    """
    intervals = tuple(column[np.isfinite(intervals[4])] for column in intervals)
    if not len(intervals[0]):
        return np.full(len(start_s), np.nan)
    far = max(intervals[2].max(initial=0.0), stop_s.max(initial=0.0)) + 1.0
    ends = np.stack([intervals[0] * far + intervals[1], intervals[0] * far + intervals[2]], axis=1)
    lasts_s = intervals[2] - intervals[1]
    totals = []
    for weight in (lasts_s, lasts_s * intervals[4]):
        after = np.cumsum(weight)
        total = np.stack([after - weight, after], axis=1).ravel()
        totals.append(
            np.subtract(*(np.interp(recording * far + t_s, ends.ravel(), total) for t_s in (stop_s, start_s)))
        )
    covered_s, integral = totals
    whole = covered_s >= stop_s - start_s - EPSILON_S
    return np.where(whole, integral / np.maximum(covered_s, EPSILON_S), np.nan)
