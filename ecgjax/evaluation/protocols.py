"""Cross-validation: every fold an ordinary run in its own folder, so that it resumes like one; then one table."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ecgjax import config
from ecgjax.config import Experiment, Protocol
from ecgjax.data import splits
from ecgjax.data.again import find_again
from ecgjax.data.corpus import Corpus, open_corpus, recording_keys
from ecgjax.data.pipeline import make_gather, open_stores
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows, describe_modality, subjects_among
from ecgjax.errors import UserError
from ecgjax.evaluation import baselines, physiology
from ecgjax.evaluation.physiology import Features
from ecgjax.evaluation.predictions import Predictions, concatenate
from ecgjax.training import checkpoint, inherit, loop, workdir
from ecgjax.training import mesh as meshes
from ecgjax.training.about import check_content
from ecgjax.training.evaluate import evaluate
from ecgjax.training.loop import Run
from ecgjax.training.progress import Part, tell
from ecgjax.training.state import State

MODEL = "ecgjax"
_KEPT = "predictions.npz"  # in a fold's folder, once it is tested
# The features of the last windows: those of the cells of a sweep are mostly the same, and to find beats takes minutes.
_measured: dict[tuple[Any, ...], Features] = {}


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation found.

    Attributes:
      predictions: by name: the model's first, then the baselines', all on the same windows and folds.
      corpus: of fold 0; the evaluation windows are those of every fold.
      seen_in_pretraining: subjects tested on whose signals, without labels, a run met that this one started from.
      beatless: windows in which the baselines found too few beats.
      seen_with_labels: subjects tested on whose labels such a run met; none but in the window-wise protocol.
      lacking: (fold, "training" or "validation", class) where no window of that side is of that class.
    """

    predictions: dict[str, Predictions]
    corpus: Corpus
    seen_in_pretraining: list[str]
    beatless: int
    seen_with_labels: list[str]
    lacking: list[tuple[int, str, str]]


class Side(NamedTuple):
    """A fold as a baseline sees it: labelled windows, and the ids to learn from and to be tested on."""

    windows: Windows
    train: np.ndarray
    test: np.ndarray


def cross_validate(experiment: Experiment, folder: Path) -> CrossValidation:
    """Trains and tests every fold in `folder`/fold_NN; finished folds are read, not run again.

    Raises:
      UserError: the labels are missing, the folds do not fit the subjects, or the encoder it starts from has met the
        labels of people it would be tested on.
    """
    if not experiment.data.label.name:
        raise UserError("data.label.name is empty: cross-validation scores labels. Name one of the store's labels.")
    config.check(experiment)
    if not experiment.task.make().num_classes:
        raise UserError("task: this task gives no class probabilities, so there is nothing to score.")
    first = open_corpus(config.fold_of(experiment, 0).data)
    num_folds, took_s, parts = splits.num_folds(first.eval_windows, experiment.data.split), math.nan, []
    folds = [config.fold_of(experiment, number) for number in range(num_folds)]
    corpora = [first, *(open_corpus(fold.data) for fold in folds[1:])]  # all are checked before the first one trains
    with_labels, without = _met_before(folds, corpora)
    for number, (fold, corpus) in enumerate(zip(folds, corpora, strict=True)):
        started, place = time.monotonic(), folder / f"fold_{number:02d}"
        part = Part(f"fold {number + 1} of {num_folds}", to_follow=num_folds - number - 1, each_s=took_s)
        done = (place / _KEPT).exists()
        parts.append(_test_fold(fold, corpus, place, part))
        took_s = took_s if done else time.monotonic() - started
    model = concatenate(parts)
    sides = [Side(corpus.eval_windows, corpus.learnt, corpus.test) for corpus in corpora]
    others, beatless = baseline_predictions(first.stores, experiment.data, sides, first.class_names, experiment.seed)
    lacking = [(number, *lack) for number, corpus in enumerate(corpora) for lack in _lacking(corpus)]
    return CrossValidation({MODEL: model} | others, first, without, beatless, with_labels, lacking)


def _lacking(corpus: Corpus) -> Iterator[tuple[str, str]]:
    sides = {"training": corpus.windows.label[corpus.train]}
    sides["validation"] = corpus.eval_windows.label[corpus.validation]
    for side, label_N in sides.items():
        for number, name in enumerate(corpus.class_names):
            if len(label_N) and not (label_N == number).any():
                yield side, name


def _met_before(folds: Sequence[Experiment], corpora: Sequence[Corpus]) -> tuple[list[str], list[str]]:
    """The people to be tested on whom their fold's encoder has met (with their labels, by their signals alone).

    Raises:
      UserError: with their labels, or though every fold has an encoder of its own; unless the window-wise protocol asks
        for scores that are optimistic anyhow.
    """
    labelled, unlabelled = set(), set()
    for fold, corpus in zip(folds, corpora, strict=True):
        people, tested = inherit.people_before(fold), corpus.eval_windows.take(corpus.test)
        labelled |= subjects_among(corpus.stores, tested, people.labelled)
        unlabelled |= subjects_among(corpus.stores, tested, people.unlabelled)
    one, window_wise = folds[0], folds[0].data.split.protocol is Protocol.WINDOW
    if labelled and not window_wise:
        raise UserError(
            f"init_from={one.init_from}: the labels of {len(labelled)} people to be tested on were learnt from there, "
            f"or in a run it started from: {', '.join(sorted(labelled))}. Start from a run without their labels, or "
            "leave them out by --config.data.split.exclude_subjects."
        )
    if unlabelled and not window_wise and one.init_from != folds[-1].init_from:
        raise UserError(
            f"init_from={one.init_from} and its like: {len(unlabelled)} people are tested in a fold whose encoder has "
            f"met them: {', '.join(sorted(unlabelled))}. Pre-train with the same data.split (protocol, num_folds, "
            "seed, exclude_subjects), and with data.split.fold as in the folder's name. Folds differ, too, where "
            "somebody has windows in one stage only: leave them out of both by --config.data.split.exclude_subjects."
        )
    return sorted(labelled), sorted(unlabelled)


def _test_fold(experiment: Experiment, corpus: Corpus, folder: Path, part: Part) -> Predictions:
    kept = folder / _KEPT
    if meshes.agree(kept.exists()):
        workdir.check_same(folder, experiment)
        check_content(folder, checkpoint.describe(folder)["extra"], corpus.stores, experiment.init_from)
        tell(f"{part.name}: tested before")
        return Predictions.load(kept)
    this, state = loop.run(experiment, folder, part)
    predictions = test(this, state, this.corpus.test)
    meshes.on_first(lambda: predictions.save(kept))
    return predictions


def test(this: Run, state: State, ids: np.ndarray) -> Predictions:
    """Predictions of a run's state, of a task that classifies, for evaluation windows `ids`."""
    windows, data = this.corpus.eval_windows.take(ids), this.experiment.data
    _, kept = evaluate(this.compiled, state, this.eval_gather, ids, data.eval_batch_size, keep=len(ids))
    return Predictions(
        label_N=windows.label,
        probability_NC=kept["probability"],
        subject_N=windows.subject,
        fold_N=max(data.split.fold, 0),
        seed_N=this.experiment.seed,
        recording_N=recording_keys(this.corpus.stores, windows),
        start_s_N=windows.start_s,
        classes=this.corpus.class_names,
    )


def baseline_predictions(
    stores: Sequence[Store], data: config.Data, sides: Sequence[Side], classes: tuple[str, ...], seed: int
) -> tuple[dict[str, Predictions], int]:
    """(predictions of every baseline over the folds, windows with too few beats).

    The windows of all sides must be the same but for their labels: a learnt threshold is the fold's own.
    """
    found = _measure(stores, data, sides[0].windows)
    folds: list[dict[str, Predictions]] = []
    for number, side in enumerate(sides):
        results = baselines.run(
            found,
            np.maximum(side.windows.label, 0),  # windows without a class are neither trained nor tested on
            side.windows.subject,
            [(side.train, side.test)],
            classes,
            recording_N=recording_keys(stores, side.windows),
            start_s_N=side.windows.start_s,
            seed=seed,
        )
        folds.append({name: dataclasses.replace(p, fold_N=number) for name, p in results.items()})
    return {name: concatenate(fold[name] for fold in folds) for name in folds[0]}, found.num_beatless


def _measure(stores: Sequence[Store], data: config.Data, windows: Windows) -> Features:
    """Features of the windows, in `data.baseline_store` where one is named."""
    if data.baseline_store:
        others = open_stores(dataclasses.replace(data, store=data.baseline_store, weights=()))
        stores, windows = others, find_again(stores, windows, others, data)
        found = np.any([rows >= 0 for rows in windows.rows.values()], axis=0).mean()
        if found < 0.5:
            raise UserError(
                f"data.baseline_store={data.baseline_store}: it holds {found:.0%} of the windows. Name a store of "
                "the same recordings, or none."
            )
    gather = make_gather(stores, windows, data)
    rates_hz = {m: describe_modality(stores, m)["rate_hz"] for m in physiology.READ if m in gather.samples}
    rows = hashlib.sha256(b"".join(column.tobytes() for column in (windows.store, *windows.rows.values()))).hexdigest()
    key = (*(store.manifest["content_hash"] for store in stores), *gather.samples.items(), rows)
    if key not in _measured:
        told = ", ".join(rates_hz) or "no signal that it knows"
        tell(f"baselines: physiology of {told} in {len(windows):,} windows, then a classifier a fold")
        every = np.arange(len(windows))
        _measured.clear()
        _measured[key] = physiology.features({m: gather.cut(m, every) for m in rates_hz}, rates_hz, len(windows))
    return _measured[key]
