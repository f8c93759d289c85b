"""First half of `make demo`: masked pre-training on generated ECG without labels, about a minute on two CPU cores.

    python -m launch.train --config=configs/demo_pretrain.py --config.data.store=runs/demo/corpus --workdir=DIR

The small encoder of vazquez2022_pretrain.py; everything is ours and chosen for speed.
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
        data=Data(batch_size=32, split=Split(validation_fraction=0.1)),
        optim=Optim(learning_rate=1e-3, schedule=Schedule.COSINE, warmup_epochs=0.2, clip_norm=1.0),
        train=Train(num_epochs=4, log_every_steps=5, eval_every_epochs=1, checkpoint_every_steps=100),
    )
