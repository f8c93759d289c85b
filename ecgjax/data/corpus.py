"""Stores, windows, labels and split of one experiment, opened together."""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ecgjax import config, plain
from ecgjax.config import LabelRule, Protocol, Unit
from ecgjax.data import labels, splits
from ecgjax.data.pipeline import open_stores
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows, find_windows, having, overlap, recording_digests, subjects_among
from ecgjax.errors import UserError
from ecgjax.signals.preprocess import Steps


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The windows to train on and to evaluate on.

    Attributes:
      stores: in the order of `data.store`.
      windows: on the training grid (`data.stride_s`).
      train: ids into `windows`.
      eval_windows: on the evaluation grid (`data.eval_stride_s`).
      validation, test: ids into `eval_windows`.
      learnt: ids into `eval_windows` whose labels train or choose the epoch: what a baseline may learn from.
      label: the rule, its threshold learnt from the training subjects.
      class_names: of label 0, 1, ...; empty without labels.
    """

    stores: Sequence[Store]
    windows: Windows
    train: np.ndarray
    eval_windows: Windows
    validation: np.ndarray
    test: np.ndarray
    learnt: np.ndarray
    label: config.Label
    class_names: tuple[str, ...]

    @property
    def train_subjects(self) -> list[str]:
        return self.windows.subjects_of(self.train)

    @property
    def validation_subjects(self) -> list[str]:
        return self.eval_windows.subjects_of(self.validation)


def open_corpus(data: config.Data) -> Corpus:
    """Opens the stores and finds the windows of each side.

    The fold is drawn on the evaluation grid, so that it does not move with the training stride. Labels come after the
    split, because a threshold that is learnt must be learnt from training subjects.

    Raises:
      UserError: see `open_stores`, `find_windows`, `make_fold`, `classify`; the training side lacks a second class,
        nobody tested or nobody who is to choose the epoch has a window with a class, or a recording is on two sides.
    """
    found = (_open_untested if data.label.deals_only else _open)(data, open_stores(data))
    if data.split.protocol is not Protocol.WINDOW:
        _refuse_copies(found, data.split)
    return found


def _open_untested(data: config.Data, stores: Sequence[Store]) -> Corpus:
    """All windows, with a label or without, that share no second with one that the fold tests by the label."""
    name, split = data.label.name, data.split
    if split.protocol is not Protocol.WINDOW or split.fold < 0 or not name:
        raise UserError(
            "data.label.deals_only: it leaves out the windows that a window-wise fold tests. Give data.label.name, "
            "data.split.protocol=window and data.split.fold, or leave it out."
        )
    have_it = [number for number, store in enumerate(stores) if name in store.manifest["labels"]]
    dealing = dataclasses.replace(data, label=dataclasses.replace(data.label, deals_only=False))
    dealt = _open(dealing, [stores[number] for number in have_it] or stores)  # without any, it tells that there is none
    everything = dataclasses.replace(data, label=config.Label(), split=dataclasses.replace(split, fold=-1))
    found, tested = _open(everything, stores), dealt.eval_windows.take(dealt.test)
    tested = dataclasses.replace(tested, store=np.array(have_it, tested.store.dtype)[tested.store])

    def apart(windows: Windows, ids: np.ndarray) -> np.ndarray:
        return ids[~overlap(windows.take(ids), tested, data.window_s)]

    train, validation = apart(found.windows, found.train), apart(found.eval_windows, found.validation)
    return dataclasses.replace(found, train=train, validation=validation)


def _open(data: config.Data, stores: Sequence[Store]) -> Corpus:
    one_grid = _on_one_grid(data)
    if nowhere := [modality for modality in data.modalities if not having(stores, modality)]:
        raise UserError(
            f"data.modalities: no store has {nowhere[0]}, so there is nothing to learn of it. Leave it out."
        )
    eval_windows = find_windows(stores, data, data.eval_stride_s)
    fold = splits.make_fold(eval_windows, data.split)
    windows = eval_windows if one_grid else find_windows(stores, data, data.stride_s)
    if not data.label.name:
        train = fold.train if one_grid else np.flatnonzero(windows.are_of(eval_windows.subjects_of(fold.train)))
        learnt = fold.train[:0]
        return Corpus(stores, windows, train, eval_windows, fold.validation, fold.test, learnt, data.label, ())

    fit_subjects = eval_windows.subjects_of(fold.train)
    if data.shuffle_labels:
        windows, eval_windows = (labels.shuffle_trials(w, data.split.seed) for w in (windows, eval_windows))
    label = labels.learn(eval_windows, data.label, fit_subjects)
    windows, eval_windows = (labels.classify(w, label) for w in (windows, eval_windows))
    train, validation, test = (ids[eval_windows.label[ids] >= 0] for ids in (fold.train, fold.validation, fold.test))
    if label.fraction < 1:
        train = labels.limit(eval_windows, train, label, data.split.seed)
        if not splits.by_oracle(data.split):
            validation = labels.limit(eval_windows, validation, label, data.split.seed)
    learnt = np.setdiff1d(np.union1d(train, validation), test)
    if not one_grid:
        train = np.flatnonzero(windows.are_of(eval_windows.subjects_of(train)))
        train = train[windows.label[train] >= 0]
    names = class_names(stores, label)
    found = Corpus(stores, windows, train, eval_windows, validation, test, learnt, label, names)
    _check_sides(found, fold, data.split)
    return found


def _refuse_copies(found: Corpus, split: config.Split) -> None:
    """A recording that lies in the data under two names must not be on two sides."""
    sides = (found.windows.take(found.train), *(found.eval_windows.take(ids) for ids in (found.validation, found.test)))
    digests = [(side, recording_digests(found.stores, side)) for side in sides]
    if splits.by_oracle(split):  # those who choose the epoch are those who are tested
        del digests[1]
    for (here, some), (there, others) in itertools.combinations(digests, 2):
        if shared := some & others:
            names = [min(subjects_among(found.stores, side, shared)) for side in (here, there)]
            raise UserError(
                f"data.store: a recording of {names[0]} is also one of {names[1]}, sample by sample, and they are "
                f"on two sides of data.split. Leave one of them out by --config.data.split.exclude_subjects={names[1]}."
            )


def _on_one_grid(data: config.Data) -> bool:
    """Whether the same windows are trained and evaluated on, since they are dealt out one by one."""
    share = data.label.fraction < 1 and data.label.fraction_of is Unit.WINDOWS
    if not share and data.split.protocol is not Protocol.WINDOW:
        return False
    if data.stride_s != data.eval_stride_s:
        why = "for a share of the labelled windows" if share else "in the window-wise protocol"
        raise UserError(
            f"data.stride_s={data.stride_s} must equal data.eval_stride_s={data.eval_stride_s} {why}, where those of "
            "one grid are dealt out."
        )
    return True


def _check_sides(found: Corpus, fold: splits.Fold, split: config.Split) -> None:
    """Classes to learn, and somebody with a class among those who choose the epoch and those who are tested."""
    where = f"data.split: fold {split.fold}" if split.fold >= 0 else "data.split"
    names, subjects_of = ", ".join(found.class_names), found.eval_windows.subjects_of
    if len(fold.test) and not len(found.test):
        raise UserError(
            f"{where} has nothing to test on: no window of {', '.join(subjects_of(fold.test))} has one of the classes "
            f"{names}. Leave them out by --config.data.split.exclude_subjects, take fewer folds, or mend data.label."
        )
    present = np.unique(found.windows.label[found.train])
    if len(present) == 1:
        raise UserError(
            f'{where}: all windows to train on are "{found.class_names[present[0]]}", of the classes {names}. Take '
            "another data.split.seed or num_folds, a smaller validation_fraction, or more subjects."
        )
    if len(fold.validation) and not len(found.validation):
        raise UserError(
            f"{where}: no window of {', '.join(subjects_of(fold.validation))}, who are to choose the epoch, has one of "
            f"the classes {names}. Take another data.split.seed or a greater validation_fraction, or do without: "
            "--config.data.split.validation_fraction=0."
        )


def class_names(stores: Sequence[Store], label: config.Label) -> tuple[str, ...]:
    """What class 0, 1, ... is called, by the store's label specification and the rule as `labels.learn` gives it."""
    if label.rule is not LabelRule.CLASS:
        between = len(label.thresholds) - 1
        return ("low", *(["middle"] if between == 1 else [f"middle {i + 1}" for i in range(between)]), "high")
    names = stores[0].manifest["labels"][label.name]["classes"]
    names = {v: names[v] if v < len(names) else str(v) for v in label.classes}
    if label.positive:
        sides = [[n for v, n in names.items() if (v in label.positive) == side] for side in (False, True)]
        return tuple(" or ".join(side) for side in sides)
    return tuple(names.values())


def recording_keys(stores: Sequence[Store], windows: Windows) -> np.ndarray:
    """Keys of the recordings the windows were cut from."""
    keys = np.empty(len(windows), object)
    for number, store in enumerate(stores):
        mine = windows.store == number
        keys[mine] = store.index["key"][windows.recording[mine]]
    return keys.astype(str)


def check_store(
    store: Store,
    about: Mapping[str, Any],
    modalities: Iterable[str],
    optional: Collection[str] = (),
    model: str = "the model",
) -> None:
    """Refuses signals prepared otherwise than those a model was trained on; the quality gate may differ.

    Args:
      about: what the model's checkpoint says of itself.
      modalities: those that are looked at, all in `about`.
      optional: which of these the store may lack.
      model: what to call it in messages.

    Raises:
      UserError: names the field, and its value there and here.
    """
    for name in modalities:
        trained, given = about["modalities"][name], store.manifest["modalities"].get(name)
        if given is None and name in optional:
            continue
        if given is None:
            others = store.manifest["modalities"].keys() & set(about["config"]["model"].get("modalities", ()))
            without = f" Or let windows lack it: --config.data.optional={','.join((*optional, name))}."
            raise UserError(
                f"{store.path}: {model} reads {name}, which this store does not hold. Prepare one that does."
                + without * bool(others)
            )
        if len(given["channels"]) != len(trained["channels"]):
            raise UserError(
                f"{store.path}: {name} has {len(given['channels'])} channels, {model} was trained with "
                f"{len(trained['channels'])}. Prepare it again with --config.dataset.channels.{name}=(...)."
            )
        steps = (plain.fill(p["preprocess"][name], Steps(0.0)) for p in (about, store.manifest))
        for field, (then, now) in plain.diff(*steps).items():
            if not field.startswith("gate"):
                raise UserError(
                    f"{store.path}: {name} was prepared with {field}={now}, {model} was trained with {then}. "
                    f"Prepare it again with --config.preprocess.{name}.{field}={then}."
                )
