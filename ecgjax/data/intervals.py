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


def union(
    sets: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], window_s: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretches of each recording that lie in intervals of any of the sets; those that touch are one.

    With `window_s`, a stretch starts later and stops earlier, each by at most a tenth of it (ours), so as to leave out
    where sensors that start or stop together nearly do not quite; unless less than `window_s` would be left.
    """
    of, start_s, stop_s = (np.concatenate(column) for column in zip(*sets, strict=True))
    change = np.repeat([1, -1], len(of))
    recording, time_s = np.concatenate([of, of]), np.concatenate([start_s, stop_s])
    order = np.lexsort((-change, time_s, recording))  # at equal times, starts come before ends
    depth = np.cumsum(change[order])
    opens, closes = (depth == 1) & (change[order] == 1), depth == 0
    recording, first_s, last_s = recording[order][opens], time_s[order][opens], time_s[order][closes]
    if window_s:
        which = containing((recording, first_s, last_s), of, start_s)
        late, early = (gap_s <= window_s / 10 for gap_s in (start_s - first_s[which], last_s[which] - stop_s))
        inner = first_s.copy(), last_s.copy()
        np.maximum.at(inner[0], which[late], start_s[late])
        np.minimum.at(inner[1], which[early], stop_s[early])
        fits = inner[1] - inner[0] >= window_s - EPSILON_S
        first_s, last_s = np.where(fits, inner[0], first_s), np.where(fits, inner[1], last_s)
    return recording, first_s, last_s


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
