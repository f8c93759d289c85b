"""What a run leaves for people: the files are there, whole, and say the same."""

import copy
import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest

from ecgjax.data.pipeline import make_gather
from ecgjax.data.store import open_store
from ecgjax.errors import UserError
from ecgjax.evaluation import apply, looks, metrics, report, summary, tables
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.protocols import MODEL, cross_validate
from ecgjax.training import checkpoint, loop
from ecgjax.training.writer import read_metrics
from tests import tiny

NAMES = [MODEL, "class prior", "heart rate", "HRV, logistic", "HRV, forest"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("summary") / "store")


@pytest.fixture(scope="module")
def crossed(store, tmp_path_factory):
    """(folder, what was found, the table as printed) of a cross-validation."""
    folder = tmp_path_factory.mktemp("summary") / "run"
    experiment = tiny.finetuning(store, num_epochs=0.6, log_every_steps=1, tensorboard=False)
    found = cross_validate(experiment, folder)
    table, path = summary.report_cross_validation(experiment, found, folder)
    assert path == folder / "report.html"
    return folder, found, table


@pytest.fixture(scope="module")
def pretrained(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary") / "pretrain"
    this, state = loop.run(tiny.pretraining(store, num_epochs=0.6, log_every_steps=1, tensorboard=False), folder)
    summary.report_run(this, state)
    return this, folder


def evaluated(run_folder, store, out):
    model = apply.load(run_folder, apply.read_experiment(run_folder))
    stores = [open_store(store)]
    windows, left_out = apply.find_unseen(model, stores)
    return summary.report_evaluation(model, stores, apply.with_labels(model, stores, windows), left_out, out)


def agree(folder):
    """Whether the files of a folder tell the same scores; the results."""
    results = json.loads((folder / "results.json").read_text())
    predictions = Predictions.load(folder / "predictions.npz")
    page, table = (folder / "report.html").read_text(), (folder / "results.md").read_text()
    assert list(results["scores"]) == NAMES
    assert results["scores"][MODEL] == pytest.approx(metrics.pooled(predictions), nan_ok=True)
    for name, scores in results["scores"].items():
        low, high = results["intervals"][name]["auroc"]
        told = f"{tables.number(scores['auroc'])} [{tables.number(low)}, {tables.number(high)}]"
        assert re.search(rf"\| {name} \| {re.escape(told)} \|", table), (name, told, table)
        assert tables.number(scores["auroc"]) in page and name in page
    return results, predictions


def test_files_of_a_cross_validation_agree(crossed):
    folder, found, table = crossed
    results, predictions = agree(folder)
    model = found.predictions[MODEL]
    np.testing.assert_array_equal(predictions.probability_NC, model.probability_NC)
    np.testing.assert_array_equal(predictions.fold_N, model.fold_N)
    assert f"{results['scores'][MODEL]['accuracy']:.3f}" in table.splitlines()[2]
    each = [(model.probability_NC.argmax(1) == model.label_N)[model.fold_N == n].mean() for n in range(3)]
    assert results["folds"][MODEL]["accuracy"]["mean"] == pytest.approx(np.mean(each))
    run = results["run"]
    assert run["subjects"] == 6 and run["protocol"] == "subject" and run["classes"] == "calm, aroused"
    assert run["config"]["data"]["split"]["num_folds"] == 3


def test_report_of_a_cross_validation_shows_scores_curves_and_doubts(crossed):
    page = (crossed[0] / "report.html").read_text()
    assert 'id="scores"' in page and 'id="folds"' in page and "Subject-disjoint folds" in page
    assert 'id="reconstruction"' not in page, "there was no pre-training"
    assert re.search(r"\d+ to train on in fold 0, ", page)


def test_attention_of_a_fold_says_whose_class_and_guess(crossed, store):
    folder, found, _ = crossed
    page, model, corpus = (folder / "report.html").read_text(), found.predictions[MODEL], found.corpus
    assert len(re.findall(r"synthetic0/s\d+: (?:calm|aroused), taken for (?:calm|aroused) \(\d+ % sure\)", page)) == 3
    said_N = np.random.default_rng(0).random(len(model))  # a tiny model would say the same of every window
    surer = {MODEL: dataclasses.replace(model, probability_NC=np.c_[1 - said_N, said_N])}
    experiment = tiny.finetuning(store, num_epochs=0.6, tensorboard=False)
    found = dataclasses.replace(found, predictions=surer)
    shown = looks.of_fold_0(experiment, found, folder / "fold_00")["attention"]
    tested = surer[MODEL].select(model.fold_N == 0)
    signals = make_gather(corpus.stores, corpus.eval_windows, experiment.data)(corpus.test)["signals"]["ecg"][:, :, 0]
    names = model.classes
    for signal_T, title in zip(shown.signal_KT, shown.titles, strict=True):
        (row,) = np.flatnonzero((signals == signal_T).all(1))
        true, p = names[tested.label_N[row]], tested.probability_NC[row]
        assert title == f"{tested.subject_N[row]}: {true}, taken for {names[p.argmax()]} ({100 * p.max():.0f} % sure)"
    assert "calm, taken" in shown.titles[0] and "aroused, taken" in shown.titles[-1]


def test_a_window_without_a_class_is_shown_without_one(crossed):
    corpus = crossed[1].corpus
    label_N = np.where(np.arange(len(corpus.eval_windows)) % 2, 1, -1)
    windows = dataclasses.replace(corpus.eval_windows, label=label_N.astype(corpus.eval_windows.label.dtype))
    titles = looks._titles(windows.take(np.arange(2)), corpus.class_names, np.array([[0.25, 0.75], [0.25, 0.75]]))
    first, second = windows.subject[:2]
    assert titles == [
        f"{first}: taken for aroused (75 % sure)",
        f"{second}: aroused, taken for aroused (75 % sure)",
    ]


def test_a_fine_tuning_says_what_it_was_pretrained_to_fill_in(pretrained, store, tmp_path):
    experiment = tiny.finetuning(store, num_epochs=0.6, tensorboard=False)
    experiment.init_from = str(pretrained[1])
    found = cross_validate(experiment, tmp_path)
    looked = looks.of_fold_0(experiment, found, tmp_path / "fold_00")
    shown, corpus = looked["reconstruction"], found.corpus
    gather = make_gather(corpus.stores, corpus.eval_windows, experiment.data)
    signals = gather(corpus.test)["signals"]["ecg"][:, :, 0]
    assert all((signals == x_T).all(1).any() for x_T in shown.signal_KT), "the windows are those fold 0 was tested on"
    assert shown.masked_KT.any() and f"pre-training in {pretrained[1].name}" in shown.note
    experiment.data.window_s = 5.0
    assert looks._of_pretraining(experiment, gather, corpus.test[:1]) is None, "which read other windows"


def test_the_pretraining_s_devices_and_batches_need_not_be_here(pretrained, store, crossed, monkeypatch):
    read = apply.read_experiment

    def elsewhere(path):
        before = read(path)
        before.mesh.fsdp, before.data.eval_batch_size = 3, 3
        return before

    monkeypatch.setattr(apply, "read_experiment", elsewhere)
    experiment = tiny.finetuning(store, num_epochs=0.6, tensorboard=False)
    experiment.init_from, corpus = str(pretrained[1]), crossed[1].corpus
    gather = make_gather(corpus.stores, corpus.eval_windows, experiment.data)
    assert looks._of_pretraining(experiment, gather, corpus.test[:1]).masked_KT.any()


def test_scores_are_written_whatever_becomes_of_the_pictures(crossed, store, tmp_path, monkeypatch):
    folder, found, _ = crossed
    for name in ("fold_00", "fold_01", "fold_02"):
        shutil.copytree(folder / name, tmp_path / name)
    monkeypatch.setattr(looks, "of_fold_0", None)
    with pytest.raises(TypeError):
        summary.report_cross_validation(tiny.finetuning(store, num_epochs=0.6, tensorboard=False), found, tmp_path)
    scores = [json.loads((place / "results.json").read_text())["scores"] for place in (tmp_path, folder)]
    assert scores[0] == scores[1] and (tmp_path / "predictions.npz").is_file()


def test_the_report_names_the_commits_that_trained(crossed, pretrained):
    for folder, runs in ((crossed[0], [crossed[0] / "fold_00"]), (pretrained[1], [pretrained[1]])):
        commits = [commit for run in runs for commit in checkpoint.describe(run)["extra"]["commits"]]
        assert f"<td>{commits[0]}</td>" in (folder / "report.html").read_text() and len(commits) == 1


LACKING = [(0, "validation", "calm"), (1, "training", "wild"), (2, "validation", "calm")]


def test_what_makes_scores_doubtful_is_in_the_report(crossed, store, tmp_path, monkeypatch):
    folder, found, _ = crossed
    described, random = summary._about, "The encoder is random"
    monkeypatch.setattr(summary, "_about", lambda run: described(run) | {"encoder_trains": False})
    doubtful = dataclasses.replace(
        found, seen_in_pretraining=["a/1", "a/2"], beatless=3, seen_with_labels=["a/3"], lacking=LACKING
    )
    experiment = tiny.finetuning(store, num_epochs=0.6, tensorboard=False)
    shutil.copytree(folder / "fold_00", tmp_path / "fold_00")
    summary.report_cross_validation(experiment, doubtful, tmp_path)
    notes = (
        "2 tested subjects were among the pre-training subjects",
        "from the labels of 1 tested subjects",
        "No validation window of fold(s) 0, 2 is &#34;calm&#34;: their epoch was chosen without it",
        "No training window of fold(s) 1 is &#34;wild&#34;: it was not learnt there",
        "too few beats in 3 windows",
        random,
    )
    assert all(note in (tmp_path / "report.html").read_text() for note in notes)
    plain = (folder / "report.html").read_text()
    assert found.beatless == 0 and not any(note in plain for note in notes)


def test_report_of_a_pretraining_shows_reconstructions_and_attention(pretrained):
    page = (pretrained[1] / "report.html").read_text()
    assert 'id="training"' in page and 'id="reconstruction"' in page and 'id="attention"' in page
    assert "MaskedReconstruction" in page and 'id="scores"' not in page
    shown = [subject for subject in pretrained[0].corpus.validation_subjects if subject in page]
    assert shown, "the attention figure says whose windows it shows"


def test_attention_is_that_of_cls_over_the_tokens(pretrained):
    this = pretrained[0]
    state = this.compiled.init(jax.random.key(0))
    ids = looks.spread(this.corpus.validation, 3)

    def look():
        return looks.attention(this.compiled, state, this.eval_gather, ids, "abc")["attention"]

    found = look()
    assert found.weight_KHL.shape == (3, 2, 20) and found.signal_KT.shape == (3, 1280)  # 64 samples a token
    assert (found.weight_KHL > 0).all() and (found.weight_KHL.sum(-1) < 1).all(), "CLS looks at itself too"
    # With another CLS, the tokens of the only layer share out their looks at each other as before; CLS does not.
    state.params["encoder"]["cls"] *= 50
    shares = [x.weight_KHL / x.weight_KHL.sum(-1, keepdims=True) for x in (found, look())]
    assert np.abs(shares[0] - shares[1]).max() > 0.01


def test_a_reconstruction_stands_beside_the_signal_with_its_hidden_spans(pretrained):
    this = pretrained[0]
    ids = looks.spread(this.corpus.validation, 3)
    found = looks.of_run(this, this.compiled.init(jax.random.key(0)))["reconstruction"]
    np.testing.assert_array_equal(found.signal_KT, this.eval_gather(ids)["signals"]["ecg"][:, :, 0])
    assert np.abs(found.reconstruction_KT - found.signal_KT).mean() > 0.1, "nothing is learnt yet"
    for hidden_T in found.masked_KT:  # a span is as long as the task says, what lies between two is often shorter
        starts, stops = (np.flatnonzero(np.diff(hidden_T.astype(int)) == sign) for sign in (1, -1))
        assert len(starts) > 3 and min(stops[stops > starts[0]] - starts[: (stops > starts[0]).sum()]) >= 20


def test_curves_tell_training_from_validation(pretrained):
    logged = {kind: read_metrics(pretrained[1], kind) for kind in ("train", "eval")}
    curves = summary._curves(pretrained[1])
    for kind, prefix in (("train", "train"), ("eval", "validation")):
        told = [(row["step"], row[f"{prefix}/loss"]) for row in curves if f"{prefix}/loss" in row]
        assert told == [(row["step"], row["loss"]) for row in logged[kind]] and told


def test_pictures_show_people_kept_aside_where_there_are_any(pretrained):
    this = pretrained[0]
    titles = looks.of_run(this, this.compiled.init(jax.random.key(0)))["attention"].titles
    assert len(titles) == 3 and set(titles) <= set(this.corpus.validation_subjects)


def test_files_of_an_evaluation_agree(store, tmp_path):
    experiment = tiny.finetuning(store, num_epochs=0.6, tensorboard=False)
    experiment.data.split.fold = 0
    loop.run(experiment, tmp_path / "run")
    told = evaluated(tmp_path / "run", store, tmp_path / "deep" / "out")
    results, predictions = agree(tmp_path / "deep" / "out")
    assert "of 2 people (4 people the model was trained or selected on left out)" in told
    assert len(set(predictions.subject_N)) == 2 and told.startswith(f"{len(predictions)} windows")
    assert results["run"]["people"] == told.splitlines()[0]
    files = {"report.html", "results.json", "results.md", "predictions.npz"}
    assert {path.name for path in (tmp_path / "deep" / "out").iterdir()} == files


def test_an_evaluation_of_a_pretraining_tells_metrics(pretrained, tmp_path):
    other = tiny.make_store(tmp_path / "store", seed=3, num_subjects=2, trials=2)
    told = evaluated(pretrained[1], other, tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results["scores"]) == {"loss", "explained", "masked_fraction"}
    assert f"{results['scores']['explained']:.4f}" in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="reconstruction"' in page and 'id="attention"' in page
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "results.json"}


def test_an_evaluation_that_fails_writes_nothing(pretrained, tmp_path, monkeypatch):
    other = tiny.make_store(tmp_path / "store", seed=3, num_subjects=2, trials=2)

    def fail(*arguments, **named):
        raise UserError("at the last moment")

    with monkeypatch.context() as patch:
        patch.setattr(report, "write_report", fail)
        with pytest.raises(UserError, match="at the last moment"):
            evaluated(pretrained[1], other, tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        evaluated(pretrained[1], other, tmp_path / "file" / "out")


def test_a_report_without_validation_shows_training_windows(pretrained):
    this = copy.copy(pretrained[0])
    object.__setattr__(this, "corpus", copy.copy(this.corpus))
    object.__setattr__(this.corpus, "validation", this.corpus.validation[:0])
    tested = np.flatnonzero(this.corpus.eval_windows.are_of(this.corpus.eval_windows.subjects[:1]))
    object.__setattr__(this.corpus, "test", tested)
    titles = looks.of_run(this, this.compiled.init(jax.random.key(0)))["attention"].titles
    assert len(titles) == 3 and titles[0] == this.corpus.eval_windows.subjects[1], "the first is tested"
