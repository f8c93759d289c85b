"""K-EmoCon: wristband signals of 28 people in debates of two, rated every 5 s by themselves, the other, and outsiders.

From Zenodo, https://zenodo.org/records/3931963, on request with a form. Unpack metadata, e4_data and
emotion_annotations into one folder.

    python -m launch.prepare --config=configs/prepare_kemocon.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_kemocon.py:wu2023 ...    # EDA, BVP and temperature, all at 4 Hz

Cite Park et al., Scientific Data 2020, 7:293. Labels: "arousal", "valence" (1-5), "cheerful", "happy", "angry",
"nervous", "sad" (1-4), each also as "partner_..." and "external_..."; and "condition" (baseline, debate). For
configs/wu2023_finetune.py:kemocon_full and the like. Not read: what each of the five outside raters (R1 to R5) said by
themselves, and the marks that all could give (boredom, confusion, delight and more).

Traps. 32 people, four without an E4 (P2, P3, P6, P7); P17 and P20 have no EDA (--config.data.optional=eda keeps them).
There is no ECG, though papers name one: it is the rate of a Polar belt. Ratings keep to the middle: for the authors 3
is high, for wu2023_finetune.py what is above 3 on average.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import kemocon
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import published

VARIANTS = ("wu2023",)

_RATED = ("arousal", "valence", "cheerful", "happy", "angry", "nervous", "sad")

ABOUT = About(
    title="K-EmoCon",
    people=32,
    hours=5.3,  # 32 debates of ten minutes; sessions are longer
    modalities=("acc", "bvp", "eda", "temp"),
    labels=("condition", *(f"{rater}{name}" for rater in ("", "partner_", "external_") for name in _RATED)),
    licence="by agreement, see the record",
    access="https://zenodo.org/records/3931963, on request",
    cite="Park et al., Scientific Data 2020, 7:293",
    verified=Verified.LAYOUT,
    subjects=tuple(f"P{person:02d}" for person in range(1, 33) if person not in (2, 3, 6, 7)),
)


def get_config(variant: str = "") -> Preparation:
    if variant == "wu2023":
        return Preparation(kemocon.Config(modalities=("eda", "bvp", "temp")), published.wu2023())
    return Preparation(kemocon.Config())
