"""Arithmetic of half-open spans of samples, (n, 2) integers, and of the blocks and groups a signal is cut into."""

import numpy as np
from jaxtyping import Bool, Float, Int

NO_SPANS = np.zeros((0, 2), np.int64)


def runs(mask_T: Bool[np.ndarray, " T"]) -> Int[np.ndarray, "n 2"]:
    """Half-open spans in which the mask is true."""
    if not mask_T.any():
        return NO_SPANS
    edges = np.flatnonzero(mask_T[1:] != mask_T[:-1]) + 1
    edges = np.concatenate([[0] if mask_T[0] else [], edges, [len(mask_T)] if mask_T[-1] else []])
    return edges.astype(np.int64).reshape(-1, 2)


def union(*spans: np.ndarray) -> np.ndarray:
    """Sorted, disjoint spans that cover the same; touching ones are joined."""
    every = np.concatenate([NO_SPANS, *spans]) if spans else NO_SPANS
    if len(every) == 0:
        return every
    every = every[np.argsort(every[:, 0], kind="stable")]
    reach = np.maximum.accumulate(every[:, 1])
    opens = np.append(True, every[1:, 0] > reach[:-1])
    return np.stack([every[opens, 0], reach[np.append(opens[1:], True)]], axis=1)


def bridge(x_T: Float[np.ndarray, " T"], spans: Int[np.ndarray, "n 2"]) -> None:
    """Replaces disjoint spans by straight lines between their neighbours (at the ends: by the one neighbour; or 0)."""
    if len(spans) == 0:
        return
    start, stop = spans.T
    has_left, has_right = start > 0, stop < len(x_T)
    left = np.where(has_left, x_T[np.maximum(start - 1, 0)], 0.0)
    right = np.where(has_right, x_T[np.minimum(stop, len(x_T) - 1)], left)
    left = np.where(has_left, left, np.where(has_right, right, 0.0))
    right = np.where(has_left | has_right, right, 0.0)
    length = stop - start
    step = np.arange(1, length.sum() + 1) - np.repeat(np.cumsum(length) - length, length)
    at = np.repeat(start - 1, length) + step
    x_T[at] = np.repeat(left, length) + np.repeat((right - left) / (length + 1), length) * step


def block_starts(length: int, block: float) -> Int[np.ndarray, " b"]:
    """First samples of consecutive blocks; a rest shorter than half a block belongs to the last one."""
    block = max(block, 1.0)
    return np.round(np.arange(max(1, int(length / block + 0.5))) * block).astype(np.int64)


def block_range(x_T: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Highest minus lowest value of each block and the sample after it, so that no step falls between two blocks."""
    high, low, after = np.maximum.reduceat(x_T, starts), np.minimum.reduceat(x_T, starts), x_T[starts[1:]]
    high[:-1], low[:-1] = np.maximum(high[:-1], after), np.minimum(low[:-1], after)
    return high - low


def rolling_quantile(values: np.ndarray, valid: np.ndarray, size: int, quantile: float) -> np.ndarray:
    """Centred quantile over `size` valid neighbours; infinite where a value is not valid."""
    from scipy import ndimage

    out = np.full(len(values), np.inf)
    if valid.any():
        out[valid] = ndimage.percentile_filter(values[valid], 100 * quantile, size, mode="nearest")
    return out


def group_quantile(values: np.ndarray, group: np.ndarray, num_groups: int, quantile: float) -> np.ndarray:
    """Of each group, the value that this share lies at or below; NaN, which passes any threshold, for an empty one."""
    out = np.full(num_groups, np.nan)
    order = np.lexsort((values, group))
    count = np.bincount(group, minlength=num_groups)
    place = np.cumsum(count) - count + ((count - 1) * quantile).astype(np.int64)
    out[count > 0] = values[order[place[count > 0]]]
    return out


def untouched(starts: np.ndarray, stops: np.ndarray, faults: np.ndarray) -> np.ndarray:
    """Which blocks overlap no fault."""
    begun = np.searchsorted(faults[:, 0], stops, side="left")
    ended = np.searchsorted(faults[:, 1], starts, side="right")
    return begun == ended
