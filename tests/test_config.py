"""What is refused before anything is opened or written."""

import functools

import pytest

from ecgjax import config
from ecgjax.config import Borders, ChooseOn, Data, Experiment, Label, LabelRule, Protocol, Split
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
        ({"label": Label("mood", LabelRule.SUBJECT_MEAN, fraction=0.5)}, "the rule SUBJECT_MEAN would learn"),
        ({"label": Label("mood", LabelRule.BINS)}, r"data.label.thresholds=\(\): give rising numbers for rule BINS"),
        ({"label": Label("mood", LabelRule.BINS, thresholds=(3.0, 3.0))}, r"data.label.thresholds=\(3.0, 3.0\)"),
        ({"label": Label("mood", thresholds=(3.0,))}, "data.label.thresholds=.*none for another"),
        ({"label": Label("mood", LabelRule.MEDIAN, borders=Borders.MEAN)}, "data.label.rule=MEDIAN takes ratings"),
        ({"split": Split(Protocol.WINDOW, choose_epoch_on=ChooseOn.TESTED)}, "choose_epoch_on=TESTED goes with"),
        ({"window_s": float("inf")}, "data.window_s=inf: give a number above 0"),
    ],
)  # fmt: skip
def test_plug_ins_that_do_not_fit_are_refused_by_field(fields, message):
    with pytest.raises(UserError, match=message):
        config.check(experiment(**fields))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("seed", -1, "seed=-1: give a whole number from 0 to 2147483647"),
        ("seed", 2**31, "seed=2147483648: give a whole number from 0"),
        pytest.param("seed", 10**400, "seed=10+: give a whole number", id="a seed of 400 digits"),
        ("data.split.seed", -1, "data.split.seed=-1: give a whole number from 0"),
        ("data.split.seed", 99999999999999999999, "data.split.seed=99999999999999999999"),
        ("optim.b1", 1.0, "optim.b1=1.0: give a number from 0 up, below 1"),
        ("optim.b2", 1.0, "optim.b2=1.0"),
        ("optim.b2", float("nan"), "optim.b2=nan"),
        ("optim.momentum", -0.5, "optim.momentum=-0.5"),
        ("optim.momentum", 1.5, "optim.momentum=1.5"),
        ("optim.multipliers", (("", 1.0), ("^encoder/", -1.0)), 'optim.multipliers ".encoder/"=-1.0: give a factor'),
        ("optim.multipliers", (("^encoder/", float("nan")),), 'optim.multipliers "\\^encoder/"=nan'),
        ("optim.multipliers", (("a{9999999999}", 1.0),), 'optim.multipliers: "a.9999999999." is no regular'),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused_by_field(path, value, message):
    made = experiment()
    *groups, name = path.split(".")
    setattr(functools.reduce(getattr, groups, made), name, value)
    with pytest.raises(UserError, match=f"^{message}"):
        config.check(made)


def test_the_last_seed_and_what_optimizers_take_pass():
    made = experiment()
    made.seed = made.data.split.seed = 2**31 - 1
    made.optim.b1, made.optim.momentum, made.optim.multipliers = 0.0, 0.0, (("^encoder/", 0.0), ("head", 10.0))
    config.check(made)
