"""What a physiologist would measure in a window: heart rate and its variability, skin conductance, temperature.

NeuroKit2 finds the beats, in an ECG or in the pulse wave of a wrist (BVP), and names their features. Those of skin
conductance and temperature are ours, and simple: level, spread, slope, and how often conductance rises.
"""

import dataclasses
import warnings
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

READ = ("ecg", "bvp", "eda", "temp")
HEART_RATE = "heart_rate"
_TIME = (
    "MeanNN",
    "SDNN",
    "RMSSD",
    "SDSD",
    "CVNN",
    "CVSD",
    "MedianNN",
    "MadNN",
    "IQRNN",
    "pNN20",
    "pNN50",
    "MinNN",
    "MaxNN",
)
_MIN_BEATS = 4  # two differences of intervals, the least that has a spread
_MIN_WINDOW_S = 1.2  # NeuroKit2 keeps beats, the first one too, 0.3 s apart; below 0.75 s it raises
_MIN_RATE_HZ = 10.0  # a QRS complex lasts 0.1 s, over which it smooths
_HIGH_FREQUENCY_MIN_S = 60.0  # the Task Force (1996) asks one minute for 0.15-0.4 Hz, two for 0.04-0.15 Hz
_LOW_FREQUENCY_MIN_S = 120.0
_RISE = 0.1  # of conductance, that counts; in the units of the store, mostly the person's deviations


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of windows.

    Attributes:
      table_NF: one row a window; NaN where there is nothing to measure.
      names: one a column; "heart_rate", in beats a minute, is column 0 where a signal shows beats.
      groups: what the columns are of: "HRV", "EDA", "TEMP".
    """

    table_NF: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...] = ("HRV",)

    @property
    def num_beatless(self) -> int:
        """Windows without usable beats, where a signal shows beats at all."""
        return int(np.isnan(self.table_NF[:, 0]).sum()) if HEART_RATE in self.names else 0


def features(
    signals: Mapping[str, Float[np.ndarray, "N _ _"]], rates_hz: Mapping[str, float], num_windows: int
) -> Features:
    """Features of the first channel of `ecg` (else `bvp`), `eda` and `temp`, of those there are (READ).

    Beats need 10 samples a second: a pulse wave stored at 4 Hz has none. About 2 ms a window of 10 s.
    """
    heart = next((m for m in ("ecg", "bvp") if m in signals and rates_hz[m] >= _MIN_RATE_HZ), "")
    parts = [_heart(signals[heart][:, :, 0], rates_hz[heart], heart)] if heart else []
    if "eda" in signals:
        parts.append(_conductance(signals["eda"][:, :, 0], rates_hz["eda"]))
    if "temp" in signals:
        parts.append(_temperature(signals["temp"][:, :, 0], rates_hz["temp"]))
    return Features(
        np.concatenate([np.empty((num_windows, 0)), *(part.table_NF for part in parts)], axis=1),
        tuple(name for part in parts for name in part.names),
        tuple(group for part in parts for group in part.groups),
    )


def _heart(signal_NT: np.ndarray, rate_hz: float, modality: str) -> Features:
    """Time-domain features of NeuroKit2 and the axes of the Poincare ellipse (SD1, SD2).

    The powers of the high and low frequency bands are added where the window is long enough for them.
    """
    duration_s = signal_NT.shape[1] / rate_hz
    bands = ("HF",) * (duration_s >= _HIGH_FREQUENCY_MIN_S) + ("LF", "LFHF") * (duration_s >= _LOW_FREQUENCY_MIN_S)
    names = (HEART_RATE, *_TIME, "SD1", "SD2", *bands)
    windows = tqdm(np.asarray(signal_NT, np.float64), unit=" windows", leave=False, disable=None)  # on a terminal alone
    rows = [_of_beats(_find_beats(x_T, rate_hz, modality), rate_hz, bands, len(names)) for x_T in windows]
    return Features(np.array(rows).reshape(len(rows), len(names)), names)


def _find_beats(x_T: np.ndarray, rate_hz: float, modality: str) -> np.ndarray:
    import neurokit2 as nk

    if len(x_T) < _MIN_WINDOW_S * rate_hz or np.isnan(x_T).any():
        return np.empty(0, int)
    if modality == "ecg":
        return nk.ecg_findpeaks(x_T, sampling_rate=rate_hz)["ECG_R_Peaks"]
    try:
        return nk.ppg_findpeaks(x_T, sampling_rate=rate_hz)["PPG_Peaks"]
    except IndexError:  # it takes the first of the waves there are, and where a sensor is off there is none
        return np.empty(0, int)


def _of_beats(beats: np.ndarray, rate_hz: float, bands: tuple[str, ...], num_features: int) -> np.ndarray:
    import neurokit2 as nk

    if len(beats) < _MIN_BEATS:
        return np.full(num_features, np.nan)
    with warnings.catch_warnings():  # NeuroKit2 and NumPy warn of features a short window lacks; they become NaN
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        warnings.filterwarnings("ignore", category=nk.misc.NeuroKitWarning)
        time = nk.hrv_time(beats, sampling_rate=rate_hz).iloc[0]
        power = nk.hrv_frequency(beats, sampling_rate=rate_hz, silent=True).iloc[0] if bands else {}
    sd1 = time["HRV_SDSD"] / np.sqrt(2)
    sd2 = np.sqrt(max(0.0, 2 * time["HRV_SDNN"] ** 2 - sd1**2))
    columns = [60_000 / time["HRV_MeanNN"], *(time[f"HRV_{name}"] for name in _TIME), sd1, sd2]
    row = np.array([*columns, *(power[f"HRV_{name}"] for name in bands)], np.float64)
    return np.where(np.isfinite(row), row, np.nan)  # a ratio of bands may divide by zero


def _conductance(eda_NT: np.ndarray, rate_hz: float) -> Features:
    from scipy.signal import find_peaks

    minutes = eda_NT.shape[1] / rate_hz / 60
    rises_N = [len(find_peaks(x_T, prominence=_RISE)[0]) / minutes for x_T in eda_NT]
    rises_N = np.where(np.isnan(eda_NT).any(1), np.nan, rises_N)
    columns = (*_level(eda_NT, rate_hz), eda_NT.max(1) - eda_NT.min(1), rises_N)
    names = ("eda_mean", "eda_sd", "eda_slope", "eda_range", "eda_rises_per_min")
    return Features(np.stack(columns, axis=1), names, ("EDA",))


def _temperature(temp_NT: np.ndarray, rate_hz: float) -> Features:
    names = ("temp_mean", "temp_sd", "temp_slope")
    return Features(np.stack(_level(temp_NT, rate_hz), axis=1), names, ("TEMP",))


def _level(x_NT: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation, and slope a second."""
    x_NT = np.asarray(x_NT, np.float64)
    time_T = (np.arange(x_NT.shape[1]) - (x_NT.shape[1] - 1) / 2) / rate_hz
    return x_NT.mean(1), x_NT.std(1), x_NT @ time_T / max(time_T @ time_T, 1e-12)
