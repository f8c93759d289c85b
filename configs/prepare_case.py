"""CASE: 30 people say with a joystick how they feel while they watch eight clips; ECG, BVP, EDA and more at 1000 Hz.

From figshare, https://doi.org/10.6084/m9.figshare.c.4260668 (CASE_full.zip; the raw data are also on GitLab,
karan-shr/case_dataset).

    python -m launch.prepare --config=configs/prepare_case.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_case.py:wu2023 ...        # EDA, BVP and temperature, all at 4 Hz
    python -m launch.prepare --config=configs/prepare_case.py:sarkar2020 ...    # ECG alone, at 256 Hz

Cite Sharma et al., Scientific Data 2019, 6:196. Labels: "valence" and "arousal", 0.5 to 9.5, all along the clips, for
configs/wu2023_finetune.py:case_full and the like; and "video", which of the eight clips.

The interpolated release is read where it is there, else the other two (--config.dataset.release=RAW chooses). Raw files
have clips only beside metadata/seqs_order.txt and videos_duration.txt. Traps: raw is seconds and volts, the others are
ms and units; code that numbers the clips alphabetically is wrong; EMG is an envelope, for which no band is set here.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import case
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import published

VARIANTS = ("wu2023", "sarkar2020")

ABOUT = About(
    title="Continuously Annotated Signals of Emotion",
    people=30,
    hours=20.4,  # 30 times 2,451.583 s
    modalities=("ecg", "bvp", "eda", "resp", "temp", "emg"),
    labels=("video", "valence", "arousal"),
    licence="CC0 1.0 by one source, CC BY 4.0 by another: see the record",
    access="https://doi.org/10.6084/m9.figshare.c.4260668",
    cite="Sharma et al., Scientific Data 2019, 6:196",
    verified=Verified.LAYOUT,
    subjects=tuple(f"sub_{person:02d}" for person in range(1, 31)),
)


def get_config(variant: str = "") -> Preparation:
    if variant == "wu2023":
        return Preparation(case.Config(modalities=("eda", "bvp", "temp")), published.wu2023())
    if variant == "sarkar2020":
        return Preparation(case.Config(modalities=("ecg",)), published.sarkar2020())
    return Preparation(case.Config())
