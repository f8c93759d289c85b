"""The scores of a report: how well, beside what, in each fold and person, and what to doubt."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecgjax.evaluation import figures, metrics, svg, tables
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.tables import TITLES, Row, number

ORACLE = "oracle"
_PROTOCOLS = {  # value of config.Protocol, or ORACLE -> (title, whether scores hold for new people, what it means)
    "subject": (
        "Subject-disjoint folds",
        True,
        "No person is on both sides of a fold: the scores are for people the model never saw.",
    ),
    "loso": ("Leave one subject out", True, "Each person was tested by a model that never saw them."),
    "window": (
        "Optimistic: people on both sides",
        False,
        "Windows were dealt to the folds at random, so a model that recognises the person scores well. "
        "For comparison with papers that did so; expect far less on new people.",
    ),
    ORACLE: (
        "Optimistic: the epoch chosen on the tested people",
        False,
        "Of every fold, the epoch is tested that scored best on the very people it is tested on. For comparison with "
        "papers that did so; nobody knows that epoch for new people.",
    ),
}
_SUSPICIOUS_AUROC = 0.99
_FEW_SUBJECTS = 10
_ENOUGH_SUBJECTS = 5  # in a fold, to give its scores intervals; ours
_MANY_UNDEFINED = 0.1


def section(predictions: dict[str, Predictions], protocol: str) -> dict[str, Any]:
    """What the template of the report shows of scores.

    Args:
      predictions: the model's first, then what it is compared with.
      protocol: a value of `config.Protocol`, ORACLE, or "".
    """
    rows = tables.compare(predictions)
    model, first = rows[0], next(iter(predictions.values()))
    score = "accuracy" if np.isnan(model.scores["auroc"]) else "auroc"
    others = [row for row in rows[1:] if not np.isnan(row.scores[score])]
    best = max(others, key=lambda row: row.scores[score], default=None)
    within = metrics.per_subject(first)
    per_person = "auroc" if np.isfinite(within["auroc"]).mean() > 0.5 else "accuracy"
    counts = np.bincount(first.label_N, minlength=len(first.classes)).tolist()
    return {
        "rows": rows,
        "model": model,
        "score": score,
        "name": TITLES[score],
        "per_person": TITLES[per_person],
        "titles": TITLES,
        "verdict": _verdict(best, score),
        "protocol": _PROTOCOLS.get(protocol),
        "oracle": protocol == ORACLE,  # whose figure is never the headline
        "counts": list(zip(first.classes, counts, strict=True)),
        "num_windows": len(first),
        "num_subjects": len(within["subject"]),
        "num_folds": len(np.unique(first.fold_N)),
        "seeds": np.unique(first.seed_N).tolist(),
        "folds": _fold_rows(first),
        "enough": _ENOUGH_SUBJECTS,
        "doubts": _doubts(rows, first, best, score, protocol),
    } | _score_figures(predictions, rows, best, score, per_person)


def _score_figures(predictions, rows, best, score, per_person) -> dict[str, Any]:
    first, name = next(iter(predictions.values())), TITLES[score]
    other, other_name = (predictions[best.name], best.name) if best else (None, "")
    listed = "; ".join(f"{row.name} {number(row.scores[score])}" for row in rows)
    mean, low, high = map(number, metrics.mean_over_subjects(metrics.per_subject(first)[per_person]))
    return {
        "forest": svg.labelled(figures.forest(rows, score), f"{name} with intervals: {listed}."),
        "subjects": svg.labelled(
            figures.subjects(first, other, other_name, per_person),
            f"{TITLES[per_person]} within each subject, lowest first; the mean is {mean}, from {low} to {high}.",
        ),
        "roc": svg.labelled(figures.roc(predictions, rows), f"ROC curves. AUROC: {number(rows[0].scores['auroc'])}."),
        "confusion": svg.labelled(figures.confusion(first), "Confusion matrix, windows by true and predicted class."),
        "calibration": svg.labelled(
            figures.calibration(first), f"Calibration curve; calibration error {number(rows[0].scores['ece'])}."
        ),
    }


def _verdict(best: Row | None, score: str) -> str:
    """Whether the model beats the best of the others, said no stronger than the interval allows."""
    if best is None:
        return "Nothing was compared with it."
    gain, low, high = best.gains[score]
    other = f"the best of the others, {best.name} ({number(best.scores[score])})"
    if np.isnan(low):
        return f"Not compared with {other}: other subjects."
    difference = f"difference {gain:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}.".replace("-", "−")
    verdict = "Better than" if low > 0 else "Worse than" if high < 0 else "Not distinguishable from"
    return f"{verdict} {other}: {difference}"


def _fold_rows(model: Predictions) -> list[dict[str, Any]]:
    """Scores of each fold, with intervals over its subjects where there are enough of them."""
    found = metrics.per_fold(model)
    rows = []
    for i, (seed, fold) in enumerate(zip(found["seed"].tolist(), found["fold"].tolist(), strict=True)):
        part = model.select((model.seed_N == seed) & (model.fold_N == fold))
        counts = {"seed": seed, "fold": fold, "windows": len(part), "subjects": len(np.unique(part.subject_N))}
        scores = {score: found[score][i] for score in metrics.SCORES}
        draws = metrics.bootstrap(part) if counts["subjects"] >= _ENOUGH_SUBJECTS else {}
        intervals = {s: metrics.interval(scores[s], draws[s], counts["subjects"], s) for s in draws}
        rows.append(counts | scores | {"intervals": intervals})
    return rows


def caution_of(protocol: str) -> str:
    """Why scores by this protocol do not hold for new people; "" where they do."""
    title, holds, meaning = _PROTOCOLS.get(protocol, ("", True, ""))
    return "" if holds else f"{title}. {meaning}"


def _doubts(rows: Sequence[Row], model: Predictions, best: Row | None, score: str, protocol: str) -> list[str]:
    """What a careful reader would ask first."""
    found, auroc, folds = [], rows[0].scores["auroc"], rows[0].folds["auroc"]
    num_subjects = len(np.unique(model.subject_N))
    if caution := caution_of(protocol):
        found.append(caution)
    if auroc >= _SUSPICIOUS_AUROC:
        found.append(
            f"An AUROC of {number(auroc)} is nearly perfect. Suspect a leak: padding or length that differs between "
            "classes, the same window on both sides, a label inside the signal."
        )
    if best is not None and best.gains[score][1] <= 0 <= best.gains[score][2]:
        found.append(f"The difference from {best.name} may be chance: its interval over subjects includes zero.")
    if folds.undefined:
        found.append(
            f"AUROC is not defined in {folds.undefined} of {folds.count} folds, whose test windows hold one class "
            "only; the mean over folds leaves them out."
        )
    if rows[0].undefined > _MANY_UNDEFINED:
        found.append(
            f"{100 * rows[0].undefined:.0f} % of the resamples lack a class; the intervals of AUROC, balanced accuracy "
            "and F1 rest on the others."
        )
    if num_subjects < _FEW_SUBJECTS:
        found.append(f"Only {num_subjects} subjects were tested; intervals from so few are rough.")
    return found
