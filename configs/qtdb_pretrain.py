"""Masked pre-training of the small encoder on the QT Database: 52 lead-hours, mostly of cardiac patients.

    python -m launch.train --config=configs/qtdb_pretrain.py --config.data.store=stores/qtdb \
        --workdir=runs/qtdb_pretrain

The encoder is that of vazquez2022_pretrain.py:small: a token stands for 32 samples (0.25 s). Everything else is ours.
Figures, with command, time and commit, are in docs/results.md.
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Optim, Schedule, Split, Train
from ecgjax.models import conv_transformer
from ecgjax.models.base import Activation, NormOrder
from ecgjax.tasks import masked_reconstruction


def get_config() -> config.Experiment:
    return Experiment(
        task=masked_reconstruction.Config(),
        # Pre-norm, GELU and no dropout learn about three times as fast here; post-norm with dropout stays at the mean.
        model=conv_transformer.Config(
            strides=(4, 4, 2), norm_order=NormOrder.PRE, activation=Activation.GELU, dropout=0.0
        ),
        data=Data(batch_size=64, split=Split(validation_fraction=0.1)),
        optim=Optim(learning_rate=1e-3, schedule=Schedule.COSINE, warmup_epochs=0.2, clip_norm=1.0),
        train=Train(num_epochs=6, log_every_steps=20, checkpoint_every_steps=500),
    )
