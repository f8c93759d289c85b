"""What a run takes over from the one it starts from (`init_from`): the encoder, and the people that has learnt from."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgjax import plain
from ecgjax.config import Experiment
from ecgjax.data.corpus import Corpus, check_store
from ecgjax.data.store import Store
from ecgjax.data.windows import recording_digests
from ecgjax.errors import UserError
from ecgjax.training import checkpoint
from ecgjax.training.state import State


@dataclasses.dataclass(frozen=True)
class People:
    """Whom weights have learnt from or were chosen on: in their own run, and in all it was started from.

    Known by name, "<data set>/<person>", and by the digests of their recordings, which stay when a name changes.

    Attributes:
      labelled: with their labels.
      unlabelled: by their signals alone.
    """

    labelled: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()

    def and_also(self, people: Iterable[str], with_labels: bool) -> "People":
        labelled = {*self.labelled, *(people if with_labels else ())}
        everyone = {*self.labelled, *self.unlabelled, *people}
        return People(tuple(sorted(labelled)), tuple(sorted(everyone - labelled)))


def known_of(corpus: Corpus) -> set[str]:
    """What those are known by whom a run on this corpus learns from or chooses by."""
    sides = (corpus.windows.take(corpus.train), corpus.eval_windows.take(corpus.validation))
    names = {*corpus.train_subjects, *corpus.validation_subjects}
    return names.union(*(recording_digests(corpus.stores, side) for side in sides))


def people_of(extra: Mapping[str, Any]) -> People:
    """Those of a checkpoint."""
    return People(**{kind: tuple(known) for kind, known in extra["people"].items()})


def people_before(experiment: Experiment) -> People:
    """Those that the run named by `init_from` has learnt from.

    Raises:
      UserError: there is no usable checkpoint.
    """
    if not experiment.init_from:
        return People()
    return people_of(checkpoint.describe(Path(experiment.init_from))["extra"])


def read_encoder(experiment: Experiment, abstract: State, stores: Sequence[Store]) -> dict[str, Any]:
    """The encoder's part of `params` and `model_state`, from the run named by `init_from`.

    Raises:
      UserError: there is no usable checkpoint; its encoder is another one, though its weights may have the same
        shapes; or the stores were prepared otherwise than those it learnt from.
    """
    path, model = Path(experiment.init_from), plain.to_dict(experiment)["model"]
    about = checkpoint.describe(path)["extra"]
    then = plain.fill(about["config"]["model"], experiment.model)
    _check_model(path, then, model, getattr(experiment.model, "may_differ", ()))
    for store in stores:
        read = about["modalities"].keys() & set(experiment.data.modalities)
        check_store(store, about, sorted(read), experiment.data.optional, model=f"the encoder of init_from={path}")
    wanted = {name: getattr(abstract, name)["encoder"] for name in ("params", "model_state")}
    return checkpoint.restore_encoder(path, wanted, model=model)


def _check_model(path: Path, then: dict[str, Any], now: dict[str, Any], may_differ: Iterable[str]) -> None:
    """Weights mean what they meant only in the model they were trained in: strides and activations have no shapes."""
    changes = {name: values for name, values in plain.diff(then, now).items() if name not in may_differ}
    if changes:
        told = "model.{} is {} in the checkpoint and {} here"
        shown = "; ".join(told.format(name, *values) for name, values in changes.items())
        raise UserError(
            f"init_from={path}: its encoder is another one: {shown}. Set the model's fields as they were, or name a "
            "run of this model."
        )
