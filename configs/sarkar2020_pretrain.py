"""Recognising six distortions of ECG without labels (Sarkar & Etemad, IEEE TAFFC 2020), the first of two stages.

    python -m launch.prepare --config=configs/prepare_qtdb.py:sarkar2020 --config.dataset.root=RECORDINGS --store=DIR
    python -m launch.train --config=configs/sarkar2020_pretrain.py --config.data.store=DIR1,DIR2 --workdir=DIR

Windows of 10 s at 256 Hz, high-passed at 0.8 Hz (second-hand; order ours; the sample that was released with the code
had been band-passed at about 3-45 Hz, far more steeply above). Every step sees 128 of them, each as it is and in six
distortions: 896.
Figures marked "code" are those of the authors' released code. Its folds are by windows, so people are on both sides;
here whole subjects are kept aside. Leave the people out whom stage two tests: --config.data.split.fold=K for its fold K
(folds and seed are those of sarkar2020_finetune.py), or --config.data.split.exclude_subjects.

Single task (the original against one distortion): --config.task.distortions=noise, and so on. Difficulty:
    python -m launch.sweep --config=configs/sarkar2020_pretrain.py ... --sweep=task.snr_db=2,5,10,15,20,25,30
"""

from ecgjax import config
from ecgjax.config import Data, Experiment, Optim, Optimizer, Schedule, Split, Train
from ecgjax.models import conv
from ecgjax.tasks import transform_recognition

VARIANTS = ("short",)


def get_config(variant: str = "") -> config.Experiment:
    experiment = Experiment(
        task=transform_recognition.Config(),  # strengths, heads, dropout and weights: code
        model=conv.Config(),  # code
        data=Data(
            window_s=10.0,  # code
            stride_s=10.0,  # code
            batch_size=128,  # code: 896 versions
            eval_batch_size=16,  # ours: 112 versions
            split=Split(num_folds=10, validation_fraction=0.1, seed=1),  # folds and seed: code; validation: ours
        ),
        optim=Optim(
            optimizer=Optimizer.ADAM,  # code
            learning_rate=1e-3,  # code
            schedule=Schedule.STEP,  # code: times 0.9 every 10,000 steps
            decay_steps=10_000,
            decay_factor=0.9,
            weight_decay=1e-4,  # code: of half the squares of all kernels, in the loss
        ),
        train=Train(num_epochs=100, eval_every_epochs=5, checkpoint_every_steps=1000),  # epochs: code
    )
    if variant == "short":  # ours: for two CPU cores
        experiment.data.batch_size = 16
        experiment.train.num_epochs, experiment.train.eval_every_epochs = 1.0, 0.25
    return experiment
