"""Time stamps: when the first one was, whether they agree with a rate, and samples put on a regular grid."""

import contextlib
import datetime
from typing import Any

import numpy as np

from ecgjax.errors import DataError

TOLERANCE = 0.01
_LATEST_MS = 1e13  # ours: in 2286, if stamps count from 1970
_GAP_SAMPLES = 5.0  # ours: a longer step is a gap; a shorter one is a stamp that came late
_UNIX = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))  # from there on, what is counted since 1970 cannot be seconds
_MAX_SAMPLES = 1 << 23  # of a grid, over two hours at 1000 Hz: more is a broken stamp


def start_time(unix_s: float) -> str:
    """A second as ISO 8601 in UTC, "" unless it counts from 1970 and is of this century."""
    return datetime.datetime.fromtimestamp(unix_s, datetime.UTC).isoformat() if 1e9 <= unix_s < 4e9 else ""


def local_time(date: Any, time: Any) -> str:
    """Texts such as "2017-5-22" and "9:39:8.0" as ISO 8601, "" where they are none."""
    if isinstance(date, str) and isinstance(time, str):
        with contextlib.suppress(ValueError):
            return datetime.datetime.strptime(f"{date} {time.split('.')[0]}", "%Y-%m-%d %H:%M:%S").isoformat()
    return ""


def parse_times(times_T: np.ndarray, unit_s: float, path: object) -> tuple[np.ndarray, str]:
    """(seconds, the start as ISO 8601 or "") of numbers, or of ISO 8601 dates of any time zone: texts, or datetime64.

    Args:
      unit_s: seconds in a unit of the numbers; 0 where it is not known, for seconds, or what they must be since 1970.

    Raises:
      DataError: "time stamps", where they are neither.
    """
    if np.issubdtype(times_T.dtype, np.number):
        since_1970 = next((scale for least, scale in _UNIX if times_T[0] >= least), 1.0)
        times_s = times_T.astype(np.float64) * (unit_s or since_1970)
        return times_s, start_time(times_s[0])
    import pandas as pd

    try:
        times_s = pd.to_datetime(times_T, format="ISO8601", utc=True).to_numpy("datetime64[ns]").astype(np.int64) * 1e-9
        first = pd.Timestamp(times_T[0])
    except (ValueError, TypeError, OverflowError) as error:
        remedy = "The column of times holds neither numbers nor ISO 8601 dates."
        raise DataError(path, "time stamps", remedy) from error
    # A time zone is lost on the way from Parquet; what was counted from 1900 or 1970 may be written as a date.
    known = isinstance(times_T[0], str) and not pd.isna(first) and first.year > 1970
    return times_s, first.isoformat() if known else ""


def seconds(stamps_ms: np.ndarray) -> np.ndarray:
    """Time stamps in seconds, NaN for those that are none."""
    return np.where(np.abs(stamps_ms) < _LATEST_MS, stamps_ms / 1000, np.nan)


def in_order(times_s: np.ndarray) -> tuple[np.ndarray, int]:
    """(indices that put the stamps in ascending order, each time once; how many are none, repeat, or go back)."""
    finite = np.flatnonzero(np.isfinite(times_s))
    steps_s = np.diff(times_s[finite])
    faults = len(times_s) - len(finite) + int(np.count_nonzero(steps_s <= 0))
    return finite[np.unique(times_s[finite], return_index=True)[1]] if faults else finite, faults


def check_rate(times_s: np.ndarray, rate_hz: float, path: object) -> None:
    """Compares the steps between ascending time stamps, gaps apart, with a rate.

    Late stamps are part of the mean step, lost samples are not, and which of the two a longer step is cannot be told:
    so the mean with and without them is compared.

    Raises:
      DataError: "wrong rate", where both differ by more than a hundredth.
    """
    steps_s = np.diff(times_s)
    if not len(steps_s):
        return
    middle_s = float(np.median(steps_s))
    measured_hz = []
    for longest_s in (_GAP_SAMPLES * max(middle_s, 1 / rate_hz), 1.6 * middle_s):
        usual_s = steps_s[steps_s <= longest_s]
        measured_hz.append(len(usual_s) / float(usual_s.sum()))
    # The ends of a short stretch are rounded: a few samples say nothing of a hundredth.
    if min(abs(hz / rate_hz - 1) for hz in measured_hz) > TOLERANCE + 1 / len(steps_s):
        raise DataError(path, "wrong rate", f"Its time stamps say {measured_hz[0]:.6g} Hz instead of {rate_hz:g} Hz.")


def roundest(rate_hz: float, num_samples: int) -> float:
    """The roundest rate by which no sample moves more than half a step: stamps are rounded, rates are chosen."""
    rounded = (float(round(rate_hz, digits)) for digits in (0, 1, 2, 3))
    return next((r for r in rounded if abs(rate_hz - r) * num_samples < 0.5 * rate_hz), rate_hz)


def on_grid(times_s: np.ndarray, samples_TC: np.ndarray, rate_hz: float, path: object) -> tuple[np.ndarray, int]:
    """Samples as they would be at the first time stamp and every 1 / rate_hz from there.

    Where no stamp is half a sample or more off, they are left as they are. Else a line is drawn from sample to sample,
    as CASE's authors do; steps of more than five samples (ours) are gaps, NaN.

    Args:
      times_s: ascending, without repetitions.

    Returns:
      (samples of the same type, number of gaps).

    Raises:
      DataError: "too long", where the stamps span more samples than any recording has.
    """
    at_T = (times_s - times_s[0]) * rate_hz
    if np.abs(at_T - np.arange(len(at_T))).max() < 0.5:
        return samples_TC, 0
    if at_T[-1] >= _MAX_SAMPLES:
        raise DataError(path, "too long", f"Its time stamps span {at_T[-1]:.0f} samples; one of them must be wrong.")
    grid_T = np.arange(int(np.round(at_T[-1])) + 1)
    gaps = np.flatnonzero(np.diff(at_T) > _GAP_SAMPLES)
    columns = [np.interp(grid_T, at_T, column).astype(samples_TC.dtype) for column in samples_TC.T]
    grid_TC = np.stack(columns, axis=1)
    for before, after in zip(at_T[gaps], at_T[gaps + 1], strict=True):
        # What is nearer than half a sample to one that was recorded stays.
        grid_TC[int(np.floor(before + 0.5)) + 1 : int(np.ceil(after - 0.5))] = np.nan
    return grid_TC, len(gaps)
