"""AMIGOS: ECG and GSR of 40 people who watched 16 short videos, and of 37 who watched 4 long ones; rated by themselves
and by others.

    python -m launch.prepare --config=configs/prepare_amigos.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_amigos.py:sarkar2020 --config.dataset.root=DIR --store=DIR

Where to ask: eecs.qmul.ac.uk/mmv/datasets/amigos, a form to be signed, for academic use. Cite Miranda-Correa, Abadi,
Sebe, Patras, IEEE TAFFC 12(2):479-493, 2021.

As it stands, the preprocessed release at 128 Hz (`data_preprocessed`): the left arm by most accounts, which
Vazquez-Rodriguez et al. 2022 use; the other arm by --config.dataset.ecg_columns="(14,)", one kind of videos by
--config.dataset.clips=SHORT. Variants: `original` reads the other release (`data_original`, 256 Hz), `sarkar2020`
prepares that as Sarkar & Etemad's first stage wants it.

Labels: "arousal", "valence", "dominance", "liking", "familiarity" from 1 to 9 and seven emotions (no, yes), by the
person; "external_arousal" and "external_valence" from -1 to 1, every 20 s, by others (preprocessed release only).

Traps: a rating of exactly 5 changes its class between code bases (--config.data.label.ties). What the cells of the
original release hold is not agreed on: see --config.dataset.order, and ratings need its `SelfAsessment.xlsx`. Trials
that are empty or all NaN are left out and counted; of a trial, ECG and GSR are judged apart. Written from
documentation: nobody tried it on the licensed files. The face videos are not read.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import amigos, amigos_original
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="AMIGOS, affect, personality and mood of individuals and groups",
    people=40,
    hours=66.0,  # by the numbers of 20-s segments, ours
    modalities=("ecg", "eda"),
    labels=tuple(amigos.Config().make().label_specs),
    licence="signed agreement, academic use, no redistribution",
    access="eecs.qmul.ac.uk/mmv/datasets/amigos",
    cite="Miranda-Correa et al., IEEE TAFFC 12(2):479-493, 2021",
    verified=Verified.LAYOUT,
    subjects=tuple(f"P{number:02d}" for number in range(1, 41)),
)
VARIANTS = ("original", "sarkar2020")


def get_config(variant: str = "") -> Preparation:
    if variant == "sarkar2020":
        return Preparation(amigos_original.Config(), published.sarkar2020())
    return Preparation(amigos_original.Config() if variant else amigos.Config(), preprocess.Config())
