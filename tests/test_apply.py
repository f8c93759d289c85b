"""A trained model on data it has not seen: who is left out, which stores are refused, how labels are made."""

import copy
import dataclasses

import jax
import numpy as np
import pytest
import toy

from ecgjax import plain
from ecgjax.config import Label, LabelRule, Mesh, Optim, Ties
from ecgjax.data.corpus import check_store
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.data.store import open_store
from ecgjax.datasets import synthetic
from ecgjax.errors import UserError
from ecgjax.evaluation import apply, protocols
from ecgjax.signals import preprocess
from ecgjax.training import checkpoint, loop
from ecgjax.training.evaluate import evaluate
from tests import tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("apply") / "store")


@pytest.fixture(scope="module")
def tuned(store, tmp_path_factory):
    """(run, its state, folder) of a classifier trained on fold 0, so that two people are unseen. Rates that grow beyond
    all measure make the first of its steps the best."""
    experiment = tiny.finetuning(store, num_epochs=0.6, eval_every_epochs=0.2, tensorboard=False)
    experiment.data.split.fold = 0
    experiment.optim = Optim(learning_rate=0.3, warmup_epochs=0.6)
    folder = tmp_path_factory.mktemp("apply") / "tuned"
    return *loop.run(experiment, folder), folder


def load(folder):
    return apply.load(folder, apply.read_experiment(folder))


@pytest.fixture(scope="module")
def model(tuned):
    return load(tuned[2])


def test_the_model_of_a_folder_is_the_best_one_trained_there(tuned, model, store):
    this, state, folder = tuned
    described = checkpoint.describe(folder)
    assert described["best"] < described["latest"], "else this shows nothing"
    assert plain.to_dict(model.experiment) == plain.to_dict(this.experiment)
    for ours, theirs in zip(*(jax.tree.leaves((s.params, s.model_state)) for s in (model.state, state)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    stores, windows = [open_store(store)], this.corpus.eval_windows.take(this.corpus.test)
    _, kept = apply.run(model, stores, windows, keep=len(windows))
    predictions = apply.as_predictions(model, stores, windows, kept["probability"])
    assert len(predictions) == len(windows) and predictions.classes == ("calm", "aroused")
    trained = protocols.test(this, state, this.corpus.test)
    np.testing.assert_allclose(predictions.probability_NC, trained.probability_NC, atol=1e-6)
    for column in ("label_N", "subject_N", "seed_N", "recording_N", "start_s_N"):
        np.testing.assert_array_equal(getattr(predictions, column), getattr(trained, column), err_msg=column)


def test_people_seen_in_training_or_selection_are_left_out(tuned, model, store):
    experiment, corpus = copy.deepcopy(model.experiment), tuned[0].corpus
    experiment.data.stride_s = 2.5  # nobody trains here
    windows, left_out = apply.find_unseen(dataclasses.replace(model, experiment=experiment), [open_store(store)])
    np.testing.assert_array_equal(windows.start_s, corpus.eval_windows.start_s[corpus.test])
    seen = {*model.about["train_subjects"], *model.about["validation_subjects"]}
    assert set(left_out) == seen and len(seen) == 4
    assert len(windows.subjects) == 2 and not seen & set(windows.subjects)


def test_people_of_the_runs_before_are_left_out_if_their_labels_were_met_and_told_if_not(model, store):
    own = {*model.about["train_subjects"], *model.about["validation_subjects"]}
    first, second = sorted({f"synthetic0/s{i:03d}" for i in range(6)} - own)
    before = model.about | {"people": {"labelled": sorted({*own, first}), "unlabelled": [second]}}
    model = dataclasses.replace(model, about=before)
    windows, left_out = apply.find_unseen(model, [open_store(store)])
    assert set(left_out) == {*own, first} and windows.subjects == [second]
    assert apply.met_without_labels(model, [open_store(store)], windows) == [second]


def test_people_are_known_by_their_recordings_under_other_names(model, store):
    told = open_store(store)
    manifest = told.manifest | {"dataset": {"name": "copy"}, "subjects": [f"p{i}" for i in range(6)]}
    windows, left_out = apply.find_unseen(model, [dataclasses.replace(told, manifest=manifest)])
    _, known = apply.find_unseen(model, [told])
    assert left_out == [f"copy/p{int(name[-3:])}" for name in known]
    assert len(windows.subjects) == 2 and not set(left_out) & set(windows.subjects)


def test_a_store_of_people_seen_alone_is_refused(model, store):
    known = {*model.about["train_subjects"], *model.about["validation_subjects"]}
    others = tuple({f"synthetic0/s{i:03d}" for i in range(6)} - known)
    experiment = copy.deepcopy(model.experiment)
    experiment.data.split.exclude_subjects = others
    with pytest.raises(UserError, match="the model was trained on all 4 of its people. Evaluate on other people"):
        apply.find_unseen(dataclasses.replace(model, experiment=experiment), [open_store(store)])


def test_everybody_of_another_corpus_is_unseen(model, tmp_path):
    other = open_store(tiny.make_store(tmp_path / "store", seed=3, num_subjects=3, trials=2))
    experiment = copy.deepcopy(model.experiment)
    experiment.data.split.exclude_subjects = ("synthetic0/s001",)  # of the training corpus: nobody here
    windows, left_out = apply.find_unseen(dataclasses.replace(model, experiment=experiment), [other])
    assert len(windows.subjects) == 3 and left_out == []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"high_hz": 40.0}, r"high_hz=40.0, the model was trained with 50.0.*--config.preprocess.ecg.high_hz=50.0"),
        ({"resample_hz": 120.0}, "resample_hz=120.0, the model was trained with 128.0"),
        ({"normalise": preprocess.Normalise.RECORDING}, "normalise=RECORDING, the model was trained with SUBJECT"),
    ],
)
def test_a_store_prepared_otherwise_is_refused_by_field_with_the_remedy(model, tmp_path, steps, message):
    people = synthetic.Config(num_subjects=1, trials_per_subject=1, trial_s=20.0)
    told = preprocess.Config()
    told.ecg = dataclasses.replace(told.ecg, **steps)
    prepare(Preparation(people, told, workers=1), tmp_path / "store")
    with pytest.raises(UserError, match=message):
        check_store(open_store(tmp_path / "store"), model.about, model.about["modalities"])


def test_a_store_of_more_channels_is_refused(model, store):
    other = open_store(store)
    ecg = other.manifest["modalities"]["ecg"]
    manifest = other.manifest | {"modalities": {"ecg": ecg | {"channels": ["II", "V5"]}}}
    with pytest.raises(UserError, match="ecg has 2 channels, the model was trained with 1"):
        check_store(dataclasses.replace(other, manifest=manifest), model.about, model.about["modalities"])


def test_another_gate_is_no_other_signal(model, tmp_path):
    people = synthetic.Config(num_subjects=1, trials_per_subject=1, trial_s=20.0)
    told = preprocess.Config()
    told.ecg.gate.flat_s *= 2
    prepare(Preparation(people, told, workers=1), tmp_path / "store")
    check_store(open_store(tmp_path / "store"), model.about, model.about["modalities"])


def test_a_store_without_the_models_signal_is_refused(model, tmp_path):
    people = synthetic.Config(num_subjects=1, trials_per_subject=1, trial_s=20.0, modalities=("temp",))
    prepare(Preparation(people, workers=1), tmp_path / "store")
    with pytest.raises(UserError, match="the model reads ecg, which this store does not hold"):
        check_store(open_store(tmp_path / "store"), model.about, model.about["modalities"])


def test_labels_are_made_by_the_threshold_of_the_training(model, store):
    stores, about = [open_store(store)], dict(model.about)
    experiment = copy.deepcopy(model.experiment)
    experiment.data.label = Label("arousal", LabelRule.MEAN)
    about |= {"config": plain.to_dict(experiment), "label_spec": stores[0].manifest["labels"]["arousal"]}
    for threshold in (2.5, 7.5):
        about["label"] = plain.to_dict(Label("arousal", LabelRule.THRESHOLD, threshold))
        rater = dataclasses.replace(model, experiment=experiment, about=about)
        windows = apply.with_labels(rater, stores, apply.find_unseen(rater, stores)[0])
        np.testing.assert_array_equal(windows.label, windows.rating > threshold)


def test_classes_keep_their_numbers_and_others_are_dropped(model, store):
    windows, _ = apply.find_unseen(model, [open_store(store)])
    three = np.arange(len(windows)) % 3
    windows = dataclasses.replace(windows, rating=three.astype(float))
    about = model.about | {"label": plain.to_dict(Label("condition", classes=(2, 1)))}
    found = apply.with_labels(dataclasses.replace(model, about=about), [open_store(store)], windows)
    assert len(found) == np.count_nonzero(three) and set(found.rating) == {1, 2}
    np.testing.assert_array_equal(found.label, np.where(found.rating == 2, 0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": (1, 0)}, r"data.label.classes=\[1, 0\]: the model was trained with \[\], and what"),
        (
            {"name": "arousal"},
            r'label "arousal" has classes \[\], the model was trained with .*calm.*not mean',
        ),
        ({"ties": Ties.HIGH}, "data.label.ties=HIGH: the model was trained with LOW"),
    ],
)
def test_classes_cannot_come_to_mean_something_else(model, store, change, message):
    asked = copy.deepcopy(model.experiment)
    asked.data.label = dataclasses.replace(asked.data.label, **change)
    asked = dataclasses.replace(model, experiment=asked)
    with pytest.raises(UserError, match=message):
        apply.with_labels(asked, [open_store(store)], apply.find_unseen(asked, [open_store(store)])[0])


def test_a_label_of_the_same_meaning_may_have_another_name(model, store):
    told = open_store(store)
    labels = {{"condition": "stimulus"}.get(name, name): spec for name, spec in told.manifest["labels"].items()}
    renamed = dataclasses.replace(told, manifest=told.manifest | {"labels": labels})
    asked = copy.deepcopy(model.experiment)
    asked.data.label.name = "stimulus"
    asked = dataclasses.replace(model, experiment=asked)
    windows = [apply.with_labels(m, [s], apply.find_unseen(m, [s])[0]) for m, s in ((asked, renamed), (model, told))]
    assert windows[0].label.tolist() == windows[1].label.tolist() and set(windows[0].label) == {0, 1}


def test_a_checkpoint_says_which_classes_it_met(model):
    assert model.about["label"]["classes"] == [0, 1]


def test_a_masked_reconstruction_gives_metrics_and_no_probabilities(store, tmp_path):
    this, state = loop.run(tiny.pretraining(store, num_epochs=0.6, tensorboard=False), tmp_path)
    model, corpus = load(tmp_path), this.corpus
    scores, _ = evaluate(this.compiled, state, this.eval_gather, corpus.validation, batch_size=16)
    again, _ = apply.run(model, corpus.stores, corpus.eval_windows.take(corpus.validation), keep=0)
    assert again == pytest.approx(scores, rel=1e-4), "other samples were hidden"
    other = open_store(tiny.make_store(tmp_path / "other", seed=3, num_subjects=2, trials=2))
    windows, _ = apply.find_unseen(model, [other])
    assert apply.with_labels(model, [other], windows) is windows
    assert apply.met_without_labels(model, [other], windows) == []
    with pytest.raises(UserError, match="the model was trained on all 6 of its people"):
        apply.find_unseen(model, [open_store(store)])
    metrics, kept = apply.run(model, [other], windows, keep=0)
    assert set(metrics) == {"loss", "explained", "masked_fraction"} and kept == {}
    assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: setattr(e.model, "num_layers", 2), "model.num_layers is 1 in the checkpoint and 2 here"),
        (lambda e: setattr(e.data, "eval_stride_s", 0.0), "data.eval_stride_s=0.0: give a number above 0"),
        (lambda e: setattr(e.data, "eval_batch_size", 3), "data.eval_batch_size"),
    ],
)
def test_overrides_that_do_not_fit_the_checkpoint_are_refused(tuned, change, message):
    experiment = apply.read_experiment(tuned[2])
    experiment.mesh = Mesh()
    change(experiment)
    with pytest.raises(UserError, match=message):
        apply.load(tuned[2], experiment)


def test_predict_takes_any_number_of_devices(tuned, tmp_path, run_module):
    """The run's own batches of 16 could not be dealt to three."""
    (tmp_path / "night.csv").write_text("ECG (mV)\n" + "\n".join(f"{v:.4f}" for v in toy.ecg(30.0, 250.0)) + "\n")
    flags = (f"--checkpoint={tuned[2]}", f"--input={tmp_path / 'night.csv'}", "--rate_hz=250")
    for devices in (1, 3):
        done = run_module("launch.predict", *flags, f"--out={tmp_path / f'{devices}.csv'}", devices=devices)
        assert done.returncode == 0, done.stderr
    one, three = (np.loadtxt(tmp_path / f"{n}.csv", delimiter=",", skiprows=1, usecols=range(1, 5)) for n in (1, 3))
    assert one.shape == (3, 4)
    np.testing.assert_allclose(three, one, atol=1e-5)


def test_no_checkpoint_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        apply.read_experiment(tmp_path)
