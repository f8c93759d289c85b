"""A store from Empatica E4 sessions: EDA and skin temperature at 4 Hz, BVP at 64 Hz, acceleration at 32 Hz.

    python -m launch.prepare --config=configs/prepare_empatica.py --config.dataset.root=DIR --store=DIR

DIR is a folder of sessions, each a folder with EDA.csv and its like or a zip with the same, or one of them. A session
is a subject of its own, unless --config.dataset.subject gives a regex for its path: "^(S\\d+)/" for WESAD's wrist.
Fewer signals: --config.dataset.modalities="('eda','bvp')". The variant `wu2023` stores what Wu et al. 2023 learn from:
EDA, BVP and temperature, all at 4 Hz, z-scored over the recording.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import empatica
from ecgjax.signals import published

VARIANTS = ("wu2023",)


def get_config(variant: str = "") -> Preparation:
    if variant == "wu2023":
        return Preparation(empatica.Config(modalities=("eda", "bvp", "temp")), published.wu2023())
    return Preparation(empatica.Config())
