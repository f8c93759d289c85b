"""Recognising five distortions of EDA, BVP and TEMP without labels (Wu et al., IEEE TAFFC 2023): the first stage.

    python -m launch.prepare --config=configs/prepare_empatica.py:wu2023 --config.dataset.root=RECORDINGS --store=DIR
    python -m launch.train --config=configs/wu2023_pretrain.py --config.data.store=DIR1,DIR2 --workdir=DIR

Windows of 60 s, all three signals at 4 Hz and z-scored over the recording. Every step sees 32 of them, each as it is
and in five distortions: 192. The distortion is the same in the three signals of a window, its draws are not.
Figures marked "code" are those of the authors' released code and weights. Their corpus, PRESAGE (about 47 h of an
Empatica E4), cannot be had: take any recordings of that wristband. Nobody was kept aside; here whole subjects are.
Leave the people out whom stage two tests: --config.data.split.fold=K for its fold K, with the same data.split.protocol
(there: one subject left out), num_folds and seed, or --config.data.split.exclude_subjects.

`short` is for two CPU cores. A failing sensor is prepared for by --config.model.modality_dropout=0.2, and recordings
that lack a signal take part with --config.data.optional=eda,bvp,temp.
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Optim, Optimizer, Schedule, Split, Train
from ecgjax.models import tcn_transformer
from ecgjax.tasks import modality_recognition

VARIANTS = ("short",)


def get_config(variant: str = "") -> config.Experiment:
    experiment = Experiment(
        task=modality_recognition.Config(),  # strengths, heads and dropout: code
        model=tcn_transformer.Config(),  # code
        data=Data(
            modalities=("eda", "bvp", "temp"),  # code
            window_s=60.0,  # deduced from the code
            stride_s=0.25,  # deduced from the names of the authors' files: 99.5 % overlap
            eval_stride_s=30.0,  # ours
            batch_size=32,  # code: 192 versions
            eval_batch_size=16,  # ours: 96 versions
            split=Split(num_folds=5, validation_fraction=0.1),  # ours: theirs kept nobody aside
        ),
        optim=Optim(
            optimizer=Optimizer.SGD,  # code, with momentum 0.9
            learning_rate=5e-3,  # code
            schedule=Schedule.CONSTANT,  # code
            weight_decay=5e-7,  # code; here not of biases and norms
        ),
        train=Train(num_epochs=15, eval_every_epochs=1, checkpoint_every_steps=1000),  # epochs: code
    )
    if variant == "short":  # ours: for two CPU cores
        experiment.data.stride_s, experiment.data.batch_size = 15.0, 8
        experiment.optim.optimizer, experiment.optim.learning_rate = Optimizer.ADAM, 1e-3
        experiment.train.num_epochs, experiment.train.eval_every_epochs = 2.0, 0.5
    return experiment
