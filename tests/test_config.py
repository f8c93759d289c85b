"""What is refused before anything is opened or written."""

import pytest

from ecgjax import config
from ecgjax.config import Data, Experiment, Label, LabelRule
from ecgjax.errors import UserError
from ecgjax.models import conv_transformer
from ecgjax.tasks import classification, masked_reconstruction


def experiment(model=None, task=None, **data):
    task = task or masked_reconstruction.Config()
    return Experiment(task=task, model=model or conv_transformer.Config(), data=Data(**data))


def test_the_defaults_pass():
    config.check(experiment())
    config.check(experiment(modalities=("eda", "ecg")))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": conv_transformer.Config(modality="eda")},
         "model.modality=eda is not among data.modalities=ecg. .*--config.data.modalities=ecg,eda"),
        ({"task": masked_reconstruction.Config(modality="eda")}, "task.modality=eda is not among data.modalities=ecg"),
        ({"model": conv_transformer.Config(num_heads=0)}, "model.num_heads=0"),
        ({"task": classification.Config(hidden=(0,))}, "task.hidden"),
        ({"label": Label("mood", fraction=0.0)}, "data.label.fraction=0.0: give a share above 0, and at most 1"),
        ({"label": Label("mood", fraction=1.5)}, "data.label.fraction=1.5"),
        ({"label": Label("mood", LabelRule.MEAN, fraction=0.5)}, "the rule MEAN would learn its threshold from all"),
        ({"window_s": float("inf")}, "data.window_s=inf: give a number above 0"),
    ],
)  # fmt: skip
def test_plug_ins_that_do_not_fit_are_refused_by_field(fields, message):
    with pytest.raises(UserError, match=message):
        config.check(experiment(**fields))
