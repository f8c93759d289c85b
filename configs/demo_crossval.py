"""Second half of `make demo`: calm or aroused, cross-validated over generated people, about two minutes on two cores.

    python -m launch.crossval --config=configs/demo_crossval.py --config.data.store=runs/demo/labelled \
        --config.init_from=runs/demo/pretrain --workdir=DIR

The people of the labelled store are not those of the pre-training corpus.
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Label, Optim, Schedule, Split, Train
from ecgjax.models import conv_transformer
from ecgjax.models.base import Activation, NormOrder
from ecgjax.tasks import classification


def get_config() -> config.Experiment:
    return Experiment(
        task=classification.Config(hidden=(256,)),
        model=conv_transformer.Config(strides=(4, 4, 2), norm_order=NormOrder.PRE, activation=Activation.GELU),
        data=Data(
            batch_size=32,
            label=Label(name="condition"),
            split=Split(num_folds=3, validation_fraction=0.2),
        ),
        optim=Optim(learning_rate=2e-4, schedule=Schedule.COSINE, warmup_epochs=0.5, clip_norm=1.0),
        train=Train(num_epochs=4, log_every_steps=5, eval_every_epochs=1, checkpoint_every_steps=100),
    )
