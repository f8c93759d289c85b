"""From stored labels (classes or ratings) to the classes a task sees. A trial counts once, however many its windows."""

import dataclasses

import numpy as np

from ecgjax import config
from ecgjax.config import LabelRule, Rounding, Ties, Unit
from ecgjax.data.windows import Windows
from ecgjax.errors import UserError


def learn(windows: Windows, label: config.Label, fit_subjects: list[str]) -> config.Label:
    """The rule with what it leaves open filled in, so that it means the same on other data: the classes that occur, or
    the threshold; mean and median are learnt from the trials of `fit_subjects` alone.

    Raises:
      UserError: as `classify`.
    """
    if label.rule is LabelRule.CLASS:
        values = _values(windows, label)
        unknown = [c for i, c in enumerate(label.classes) if c not in values or c in label.classes[:i]]
        if unknown:
            raise UserError(
                f'data.label.classes: {unknown[0]} is named twice, or no window of "{label.name}" has it. There are '
                f"{', '.join(map(str, values))}."
            )
        return dataclasses.replace(label, classes=label.classes or values)
    if label.rule not in (LabelRule.MEAN, LabelRule.MEDIAN):
        return label
    trials = _first_of_each_trial(windows)
    ratings = windows.rating[trials[windows.are_of(fit_subjects)[trials]]]
    middle = np.mean if label.rule is LabelRule.MEAN else np.median
    return dataclasses.replace(label, rule=LabelRule.THRESHOLD, threshold=float(middle(ratings)))


def classify(windows: Windows, label: config.Label) -> Windows:
    """Fills `windows.label` by the rule; -1 where it drops a window (ties, classes not kept).

    A subject's own mean uses that subject's ratings, which is how papers define that task: it cannot be applied to a
    person without ratings.

    Raises:
      UserError: fewer than two classes are left, or a rating is no whole number where those are the classes.
    """
    if label.rule is LabelRule.CLASS:
        whole = _whole(windows, label)
        if unknown := set(label.positive) - set(label.classes or _values(windows, label)):
            raise UserError(
                f"data.label.positive: {min(unknown)} is none of the classes. Name some of data.label.classes."
            )
        classes = np.full(len(windows), -1, np.int32)
        for number, value in enumerate(label.classes or _values(windows, label)):
            classes[whole == value] = int(value in label.positive) if label.positive else number
    else:
        for field in ("classes", "positive"):
            if getattr(label, field):
                raise UserError(f"data.label.{field} goes with rule CLASS, but data.label.rule is {label.rule.name}.")
        threshold = _subject_means(windows) if label.rule is LabelRule.SUBJECT_MEAN else label.threshold
        classes = np.zeros(len(windows), np.int32)
        for border in label.thresholds or (threshold,):
            tie = np.isclose(windows.rating, border, rtol=0, atol=1e-9)
            above = (windows.rating > border) & ~tie | tie & (label.ties is Ties.HIGH)
            classes[above] += 1
            classes[tie & (label.ties is Ties.DROP) | ~np.isfinite(windows.rating)] = -1
    present = np.unique(classes[classes >= 0])
    if len(present) < 2:
        raise UserError(
            f'data.label: "{label.name}" by rule {label.rule.name} leaves {len(present)} class(es) in the data; '
            "a classifier needs two. See the classes with python -m launch.inspect STORE, then mend rule, threshold "
            "or classes."
        )
    return dataclasses.replace(windows, label=classes)


def _values(windows: Windows, label: config.Label) -> tuple[int, ...]:
    whole = _whole(windows, label)
    return tuple(sorted({int(v) for v in whole[np.isfinite(whole)]}))


def _whole(windows: Windows, label: config.Label) -> np.ndarray:
    """Ratings as whole numbers; NaN where there is none."""
    rating = windows.rating
    if label.rounding is not Rounding.NONE:
        return np.rint(rating) if label.rounding is Rounding.NEAREST else np.trunc(rating)
    between = rating[np.isfinite(rating) & (rating != np.trunc(rating))]
    if len(between):
        raise UserError(
            f'data.label: "{label.name}" is {between[0]:g} in some windows, which is no class. Part high from low by '
            "--config.data.label.rule=threshold, or take each whole number for a class by "
            "--config.data.label.rounding=nearest."
        )
    return rating


def limit(windows: Windows, ids: np.ndarray, label: config.Label, seed: int) -> np.ndarray:
    """The share `label.fraction` of these windows, or of their subjects; a smaller share lies within a larger one.

    Of windows, it is a share of every class, at least one each; of subjects, at least one of those that have a class.
    """
    classes = windows.label[ids]
    of = classes if label.fraction_of is Unit.WINDOWS else np.zeros_like(classes)
    kept = []
    for part in [ids[(of == c) & (classes >= 0)] for c in np.unique(of)]:
        unit = part if label.fraction_of is Unit.WINDOWS else windows.person[part]
        units = np.unique(unit)
        chosen = np.random.default_rng([seed, 2]).permutation(units)[: max(round(label.fraction * len(units)), 1)]
        kept.append(part[np.isin(unit, chosen)])
    return np.sort(np.concatenate(kept)) if kept else ids


def _first_of_each_trial(windows: Windows) -> np.ndarray:
    _, first = np.unique(np.stack([windows.store, windows.trial]), axis=1, return_index=True)
    return first[np.isfinite(windows.rating[first])]


def _subject_means(windows: Windows) -> np.ndarray:
    trials = _first_of_each_trial(windows)
    ratings = [windows.rating[trials[windows.person[trials] == p]] for p in range(len(windows.people))]
    return np.array([r.mean() if len(r) else np.nan for r in ratings])[windows.person]


def shuffle_trials(windows: Windows, seed: int) -> Windows:
    """The control in which nothing can be learnt: trials exchange their labels within each subject."""
    rng = np.random.default_rng(seed)
    shuffled = windows.rating.copy()
    for person in np.unique(windows.person):
        own = np.flatnonzero(windows.person == person)
        trials, first, back = np.unique(
            np.stack([windows.store[own], windows.trial[own]]), axis=1, return_index=True, return_inverse=True
        )
        shuffled[own] = windows.rating[own][first][rng.permutation(trials.shape[1])][back.reshape(-1)]
    return dataclasses.replace(windows, rating=shuffled)
