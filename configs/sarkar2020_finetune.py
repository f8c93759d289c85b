"""Emotion or stress from the features of the frozen conv net (Sarkar & Etemad, IEEE TAFFC 2020), the second stage.

    python -m launch.crossval --config=configs/sarkar2020_finetune.py:amigos --config.data.store=DIR --workdir=DIR \
        --config.data.label.name=arousal --config.init_from=PRETRAINING_WORKDIR

Variants: the authors' heads with two classes, those of the label as they stand (`swell`, `wesad`) or ratings above a
threshold or not (`dreamer`, `amigos`), and with as many as their code has (`swell3`, `wesad4`, `dreamer5`, `amigos9`);
with WESAD's head, `linear` (a linear probe), `full` (the encoder is trained too), `scratch` (the fully supervised
control), `random` (the features of a random encoder). The encoder's vectors are computed once and kept with it.
The headline is subject-disjoint; the authors' own split is --config.data.split.protocol=window, and optimistic.
Figures marked "code" are those of the released code.
"""

import copy

from ecgjax import config
from ecgjax.config import Data, Experiment, Label, LabelRule, Optim, Rounding, Schedule, Split, Train
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
RATED = {"dreamer": 3.0, "amigos": 5.0}  # thresholds; ours
CLASSES = {  # number of classes and their label; code
    "swell3": (3, Label("condition")),
    "wesad4": (4, Label("condition", classes=(1, 2, 3, 4))),  # baseline, stress, amusement, meditation
    "dreamer5": (5, Label("arousal")),
    "amigos9": (9, Label("arousal", rounding=Rounding.NEAREST)),  # fewer where a number was given by nobody
}
VARIANTS = (*HEADS, *CLASSES)


def label_of(variant: str) -> tuple[int, Label]:
    if variant in CLASSES:
        return copy.deepcopy(CLASSES[variant])
    if variant in RATED:
        return 2, Label("arousal", rule=LabelRule.THRESHOLD, threshold=RATED[variant])
    return 2, Label("condition")


def get_config(variant: str = "wesad") -> config.Experiment:
    hidden, dropout, l2 = HEADS[variant.rstrip("3459")]
    num_classes, label = label_of(variant)
    loss = classification.Loss.SOFTMAX if num_classes > 2 else classification.Loss.BINARY
    experiment = Experiment(
        task=classification.Config(num_classes, loss, hidden=hidden, dropout=dropout),
        model=conv.Config(),
        data=Data(
            window_s=10.0,  # code
            stride_s=10.0,  # code
            eval_stride_s=10.0,
            batch_size=128,  # code
            label=label,
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
