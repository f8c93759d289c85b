"""Both stages of Wu et al. by their configs, on stores with the channels, rates and labels of their data sets."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from configs import wu2023_finetune, wu2023_pretrain
from ecgjax import config
from ecgjax.config import ChooseOn, Optimizer, Protocol
from ecgjax.data import windows as cut
from ecgjax.data.corpus import open_corpus, recording_keys
from ecgjax.data.pipeline import make_gather
from ecgjax.errors import UserError
from ecgjax.evaluation import summary
from ecgjax.evaluation.protocols import MODEL, cross_validate
from ecgjax.models import tcn_transformer
from ecgjax.training import checkpoint, loop
from ecgjax.training.program import compile_program, count_parameters
from tests import standins

SMALL = {"channels": (4,), "width": 8, "num_heads": 2, "hidden": 8, "tcn_dropout": 0.0, "dropout": 0.0}
NAMES = {
    "wesad": ("baseline", "stress", "amusement"),
    "wesad2": ("baseline or amusement", "stress"),
    "case": ("low", "high"),
    "case3": ("low", "middle", "high"),
    "kemocon": ("low", "high"),
    "kemocon3": ("low", "middle", "high"),
    "stress": ("no stress", "stress"),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wu2023")
    return {kind: standins.make_store(folder, kind) for kind in ("wesad", "case", "kemocon", "stress")}


def reduced(experiment, store, **train):
    """Of any config: a model of a few hundred weights, and a few steps."""
    experiment.model = tcn_transformer.Config(**SMALL, attention_dropout=0.0)
    experiment.data.store, experiment.data.batch_size, experiment.data.eval_batch_size = str(store), 16, 16
    train = {"num_epochs": 0.3, "eval_every_epochs": 0.1, "tensorboard": False} | train
    experiment.train = dataclasses.replace(experiment.train, **train)
    return experiment


def a_batch(experiment, size: int = 8) -> dict:
    shape, ones = (size, round(4 * experiment.data.window_s), 1), np.ones(size, np.int32)
    signals = {name: np.zeros(shape, np.float32) for name in experiment.data.modalities}
    return {"signals": signals, "label": ones, "window": ones, "weight": np.ones(size, np.float32)}


def test_both_stages_have_as_many_parameters_as_the_published_ones():
    experiment = wu2023_pretrain.get_config()
    assert count_parameters(compile_program(experiment, a_batch(experiment)).abstract.params) == 147_794
    for variant, classes in (("wesad_full", 3), ("case_frozen", 2)):
        experiment = wu2023_finetune.get_config(variant)
        params = compile_program(experiment, a_batch(experiment)).abstract.params
        assert count_parameters(params) == 121_472 + 49_536 + 129 * classes


def expected_class(variant: str, name: str, person: int, start_s: float) -> int:
    """By hand: -1 where the window has none."""
    stop_s = start_s + 60
    if variant in ("wesad", "wesad2"):
        value = [v for a, b, v in standins.conditions(person) if a <= start_s and stop_s <= b]
        return ({1: 0, 2: 1, 3: 2} if variant == "wesad" else {1: 0, 2: 1, 3: 0}).get(*value, -1)
    kind = variant.rstrip("3")
    starts_s, values = standins.ratings(kind, person, name)
    inside = (starts_s > start_s - 1e-3) & (starts_s < stop_s - 1e-3)
    mean = values[inside].mean() if inside.sum() == round(60 / standins.EVERY_S[kind]) else np.nan
    if np.isnan(mean):
        return -1
    borders = {"case": (5,), "case3": (3.5, 6.5), "kemocon": (3,), "kemocon3": (2.5, 3.5)}[variant]
    return sum(mean > border for border in borders)


def test_a_stage_that_needs_a_pretraining_does_not_go_without(stores, tmp_path):
    for mode in wu2023_finetune.MODES:
        experiment = reduced(wu2023_finetune.get_config(f"wesad_{mode}"), stores["wesad"])
        if mode in ("scratch", "random"):
            assert not experiment.init_from
            continue
        with pytest.raises(UserError, match="PRETRAINING_NAMED_BY_--config.init_from: no such folder"):
            cross_validate(experiment, tmp_path / mode)


def test_hyperparameters_are_those_of_the_released_code():
    """Learning rate, batch size and epochs of each data set; SGD with momentum 0.9 and an L2 of 5e-7."""
    published = {"wesad": (1e-4, 128, 20), "wesad2": (1e-4, 128, 20)}
    for name in wu2023_finetune.SETS:
        made = wu2023_finetune.get_config(f"{name}_full")
        if name != "stress":
            figures = made.optim.learning_rate, made.data.batch_size, made.train.num_epochs
            assert figures == published.get(name, (1e-3, 64, 64)), name
        assert (made.optim.optimizer, made.optim.momentum, made.optim.weight_decay) == (Optimizer.SGD, 0.9, 5e-7)
        assert (made.task.hidden, made.task.dropout, made.task.batch_norm) == ((128,), 0.2, True)
        assert made.data.split.protocol is Protocol.LEAVE_ONE_SUBJECT_OUT and made.optim.multipliers == ()
    first = wu2023_pretrain.get_config()
    assert (first.optim.optimizer, first.optim.learning_rate, first.optim.weight_decay) == (Optimizer.SGD, 5e-3, 5e-7)
    assert (first.task.dropout, first.data.window_s, first.model.tcn_dropout) == (0.1, 60.0, 0.2)


RATED = [(variant, name) for variant in list(NAMES)[2:6] for name in standins.RATED]


@pytest.mark.parametrize(("variant", "name"), [("wesad", "condition"), ("wesad2", "condition"), *RATED])
def test_windows_have_the_classes_of_the_rule(stores, variant, name):
    experiment = wu2023_finetune.get_config(f"{variant}_frozen")
    experiment.data.store, experiment.data.split.fold = str(stores[variant.rstrip("23")]), 0
    assert experiment.data.label.name in ("condition", "arousal")
    experiment.data.label.name = name
    corpus = open_corpus(experiment.data)
    assert corpus.class_names == NAMES[variant] and experiment.task.num_classes == len(NAMES[variant])
    windows, person = corpus.eval_windows, recording_keys(corpus.stores, corpus.eval_windows)
    found = [expected_class(variant, name, int(p[1:]), s) for p, s in zip(person, windows.start_s, strict=True)]
    assert windows.label.tolist() == found
    assert (np.bincount(windows.label[windows.label >= 0], minlength=len(NAMES[variant])) >= 4).all()
    used = np.concatenate([corpus.train, corpus.validation, corpus.test])
    np.testing.assert_array_equal(np.sort(used), np.flatnonzero(windows.label >= 0))
    assert set(person[corpus.test]) == {"p0"}


def test_a_stride_of_one_sample_costs_rows_only(stores):
    experiment = wu2023_pretrain.get_config()
    experiment.data.store = str(stores["wesad"])
    corpus = open_corpus(experiment.data)
    windows, store = corpus.windows, corpus.stores[0]
    seconds = [standins.conditions(person)[-1][1] for person in range(4)]
    assert len(windows) == sum(int(4 * (s - 60)) + 1 for s in seconds)
    gather, ids = make_gather(corpus.stores, windows, experiment.data), np.arange(100, 103)
    for name, x_BTC in gather(ids)["signals"].items():
        every = np.asarray(store.signals[name])
        assert x_BTC.shape == (3, 240, 1)
        np.testing.assert_array_equal(x_BTC, [every[i : i + 240] for i in ids])
        assert np.shares_memory(gather._every_window(0, name), store.signals[name])
    columns = [*windows.rows.values(), *(getattr(windows, f.name) for f in cut._columns())]
    assert sum(column.nbytes for column in columns) < 100 * len(windows)


def check_each_is_tested_once(found, people):
    """Every window with a class, by a model that did not learn from its person; in probabilities."""
    predictions, windows = found.predictions[MODEL], found.corpus.eval_windows
    labelled = windows.take(np.flatnonzero(windows.label >= 0))
    wanted = zip(recording_keys(found.corpus.stores, labelled), labelled.start_s, labelled.label, strict=True)
    given = zip(predictions.recording_N, predictions.start_s_N, predictions.label_N, strict=True)
    assert sorted(given) == sorted(wanted)
    assert [len(set(predictions.subject_N[predictions.fold_N == i])) for i in range(people)] == [1] * people
    np.testing.assert_allclose(predictions.probability_NC.sum(1), 1, rtol=1e-5)
    assert predictions.classes == found.corpus.class_names and (predictions.probability_NC.std(0) > 0).all()


@pytest.mark.parametrize("variant", ["wesad_scratch", "case_frozen"])
def test_a_share_of_the_labels_is_one_of_every_class(stores, variant):
    sides = []
    for fraction in (1.0, 0.5):
        data = wu2023_finetune.get_config(variant).data
        data.store, data.label.fraction, data.split.fold = str(stores[variant.split("_")[0]]), fraction, 0
        corpus = open_corpus(data)
        sides.append([np.bincount(corpus.windows.label[corpus.train]), len(corpus.test)])
    np.testing.assert_array_equal(sides[1][0], np.rint(sides[0][0] / 2))
    assert sides[0][1] == sides[1][1], "all are tested"


@pytest.mark.slow
def test_from_scratch_every_window_is_tested(stores, tmp_path):
    experiment = reduced(wu2023_finetune.get_config("wesad_scratch"), stores["wesad"])
    found = cross_validate(experiment, tmp_path)
    check_each_is_tested_once(found, people=4)
    about = checkpoint.describe(tmp_path / "fold_00")
    assert about["extra"]["label"]["classes"] == [1, 2, 3] and about["extra"]["people"]["unlabelled"] == []


@pytest.mark.slow
def test_frozen_after_a_pretraining_in_which_one_person_lacks_a_signal(stores, tmp_path):
    """The first stage on other people than the second, whose epoch is that of an oracle, and said to be."""
    wesad = standins.make_store(tmp_path, "wesad", num_people=3, lacking=("1:temp",))
    before = reduced(wu2023_pretrain.get_config("short"), f"{wesad},{stores['kemocon']}")
    before.data.optional, before.model.modality_dropout = ("temp",), 0.2
    this, pretrained = loop.run(before, tmp_path / "pretrain")
    held = this.corpus.windows.rows["temp"] >= 0
    assert set(this.corpus.windows.subject[~held]) == {"wesad/p1"} and not held[this.corpus.train].all()

    experiment = reduced(wu2023_finetune.get_config("case_frozen"), stores["case"])
    experiment.init_from = str(tmp_path / "pretrain")
    experiment.data.split.choose_epoch_on = ChooseOn.TESTED
    found = cross_validate(experiment, tmp_path / "run")
    check_each_is_tested_once(found, people=4)
    assert found.seen_in_pretraining == found.seen_with_labels == []
    wanted = loop.set_up(config.fold_of(experiment, 0), tmp_path).compiled.abstract
    for number in range(4):
        fold = tmp_path / "run" / f"fold_{number:02d}"
        extra = checkpoint.describe(fold)["extra"]
        assert extra["validation_subjects"] == [f"case/p{number}"] and len(extra["train_subjects"]) == 3
        tuned = checkpoint.restore(fold, wanted).state
        chex.assert_trees_all_equal(tuned.params["encoder"], pretrained.params["encoder"])
    summary.report_cross_validation(experiment, found, tmp_path / "run")
    told = (tmp_path / "run" / "results.md").read_text()
    assert "Optimistic: the epoch chosen on the tested people" in told and "EDA + TEMP, forest" in told


@pytest.fixture(scope="module")
def before(stores, tmp_path_factory):
    """A first stage: its folder, and what it learnt."""
    folder = tmp_path_factory.mktemp("before") / "run"
    _, state = loop.run(reduced(wu2023_pretrain.get_config("short"), stores["kemocon"]), folder)
    return folder, state.params["encoder"]


def moved(one, other) -> bool:
    return any((x != y).any() for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(wu2023_finetune.SETS))
def test_every_mode_trains_what_it_says_on_every_set(stores, before, tmp_path, name):
    encoders, heads = {}, {}
    for mode in wu2023_finetune.MODES:
        experiment = reduced(wu2023_finetune.get_config(f"{name}_{mode}"), stores[name.rstrip("23")])
        if experiment.init_from:
            experiment.init_from = str(before[0])
        this, state = loop.run(config.fold_of(experiment, 0), tmp_path / mode)
        assert this.corpus.class_names == NAMES[name] and this.people.labelled
        encoders[mode], heads[mode] = jax.device_get((state.params["encoder"], state.params["head"]))
    fresh = jax.device_get(this.compiled.init(jax.random.key(0)).params["encoder"])
    pretrained = jax.device_get(before[1])
    assert not moved(encoders["frozen"], pretrained) and moved(encoders["full"], pretrained)
    assert not moved(encoders["random"], fresh) and moved(encoders["scratch"], fresh)
    assert all(moved(heads["scratch"], heads[mode]) for mode in ("frozen", "full", "random"))
