"""Evaluation against a plain loop over single windows."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import linen as nn

from ecgjax.config import Data, Label
from ecgjax.data import pipeline
from ecgjax.data.labels import classify
from ecgjax.data.windows import find_windows
from ecgjax.training import evaluate as evaluation
from ecgjax.training.program import compile_program
from tests import tiny
from tests.stores import alternating_labels, memory_store

SUBJECTS, SECONDS, MARGIN = 5, 60, 3


@dataclasses.dataclass(frozen=True)
class Roll:
    """A task that only notes which windows it was shown, and how often each."""

    windows: int = 0
    monitor = "seen_0"
    monitor_mode = "max"
    num_classes = 0

    def make(self):
        return self

    def head(self):
        return Nothing()

    def view(self, key, batch):
        return batch["signals"], batch["window"]

    def loss(self, outputs, targets, weight_B):
        times = {f"seen_{i}": ((weight_B * (targets == i)).sum(), weight_B.sum()) for i in range(self.windows)}
        return outputs.sum(), times | {"mean_window": ((weight_B * targets).sum(), weight_B.sum())}

    def predict(self, outputs, targets):
        return {"window": targets, "square": targets**2}


class Nothing(nn.Module):
    @nn.compact
    def __call__(self, encoded, signals, train):
        return nn.Dense(1, name="out")(encoded.pooled_BD)


@pytest.fixture(scope="module")
def gather():
    moods = alternating_labels(SUBJECTS, SECONDS)
    store = memory_store(subjects=SUBJECTS, labels={"mood": moods}, effect=1.0)
    data = Data(label=Label(name="mood"))
    windows = classify(find_windows([store], data, 10.0), data.label)
    assert len(windows) == SUBJECTS * SECONDS // 10
    return pipeline.make_gather([store], windows, data)


def ready(gather, experiment):
    compiled = compile_program(experiment, gather(np.arange(8)) | {"weight": np.ones(8, np.float32)})
    return compiled, compiled.init(jax.random.key(0))


@pytest.fixture(scope="module")
def classifier(gather):
    experiment = tiny.finetuning("")
    compiled, now = ready(gather, experiment)
    # Weights of a fresh head say the same of every window; these do not.
    rng = np.random.default_rng(0)
    loud = jax.tree.map(lambda x: x + 0.5 * rng.standard_normal(x.shape).astype(np.float32), now.params["head"])
    return compiled, now.replace(params=now.params | {"head": loud})


def one_by_one(compiled, now, gather, ids):
    """(logit, label) of every window, computed alone."""
    program = compiled.program
    here = jax.device_get((now.params, now.model_state))

    @jax.jit
    def logits(signals):
        encoded = program.encoder.apply({"params": here[0]["encoder"]}, signals, train=False)
        return program.head.apply({"params": here[0]["head"]}, encoded, signals, train=False)[0, 0]

    batches = [gather(np.array([i])) for i in ids]
    return np.array([logits(b["signals"]) for b in batches], np.float64), np.concatenate([b["label"] for b in batches])


@pytest.mark.parametrize("batch_size", [8, 16, 32])
def test_scores_are_those_of_a_plain_loop_whatever_the_batch_size(gather, classifier, batch_size):
    ids = np.random.default_rng(1).permutation(30)[:21]
    logit_N, label_N = one_by_one(*classifier, gather, ids)
    probability_N = 1 / (1 + np.exp(-logit_N))
    loss = -np.log(np.where(label_N == 1, probability_N, 1 - probability_N)).mean()
    accuracy = ((probability_N > 0.5) == label_N).mean()
    assert 0 < accuracy < 1 and np.ptp(probability_N) > 0.01
    scores, kept = evaluation.evaluate(*classifier, gather, ids, batch_size, keep=len(ids))
    assert scores == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-5)
    expected_N2 = np.stack([1 - probability_N, probability_N], 1)
    np.testing.assert_allclose(kept["probability"], expected_N2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [3, 8, 19])
def test_every_window_is_seen_once_and_no_other(gather, count):
    experiment = tiny.pretraining("")
    experiment.task = Roll(windows=30)
    ids = np.random.default_rng(2).permutation(30)[:count]
    scores, kept = evaluation.evaluate(*ready(gather, experiment), gather, ids, 8, keep=count + MARGIN)
    seen = np.array([scores[f"seen_{i}"] for i in range(30)]) * count
    np.testing.assert_allclose(seen, np.isin(np.arange(30), ids), atol=1e-6)
    assert scores["mean_window"] == pytest.approx(ids.mean())
    np.testing.assert_array_equal(kept["window"], ids)


@pytest.mark.parametrize("keep", [0, 1, 8, 9, 19])
def test_the_first_are_kept_in_order(gather, keep):
    experiment = tiny.pretraining("")
    experiment.task = Roll(windows=30)
    ids = np.arange(19)[::-1] + 2
    _, kept = evaluation.evaluate(*ready(gather, experiment), gather, ids, 8, keep=keep)
    assert set(kept) == ({"window", "square"} if keep else set())
    for name, values in kept.items():
        np.testing.assert_array_equal(values, ids[:keep] ** (2 if name == "square" else 1))


def test_no_window_gives_no_score(gather, classifier):
    assert evaluation.evaluate(*classifier, gather, np.arange(0), 8, keep=4) == ({}, {})
