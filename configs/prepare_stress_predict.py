"""Stress-Predict: an hour of Empatica E4 of 35 people, labelled calm or stressed (Stroop, interview, hyperventilation).

    git clone https://github.com/italha-d/Stress-Predict-Dataset DIR    # MIT
    python -m launch.prepare --config=configs/prepare_stress_predict.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_stress_predict.py:wu2023 ...

Cite Iqbal et al., Sensors 2022, 22(21):8135. Labels: "stress" (calm, stress) and "task" (rest, stroop, interview,
hyperventilation). `wu2023` stores what Wu et al. 2023 learn from: EDA, BVP and temperature, all at 4 Hz, z-scored over
the recording.

Of 27 of the people: 27 recordings, 24.8 h, in 10 s on two cores (28 MB; `wu2023` 4 MB). Of EDA, 0.6 % is dropped: 9
minutes below 0.05 uS, and the zero that every file begins with. Of BVP nothing is, however much the hand moved. Of 162
borders of tasks, 152 are within half a second of a tag; the six without one (4 of S06, 2 of S17) are counted.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import base_empatica, stress_predict
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import published

ABOUT = About(
    title="Stress-Predict",
    people=35,
    hours=32,  # of the 27 people at hand 24.8; the rest at the same length
    modalities=base_empatica.MODALITIES,
    labels=("stress", "task"),
    licence="MIT",
    access="https://github.com/italha-d/Stress-Predict-Dataset",
    cite="Iqbal et al., Sensors 22(21):8135, 2022",
    verified=Verified.FILES,
    subjects=tuple(f"S{number:02d}" for number in range(1, 36)),
)

VARIANTS = ("wu2023",)


def get_config(variant: str = "") -> Preparation:
    if variant == "wu2023":
        return Preparation(stress_predict.Config(modalities=("eda", "bvp", "temp")), published.wu2023())
    return Preparation(stress_predict.Config())
