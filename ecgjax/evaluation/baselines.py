"""What a model must beat on the same windows and folds: class prior, heart rate alone, heart-rate variability.

NeuroKit2 finds the beats and names the features; scikit-learn classifies. Whatever is learnt from data (the median
that fills a gap, the scale of a feature, the classifier) is learnt from the training windows of the fold.
"""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from ecgjax.evaluation.predictions import Predictions, concatenate

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


@dataclasses.dataclass(frozen=True)
class Features:
    """Heart rate and its variability in each window.

    Attributes:
      table_NF: one row a window; NaN where too few beats were found.
      names: one a column; column 0 is "heart_rate", in beats a minute.
    """

    table_NF: np.ndarray
    names: tuple[str, ...]

    @property
    def num_missing(self) -> int:
        """Windows without usable beats."""
        return int(np.isnan(self.table_NF[:, 0]).sum())


def features(ecg_NT: Float[np.ndarray, "N T"], rate_hz: float) -> Features:
    """Features of N windows of one ECG lead, filtered as it comes from a store (beats need about 5-20 Hz).

    Time-domain features of NeuroKit2 and the axes of the Poincare ellipse (SD1, SD2); the powers of the high and low
    frequency bands are added where the window is long enough for them. About 2 ms a window of 10 s.
    """
    duration_s = ecg_NT.shape[1] / rate_hz
    bands = ("HF",) * (duration_s >= _HIGH_FREQUENCY_MIN_S) + ("LF", "LFHF") * (duration_s >= _LOW_FREQUENCY_MIN_S)
    names = (HEART_RATE, *_TIME, "SD1", "SD2", *bands)
    windows = tqdm(np.asarray(ecg_NT, np.float64), unit=" windows", leave=False, disable=None)  # on a terminal alone
    rows = [_window_features(ecg_T, rate_hz, bands, len(names)) for ecg_T in windows]
    return Features(np.array(rows).reshape(len(rows), len(names)), names)


def _window_features(ecg_T: np.ndarray, rate_hz: float, bands: tuple[str, ...], num_features: int) -> np.ndarray:
    import neurokit2 as nk

    if len(ecg_T) < _MIN_WINDOW_S * rate_hz or rate_hz < _MIN_RATE_HZ:
        return np.full(num_features, np.nan)
    beats = nk.ecg_findpeaks(ecg_T, sampling_rate=rate_hz)["ECG_R_Peaks"]
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


def run(
    found: Features,
    label_N: Int[np.ndarray, " N"],
    subject_N: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    classes: tuple[str, ...],
    *,
    recording_N: np.ndarray | str = "",
    start_s_N: np.ndarray | float = 0.0,
    seed: int = 0,
) -> dict[str, Predictions]:
    """Trains and tests every baseline on the folds, a list of (training windows, test windows) as index arrays.

    Returns:
      By name ("class prior", "heart rate", "HRV, logistic", "HRV, forest"): predictions of the test windows, in the
      order of the folds. A fold whose training windows hold one class gets the class prior.
    """
    whole = Predictions(
        label_N, np.full((len(label_N), len(classes)), 1 / len(classes)), subject_N,
        recording_N=recording_N, start_s_N=start_s_N, seed_N=seed, classes=classes,
    )  # fmt: skip
    tables = {"class prior": found.table_NF[:, :0], "heart rate": found.table_NF[:, :1]}
    tables |= dict.fromkeys(("HRV, logistic", "HRV, forest"), found.table_NF)
    results = {}
    for name, table_NF in tables.items():
        parts = []
        for fold, (train, test) in enumerate(folds):
            probability_NC = _fit_predict(name, table_NF, whole.label_N, train, test, len(classes), seed)
            parts.append(dataclasses.replace(whole.select(test), probability_NC=probability_NC, fold_N=fold))
        results[name] = concatenate(parts)
    return results


def _fit_predict(name, table_NF, label_N, train, test, num_classes, seed) -> np.ndarray:
    """Probabilities of the test windows; classes that the training windows lack get 0."""
    prior_C = np.bincount(label_N[train], minlength=num_classes) / len(train)
    known = np.isfinite(table_NF[train]).any(0)  # a feature that no training window has says nothing
    if np.count_nonzero(prior_C) < 2 or not known.any():
        return np.tile(prior_C, (len(test), 1))
    model = _classifier(name, seed).fit(table_NF[train][:, known], label_N[train])
    probability_NC = np.zeros((len(test), num_classes))
    probability_NC[:, model.classes_] = model.predict_proba(table_NF[test][:, known])
    return probability_NC


def _classifier(name: str, seed: int):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fill = SimpleImputer(strategy="median")
    if name == "HRV, forest":  # leaves of 5: ours. One thread, as several add up the trees in an order of chance
        return make_pipeline(fill, RandomForestClassifier(200, min_samples_leaf=5, random_state=seed))
    return make_pipeline(fill, StandardScaler(), LogisticRegression(max_iter=1000))
