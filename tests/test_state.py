"""The pure step: what it depends on, what it must not, and running statistics on their way through a run."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from flax import linen as nn

from ecgjax.errors import Preempted
from ecgjax.models.base import Encoded
from ecgjax.training import loop, optim, state
from ecgjax.training.preemption import Preemption
from ecgjax.training.program import compile_program
from tests import tiny

RATE = np.float32(1e-2)
FREEZE = (("^encoder/", 0.0),)
# One step of `tiny.pretraining` on `make_batch()`.
GOLDEN = {"loss": 2.4417, "explained": -0.301026, "masked_fraction": 0.455078, "grad_norm": 2.39503, "finite": 1}
GOLDEN_MOVED = 115.702  # sum of the absolute changes of all parameters


@dataclasses.dataclass
class NormConfig:
    """An encoder with running statistics."""

    width: int = 8

    def make(self):
        return NormEncoder(self.width)


class NormEncoder(nn.Module):
    width: int

    @nn.compact
    def __call__(self, signals, train):
        x_BLD = nn.Conv(self.width, (9,), 8, name="conv")(signals["ecg"])
        x_BLD = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x_BLD)
        return Encoded(nn.relu(x_BLD), nn.relu(x_BLD).mean(1))


def make_batch(rows=8, samples=256, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "signals": {"ecg": rng.normal(1.0, 1.0, (rows, samples, 1)).astype(np.float32)},
        "label": np.arange(rows, dtype=np.int32) % 2,
        "window": np.arange(rows, dtype=np.int32),
        "weight": np.ones(rows, np.float32),
    }


def experiment(task="pretraining", model=None, multipliers=()):
    made = getattr(tiny, task)("")
    made.model, made.optim.multipliers = model or made.model, multipliers
    return made


def compiled_and_state(**kwargs):
    compiled = compile_program(experiment(**kwargs), make_batch())
    return compiled, compiled.init(jax.random.key(0))


def copy(tree):
    """The step consumes the state it is given."""
    return jax.tree.map(lambda x: x.copy(), tree)


def host(tree):
    is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: np.asarray(jax.random.key_data(x) if is_key(x) else x), tree)


def means(metrics):
    return {name: float(total) / float(count) for name, (total, count) in metrics.items()}


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, host(a), host(b))


def differ(a, b):
    return any(not np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, map(host, (a, b))), strict=True))


def test_the_same_step_gives_the_same_bits():
    compiled, now = compiled_and_state()
    runs = [compiled.train_step(copy(now), make_batch(), RATE) for _ in range(2)]
    assert_same_bits(*runs)
    after, _ = runs[0]
    assert int(after.step) == 1
    assert_same_bits(after.key, now.key)
    assert differ(after.params, now.params)


def test_golden_numbers_of_one_step():
    compiled, now = compiled_and_state()
    before = host(now.params)
    after, metrics = compiled.train_step(now, make_batch(), RATE)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).sum(dtype=np.float64), host(after.params), before)
    why = (
        "One training step computes something else than it did. Right only if initial weights, random draws, the loss "
        "or the optimizer were meant to change: then put the new numbers here and say in the commit that runs made "
        "before cannot be repeated. Never to make a refactoring, or a new version of JAX, pass."
    )
    found = means(metrics) | {"moved": sum(jax.tree.leaves(moved))}
    wanted = GOLDEN | {"moved": GOLDEN_MOVED}
    assert found == pytest.approx(wanted, rel=1e-4), why


@pytest.mark.parametrize("where", ["nothing", "a weight", "a statistic", "a moment"])
def test_a_step_says_whether_its_state_is_finite(where):
    compiled, now = compiled_and_state(model=NormConfig())
    batch, rate = make_batch(), RATE
    if where == "a weight":
        rate = np.float32(np.inf)  # the loss, of the weights before, is finite
    if where == "a statistic":
        now.model_state["encoder"]["batch_stats"]["norm"]["var"] = jax.numpy.full(8, np.inf)
    if where == "a moment":
        now = now.replace(opt_state=jax.tree.map(lambda x: x * np.inf if x.ndim == 3 else x, now.opt_state))
    _, metrics = compiled.train_step(now, batch, rate)
    found = means(metrics)
    assert np.isfinite(found["loss"]) and found["finite"] == (where == "nothing")


def test_steps_go_downhill():
    compiled, now = compiled_and_state()
    losses = [means(compiled.eval_step(now, make_batch(), np.int32(0))[0])["loss"]]
    for _ in range(3):
        now, _ = compiled.train_step(now, make_batch(), RATE)
        losses.append(means(compiled.eval_step(now, make_batch(), np.int32(0))[0])["loss"])
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]


def drawing_in(place):
    """An experiment in which nothing else draws."""
    made = experiment("pretraining" if place == "view" else "finetuning", multipliers=FREEZE if place == "head" else ())
    if place == "view":
        made.model.dropout = 0.0
    if place == "encoder":
        made.task.hidden = ()
    return made


@pytest.mark.parametrize("part", ["step", "key"])
@pytest.mark.parametrize("place", ["view", "encoder", "head"])
def test_draws_of_training_follow_the_step_and_the_run(place, part):
    compiled = compile_program(drawing_in(place), make_batch())
    now = compiled.init(jax.random.key(0))
    other = now.step + 1 if part == "step" else compiled.init(jax.random.key(1)).key
    losses = [
        means(compiled.train_step(s, make_batch(), RATE)[1])["loss"]
        for s in (copy(now), copy(now.replace(**{part: other})))
    ]
    assert losses[0] != losses[1]


def test_draws_of_evaluation_follow_the_batch_and_not_the_step():
    compiled, now = compiled_and_state()
    here = compiled.eval_step(now, make_batch(), np.int32(0))
    assert_same_bits(here, compiled.eval_step(now.replace(step=now.step + 7), make_batch(), np.int32(0)))
    assert not np.array_equal(here[1]["mask"], compiled.eval_step(now, make_batch(), np.int32(1))[1]["mask"])


def test_nothing_is_dropped_out_in_evaluation():
    """The classifier draws nothing else, so every batch number gives the same."""
    compiled, now = compiled_and_state(task="finetuning")
    assert_same_bits(*(compiled.eval_step(now, make_batch(), np.int32(number)) for number in range(2)))


@pytest.mark.parametrize("task", ["pretraining", "finetuning"])
def test_rows_of_weight_zero_do_not_count(task):
    compiled, now = compiled_and_state(task=task)
    batch, other = make_batch(), make_batch()
    batch["weight"][5:] = other["weight"][5:] = 0
    other["signals"]["ecg"][5:] *= -30
    other["label"][5:] = 1 - other["label"][5:]
    metrics, _ = compiled.eval_step(now, batch, np.int32(0))
    assert_same_bits(metrics, compiled.eval_step(now, other, np.int32(0))[0])
    assert_same_bits(*(compiled.train_step(copy(now), each, RATE) for each in (batch, other)))
    other["weight"][:] = 1
    assert differ(metrics, compiled.eval_step(now, other, np.int32(0))[0])


def flops_of_a_step(multipliers):
    made = experiment("finetuning", multipliers=multipliers)
    compiled = compile_program(made, make_batch())
    optimizer = optim.make_optimizer(made.optim, compiled.abstract.params)
    step = functools.partial(state.train_step, compiled.program, optimizer)
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), compiled.abstract)
    return jax.jit(step).lower(abstract, make_batch(), RATE).compile().cost_analysis()["flops"]


def test_gradient_of_a_frozen_encoder_is_not_computed():
    assert flops_of_a_step(FREEZE) < 0.5 * flops_of_a_step(())


def test_a_frozen_encoder_runs_as_in_evaluation_and_the_head_does_not():
    compiled, now = compiled_and_state(task="finetuning", multipliers=FREEZE)
    signals = jax.tree.map(jax.numpy.asarray, make_batch()["signals"])

    def run(program, train):
        forward = jax.jit(functools.partial(state.forward, program, train=train))
        return forward(now.params, now.model_state, signals, jax.random.key(3))

    evaluated, frozen = (run(compiled.program, train) for train in (False, True))
    trained = run(dataclasses.replace(compiled.program, encoder_trains=True), train=True)
    assert not differ(frozen[0], evaluated[0]) and differ(trained[0], evaluated[0])
    assert differ(frozen[1], evaluated[1])


def test_running_statistics_follow_training_batches_alone():
    compiled, now = compiled_and_state(model=NormConfig())
    before = host(now.model_state)["encoder"]["batch_stats"]["norm"]
    np.testing.assert_array_equal(before["mean"], np.zeros(8))
    evaluated = compiled.eval_step(now, make_batch(), np.int32(0))
    assert_same_bits(evaluated, compiled.eval_step(now, make_batch(), np.int32(0)))
    view_key, _ = jax.random.split(jax.random.fold_in(now.key, now.step))
    signals, _ = compiled.program.task.view(view_key, jax.tree.map(jax.numpy.asarray, make_batch()))
    conv = nn.Conv(8, (9,), 8).apply({"params": now.params["encoder"]["conv"]}, signals["ecg"])
    after, _ = compiled.train_step(copy(now), make_batch(), RATE)
    norm = after.model_state["encoder"]["batch_stats"]["norm"]
    np.testing.assert_allclose(norm["mean"], 0.1 * np.asarray(conv).mean((0, 1)), rtol=1e-3, atol=1e-5)
    moved = now.replace(model_state=after.model_state)
    assert differ(evaluated, compiled.eval_step(moved, make_batch(), np.int32(0)))


def test_running_statistics_of_a_frozen_encoder_stand_still():
    compiled, now = compiled_and_state(task="finetuning", model=NormConfig(), multipliers=FREEZE)
    before = host(now.model_state)
    after, _ = compiled.train_step(now, make_batch(), RATE)
    assert_same_bits(after.model_state, before)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("state") / "store")


def test_running_statistics_are_saved_resumed_and_started_from(store, tmp_path, monkeypatch):
    made = tiny.pretraining(store, num_epochs=1)
    made.model = NormConfig()
    _, whole = loop.run(made, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(Preemption, "stop_at", lambda self, step: step == 3)
        loop.run(made, tmp_path / "stopped")
    _, resumed = loop.run(made, tmp_path / "stopped")
    assert_same_bits(resumed, whole)
    assert np.abs(whole.model_state["encoder"]["batch_stats"]["norm"]["mean"]).max() > 0
    tuned = tiny.finetuning(store, num_epochs=0.2)
    tuned.model, tuned.init_from, tuned.optim.multipliers = NormConfig(), str(tmp_path / "whole"), FREEZE
    _, started = loop.run(tuned, tmp_path / "tuned")
    assert_same_bits(started.model_state["encoder"], whole.model_state["encoder"])
