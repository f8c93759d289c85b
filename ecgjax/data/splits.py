"""Who trains, who chooses the epoch, who is tested: by subject, unless a paper's window-wise split is asked for.

Folds are dealt within each data set, so that fold 3 of one set holds out the same people when the set is mixed with
others: a pre-training on all of them and a fine-tuning on one leave out the same.
"""

import dataclasses
import itertools

import numpy as np

from ecgjax import config
from ecgjax.config import ChooseOn, Protocol
from ecgjax.data.windows import Windows
from ecgjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Fold:
    """Window ids of the three sides; `validation` and `test` may be empty."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def num_folds(windows: Windows, split: config.Split) -> int:
    """Of one subject each, the largest data set's; the others then have folds in which nobody of them is tested."""
    return max(map(len, _data_sets(windows))) if split.protocol is Protocol.LEAVE_ONE_SUBJECT_OUT else split.num_folds


def _data_sets(windows: Windows) -> list[list[str]]:
    """The subjects of each data set."""
    return [list(names) for _, names in itertools.groupby(windows.subjects, lambda name: name.partition("/")[0])]


def make_fold(windows: Windows, split: config.Split) -> Fold:
    """The windows of fold `split.fold`; with fold -1 nobody is tested.

    Raises:
      UserError: fewer subjects than folds, or a fold number out of range.
    """
    left = np.ones(len(windows), bool)
    test = np.flatnonzero(left)[:0] if split.fold < 0 else _held_out(windows, split)
    left[test] = False
    validation = test if by_oracle(split) else _validation(windows, split, np.flatnonzero(left))
    left[validation] = False
    fold = Fold(np.flatnonzero(left), validation, test)
    if split.protocol is not Protocol.WINDOW:
        refuse_overlap(windows, dataclasses.replace(fold, validation=test[:0]) if by_oracle(split) else fold)
    return fold


def by_oracle(split: config.Split) -> bool:
    """Whether the epoch is chosen on those who are tested, in a fold that tests somebody."""
    return split.choose_epoch_on is ChooseOn.TESTED and split.fold >= 0


def refuse_overlap(windows: Windows, fold: Fold) -> None:
    """No subject on two sides; a broken rule here would be a leak, so it is checked on the result itself."""
    sides = {side: set(windows.subjects_of(getattr(fold, side))) for side in ("train", "validation", "test")}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if shared := sides[a] & sides[b]:
            raise UserError(f"data.split: subject {min(shared)} is in both {a} and {b}; scores would be optimistic.")


def _held_out(windows: Windows, split: config.Split) -> np.ndarray:
    count = num_folds(windows, split)
    if not split.fold < count:
        raise UserError(f"data.split.fold={split.fold}, but there are {count} folds, numbered from 0.")
    if count < 2:
        raise UserError(f"data.split.num_folds={count}: cross-validation needs two folds or more.")
    people = _data_sets(windows)
    if split.protocol is Protocol.LEAVE_ONE_SUBJECT_OUT:
        return np.flatnonzero(windows.are_of(name for names in people for name in names[split.fold : split.fold + 1]))
    by_window = split.protocol is Protocol.WINDOW
    units = [np.flatnonzero(windows.are_of(names)) if by_window else np.array(names) for names in people]
    if (most := max(map(len, units))) < count:
        what = ("windows" if by_window else "subjects") + (" in the largest data set" if len(units) > 1 else "")
        raise UserError(f"data.split.num_folds={count}, but there are only {most} {what}. Take {most} or fewer.")
    test = []
    for of in units:  # as scikit-learn's KFold with shuffle=True deals them
        order = np.random.RandomState(split.seed).permutation(len(of))
        chosen = of[np.array_split(order, count)[split.fold]]
        test.append(chosen if by_window else np.flatnonzero(windows.are_of(chosen)))
    return np.sort(np.concatenate(test))


def _validation(windows: Windows, split: config.Split, rest: np.ndarray) -> np.ndarray:
    """Part of the training side, by whole subjects (by windows in the window-wise protocol)."""
    if not 0 <= split.validation_fraction < 1:
        raise UserError(f"data.split.validation_fraction={split.validation_fraction} is not in [0, 1).")
    if not split.validation_fraction:
        return rest[:0]
    rng = np.random.default_rng([split.seed, split.fold + 1])
    if split.protocol is Protocol.WINDOW:
        return np.sort(rng.permutation(rest)[: round(split.validation_fraction * len(rest))])
    subjects = np.array(windows.subjects_of(rest))
    if len(subjects) < 2:
        raise UserError(
            "data.split.validation_fraction: only one subject is left to train on, none can be set aside. "
            "Set --config.data.split.validation_fraction=0, or prepare more subjects."
        )
    count = int(np.clip(round(split.validation_fraction * len(subjects)), 1, len(subjects) - 1))
    return rest[windows.are_of(rng.permutation(subjects)[:count])[rest]]
