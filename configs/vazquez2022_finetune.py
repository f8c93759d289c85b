"""Fine-tuning of the pre-trained encoder for a binary label (Vazquez-Rodriguez et al., ICPR 2022).

    python -m launch.crossval --config=configs/vazquez2022_finetune.py --config.data.store=DIR --workdir=DIR \
        --config.data.label.name=arousal --config.init_from=PRETRAINING_WORKDIR

Variants: `small` (the strided encoder of vazquez2022_pretrain.py:small), `small_frozen` and `frozen` (the encoder is
not trained), `small_scratch` and `scratch` (the control: the same schedule for a random encoder, at the learning rate
of pre-training). Whole subjects are held out; the epoch is chosen on other whole subjects. For the paper's ten folds:
`--config.data.split.num_folds=10`; whether they kept subjects apart is not confirmed.
Paper, AMIGOS: accuracy 0.88 arousal (second-hand), 0.83 valence (unverified).
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Label, LabelRule, Optim, Optimizer, Schedule, Split, Train
from ecgjax.models import conv_transformer
from ecgjax.models.base import Activation, NormOrder
from ecgjax.tasks import classification

VARIANTS = ("frozen", "scratch", "small", "small_frozen", "small_scratch")


def get_config(variant: str = "") -> config.Experiment:
    experiment = Experiment(
        task=classification.Config(hidden=(1024, 512), dropout=0.3),  # unverified
        model=conv_transformer.Config(),
        data=Data(
            window_s=10.0,  # unverified
            stride_s=10.0,  # unverified
            batch_size=64,  # ours
            label=Label(rule=LabelRule.MEAN),  # unverified: low and high about the mean rating
            split=Split(num_folds=10, validation_fraction=0.2),  # ten folds unverified; inner validation ours
        ),
        optim=Optim(
            optimizer=Optimizer.ADAM,  # unverified
            learning_rate=1e-4,  # unverified
            schedule=Schedule.STEP,  # unverified: times 0.65 every 45 epochs
            decay_epochs=45,
            decay_factor=0.65,
        ),
        train=Train(num_epochs=100, patience_epochs=20),  # epochs unverified, patience ours
    )
    if "small" in variant:
        experiment.model.strides = (4, 4, 2)
        experiment.model.norm_order, experiment.model.activation = NormOrder.PRE, Activation.GELU
    if "frozen" in variant:
        experiment.optim.multipliers = (("^encoder/", 0.0),)
    if "scratch" in variant:
        experiment.optim.learning_rate = 1e-3  # ours: that of pre-training
    return experiment
