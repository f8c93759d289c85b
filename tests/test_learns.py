"""It learns what is there, and nothing where nothing is: on generated people whose true effect is known.

Measured on CPU with seeds 0, 1, 2 of people, split and weights. Calm against aroused over subjects, AUROC pooled over
two folds: 0.758, 0.775, 0.793; with shuffled labels: 0.504, 0.508, 0.503. Masked pre-training, share of the hidden
power explained in people it did not see: 0.236, 0.175, 0.322; 0.955 where nothing is hidden.

Each runs as `python -m tests.test_learns WHAT FOLDER` on one device: eight pretended ones take ten times as long.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from ecgjax.config import Label, Optim, Schedule, Split
from ecgjax.evaluation import metrics, protocols
from ecgjax.evaluation.protocols import MODEL
from ecgjax.models import conv, conv_transformer
from ecgjax.models.base import Activation, NormOrder
from ecgjax.tasks import classification, transform_recognition
from ecgjax.training import loop
from ecgjax.training.evaluate import evaluate
from tests import tiny

pytestmark = pytest.mark.slow


def small(store, learning_rate):
    """The small encoder of configs/demo_pretrain.py, narrower, for 16 epochs."""
    experiment = tiny.pretraining(store, num_epochs=16, eval_every_epochs=4, tensorboard=False)
    experiment.model = conv_transformer.Config(
        channels=(16, 32, 32), kernels=(33, 17, 9), strides=(4, 4, 2), width=32, num_layers=1, hidden=64,
        norm_order=NormOrder.PRE, activation=Activation.GELU, dropout=0.0,
    )  # fmt: skip
    experiment.optim = Optim(learning_rate=learning_rate, schedule=Schedule.COSINE, warmup_epochs=0.5, clip_norm=1.0)
    experiment.data.batch_size = 16
    experiment.data.split = Split(num_folds=2, validation_fraction=0.2)
    return experiment


def condition(folder, shuffle):
    """Pooled AUROC of a cross-validation over subjects."""
    store = tiny.make_store(folder / "store", num_subjects=40, trials=8)
    experiment = small(store, 1e-3)
    experiment.train.num_epochs, experiment.train.eval_every_epochs = 12, 3
    experiment.task = classification.Config(hidden=(16,))
    experiment.data.label, experiment.data.stride_s = Label(name="condition"), 5.0
    experiment.data.shuffle_labels = shuffle
    protocols.baseline_predictions = lambda *arguments: ({}, 0)  # half of the time, and this process ends here
    return metrics.pooled(protocols.cross_validate(experiment, folder / "run").predictions[MODEL])["auroc"]


def hidden(folder):
    """Share of the hidden power explained in the validation people."""
    experiment = small(tiny.make_store(folder / "store", num_subjects=16, trials=6), 2e-3)
    experiment.data.stride_s = 2.5
    this, state = loop.run(experiment, folder / "run")
    ids, batch_size = this.corpus.validation, experiment.data.eval_batch_size
    return evaluate(this.compiled, state, this.eval_gather, ids, batch_size)[0]["explained"]


def versions(folder):
    """Share of the seven versions of a window that are recognised in the validation people; a guess has a seventh."""
    experiment = small(tiny.make_store(folder / "store", num_subjects=16, trials=6), 1e-3)
    experiment.task = transform_recognition.Config(hidden=(32,), dropout=0.1)
    experiment.model = conv.Config(channels=(16, 16, 32))
    this, state = loop.run(experiment, folder / "run")
    ids, batch_size = this.corpus.validation, experiment.data.eval_batch_size
    return evaluate(this.compiled, state, this.eval_gather, ids, batch_size)[0]["recognised"]


@pytest.mark.parametrize(
    ("what", "low", "high"),
    [("true", 0.65, 1.0), ("shuffled", 0.35, 0.65), ("hidden", 0.05, 0.6), ("versions", 0.5, 0.99)],
)
def test_what_is_there_is_learnt_and_nothing_else(tmp_path, what, low, high):
    command = [sys.executable, "-m", "tests.test_learns", what, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert low <= float(done.stdout.splitlines()[-1]) <= high


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    done = {"hidden": hidden, "versions": versions}.get(what)
    print(done(folder) if done else condition(folder, shuffle=what == "shuffled"))
