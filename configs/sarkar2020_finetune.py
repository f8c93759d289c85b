"""Emotion or stress from the features of the frozen conv net (Sarkar & Etemad, IEEE TAFFC 2020), the second stage.

    python -m launch.crossval --config=configs/sarkar2020_finetune.py:amigos --config.data.store=DIR --workdir=DIR \
        --config.data.label.name=arousal --config.init_from=PRETRAINING_WORKDIR

Variants: the authors' head for `swell`, `wesad`, `dreamer`, `amigos`; `linear` (a linear probe); `full` (the encoder is
trained too); `scratch` (the fully supervised control); `random` (the features of a random encoder). The encoder's
vectors are computed once and kept with it. Classes: two as they stand, or parted by
--config.data.label.rule=threshold; more, as their multi-class runs, by --config.task.num_classes=4
--config.task.loss=softmax.
The headline is subject-disjoint; the authors' own split is --config.data.split.protocol=window, and optimistic.
Figures marked "code" are those of the released code.
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Label, Optim, Schedule, Split, Train
from ecgjax.models import conv
from ecgjax.tasks import classification

# Units, dropout and Keras's L2 (squares without the half) of each set's head; code
HEADS = {
    "swell": ((512, 512), 0.0, 0.0),
    "wesad": ((512, 512), 0.0, 0.0),
    "dreamer": ((512, 512, 512), 0.2, 1e-4),
    "amigos": ((512, 512, 512), 0.4, 0.0),
    "linear": ((), 0.0, 0.0),
    "full": ((512, 512), 0.0, 0.0),
    "scratch": ((512, 512), 0.0, 0.0),
    "random": ((512, 512), 0.0, 0.0),
}
VARIANTS = tuple(HEADS)


def get_config(variant: str = "wesad") -> config.Experiment:
    hidden, dropout, l2 = HEADS[variant]
    experiment = Experiment(
        task=classification.Config(hidden=hidden, dropout=dropout),
        model=conv.Config(),
        data=Data(
            window_s=10.0,  # code
            stride_s=10.0,  # code
            eval_stride_s=10.0,
            batch_size=128,  # code
            label=Label(name="condition"),
            split=Split(num_folds=10, validation_fraction=0.2, seed=1),  # folds and seed: code; inner validation ours
        ),
        optim=Optim(
            learning_rate=1e-3,  # code
            schedule=Schedule.CONSTANT,  # code
            weight_decay=2 * l2,  # the gradient of Keras's term
            multipliers=(("^encoder/", 0.0),),
        ),
        train=Train(num_epochs=200, eval_every_epochs=5, patience_epochs=50),  # epochs: code; patience ours
    )
    if variant in ("full", "scratch"):
        experiment.optim.multipliers = ()
        experiment.optim.learning_rate = 1e-4 if variant == "full" else 1e-3  # full: ours; scratch: as the heads
        experiment.train.num_epochs, experiment.train.patience_epochs = 20, 5  # ours
    return experiment
