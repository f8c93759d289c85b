"""The six distortions of ecgjax/tasks/distortions.py on the host, as published, for training in PyTorch: two ways.

`of_window` takes one window after the other, with a list of pieces, as the released code and its followers do;
`of_batch` takes a batch at once, as a tuned collate function would. The same arithmetic, other draws.
"""

import functools
import itertools

import numpy as np

SNR_DB, SCALE, PIECES, WARP_PIECES, STRETCH = 15.0, 1.1, 20, 9, 1.05
STRETCHED = 5  # of the pieces of a warp
VERSIONS = 7  # with the original


def of_window(x_T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(7, T): the window and its six distortions."""
    sigma = np.sqrt(np.mean(x_T**2) / 10 ** (SNR_DB / 10))
    pieces = np.split(x_T, PIECES)
    rng.shuffle(pieces)
    is_stretched_P = rng.permutation(WARP_PIECES) < STRETCHED
    warped = warp(x_T, is_stretched_P)
    start = rng.integers(len(warped) - len(x_T))
    return np.stack(
        [
            x_T,
            x_T + rng.normal(0, sigma, len(x_T)),
            x_T * SCALE,
            -x_T,
            x_T[::-1],
            np.concatenate(pieces),
            warped[start : start + len(x_T)],
        ]
    ).astype(np.float32)


def warp(x_T: np.ndarray, is_stretched_P: np.ndarray) -> np.ndarray:
    """The whole warped signal, piece by piece; longer than the window."""
    length = len(x_T) // WARP_PIECES
    parts = []
    for i, is_stretched in enumerate(is_stretched_P):
        piece = x_T[i * length : (i + 1) * length]
        parts.append(np.interp(positions(length, is_stretched), np.arange(length), piece))
    return np.concatenate(parts)


def positions(length: int, is_stretched: bool) -> np.ndarray:
    """Where in a piece the samples of its warped form lie, as in OpenCV's linear resize."""
    warped = int(np.ceil(length * (STRETCH if is_stretched else 1 / STRETCH)))
    return np.clip((np.arange(warped) + 0.5) * length / warped - 0.5, 0, length - 1)


def of_batch(x_BT: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, 7, T) in float32."""
    batch, samples = x_BT.shape
    out_BVT = np.empty((batch, VERSIONS, samples), np.float32)
    out_BVT[:, 0] = x_BT
    sigma_B1 = np.sqrt(np.mean(x_BT**2, axis=1, keepdims=True) / 10 ** (SNR_DB / 10))
    out_BVT[:, 1] = x_BT + sigma_B1 * rng.standard_normal(x_BT.shape, np.float32)
    out_BVT[:, 2] = x_BT * np.float32(SCALE)
    out_BVT[:, 3] = -x_BT
    out_BVT[:, 4] = x_BT[:, ::-1]
    order_BP = rng.permuted(np.tile(np.arange(PIECES), (batch, 1)), axis=1)
    pieces_BPS = np.take_along_axis(x_BT.reshape(batch, PIECES, -1), order_BP[..., None], axis=1)
    out_BVT[:, 5] = pieces_BPS.reshape(batch, samples)
    patterns, low, _ = warps(samples)
    pattern_B, start_B = rng.integers(len(patterns), size=batch), rng.integers(low.shape[1] - samples, size=batch)
    out_BVT[:, 6] = warp_batch(x_BT, pattern_B, start_B)
    return out_BVT


def warp_batch(x_BT: np.ndarray, pattern_B: np.ndarray, start_B: np.ndarray) -> np.ndarray:
    """Warped and cropped windows, given which warp each undergoes and where its crop starts."""
    _, low, share = warps(x_BT.shape[1])
    at_BT = start_B[:, None] + np.arange(x_BT.shape[1])
    low_BT, share_BT = low[pattern_B[:, None], at_BT], share[pattern_B[:, None], at_BT]
    low_value_BT, high_value_BT = (np.take_along_axis(x_BT, i, axis=1) for i in (low_BT, low_BT + 1))
    return low_value_BT + share_BT * (high_value_BT - low_value_BT)


@functools.cache
def warps(samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All 126 choices of stretched pieces (126, 9), and where each warped sample lies: (index before, share after)."""
    length = samples // WARP_PIECES
    chosen = itertools.combinations(range(WARP_PIECES), STRETCHED)
    patterns = np.array([[i in stretched for i in range(WARP_PIECES)] for stretched in chosen])
    lows, shares = [], []
    for is_stretched_P in patterns:
        within = [positions(length, is_stretched) for is_stretched in is_stretched_P]
        low = [np.minimum(at.astype(np.int64), length - 2) for at in within]
        shares.append(np.concatenate([at - i for at, i in zip(within, low, strict=True)]).astype(np.float32))
        lows.append(np.concatenate([p * length + i for p, i in enumerate(low)]))
    return patterns, np.stack(lows), np.stack(shares)
