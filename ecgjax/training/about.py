"""What a checkpoint says of itself, so that it can be used without the data it was trained on."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgjax import plain
from ecgjax.config import Experiment, Label
from ecgjax.data.store import Store
from ecgjax.errors import UserError
from ecgjax.training import checkpoint, provenance
from ecgjax.training.inherit import People
from ecgjax.training.program import Compiled, count_parameters


@dataclasses.dataclass(frozen=True)
class About:
    """Defaults say that nothing is known, as of weights from elsewhere.

    Attributes:
      modalities: of each, what `data.windows.describe_modality` tells: the signal it wants to be fed.
      preprocess: of each, the steps that made it, as a store's manifest has them.
      label: with what its rule left open filled in.
      label_spec: what the label's values mean, as a store's manifest has it; None without a label.
      class_names: of class 0, 1, ...
      stores: `fingerprint` of the data.
      started_from: `content_of` the run its encoder comes from.
      train_subjects, validation_subjects: by name.
      people: whom the weights have learnt from, here and in the runs before.
      commits: of the code that trained it, in turn.
      history: of the monitored metric, for a run that goes on.
      origin: where weights from elsewhere come from.
    """

    experiment: Experiment
    compiled: Compiled
    modalities: dict[str, dict[str, Any]]
    preprocess: dict[str, dict[str, Any]]
    label: Label
    label_spec: dict[str, Any] | None = None
    class_names: tuple[str, ...] = ()
    stores: dict[str, str] = dataclasses.field(default_factory=dict)
    started_from: str = ""
    train_subjects: list[str] = dataclasses.field(default_factory=list)
    validation_subjects: list[str] = dataclasses.field(default_factory=list)
    people: People = People()
    commits: tuple[str, ...] = dataclasses.field(default_factory=lambda: (provenance.commit(),))
    history: list[list[float]] = dataclasses.field(default_factory=list)
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Made for JSON; what `checkpoint.describe` gives back as "extra"."""
        plainly = {
            "config": plain.to_dict(self.experiment),
            "encoder_trains": self.compiled.program.encoder_trains,
            "num_parameters": count_parameters(self.compiled.abstract.params),
            "label": plain.to_dict(self.label),
            "people": plain.to_dict(self.people),
            "class_names": list(self.class_names),
            "commits": list(self.commits),
        }
        made_of = {"experiment", "compiled", *plainly}
        rest = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in made_of}
        return plainly | rest


def fingerprint(stores: Sequence[Store]) -> dict[str, str]:
    """What a resumed run must find unchanged: the content of every store, in order."""
    return {f"store_{i}": store.manifest["content_hash"] for i, store in enumerate(stores)}


def content_of(init_from: str) -> str:
    """Tells a run's weights from those of another training in the same folder; empty where there is none (any more)."""
    try:
        return checkpoint.describe(Path(init_from))["content"] if init_from else ""
    except UserError:
        return ""


def check_content(folder: Path, extra: Mapping[str, Any], stores: Sequence[Store], init_from: str) -> None:
    """Raises a UserError where the run in `folder` began with other content, of a store or of `init_from`, than now."""
    then = extra["stores"]
    if len(then) != len(stores):
        raise UserError(
            f"{folder}: its run began with {len(then)} store(s), data.store names {len(stores)}. Name the same "
            "ones, or start in a new --workdir."
        )
    for store, old in zip(stores, then.values(), strict=True):
        if store.manifest["content_hash"] != old:
            raise UserError(
                f"{store.path}: its content has changed since the run in {folder} began. Put the old store back, or "
                "start in a new --workdir."
            )
    now = content_of(init_from)
    if now and extra.get("started_from", now) != now:
        raise UserError(
            f"init_from={init_from}: has been trained anew since the run in {folder} began, which started from what "
            "was there before. Start in a new --workdir."
        )
