"""Means and variances that can be merged: of spans, of recordings, of a subject; and who is z-scored by whose."""

import dataclasses
import enum
from collections.abc import Callable, Sequence

import numpy as np


class Normalise(enum.Enum):
    """Whose mean and standard deviation become 0 and 1, channel by channel, over good spans only."""

    NONE = "none"
    RECORDING = "recording"
    SUBJECT = "subject"
    # As Sarkar & Etemad's code divides: by the deviation of the central 95 % of the samples, which is smaller.
    SUBJECT_CENTRAL = "subject_central"
    # As that code runs: its count of a subject's files never rises, so that only the last of them is looked at.
    LAST_CENTRAL = "last_central"


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of each channel, such that parts can be merged."""

    count: int
    mean_C: np.ndarray
    squares_C: np.ndarray

    @property
    def std_C(self) -> np.ndarray:
        return np.sqrt(self.squares_C / max(self.count, 1))


def moments_of(samples_TC: np.ndarray, rows: np.ndarray) -> Moments:
    """Of the rows within half-open spans (n, 2), at least one."""
    parts = []
    for start, stop in rows:
        mean_C = samples_TC[start:stop].mean(axis=0, dtype=np.float64)
        off_TC = samples_TC[start:stop] - mean_C
        parts.append(Moments(int(stop - start), mean_C, np.einsum("tc,tc->c", off_TC, off_TC)))
    return merge(parts)


def merge(parts: Sequence[Moments]) -> Moments:
    """Moments of everything together (Chan et al. 1979), in the order given, so that the result is always the same."""
    total = parts[0]
    for part in parts[1:]:
        count = total.count + part.count
        shift_C = part.mean_C - total.mean_C
        mean_C = total.mean_C + shift_C * (part.count / count)
        squares_C = total.squares_C + part.squares_C + shift_C**2 * (total.count * part.count / count)
        total = Moments(count, mean_C, squares_C)
    return total


def good_samples(samples_TC: np.ndarray, spans_s: np.ndarray, rate_hz: float) -> np.ndarray:
    """What lies in half-open spans (n, 2), in seconds after the first sample."""
    return np.concatenate([samples_TC[start:stop] for start, stop in np.rint(spans_s * rate_hz).astype(np.int64)])


def central_std(samples_TC: np.ndarray) -> np.ndarray:
    """Standard deviation of what lies between the 2.5th and the 97.5th percentile of each channel, (C,)."""
    count = len(samples_TC)
    middle = np.sort(samples_TC, axis=0)[int(0.025 * count) : max(int(0.975 * count), 1)]
    return middle.std(axis=0, dtype=np.float64)


def scales(
    rule: Normalise, parts: Sequence[tuple[str, str, Moments]], good: Callable[[int], np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and standard deviation by which each recording of one modality is z-scored.

    Args:
      rule: whose moments count.
      parts: (key, subject, moments) of each recording, in the order of keys.
      good: (number of a recording) -> the samples (T, C) of its good spans, for the rules that sort them. A subject's
        are held in memory together.

    Returns:
      (mean_C, std_C) of each, float32; zeros and ones where nothing is normalised.
    """
    if rule is Normalise.NONE:
        return [(np.zeros_like(m.mean_C, np.float32), np.ones_like(m.mean_C, np.float32)) for _, _, m in parts]
    groups: dict[str, list[int]] = {}
    names = [key if rule is Normalise.RECORDING else subject for key, subject, _ in parts]
    for number, name in enumerate(names):
        groups.setdefault(name, []).append(number)
    found = {}
    for name, numbers in groups.items():
        numbers = numbers[-1:] if rule is Normalise.LAST_CENTRAL else numbers
        whole = merge([parts[number][2] for number in numbers])
        std_C = whole.std_C
        if rule in (Normalise.SUBJECT_CENTRAL, Normalise.LAST_CENTRAL):
            central_C = central_std(np.concatenate([good(number) for number in numbers]))
            std_C = np.where(central_C > 0, central_C, std_C)  # a signal that mostly rests has no central deviation
        found[name] = whole.mean_C.astype(np.float32), std_C.astype(np.float32)
    return [found[name] for name in names]
