"""Starting from another run: the same encoder fed alike, or an error; and whom it has learnt from goes along."""

import copy
import dataclasses
import shutil

import chex
import pytest

from ecgjax.errors import Preempted, UserError
from ecgjax.models.base import Activation, Precision
from ecgjax.models.conv_transformer import Pooling
from ecgjax.training import checkpoint, inherit, loop
from ecgjax.training.inherit import People
from ecgjax.training.preemption import Preemption
from tests import tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("inherit") / "store")


@pytest.fixture(scope="module")
def pretrained(store, tmp_path_factory):
    """(run, its state, folder), trained for a step without labels."""
    folder = tmp_path_factory.mktemp("inherit") / "pretrain"
    return *loop.run(tiny.pretraining(store, num_epochs=0.01, tensorboard=False), folder), folder


def read(pretrained, change=lambda experiment: None, edit=lambda manifest: None):
    """The encoder, for an experiment and a store that differ by so much."""
    this, _, folder = pretrained
    experiment = copy.deepcopy(this.experiment)
    experiment.init_from = str(folder)
    change(experiment)
    (store,) = this.corpus.stores
    manifest = copy.deepcopy(store.manifest)
    edit(manifest)
    return inherit.read_encoder(experiment, this.compiled.abstract, [dataclasses.replace(store, manifest=manifest)])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("strides", (4, 4), r"model.strides is \[8, 8\] in the checkpoint and \[4, 4\] here. Set"),
        ("activation", Activation.GELU, "model.activation is RELU in the checkpoint and GELU here"),
        ("num_heads", 4, "model.num_heads is 2 in the checkpoint and 4 here"),
    ],
)
def test_another_encoder_of_the_same_shapes_is_refused_by_field(pretrained, field, value, message):
    with pytest.raises(UserError, match=message):
        read(pretrained, lambda experiment: setattr(experiment.model, field, value))


def test_what_does_not_change_the_weights_meaning_may_differ(pretrained):
    def change(experiment):
        m = experiment.model
        m.dropout, m.attention_dropout, m.pooling, m.remat = 0.4, 0.2, Pooling.MEAN, True
        m.dtype, m.max_tokens = Precision.BFLOAT16, 9
        experiment.data.window_s = 5.0

    found = read(pretrained, change, lambda manifest: manifest["preprocess"]["ecg"]["gate"].update(flat_s=9.0))
    chex.assert_trees_all_equal(found["params"], pretrained[1].params["encoder"])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["preprocess"]["ecg"].update(resample_hz=256.0),
         "prepared with resample_hz=256.0, the encoder of init_from=.*pretrain was trained with 128.0. Prepare it"),
        (lambda m: m["preprocess"]["ecg"].update(low_hz=5.0), "--config.preprocess.ecg.low_hz=0.8"),
        (lambda m: m["modalities"]["ecg"].update(channels=["I", "II"]), "ecg has 2 channels, the encoder of"),
    ],
)  # fmt: skip
def test_a_store_prepared_otherwise_is_refused_by_field(pretrained, edit, message):
    with pytest.raises(UserError, match=message):
        read(pretrained, edit=edit)


def test_the_run_itself_refuses(pretrained, tmp_path):
    experiment = copy.deepcopy(pretrained[0].experiment)
    experiment.init_from, experiment.model.strides = str(pretrained[2]), (4, 4)
    with pytest.raises(UserError, match="init_from=.*: its encoder is another one: model.strides"):
        loop.run(experiment, tmp_path)


def test_labels_once_met_stay_met():
    first = People().and_also(["a", "b"], with_labels=False)
    assert first == People((), ("a", "b"))
    assert first.and_also(["b", "c"], with_labels=True) == People(("b", "c"), ("a",))
    assert People(("b",)).and_also(["b", "d"], with_labels=False) == People(("b",), ("d",))


def names_of(extra):
    """(labelled, unlabelled) people, without their recordings' digests."""
    people = inherit.people_of(extra)
    return tuple([known for known in kind if "/" in known] for kind in (people.labelled, people.unlabelled))


def test_checkpoints_tell_whom_all_runs_before_have_met_and_so_do_resumed_ones(
    pretrained, store, tmp_path, monkeypatch
):
    everyone = {f"synthetic0/s{i:03d}" for i in range(6)}
    extra = checkpoint.describe(pretrained[2])["extra"]
    assert names_of(extra) == ([], sorted(everyone))
    shutil.copytree(pretrained[2], tmp_path / "gone")
    tuned = tiny.finetuning(store, num_epochs=0.6, tensorboard=False)
    tuned.init_from, tuned.data.split.fold = str(tmp_path / "gone"), 0
    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(Preemption, "stop_at", lambda self, step: step == 1)
        loop.run(tuned, tmp_path / "tuned")
    shutil.rmtree(tmp_path / "gone")
    loop.run(tuned, tmp_path / "tuned")
    extra = checkpoint.describe(tmp_path / "tuned")["extra"]
    own = {*extra["train_subjects"], *extra["validation_subjects"]}
    assert len(own) == 4
    assert names_of(extra) == (sorted(own), sorted(everyone - own))
    known = inherit.people_of(extra)
    assert len({*known.labelled, *known.unlabelled}) == 6 + 6 * 4  # names, and four recordings each
