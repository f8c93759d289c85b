"""What a checkpoint says of itself, so that it can be used without the data it was trained on."""

import dataclasses
from typing import Any

from ecgjax import plain
from ecgjax.config import Experiment, Label
from ecgjax.training import provenance
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
      stores: `loop.fingerprint` of the data.
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
            "num_parameters": count_parameters(self.compiled.abstract.params),
            "label": plain.to_dict(self.label),
            "people": plain.to_dict(self.people),
            "class_names": list(self.class_names),
            "commits": list(self.commits),
        }
        made_of = {"experiment", "compiled", *plainly}
        rest = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in made_of}
        return plainly | rest
