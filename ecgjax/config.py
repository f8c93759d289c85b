"""An experiment as typed, mutable dataclasses: every field is a flag (`--config.optim.learning_rate=3e-4`).

Tasks and models are plug-ins: their own `Config` (with a method `make()`) is put in place by a config file.
Durations are in seconds, rates in hertz, schedules in epochs; steps and samples are derived where they are used.
"""

import copy
import dataclasses
import enum
import functools
import itertools
import math
from typing import Any

from ecgjax.errors import UserError, regex, require

FOLD = "{fold}"


class Sampling(enum.Enum):
    PLAIN = "plain"  # every window once an epoch
    BALANCED = "balanced"  # every class equally often


class LabelRule(enum.Enum):
    CLASS = "class"  # the value is the class
    THRESHOLD = "threshold"  # rating above `threshold`
    BINS = "bins"  # how many of the `thresholds` the rating is above
    MEAN = "mean"  # above the mean rating of the training subjects' trials
    MEDIAN = "median"  # above their median
    SUBJECT_MEAN = "subject_mean"  # above the subject's own mean rating


class Ties(enum.Enum):
    HIGH = "high"  # a rating equal to the threshold counts as high (>=)
    LOW = "low"  # counts as low (>)
    DROP = "drop"


class Rounding(enum.Enum):
    """Of ratings between whole numbers, where each whole number is a class."""

    NONE = "none"  # they are refused
    NEAREST = "nearest"  # a half goes to the even number; so Sarkar & Etemad's code does with AMIGOS
    DOWN = "down"  # towards zero; so it does with SWELL


class Borders(enum.Enum):
    """Of a label's intervals."""

    WITHIN = "within"  # a window lies in one interval
    MAXIMUM = "maximum"  # windows run over borders and take the greatest value in them; so it does with WESAD
    MEAN = "mean"  # windows run over borders and take the mean over time: for ratings given all along


class Unit(enum.Enum):
    WINDOWS = "windows"
    SUBJECTS = "subjects"


class Protocol(enum.Enum):
    SUBJECT = "subject"  # k folds of whole subjects: the headline
    LEAVE_ONE_SUBJECT_OUT = "loso"
    WINDOW = "window"  # windows dealt at random: optimistic, for comparison with papers only


class ChooseOn(enum.Enum):
    """Whose windows decide which epoch's weights are tested."""

    OTHERS = "others"  # people (or windows) of the training side, kept aside by `validation_fraction`
    TESTED = "tested"  # those that are tested: the best figure an oracle would reach, for comparison with papers only


@dataclasses.dataclass
class Label:
    """How a stored label becomes a class. An empty name means no labels (pre-training)."""

    name: str = ""
    rule: LabelRule = LabelRule.CLASS
    threshold: float = 5.0
    ties: Ties = Ties.LOW
    classes: tuple[int, ...] = ()  # stored values kept, in the order of the classes; empty keeps all
    thresholds: tuple[float, ...] = ()  # of rule BINS, rising
    positive: tuple[int, ...] = ()  # of these, which are class 1 together, and the others class 0; empty: each its own
    rounding: Rounding = Rounding.NONE
    borders: Borders = Borders.WITHIN
    deals_only: bool = False  # it says which windows a window-wise fold tests, for a pre-training on all the others
    fraction: float = 1.0  # of the labels to train and to choose the epoch with: what fewer labels would do
    fraction_of: Unit = Unit.WINDOWS


@dataclasses.dataclass
class Split:
    """Which subjects train, choose the epoch, and test."""

    protocol: Protocol = Protocol.SUBJECT
    num_folds: int = 5
    fold: int = -1  # the fold held out; -1 holds none out
    validation_fraction: float = 0.2  # of the training subjects, held aside to choose the epoch; 0 for none
    choose_epoch_on: ChooseOn = ChooseOn.OTHERS
    seed: int = 0
    exclude_subjects: tuple[str, ...] = ()


@dataclasses.dataclass
class Data:
    """Windows of one or several stores.

    `store` is a folder made by launch.prepare; several, separated by commas, are mixed (`weights`, else by size).
    `batch_size` is the global one, over all devices and hosts.
    """

    store: str = ""
    baseline_store: str = ""  # the same recordings prepared finer, where beats are not to be seen in `store`
    verify: bool = True  # compare every byte of a store with its hash before use: a second for some 500 MB
    weights: tuple[float, ...] = ()
    modalities: tuple[str, ...] = ("ecg",)
    optional: tuple[str, ...] = ()  # of these, which a window may lack, for models that do without; it has one at least
    window_s: float = 10.0
    stride_s: float = 10.0
    eval_stride_s: float = 10.0
    batch_size: int = 32
    eval_batch_size: int = 64
    sampling: Sampling = Sampling.PLAIN
    label: Label = dataclasses.field(default_factory=Label)
    shuffle_labels: bool = False  # control: labels permuted within each subject; nothing should be learnt
    split: Split = dataclasses.field(default_factory=Split)


class Optimizer(enum.Enum):
    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"


class Schedule(enum.Enum):
    CONSTANT = "constant"
    LINEAR = "linear"  # to zero at the end
    COSINE = "cosine"  # to zero at the end
    STEP = "step"  # times decay_factor every decay_epochs, or every decay_steps


@dataclasses.dataclass
class Optim:
    optimizer: Optimizer = Optimizer.ADAM
    learning_rate: float = 1e-3
    schedule: Schedule = Schedule.LINEAR
    warmup_epochs: float = 0.0
    decay_epochs: float = 45.0
    decay_steps: int = 0  # for papers that count so; 0 goes by decay_epochs
    decay_factor: float = 0.65
    b1: float = 0.9
    b2: float = 0.999
    momentum: float = 0.9  # SGD's
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # 0 for none
    # (regex on the parameter's path, factor on the learning rate); first match wins, 1 where none does, 0 freezes.
    multipliers: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass
class Mesh:
    """Devices as a grid; -1 takes what is left. Rules: (regex on the parameter's path, axes), first match wins."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    rules: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclasses.dataclass
class Train:
    num_epochs: float = 10.0
    log_every_steps: int = 20
    eval_every_epochs: float = 1.0
    checkpoint_every_steps: int = 200
    keep_last: int = 2
    keep_best: int = 1
    patience_epochs: float = 0.0  # stop when the monitored metric has not improved for so long; 0 never stops
    tensorboard: bool = True


@dataclasses.dataclass
class Experiment:
    """One run. `init_from` names another run's folder whose encoder this one starts from.

    In a cross-validation it may hold "{fold}", the fold's number: each fold then starts from a pre-training without
    the people (or windows) it tests.
    """

    task: Any
    model: Any
    data: Data = dataclasses.field(default_factory=Data)
    optim: Optim = dataclasses.field(default_factory=Optim)
    mesh: Mesh = dataclasses.field(default_factory=Mesh)
    train: Train = dataclasses.field(default_factory=Train)
    seed: int = 0
    init_from: str = ""


_POSITIVE = (
    "data.window_s", "data.stride_s", "data.eval_stride_s", "data.batch_size", "data.eval_batch_size",
    "optim.learning_rate", "optim.decay_epochs", "optim.decay_factor", "train.num_epochs", "train.log_every_steps",
    "train.eval_every_epochs", "train.checkpoint_every_steps", "train.keep_last",
)  # fmt: skip
_NOT_NEGATIVE = (
    "optim.warmup_epochs", "optim.decay_steps", "optim.weight_decay", "optim.clip_norm", "train.keep_best",
    "train.patience_epochs",
)  # fmt: skip
_SEEDS = ("seed", "data.split.seed")  # predictions keep them in 32 bits
_BELOW_ONE = ("optim.b1", "optim.b2", "optim.momentum")


def check(experiment: Experiment) -> None:
    """Refuses what no data could make sense of; the rest is checked where it is used.

    Raises:
      UserError: names the field and what it takes.
    """
    _check_numbers(experiment)
    label = experiment.data.label
    require(0 < label.fraction <= 1, "data.label.fraction", label.fraction, "a share above 0, and at most 1")
    rising = all(a < b for a, b in itertools.pairwise(label.thresholds))
    fits = bool(label.thresholds) == (label.rule is LabelRule.BINS) and rising
    require(fits, "data.label.thresholds", label.thresholds, "rising numbers for rule BINS, and none for another")
    learnt = (LabelRule.MEAN, LabelRule.MEDIAN, LabelRule.SUBJECT_MEAN)
    if label.borders is Borders.MEAN and label.rule in learnt:
        raise UserError(
            f"data.label.rule={label.rule.name} takes ratings of whole trials, and data.label.borders=MEAN has none. "
            "Give thresholds by --config.data.label.rule=bins."
        )
    split = experiment.data.split
    if split.choose_epoch_on is ChooseOn.TESTED and split.protocol is Protocol.WINDOW:
        raise UserError(
            "data.split.choose_epoch_on=TESTED goes with folds of whole subjects, not with protocol WINDOW."
        )
    if label.fraction < 1 and label.rule not in (LabelRule.CLASS, LabelRule.THRESHOLD, LabelRule.BINS):
        raise UserError(
            f"data.label.fraction={label.fraction}: the rule {label.rule.name} would learn its threshold from all "
            "labels. Give one by --config.data.label.rule=threshold."
        )
    if experiment.train.patience_epochs and not experiment.data.split.validation_fraction:
        raise UserError("train.patience_epochs needs validation subjects: set data.split.validation_fraction above 0.")
    for pattern, factor in experiment.optim.multipliers:
        regex(pattern, "optim.multipliers")
        require(0 <= factor < math.inf, f'optim.multipliers "{pattern}"', factor, "a factor of 0 or above")
    for pattern, _ in experiment.mesh.rules:
        regex(pattern, "mesh.rules")
    _check_data(experiment.data)
    for name, plug_in in (("model", experiment.model), ("task", experiment.task)):
        plug_in.make()  # checks its own fields
        _check_modalities(experiment.data, name, plug_in)


def _check_modalities(data: Data, name: str, plug_in: Any) -> None:
    """Those that a plug-in reads, by its field `modality` or `modalities`, are among those of the data."""
    given = ",".join(data.modalities)
    field = "modality" if hasattr(plug_in, "modality") else "modalities"
    read = getattr(plug_in, field, ())
    for modality in (read,) if field == "modality" else read:
        if modality not in data.modalities:
            raise UserError(
                f"{name}.{field}={modality} is not among data.modalities={given}. Set --config.{name}.{field} to what "
                f"is there, or --config.data.modalities={given},{modality}."
            )
        if modality in data.optional and field == "modality":
            raise UserError(f"data.optional={modality}: {name}.modality={modality} is all that the {name} reads.")


def _check_data(data: Data) -> None:
    if not data.modalities:
        raise UserError("data.modalities is empty: name a signal of the store, such as ecg.")
    if unknown := [modality for modality in data.optional if modality not in data.modalities]:
        raise UserError(f"data.optional: {unknown[0]} is not among data.modalities={','.join(data.modalities)}.")


def _check_numbers(experiment: Experiment) -> None:
    for names, fits, wanted in (
        (_POSITIVE, lambda value: 0 < value < math.inf, "a number above 0"),
        (_NOT_NEGATIVE, lambda value: 0 <= value < math.inf, "a number 0 or above"),
        (_SEEDS, lambda value: 0 <= value < 2**31, f"a whole number from 0 to {2**31 - 1}"),
        (_BELOW_ONE, lambda value: 0 <= value < 1, "a number from 0 up, below 1"),
    ):
        for name in names:
            value = functools.reduce(getattr, name.split("."), experiment)
            require(fits(value), name, value, wanted)


def fold_of(experiment: Experiment, number: int) -> Experiment:
    """The run of one fold. Where `init_from` says {fold}, it starts from a run of that fold's own."""
    fold = copy.deepcopy(experiment)
    fold.data.split.fold = number
    fold.init_from = experiment.init_from.replace(FOLD, str(number))
    return fold
