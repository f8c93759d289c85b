"""Masked pre-training of the conv + Transformer encoder on unlabelled ECG (Vazquez-Rodriguez et al., ICPR 2022).

    python -m launch.train --config=configs/vazquez2022_pretrain.py --config.data.store=DIR --workdir=DIR
    python -m launch.train --config=configs/vazquez2022_pretrain.py:small ...    # strided, for two CPU cores

Windows of 10 s at 128 Hz, 1,281 tokens; spans of 20 samples zeroed, the hidden values predicted.
Paper: about 230 h of ECG (ASCERTAIN, DREAMER, PsPM, AMIGOS training folds), 500 epochs, unverified.
Every figure below is from memory of the paper ("unverified") or our choice ("ours"): see each comment.
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Mesh, Optim, Optimizer, Schedule, Split, Train
from ecgjax.models import conv_transformer
from ecgjax.models.base import Activation, NormOrder
from ecgjax.tasks import masked_reconstruction

VARIANTS = ("small",)
# Ours, for --config.mesh.fsdp or .tensor above 1: inputs of a layer over fsdp, heads and hidden units over tensor.
RULES = (
    ("attention/qkv/kernel$", ("fsdp", "", "tensor")),
    ("attention/out/kernel$", ("tensor", "", "fsdp")),
    ("mlp_in/kernel$", ("fsdp", "tensor")),
    ("mlp_out/kernel$", ("tensor", "fsdp")),
    ("conv/conv_[0-9]+/kernel$", ("", "", "fsdp")),
)


def get_config(variant: str = "") -> config.Experiment:
    experiment = Experiment(
        task=masked_reconstruction.Config(),
        model=conv_transformer.Config(),
        data=Data(
            window_s=10.0,  # unverified
            stride_s=10.0,  # unverified: not overlapping
            batch_size=128,  # ours
            split=Split(validation_fraction=0.05),  # ours: subjects that show whether it still learns
        ),
        optim=Optim(
            optimizer=Optimizer.ADAM,  # unverified
            learning_rate=1e-3,  # unverified
            schedule=Schedule.LINEAR,  # unverified
            warmup_epochs=30,  # unverified
            clip_norm=1.0,  # ours
        ),
        mesh=Mesh(rules=RULES),
        train=Train(num_epochs=500, eval_every_epochs=5, checkpoint_every_steps=1000),  # epochs unverified
    )
    if variant == "small":  # ours: a token stands for 32 samples (0.25 s); about 100 times the windows a second
        experiment.model.strides = (4, 4, 2)
        experiment.model.norm_order, experiment.model.activation = NormOrder.PRE, Activation.GELU
        experiment.model.dropout = 0.0  # with dropout and post-norm the small encoder stays at the mean
        experiment.data.batch_size = 64
        experiment.optim.warmup_epochs = 1
        experiment.train.num_epochs = 20
        experiment.train.eval_every_epochs = 1
    return experiment
