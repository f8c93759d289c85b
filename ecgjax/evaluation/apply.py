"""A trained model put to use: on stores it has not seen, or on a single file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax import config, plain
from ecgjax.config import Data, Experiment
from ecgjax.data import labels, pipeline
from ecgjax.data.corpus import recording_keys
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows, find_windows, subjects_among
from ecgjax.errors import UserError
from ecgjax.evaluation.predictions import Predictions
from ecgjax.training import checkpoint, inherit
from ecgjax.training import mesh as meshes
from ecgjax.training.evaluate import evaluate
from ecgjax.training.program import Compiled, compile_for
from ecgjax.training.state import State


@dataclasses.dataclass(frozen=True)
class Model:
    """A checkpoint in memory.

    Attributes:
      experiment: what trained it; its `data` says what it is applied to.
      about: what the checkpoint says of itself: stores, modalities, preprocessing, classes, subjects.
      compiled, state: its functions and weights.
    """

    experiment: Experiment
    about: dict[str, Any]
    compiled: Compiled
    state: State


def read_experiment(path: Path) -> Experiment:
    """The experiment that trained a checkpoint, for a run's folder or one of its steps.

    Raises:
      UserError: there is no usable checkpoint, or its config is of another version.
    """
    return plain.from_dict(Experiment, checkpoint.describe(path)["extra"]["config"])


def load(path: Path, experiment: Experiment) -> Model:
    """The best checkpoint of a run (the latest, where none was evaluated), on the devices of `experiment.mesh`.

    Raises:
      UserError: there is no usable checkpoint, or `experiment.model` is not the model in it.
    """
    config.check(experiment)
    about = checkpoint.describe(path)["extra"]
    compiled = compile_for(experiment, about["modalities"])
    meshes.check_batch_size(experiment.data.eval_batch_size, compiled.mesh, "data.eval_batch_size")
    roots = {"params": compiled.abstract.params, "model_state": compiled.abstract.model_state}
    found = checkpoint.restore(path, roots, model=plain.to_dict(experiment)["model"]).state
    key = checkpoint.restore(path, {"key": compiled.abstract.key}).state["key"]
    state = State(step=np.zeros((), np.int32), key=key, opt_state=(), **found)
    return Model(experiment, about, compiled, state)


def find_unseen(model: Model, stores: Sequence[Store]) -> tuple[Windows, list[str]]:
    """(windows of people the model was neither trained nor selected on, the people left out).

    Those whose labels were met by a run it was started from are left out too; those whose signals alone were met there
    stay in, unless the model itself learns from signals alone: see `met_without_labels`.
    People are known by their names, and by their recordings, whatever data set those are said to belong to now.
    """
    data, sets = model.experiment.data, {store.manifest["dataset"]["name"] for store in stores}
    excluded = tuple(s for s in data.split.exclude_subjects if s.partition("/")[0] in sets)  # else not to be found
    data = dataclasses.replace(data, split=dataclasses.replace(data.split, exclude_subjects=excluded))
    windows = find_windows(stores, data, data.eval_stride_s)
    people = inherit.people_of(model.about)
    met = {*people.labelled, *(() if model.compiled.program.task.num_classes else people.unlabelled)}
    seen = sorted(subjects_among(stores, windows, met))
    unseen = windows.take(np.flatnonzero(~windows.are_of(seen)))
    if not len(unseen):
        raise UserError(
            f"{data.store}: the model was trained on all {len(seen)} of its people. Evaluate on other people, or "
            "cross-validate with launch.crossval."
        )
    return unseen, seen


def met_without_labels(model: Model, stores: Sequence[Store], windows: Windows) -> list[str]:
    """People of these windows whose signals a run met that the model was started from: scores are transductive."""
    return sorted(subjects_among(stores, windows, inherit.people_of(model.about).unlabelled))


def with_labels(model: Model, stores: Sequence[Store], windows: Windows) -> Windows:
    """Labels by the rule and with the classes or threshold of the training; windows without a class are dropped.

    Raises:
      UserError: the stores' label means something else, or the experiment asks for another rule.
    """
    label = plain.from_dict(config.Label, model.about["label"])
    if not label.name:
        return windows
    asked = plain.to_dict(model.experiment.data.label)
    trained = plain.fill(model.about["config"]["data"]["label"], label)
    for field, (then, now) in plain.diff(trained, asked).items():
        if field != "name":  # the same label may be called otherwise in another store
            raise UserError(
                f"data.label.{field}={now}: the model was trained with {then}, and what its classes mean cannot be "
                "changed now. Leave it out."
            )
    for store in stores:
        spec = store.manifest["labels"][asked["name"]]
        for field, (then, now) in plain.diff(model.about["label_spec"], spec).items():
            raise UserError(
                f'{store.path}: label "{asked["name"]}" has {field} {now}, the model was trained with {then}: they do '
                "not mean the same. Name another by --config.data.label.name."
            )
    windows = labels.classify(windows, label)
    return windows.take(np.flatnonzero(windows.label >= 0))


def run(model: Model, stores: Sequence[Store], windows: Windows, keep: int) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, predictions of the first `keep` windows), as the task defines them."""
    data: Data = model.experiment.data
    gather = pipeline.make_gather(stores, windows, data)
    return evaluate(model.compiled, model.state, gather, np.arange(len(windows)), data.eval_batch_size, keep)


def as_predictions(model: Model, stores: Sequence[Store], windows: Windows, probability_NC: np.ndarray) -> Predictions:
    return Predictions(
        label_N=windows.label,
        probability_NC=probability_NC,
        subject_N=windows.subject,
        seed_N=model.experiment.seed,
        recording_N=recording_keys(stores, windows),
        start_s_N=windows.start_s,
        classes=tuple(model.about["class_names"]),
    )
