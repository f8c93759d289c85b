"""Rest or mental arithmetic from ten seconds of ECG, cross-validated over the people of eegmat.

    python -m launch.crossval --config=configs/eegmat_crossval.py --config.data.store=stores/eegmat \
        --config.init_from=runs/qtdb_pretrain --workdir=runs/eegmat_pretrained
    python -m launch.crossval --config=configs/eegmat_crossval.py:scratch ... --workdir=runs/eegmat_scratch
    python -m launch.crossval --config=configs/eegmat_crossval.py:frozen --config.init_from=... --workdir=...

The encoder is that of vazquez2022_pretrain.py:small. Five folds of whole subjects; the epoch is chosen on other whole
subjects. Everything is ours: no paper has used this set so. Figures, with commands and commit, are in docs/results.md.
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Label, Optim, Sampling, Schedule, Split, Train
from ecgjax.models import conv_transformer
from ecgjax.models.base import Activation, NormOrder
from ecgjax.tasks import classification

VARIANTS = ("scratch", "frozen")


def get_config(variant: str = "") -> config.Experiment:
    experiment = Experiment(
        task=classification.Config(hidden=(256,), dropout=0.3),
        model=conv_transformer.Config(strides=(4, 4, 2), norm_order=NormOrder.PRE, activation=Activation.GELU),
        data=Data(
            stride_s=5.0,  # training windows overlap; evaluation windows do not
            eval_stride_s=10.0,
            batch_size=32,
            sampling=Sampling.BALANCED,
            label=Label(name="condition"),
            split=Split(num_folds=5, validation_fraction=0.2),
        ),
        optim=Optim(learning_rate=1e-4, schedule=Schedule.COSINE, warmup_epochs=1, clip_norm=1.0),
        train=Train(num_epochs=10, eval_every_epochs=1, patience_epochs=4),
    )
    if variant == "scratch":
        experiment.optim.learning_rate = 3e-4
    if variant == "frozen":
        experiment.optim.multipliers = (("^encoder/", 0.0),)
        experiment.optim.learning_rate = 1e-3
    return experiment
