"""Means and variances that can be merged: of spans, of recordings, of a subject; and who is z-scored by whose."""

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np


class Normalise(enum.Enum):
    """Whose mean and standard deviation become 0 and 1, channel by channel, over good spans only."""

    NONE = "none"
    RECORDING = "recording"
    SUBJECT = "subject"


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


def scales(rule: Normalise, parts: Sequence[tuple[str, str, Moments]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and standard deviation by which each recording of one modality is z-scored.

    Args:
      rule: whose moments count.
      parts: (key, subject, moments) of each recording, in the order of keys.

    Returns:
      (mean_C, std_C) of each, float32; zeros and ones where nothing is normalised.
    """
    if rule is Normalise.NONE:
        return [(np.zeros_like(m.mean_C, np.float32), np.ones_like(m.mean_C, np.float32)) for _, _, m in parts]
    groups: dict[str, list[Moments]] = {}
    names = [subject if rule is Normalise.SUBJECT else key for key, subject, _ in parts]
    for name, (_, _, part) in zip(names, parts, strict=True):
        groups.setdefault(name, []).append(part)
    merged = {name: merge(group) for name, group in groups.items()}
    return [(merged[n].mean_C.astype(np.float32), merged[n].std_C.astype(np.float32)) for n in names]
