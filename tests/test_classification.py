import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.errors import Preempted, UserError
from ecgjax.evaluation import apply
from ecgjax.models.base import POOLED, Encoded
from ecgjax.tasks import classification as cl
from ecgjax.training import loop
from ecgjax.training.evaluate import evaluate
from ecgjax.training.preemption import Preemption
from ecgjax.training.program import count_parameters
from tests import tiny

LABEL = jnp.asarray([0, 1, 1, 0, 1], jnp.int32)
WEIGHT = jnp.asarray([1.0, 1.0, 1.0, 1.0, 0.0])


def scores(columns: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((5, columns)).astype(np.float32)


def mean(pair) -> float:
    return float(pair[0] / pair[1])


def test_one_logit_gives_the_binary_cross_entropy():
    task, logit = cl.Config().make(), scores(1)
    loss, metrics = task.loss(jnp.asarray(logit), LABEL, WEIGHT)
    truth, p = np.asarray(LABEL)[:4], 1 / (1 + np.exp(-logit[:4, 0]))
    np.testing.assert_allclose(loss, -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p)), rtol=1e-5)
    np.testing.assert_allclose(mean(metrics["accuracy"]), np.mean((p > 0.5) == truth))
    probability = task.predict(jnp.asarray(logit), LABEL)["probability"]
    np.testing.assert_allclose(probability[:4], np.stack([1 - p, p], 1), rtol=1e-5)


def test_softmax_gives_the_categorical_cross_entropy():
    task, logits = cl.Config(num_classes=3, loss=cl.Loss.SOFTMAX).make(), scores(3)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss, _ = task.loss(jnp.asarray(logits), LABEL, WEIGHT)
    np.testing.assert_allclose(loss, -np.mean(np.log(p[np.arange(4), np.asarray(LABEL)[:4]])), rtol=1e-5)
    np.testing.assert_allclose(task.predict(jnp.asarray(logits), LABEL)["probability"], p, rtol=1e-5)


def test_class_weights_weigh_the_loss_and_not_the_accuracy():
    logit = jnp.asarray(scores(1))
    even, _ = cl.Config().make().loss(logit, LABEL, WEIGHT)
    loss, metrics = cl.Config(class_weights=(3.0, 1.0)).make().loss(logit, LABEL, WEIGHT)
    of_each = jax.nn.softplus(jnp.where(LABEL == 1, -1, 1) * logit[:, 0])
    np.testing.assert_allclose(loss, np.average(of_each[:4], weights=[3, 1, 1, 3]), rtol=1e-5)
    assert abs(loss - even) > 1e-3
    assert metrics["accuracy"][1] == 4


def test_a_window_without_a_label_counts_for_nothing():
    task, logit = cl.Config().make(), jnp.asarray(scores(1))
    unlabelled = LABEL.at[0].set(-1)
    loss, metrics = task.loss(logit, unlabelled, WEIGHT)
    expected, _ = task.loss(logit[1:], LABEL[1:], WEIGHT[1:])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert metrics["accuracy"][1] == 3
    assert not jax.grad(lambda logit: task.loss(logit, unlabelled, WEIGHT)[0])(logit)[0].any()


def test_the_head_has_the_hidden_layers_of_its_config_and_reads_the_pooled_vector():
    head = cl.Config(hidden=(8, 4)).make().head()
    encoded = Encoded(jnp.ones((2, 3, 16)), jnp.ones((2, 16)))
    said, variables = head.init_with_output(jax.random.key(0), encoded, {}, train=False)
    shapes = {name: layer["kernel"].shape for name, layer in variables["params"].items()}
    assert shapes == {"hidden_0": (16, 8), "hidden_1": (8, 4), "out": (4, 1)}
    other_tokens = encoded.replace(tokens_BLD=-encoded.tokens_BLD)
    np.testing.assert_array_equal(head.apply(variables, other_tokens, {}, train=False), said)
    assert (head.apply(variables, encoded.replace(pooled_BD=-encoded.pooled_BD), {}, train=False) != said).any()


def test_dropout_acts_in_training_only():
    head = cl.Config().make().head()
    encoded = Encoded(jnp.ones((2, 3, 16)), jnp.ones((2, 16)))
    variables = head.init(jax.random.key(0), encoded, {}, train=False)
    said = [head.apply(variables, encoded, {}, train=True, rngs={"dropout": jax.random.key(k)}) for k in (0, 1)]
    assert (said[0] != said[1]).any()
    assert (said[0][0] != said[0][1]).any()  # each window its own draw


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_with_batch_norm_has_as_many_parameters_as_the_published_one(classes):
    config = cl.Config(num_classes=classes, loss=cl.Loss.SOFTMAX, hidden=(128,), batch_norm=True, dropout=0.2)
    encoded = Encoded(jnp.ones((2, 3, 384)), jnp.ones((2, 384)))
    variables = config.make().head().init(jax.random.key(0), encoded, {}, train=False)
    assert count_parameters(variables["params"]) == 49_536 + 129 * classes
    assert jax.tree.map(np.shape, variables["batch_stats"]) == {"norm_0": {"mean": (128,), "var": (128,)}}


@pytest.mark.parametrize("train", [False, True])
def test_batch_norm_stands_between_each_hidden_layer_and_its_relu(train):
    head = cl.Config(hidden=(8, 4), batch_norm=True, dropout=0.0).make().head()
    rng = np.random.default_rng(0)
    encoded = Encoded(jnp.ones((20, 3, 16)), jnp.asarray(rng.standard_normal((20, 16)), jnp.float32))
    variables = head.init(jax.random.key(0), encoded, {}, train=False)
    variables = jax.tree.map(lambda x: rng.uniform(0.1, 1, x.shape).astype(np.float32) - 0.5 * (x.ndim > 1), variables)
    found, _ = head.apply(variables, encoded, {}, train=train, mutable=["batch_stats"])
    x = np.asarray(encoded.pooled_BD, np.float64)
    for i in range(2):
        layer, norm = variables["params"][f"hidden_{i}"], variables["params"][f"norm_{i}"]
        x = x @ layer["kernel"] + layer["bias"]
        running = variables["batch_stats"][f"norm_{i}"]
        mean, var = (x.mean(0), x.var(0)) if train else (running["mean"], running["var"])
        x = np.maximum((x - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"], 0)
    out = variables["params"]["out"]
    np.testing.assert_allclose(found, x @ out["kernel"] + out["bias"], rtol=1e-4, atol=1e-4)


def test_statistics_of_a_head_on_a_frozen_encoder_are_saved_resumed_and_used(tmp_path, monkeypatch):
    made = tiny.finetuning(tiny.make_store(tmp_path / "store"), num_epochs=1, tensorboard=False)
    made.task.batch_norm, made.optim.multipliers, made.data.split.fold = True, (("^encoder/", 0.0),), 0
    this, whole = loop.run(made, tmp_path / "whole")
    assert set(this.source[0]["signals"]) == {POOLED}
    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(Preemption, "stop_at", lambda self, step: step == 2)
        loop.run(made, tmp_path / "stopped")
    _, resumed = loop.run(made, tmp_path / "stopped")
    chex.assert_trees_all_equal(resumed.params["head"], whole.params["head"])
    chex.assert_trees_all_equal(resumed.model_state, whole.model_state)
    norm = whole.model_state["head"]["batch_stats"]["norm_0"]
    assert np.abs(norm["mean"]).min() > 0 and (norm["var"] != 1).all()

    best, data = apply.load(tmp_path / "whole", made), made.data  # on signals, by the restored encoder and head
    ids = this.corpus.validation
    scores, kept = evaluate(best.compiled, best.state, this.eval_gather.gather, ids, data.eval_batch_size, len(ids))
    again, other = apply.load(tmp_path / "stopped", made), best.state
    chex.assert_trees_all_equal(again.state.model_state, best.state.model_state)
    same = evaluate(again.compiled, again.state, this.eval_gather.gather, ids, data.eval_batch_size, len(ids))
    assert same[0] == scores
    np.testing.assert_array_equal(same[1]["probability"], kept["probability"])
    other = other.replace(model_state=jax.tree.map(lambda x: x + 1, other.model_state))
    moved = evaluate(best.compiled, other, this.eval_gather.gather, ids, data.eval_batch_size, len(ids))
    assert (moved[1]["probability"] != kept["probability"]).any()
    on_vectors = evaluate(this.compiled, best.state, this.eval_gather, ids, data.eval_batch_size, len(ids))
    np.testing.assert_allclose(on_vectors[1]["probability"], kept["probability"], atol=2e-5)


@pytest.mark.parametrize(("monitor", "mode"), [(cl.Monitor.LOSS, "min"), (cl.Monitor.ACCURACY, "max")])
def test_the_monitor_is_chosen_with_its_direction(monitor, mode):
    task = cl.Config(monitor=monitor).make()
    assert (task.monitor, task.monitor_mode) == (monitor.value, mode)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"num_classes": 1}, "task.num_classes"),
        ({"num_classes": 3}, "task.loss=BINARY"),
        ({"class_weights": (1.0,)}, "task.class_weights"),
        ({"class_weights": (-1.0, 2.0)}, r"task.class_weights=\(-1.0, 2.0\): give numbers above 0"),
        ({"class_weights": (float("inf"), 2.0)}, "task.class_weights"),
        ({"hidden": (0,)}, r"task.hidden=\(0,\): give whole numbers from 1 up"),
        ({"dropout": 1.5}, "task.dropout=1.5: give a probability"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(fields, named):
    with pytest.raises(UserError, match=named):
        cl.Config(**fields).make()
