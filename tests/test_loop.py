import contextlib
import errno
import json

import jax
import numpy as np
import pytest

from ecgjax.errors import NonFiniteLossError, Preempted, UserError
from ecgjax.training import checkpoint, loop, provenance
from ecgjax.training.preemption import Preemption
from ecgjax.training.writer import Writer
from tests import tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("loop") / "store")


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """A run that nothing interrupted: (its state, its folder)."""
    folder = tmp_path_factory.mktemp("loop") / "whole"
    return loop.run(tiny.pretraining(store), folder)[1], folder


def rows(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "clock"} for line in lines]


def assert_same_bits(a, b):
    for (path, x), (_, y) in zip(*map(jax.tree_util.tree_leaves_with_path, (a, b)), strict=True):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y), err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("stops", [(1,), (3, 4, 9), (2, 12)])
def test_a_run_that_was_stopped_ends_with_the_same_bits(store, whole, tmp_path, monkeypatch, stops):
    monkeypatch.setattr(Preemption, "stop_at", lambda self, step: step in stops)
    for stop in stops:
        with pytest.raises(Preempted, match=f"after step {stop},"):
            loop.run(tiny.pretraining(store), tmp_path)
    state = loop.run(tiny.pretraining(store), tmp_path)[1]
    assert_same_bits(state, whole[0])
    assert rows(tmp_path) == rows(whole[1])


def test_every_step_is_logged_once(whole):
    train = [row["step"] for row in rows(whole[1]) if row["kind"] == "train"]
    assert train == sorted(set(train)) and train[-1] == max(row["step"] for row in rows(whole[1]))


def test_a_finished_run_is_not_trained_again(store, whole):
    before = rows(whole[1])
    state = loop.run(tiny.pretraining(store), whole[1])[1]
    assert_same_bits(state, whole[0])
    assert rows(whole[1]) == before


def test_another_seed_is_another_run(store, whole, tmp_path):
    experiment = tiny.pretraining(store)
    experiment.seed = 1
    state = loop.run(experiment, tmp_path)[1]
    kernel = state.params["encoder"]["conv"]["conv_0"]["kernel"]
    assert not np.array_equal(kernel, whole[0].params["encoder"]["conv"]["conv_0"]["kernel"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: setattr(e.optim, "learning_rate", 3e-3), "optim.learning_rate was 0.001 and is 0.003"),
        (lambda e: setattr(e, "seed", 5), "seed was 0 and is 5"),
        (lambda e: setattr(e.data, "batch_size", 16), "data.batch_size was 8 and is 16"),
        (lambda e: setattr(e.task, "mask_span", 10), "task.mask_span was 20 and is 10"),
    ],
)
def test_a_changed_config_is_not_resumed(store, whole, change, message):
    experiment = tiny.pretraining(store)
    change(experiment)
    with pytest.raises(UserError, match=message):
        loop.run(experiment, whole[1])


def test_changed_data_are_not_resumed(whole, tmp_path):
    other = tiny.make_store(tmp_path / "store", seed=1)
    with pytest.raises(UserError, match="content has changed since"):
        loop.run(tiny.pretraining(other), whole[1])


def test_what_fails_before_the_first_step_leaves_the_folder_free(store, tmp_path):
    experiment = tiny.finetuning(store)
    experiment.data.label.name = "conditoin"
    with pytest.raises(UserError, match='Did you mean "condition"'):
        loop.run(experiment, tmp_path)
    experiment.data.label.name = "condition"
    loop.run(experiment, tmp_path)


def test_non_finite_loss_stops_and_keeps_the_batch(store, tmp_path):
    experiment = tiny.pretraining(store, log_every_steps=2)
    experiment.optim.learning_rate, experiment.optim.clip_norm = 1e30, 0.0
    with pytest.raises(NonFiniteLossError, match="not finite at step") as caught:
        loop.run(experiment, tmp_path)
    (path,) = tmp_path.glob("nonfinite_batch_step*.npz")
    assert path.name in str(caught.value)
    with np.load(path) as batch:
        assert batch["signals/ecg"].shape == (8, 1280, 1)
    assert not any(np.isnan(row["loss"]) for row in rows(tmp_path) if row["kind"] == "train")


def test_rows_that_cannot_be_written_stop_all_processes_before_a_checkpoint(store, tmp_path, monkeypatch):
    """What only the first process knows is agreed on; else the others would wait for it."""

    def write(writer):
        raise UserError("the disk is full")

    agreed = []
    monkeypatch.setattr(Writer, "sync", write)
    monkeypatch.setattr(loop.meshes, "agree", lambda failed: agreed.append(failed) or failed)
    with pytest.raises(UserError, match="the disk is full"):
        loop.run(tiny.pretraining(store), tmp_path)
    assert agreed[-1] is True and not [p for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()]


def test_weights_that_are_not_finite_are_not_saved(store, tmp_path, monkeypatch):
    """The loss is that of the weights before the step, so a checkpoint right after it would hold what it did."""
    experiment = tiny.pretraining(store, checkpoint_every_steps=1)
    rates = np.full(100, 1e-3, np.float32)
    rates[2] = np.inf
    monkeypatch.setattr(loop.optim, "learning_rates", lambda *_: rates)
    with pytest.raises(NonFiniteLossError, match="the new weights are not finite at step 2. Its batch is saved"):
        loop.run(experiment, tmp_path)
    assert checkpoint.describe(tmp_path)["latest"] == 2
    assert (tmp_path / "nonfinite_batch_step2.npz").exists()


def test_a_batch_that_cannot_be_saved_leaves_no_part_of_itself(store, tmp_path, monkeypatch):
    this = loop.set_up(tiny.pretraining(store), tmp_path)

    def torn(target, **_):
        with contextlib.nullcontext(target) if hasattr(target, "write") else open(target, "wb") as file:
            file.write(b"PK")
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", torn)
    one = np.ones(())
    with pytest.raises(UserError, match=r"nonfinite_batch_step4\.npz: the disk is full"):
        loop._refuse_non_finite(this, [(4, ((one * np.nan, one), (0 * one, one)))])
    assert not any(tmp_path.iterdir())


def test_each_process_saves_its_own_part_of_the_batch(store, tmp_path, monkeypatch):
    this = loop.set_up(tiny.pretraining(store), tmp_path)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    one = np.ones(())
    with pytest.raises(NonFiniteLossError, match="the loss is not finite at step 4"):
        loop._refuse_non_finite(this, [(3, ((one, one), (one, one))), (4, ((one * np.nan, one), (0 * one, one)))])
    assert [path.name for path in tmp_path.iterdir()] == ["nonfinite_batch_step4_process1.npz"]


def test_fine_tuning_starts_from_the_encoder_alone(store, whole, tmp_path):
    experiment = tiny.finetuning(store, num_epochs=0.01)
    experiment.init_from, experiment.optim.multipliers = str(whole[1]), (("^encoder/", 0.0),)
    state = loop.run(experiment, tmp_path)[1]
    assert_same_bits(state.params["encoder"], whole[0].params["encoder"])
    assert set(state.params["head"]) != set(whole[0].params["head"])


def test_a_frozen_encoder_runs_without_dropout_and_a_trained_one_with_it(store):
    experiment = tiny.finetuning(store)
    assert loop.set_up(experiment, store).compiled.program.encoder_trains
    experiment.optim.multipliers = (("^encoder/", 0.0),)
    assert not loop.set_up(experiment, store).compiled.program.encoder_trains


def test_encoder_of_another_shape_is_refused(store, whole, tmp_path):
    experiment = tiny.finetuning(store)
    experiment.init_from, experiment.model.num_layers = str(whole[1]), 2
    with pytest.raises(UserError, match="model.num_layers is 1 in the checkpoint and 2 here"):
        loop.run(experiment, tmp_path)


def test_patience_stops_and_the_best_state_is_returned(store, tmp_path):
    experiment = tiny.pretraining(store, num_epochs=40, patience_epochs=2, keep_last=1, log_every_steps=1000)
    experiment.optim.learning_rate = 0.3  # so that it gets worse
    experiment.optim.clip_norm = 0.0
    this, state = loop.run(experiment, tmp_path)
    values = {row["step"]: row["loss"] for row in rows(tmp_path) if row["kind"] == "eval"}
    best = min(values, key=values.get)
    assert int(state.step) == best < max(values) < this.num_steps
    assert checkpoint.describe(tmp_path)["best"] == best


def test_checkpoint_says_what_it_wants_to_be_fed(whole):
    extra = checkpoint.describe(whole[1])["extra"]
    assert extra["modalities"]["ecg"]["rate_hz"] == 128
    assert extra["modalities"]["ecg"]["unit"] == "mV"
    assert extra["preprocess"]["ecg"]["high_hz"] == 50
    assert extra["config"]["data"]["window_s"] == 10
    assert len(extra["train_subjects"]) == 4 and len(extra["validation_subjects"]) == 2


def test_a_checkpoint_says_the_commits_of_all_that_trained_it(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(provenance, "commit", lambda: "older")
        patch.setattr(Preemption, "stop_at", lambda self, step: step == 2)
        loop.run(tiny.pretraining(store), tmp_path)
    monkeypatch.setattr(provenance, "commit", lambda: "newer")
    this, _ = loop.run(tiny.pretraining(store), tmp_path)
    assert this.commits == ("older", "newer")
    assert checkpoint.describe(tmp_path)["extra"]["commits"] == ["older", "newer"]
    assert loop.run(tiny.pretraining(store), tmp_path)[0].commits == ("older", "newer")


def test_classes_of_data_and_task_must_fit(store, tmp_path):
    experiment = tiny.finetuning(store)
    experiment.task.num_classes, experiment.task.loss = 3, type(experiment.task.loss).SOFTMAX
    with pytest.raises(UserError, match="task.num_classes=3, but the label has 2 classes: calm, aroused"):
        loop.run(experiment, tmp_path)


def test_a_ratio_over_nothing_is_no_number_and_no_crash():
    means = loop._means({"f1/noise": (np.float32(0), np.float32(0)), "loss": (np.float32(1), np.float32(4))})
    assert np.isnan(means["f1/noise"]) and means["loss"] == 0.25
