"""Emotion or stress from the features of the frozen conv net (Sarkar & Etemad, IEEE TAFFC 2020), the second stage.

    python -m launch.crossval --config=configs/sarkar2020_finetune.py:amigos_frozen --config.data.store=DIR \
        --workdir=DIR --config.init_from=PRETRAINING_WORKDIR

Variants are SET_MODE. Sets give the authors' head and a label: `wesad`, `swell` (stress or not), `dreamer`, `amigos`
(arousal above a threshold or not), with as many classes as their code has `wesad4`, `swell3`, `swell9`, `dreamer5`,
`amigos9`, and `binary`, any two classes under WESAD's head. Modes: `frozen` (the encoder's vectors are computed once
and kept with it), `linear` (a linear probe of them), `full` (the encoder is trained too), and without
--config.init_from the controls `scratch` (fully supervised) and `random` (the features of a random encoder).
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
    "binary": ((512, 512), 0.0, 0.0),
    "wesad": ((512, 512), 0.0, 0.0),
    "swell": ((512, 512), 0.0, 0.0),
    "dreamer": ((512, 512, 512), 0.2, 1e-4),
    "amigos": ((512, 512, 512), 0.4, 0.0),
}
# Number of classes and their label; code where there are more than two
SETS = {
    "binary": (2, Label("condition")),
    "wesad": (2, Label("condition", classes=(1, 2, 3), positive=(2,))),  # baseline and amusement, stress; ours
    "wesad4": (4, Label("condition", classes=(1, 2, 3, 4))),  # baseline, stress, amusement, meditation
    "swell": (2, Label("condition", classes=(0, 1, 2), positive=(1, 2))),  # neutral, interrupted or in haste; ours
    "swell3": (3, Label("condition", classes=(0, 1, 2))),
    "swell9": (9, Label("arousal", rounding=Rounding.DOWN)),  # fewer where a number was given by nobody
    "dreamer": (2, Label("arousal", rule=LabelRule.THRESHOLD, threshold=3.0)),  # ours
    "dreamer5": (5, Label("arousal")),
    "amigos": (2, Label("arousal", rule=LabelRule.THRESHOLD, threshold=5.0)),  # ours
    "amigos9": (9, Label("arousal", rounding=Rounding.NEAREST)),
}
MODES = ("frozen", "linear", "full", "scratch", "random")
VARIANTS = tuple(f"{name}_{mode}" for name in SETS for mode in MODES)


def get_config(variant: str = "binary_frozen") -> config.Experiment:
    name, _, mode = variant.partition("_")
    num_classes, label = copy.deepcopy(SETS[name])
    hidden, dropout, l2 = HEADS[name.rstrip("3459")] if mode != "linear" else ((), 0.0, 0.0)
    trains_encoder = mode in ("full", "scratch")
    return Experiment(
        task=classification.Config(
            num_classes,
            loss=classification.Loss.SOFTMAX if num_classes > 2 else classification.Loss.BINARY,
            hidden=hidden,
            dropout=dropout,
        ),
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
            learning_rate=1e-4 if mode == "full" else 1e-3,  # code; full: ours
            schedule=Schedule.CONSTANT,  # code
            weight_decay=2 * l2,  # the gradient of Keras's term
            multipliers=() if trains_encoder else (("^encoder/", 0.0),),
        ),
        train=Train(
            num_epochs=100 if trains_encoder else 200,  # code; of the whole network ours
            eval_every_epochs=5,
            patience_epochs=25 if trains_encoder else 50,  # ours
        ),
        init_from="" if mode in ("scratch", "random") else "PRETRAINING_NAMED_BY_--config.init_from",
    )
