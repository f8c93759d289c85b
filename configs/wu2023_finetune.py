"""Emotion or stress from EDA, BVP and TEMP with the encoder of wu2023_pretrain (Wu et al., IEEE TAFFC 2023).

    python -m launch.crossval --config=configs/wu2023_finetune.py:stress_frozen --config.data.store=DIR --workdir=DIR \
        --config.init_from="PRETRAININGS/fold={fold}"

Variants are DATASET_MODE. Data sets: `wesad` (baseline, stress, amusement; wrist signals), `wesad2` (stress or not),
`case` and `kemocon` (arousal, low or high; --config.data.label.name=valence), `case3` and `kemocon3` (low, middle,
high), `stress` (stress_predict). Modes: `frozen`, `full` (the encoder is trained too), `scratch` (the fully supervised
control), `random` (the features of a random encoder); the first two need --config.init_from, the others go without.
Leave one subject out, as theirs. They report, of each fold, the best epoch on the tested person: that figure is
--config.data.split.choose_epoch_on=tested, optimistic, and labelled so; here the epoch is chosen on other people.
Stores are prepared by the variant `wu2023` of configs/prepare_*.py. Beats are not to be seen at 4 Hz: for baselines
of the heart name a finer store of the same recordings, --config.data.baseline_store=DIR.
Figures marked "code" are those of the released code, whose frozen encoder trains heads with dropout; here it does not.
"""

import copy

from ecgjax import config
from ecgjax.config import Borders, Data, Experiment, Label, LabelRule, Optim, Optimizer, Protocol, Split, Train
from ecgjax.models import tcn_transformer
from ecgjax.tasks import classification

SOFTMAX = classification.Loss.SOFTMAX
CONTINUOUS = {"name": "arousal", "borders": Borders.MEAN, "rule": LabelRule.BINS}  # rated all along; mean: ours
# Number of classes and their label
SETS = {
    "wesad": (3, Label("condition", classes=(1, 2, 3))),  # code
    "wesad2": (2, Label("condition", classes=(1, 2, 3), positive=(2,))),  # code
    "case": (2, Label(**CONTINUOUS, thresholds=(5.0,))),  # of 0.5 to 9.5; threshold: ours
    "case3": (3, Label(**CONTINUOUS, thresholds=(3.5, 6.5))),  # ours
    "kemocon": (2, Label(**CONTINUOUS, thresholds=(3.0,))),  # of 1 to 5; threshold: ours
    "kemocon3": (3, Label(**CONTINUOUS, thresholds=(2.5, 3.5))),  # what rounds to 3 is in the middle: ours
    "stress": (2, Label("stress")),
}
TRAINING = {  # learning rate, batch size, epochs; code, but for stress, ours
    "wesad": (1e-4, 128, 20),
    "case": (1e-3, 64, 64),
    "kemocon": (1e-3, 64, 64),
    "stress": (1e-3, 64, 20),
}
MODES = ("frozen", "full", "scratch", "random")
VARIANTS = tuple(f"{name}_{mode}" for name in SETS for mode in MODES)


def get_config(variant: str = "stress_frozen") -> config.Experiment:
    name, _, mode = variant.partition("_")
    num_classes, label = copy.deepcopy(SETS[name])
    learning_rate, batch_size, num_epochs = TRAINING[name.rstrip("23")]
    return Experiment(
        task=classification.Config(num_classes, loss=SOFTMAX, hidden=(128,), dropout=0.2, batch_norm=True),  # code
        model=tcn_transformer.Config(),  # code
        data=Data(
            modalities=("eda", "bvp", "temp"),  # code
            window_s=60.0,  # deduced from the code
            stride_s=15.0,  # ours: windows 0.25 s apart are nearly the same
            eval_stride_s=15.0,  # ours
            batch_size=batch_size,
            label=label,
            split=Split(protocol=Protocol.LEAVE_ONE_SUBJECT_OUT, validation_fraction=0.2),  # validation: ours
        ),
        optim=Optim(
            optimizer=Optimizer.SGD,  # code, with momentum 0.9
            learning_rate=learning_rate,
            schedule=config.Schedule.CONSTANT,  # code
            weight_decay=5e-7,  # code; here not of biases and norms
            multipliers=(("^encoder/", 0.0),) if mode in ("frozen", "random") else (),
        ),
        train=Train(num_epochs=num_epochs, eval_every_epochs=1),
        init_from="" if mode in ("scratch", "random") else "PRETRAINING_NAMED_BY_--config.init_from",
    )
