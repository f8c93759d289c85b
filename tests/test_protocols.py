"""Cross-validation: every window tested once, by a model that never saw the person; folds that resume like runs."""

import copy
import math
import shutil

import numpy as np
import pytest

from ecgjax import config
from ecgjax.config import Protocol
from ecgjax.data.corpus import open_corpus, recording_keys
from ecgjax.errors import UserError
from ecgjax.evaluation import protocols
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.protocols import MODEL, cross_validate
from ecgjax.tasks import classification
from ecgjax.training import checkpoint, loop
from launch import overrides
from tests import tiny
from tests.stores import memory_store

EPOCHS = 0.6  # of one or two steps a fold: what is tested here is who is where, not what is learnt
FOLDS = ("fold_00", "fold_01", "fold_02")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("protocols") / "store")


@pytest.fixture(scope="module")
def experiment(store):
    return tiny.finetuning(store, num_epochs=EPOCHS, tensorboard=False)


@pytest.fixture(scope="module")
def done(experiment, tmp_path_factory):
    """(what was found, the folder)"""
    folder = tmp_path_factory.mktemp("protocols") / "run"
    return cross_validate(experiment, folder), folder


def places(predictions):
    return list(zip(predictions.recording_N.tolist(), predictions.start_s_N.tolist(), strict=True))


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_every_window_is_tested_once(done):
    found = done[0]
    windows = found.corpus.eval_windows
    keys = recording_keys(found.corpus.stores, windows)
    expected = sorted(zip(keys.tolist(), windows.start_s.tolist(), strict=True))
    assert sorted(places(found.predictions[MODEL])) == expected
    assert len(set(expected)) == len(expected) > 50


def test_predictions_hold_the_labels_of_their_windows(done):
    found = done[0]
    windows = found.corpus.eval_windows
    label = dict(
        zip(zip(recording_keys(found.corpus.stores, windows), windows.start_s, strict=True), windows.label, strict=True)
    )
    predictions = found.predictions[MODEL]
    assert [label[place] for place in places(predictions)] == predictions.label_N.tolist()
    assert predictions.classes == ("calm", "aroused")


def test_the_model_of_a_fold_never_saw_whom_it_is_tested_on(done):
    predictions, tested = done[0].predictions[MODEL], []
    for number, name in enumerate(FOLDS):
        extra = checkpoint.describe(done[1] / name)["extra"]
        mine = set(predictions.subject_N[predictions.fold_N == number].tolist())
        seen = {*extra["train_subjects"], *extra["validation_subjects"]}
        assert len(mine) == 2 and len(seen) == 4 and not mine & seen
        assert extra["config"]["data"]["split"]["fold"] == number
        tested += mine
    assert len(set(tested)) == len(tested) == 6


def test_baselines_are_tested_on_the_same_windows_and_folds(done):
    model, *others = done[0].predictions.values()
    assert list(done[0].predictions) == [MODEL, "class prior", "heart rate", "HRV, logistic", "HRV, forest"]
    for other in others:
        for column in ("label_N", "subject_N", "fold_N", "seed_N", "recording_N", "start_s_N"):
            np.testing.assert_array_equal(getattr(other, column), getattr(model, column), err_msg=column)


def test_baselines_learn_from_the_fold_s_other_people(experiment, done):
    prior = done[0].predictions["class prior"]
    for number in range(3):
        data = copy.deepcopy(experiment.data)
        data.split.fold = number
        corpus = open_corpus(data)
        mine = prior.fold_N == number
        rest = corpus.eval_windows.label[~np.isin(corpus.eval_windows.subject, prior.subject_N[mine])]
        np.testing.assert_allclose(prior.probability_NC[mine, 1], rest.mean())


def test_finished_folds_are_read_and_not_trained_again(experiment, done, monkeypatch, capsys):
    before = files(done[1])
    protocols._measured.clear()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run", None)
        again = cross_validate(experiment, done[1])
    *folds, baselines = capsys.readouterr().err.splitlines()
    assert folds == [f"fold {i} of 3: tested before" for i in (1, 2, 3)]
    assert baselines.startswith(f"baselines: physiology of ecg in {len(done[0].corpus.eval_windows)} windows")
    assert files(done[1]) == before
    for name, predictions in done[0].predictions.items():
        np.testing.assert_array_equal(again.predictions[name].probability_NC, predictions.probability_NC)


def test_a_fold_that_was_not_tested_is_tested_without_new_steps(experiment, done):
    kept, metrics = done[1] / "fold_01" / "predictions.npz", done[1] / "fold_01" / "metrics.jsonl"
    before, rows = Predictions.load(kept), metrics.read_text()
    steps = sorted(p.name for p in (done[1] / "fold_01" / "checkpoints").iterdir())
    kept.unlink()
    cross_validate(experiment, done[1])
    np.testing.assert_array_equal(Predictions.load(kept).probability_NC, before.probability_NC)
    assert metrics.read_text() == rows
    assert sorted(p.name for p in (done[1] / "fold_01" / "checkpoints").iterdir()) == steps


def test_finished_folds_of_another_config_are_refused(experiment, done):
    changed = copy.deepcopy(experiment)
    changed.optim.learning_rate = 3e-3
    before = files(done[1])
    with pytest.raises(UserError, match=r"fold_00: holds another run.*learning_rate was 0.001 and is 0.003"):
        cross_validate(changed, done[1])
    assert files(done[1]) == before


def test_finished_folds_of_other_stores_are_refused(experiment, done, store, tmp_path):
    other = copy.deepcopy(experiment)
    other.data.store = str(tiny.make_store(tmp_path / "other", seed=1))
    with pytest.raises(UserError, match="content has changed since the run in .*fold_00 began"):
        cross_validate(other, done[1])
    other.data.store = f"{store},{other.data.store}"
    with pytest.raises(UserError, match=r"began with 1 store\(s\), data.store names 2"):
        cross_validate(other, done[1])


@pytest.mark.parametrize("same_people", [True, False])
def test_people_met_in_pretraining_are_told(experiment, store, done, tmp_path, same_people):
    corpus = store if same_people else tiny.make_store(tmp_path / "other", seed=7, num_subjects=3, trials=2)
    loop.run(tiny.pretraining(corpus, num_epochs=EPOCHS, tensorboard=False), tmp_path / "pretrain")
    tuning = copy.deepcopy(experiment)
    tuning.init_from = str(tmp_path / "pretrain")
    seen = cross_validate(tuning, tmp_path / "run").seen_in_pretraining
    extra = checkpoint.describe(tmp_path / "pretrain")["extra"]
    told = sorted([*extra["train_subjects"], *extra["validation_subjects"]])
    assert seen == (told if same_people else []) and len(told) >= 3
    assert done[0].seen_in_pretraining == done[0].seen_with_labels == []


def untrained(monkeypatch):
    """Cross-validates without training anything."""

    def test_fold(fold, corpus, folder, part):
        label_N = corpus.eval_windows.label[corpus.test]
        count = len(corpus.class_names)
        return Predictions(label_N, np.full((len(label_N), count), 1 / count), corpus.eval_windows.subject[corpus.test])

    monkeypatch.setattr(protocols, "_test_fold", test_fold)
    monkeypatch.setattr(protocols, "baseline_predictions", lambda *arguments: ({}, 0))


def test_people_whose_labels_were_met_two_runs_before_are_not_tested(experiment, done, tmp_path, monkeypatch):
    """Fold 0 was tuned with the labels of four; then came a run without labels, of other people."""
    other = tiny.make_store(tmp_path / "other", seed=7, num_subjects=3, trials=2)
    between = tiny.pretraining(other, num_epochs=0.01, tensorboard=False)
    between.init_from = str(done[1] / "fold_00")
    loop.run(between, tmp_path / "between")
    extra = checkpoint.describe(done[1] / "fold_00")["extra"]
    met = sorted([*extra["train_subjects"], *extra["validation_subjects"]])
    tuning = copy.deepcopy(experiment)
    tuning.init_from = str(tmp_path / "between")
    message = f"the labels of 4 people to be tested on were learnt from there, .*: {', '.join(met)}. Start from a run"
    with pytest.raises(UserError, match=message):
        cross_validate(tuning, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    untrained(monkeypatch)
    tuning.data.split.protocol = Protocol.WINDOW
    found = cross_validate(tuning, tmp_path / "run")
    assert found.seen_with_labels == met and found.seen_in_pretraining == []
    tuning.data.split.protocol, tuning.data.split.exclude_subjects = Protocol.SUBJECT, tuple(met)
    tuning.data.split.num_folds = 2
    tuning.data.split.validation_fraction = 0.0
    assert cross_validate(tuning, tmp_path / "run").seen_with_labels == []


def test_every_fold_starts_from_a_pretraining_without_the_people_it_tests(experiment, store, tmp_path):
    pretraining = tiny.pretraining(store, num_epochs=0.01, tensorboard=False)
    pretraining.data.split.num_folds = 3
    for number in range(3):
        loop.run(config.fold_of(pretraining, number), tmp_path / f"fold={number}")
    tuning = copy.deepcopy(experiment)
    tuning.init_from = str(tmp_path / "fold={fold}")
    found = cross_validate(tuning, tmp_path / "run")
    assert found.seen_in_pretraining == []
    for number, name in enumerate(FOLDS):
        extra = checkpoint.describe(tmp_path / "run" / name)["extra"]
        assert extra["config"]["init_from"] == str(tmp_path / f"fold={number}")
        met = {known for kind in extra["people"].values() for known in kind if "/" in known}
        mine = found.predictions[MODEL].fold_N == number
        assert len(met) == 4 and not met & set(found.predictions[MODEL].subject_N[mine].tolist())
    (tmp_path / "fold=2").rename(tmp_path / "aside")
    shutil.copytree(tmp_path / "fold=1", tmp_path / "fold=2")
    with pytest.raises(UserError, match=r"2 people are tested in a fold whose encoder has met them: synthetic0/s"):
        cross_validate(tuning, tmp_path / "again")


def four_folds(experiment, monkeypatch, value, classes, validation_fraction):
    """Of eight people, who are `classes[value(r, i)]` in the tens of seconds i."""
    rows = [(r, 10.0 * i, 10.0 * i + 10, float(value(r, i))) for r in range(8) for i in range(6)]
    store = memory_store(subjects=8, labels={"condition": rows}, classes={"condition": classes})
    monkeypatch.setattr("ecgjax.data.corpus.open_stores", lambda data: [store])
    untrained(monkeypatch)
    mixed = copy.deepcopy(experiment)
    mixed.data.split.num_folds, mixed.data.split.validation_fraction = 4, validation_fraction
    mixed.task.num_classes, mixed.task.loss = len(classes), classification.Loss.SOFTMAX
    return mixed, [open_corpus(config.fold_of(mixed, number).data) for number in range(4)]


def test_folds_whose_validation_windows_lack_a_class_are_told(experiment, tmp_path, monkeypatch):
    mixed, corpora = four_folds(experiment, monkeypatch, lambda r, i: r > 3 and i % 2, ("calm", "wild"), 0.2)
    found = cross_validate(mixed, tmp_path)
    wild = [any(int(name[-2:]) > 3 for name in corpus.validation_subjects) for corpus in corpora]
    assert found.lacking == [(n, "validation", "wild") for n in range(4) if not wild[n]] and 0 < len(found.lacking) < 4


def test_folds_whose_training_windows_lack_a_class_are_told(experiment, tmp_path, monkeypatch):
    classes = ("calm", "tense", "wild")
    three, corpora = four_folds(experiment, monkeypatch, lambda r, i: i % 2 or 2 * (r == 5), classes, 0.0)
    found = cross_validate(three, tmp_path)
    tested = [n for n, corpus in enumerate(corpora) if 2 in corpus.eval_windows.label[corpus.test]]
    assert found.lacking == [(n, "training", "wild") for n in tested] and len(tested) == 1


def test_leaving_one_person_out_makes_a_fold_of_each(experiment, monkeypatch, tmp_path):
    tested, told = [], []

    untrained(monkeypatch)
    test_fold = protocols._test_fold

    def note(fold, corpus, folder, part):
        told.append((part.name, part.to_follow, math.isnan(part.each_s)))
        tested.append((folder.name, sorted(set(corpus.eval_windows.subject[corpus.test].tolist()))))
        return test_fold(fold, corpus, folder, part)

    monkeypatch.setattr(protocols, "_test_fold", note)
    alone = copy.deepcopy(experiment)
    alone.data.split.protocol = Protocol.LEAVE_ONE_SUBJECT_OUT
    cross_validate(alone, tmp_path)
    assert sorted(tested) == [(f"fold_{i:02d}", [f"synthetic0/s{i:03d}"]) for i in range(6)]
    assert told == [(f"fold {i + 1} of 6", 5 - i, i == 0) for i in range(6)]


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("data.label.name", "", "data.label.name is empty: cross-validation scores labels"),
        ("data.split.num_folds", "7", "data.split.num_folds=7, but there are only 6 subjects. Take 6 or fewer"),
        ("data.eval_stride_s", "0", "data.eval_stride_s=0.0: give a number above 0"),
        ("data.label.classes", "(1,)", r'"condition" by rule CLASS leaves 1 class\(es\)'),
    ],
)
def test_what_cannot_be_cross_validated_is_told_before_anything_is_written(experiment, tmp_path, field, text, message):
    wrong = copy.deepcopy(experiment)
    overrides.put(wrong, field, text)
    with pytest.raises(UserError, match=message):
        cross_validate(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_task_that_does_not_classify_is_refused(experiment, store, tmp_path):
    wrong = tiny.pretraining(store, num_epochs=EPOCHS, tensorboard=False)
    wrong.data.label.name = "condition"
    with pytest.raises(UserError, match="this task gives no class probabilities"):
        cross_validate(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_fold_without_a_labelled_window_is_told_before_any_is_trained(experiment, tmp_path, monkeypatch):
    lost = open_corpus(config.fold_of(experiment, 2).data)
    people = sorted(set(lost.eval_windows.subject[lost.test].tolist()))
    gone = [int(person[-3:]) for person in people]
    rows = [(r, 10.0 * i, 10.0 * i + 10, 5.0 if r in gone else float(i % 2)) for r in range(6) for i in range(6)]
    store = memory_store(name="synthetic0", subjects=6, labels={"condition": rows})
    store.manifest["subjects"] = [f"s{i:03d}" for i in range(6)]
    monkeypatch.setattr("ecgjax.data.corpus.open_stores", lambda data: [store])
    wrong = copy.deepcopy(experiment)
    wrong.data.label.classes, wrong.data.split.validation_fraction = (0, 1), 0.0
    with pytest.raises(UserError, match=f"fold 2 has nothing to test on: no window of {', '.join(people)} has"):
        cross_validate(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()
