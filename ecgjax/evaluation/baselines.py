"""What a model must beat on the same windows and folds: class prior, heart rate alone, all that physiology measures.

scikit-learn classifies the features of `evaluation.physiology`. Whatever is learnt from data (the median
that fills a gap, the scale of a feature, the classifier) is learnt from the training windows of the fold.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from ecgjax.evaluation.physiology import HEART_RATE, Features
from ecgjax.evaluation.predictions import Predictions, concatenate

_FOREST = "forest"


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
      By name ("class prior", "heart rate", "HRV, logistic", "HRV, forest", or "HRV + EDA + TEMP, forest" and the like
      by the groups of features there are): predictions of the test windows, in the order of the folds. A fold whose
      training windows hold one class gets the class prior.
    """
    whole = Predictions(
        label_N, np.full((len(label_N), len(classes)), 1 / len(classes)), subject_N,
        recording_N=recording_N, start_s_N=start_s_N, seed_N=seed, classes=classes,
    )  # fmt: skip
    tables, groups = {"class prior": found.table_NF[:, :0]}, " + ".join(found.groups)
    if HEART_RATE in found.names:
        tables["heart rate"] = found.table_NF[:, :1]
    if groups:
        tables |= dict.fromkeys((f"{groups}, logistic", f"{groups}, {_FOREST}"), found.table_NF)
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
    if name.endswith(_FOREST):  # leaves of 5: ours. One thread, as several add up the trees in an order of chance
        return make_pipeline(fill, RandomForestClassifier(200, min_samples_leaf=5, random_state=seed))
    return make_pipeline(fill, StandardScaler(), LogisticRegression(max_iter=1000))
