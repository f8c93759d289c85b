"""DEAP: 32 people who watched 40 music videos and rated them; EMG, GSR, respiration, pulse and temperature.

    python -m launch.prepare --config=configs/prepare_deap.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_deap.py:wu2023 ...

Where to ask: eecs.qmul.ac.uk/mmv/datasets/deap, with its EULA signed, for academic use. DIR holds s01.dat to s32.dat
(data_preprocessed_python) or s01.mat to s32.mat (data_preprocessed_matlab). Cite Koelstra et al., IEEE TAC 3(1):18-31,
2012. `wu2023` stores what Wu et al. 2023 learn from, here GSR, pulse and temperature, all at 4 Hz and z-scored.

Labels: "valence", "arousal", "dominance", "liking", 1 to 9, by the person after each video; of no other signal than
these. A threshold is the config's of training (data.label): papers take 5, or 4.5.

Traps: no ECG. GSR is a resistance, in Ohm, while other sets have conductances: it goes down where they go up, so do not
pre-train on both as they are. The first 3 s of a trial are before the video and have no labels. EEG and EOG are not
read. The pickles are not unpickled: nothing in them can run. Written from general knowledge and public loaders: nobody
tried it on the data.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import deap
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="DEAP, a database for emotion analysis using physiological signals",
    people=32,
    hours=22.4,  # 1280 trials of 63 s
    modalities=("emg", "eda", "resp", "bvp", "temp"),
    labels=tuple(deap.Config().make().label_specs),
    licence="academic use, EULA",
    access="eecs.qmul.ac.uk/mmv/datasets/deap",
    cite="Koelstra et al., IEEE TAC 3(1):18-31, 2012",
    verified=Verified.LAYOUT,
    subjects=tuple(f"s{number:02d}" for number in range(1, 33)),
)
VARIANTS = ("wu2023",)


def get_config(variant: str = "") -> Preparation:
    if variant == "wu2023":
        return Preparation(deap.Config(modalities=("eda", "bvp", "temp")), published.wu2023())
    return Preparation(deap.Config(), preprocess.Config())
