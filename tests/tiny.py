"""An experiment that trains in seconds: a generated store of six people, and an encoder of a few thousand weights."""

from pathlib import Path

from ecgjax.config import Data, Experiment, Label, Optim, Schedule, Split, Train
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.datasets import synthetic
from ecgjax.models import conv_transformer
from ecgjax.tasks import classification, masked_reconstruction

MODEL = {"channels": (8, 16), "kernels": (9, 5), "strides": (8, 8), "width": 16, "num_layers": 1, "hidden": 32}
# The same as flags, for the launch scripts.
FLAGS = tuple(f"--config.model.{name}={value}".replace(" ", "") for name, value in MODEL.items())


def make_store(folder: Path, seed: int = 0, num_subjects: int = 6, trials: int = 4, trial_s: float = 30.0) -> Path:
    people = synthetic.Config(num_subjects=num_subjects, trials_per_subject=trials, trial_s=trial_s, seed=seed)
    prepare(Preparation(dataset=people, workers=1), folder)
    return folder


def model() -> conv_transformer.Config:
    return conv_transformer.Config(**MODEL)


def pretraining(store: Path, **train: float) -> Experiment:
    return Experiment(
        task=masked_reconstruction.Config(),
        model=model(),
        data=Data(store=str(store), batch_size=8, eval_batch_size=16, split=Split(validation_fraction=0.3)),
        optim=Optim(learning_rate=1e-3, schedule=Schedule.COSINE, clip_norm=1.0),
        train=Train(**({"num_epochs": 2, "log_every_steps": 3, "checkpoint_every_steps": 4} | train)),
    )


def finetuning(store: Path, **train: float) -> Experiment:
    experiment = pretraining(store, **train)
    experiment.task = classification.Config(hidden=(16,))
    experiment.data.label = Label(name="condition")
    experiment.data.split = Split(num_folds=3, validation_fraction=0.3)
    return experiment
