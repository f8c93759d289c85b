"""DREAMER: ECG of 23 people who watched 18 film clips and rated them; a store of clips, and of the baselines before.

    python -m launch.prepare --config=configs/prepare_dreamer.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_dreamer.py:sarkar2020 ...

Where to ask: zenodo.org/records/546113, for academic use; one file, DREAMER.mat. Cite Katsigiannis & Ramzan, IEEE JBHI
22(1):98-107, 2018. The variant is prepared as Sarkar & Etemad's first stage wants it, at 256 Hz and high-passed alone.

Labels: "arousal", "valence", "dominance", whole numbers from 1 to 5, by the person; "emotion", which of nine the clip
was chosen for. Baselines have none: they are for pre-training, and --config.dataset.baselines=False leaves them out.
The paper looks at the last minute of each clip: --config.dataset.labelled_s=60.

Traps: a rating of exactly 3 is low in the paper's own table and high in TorchEEG (--config.data.label.ties). Which of
the two leads papers use is unknown (--config.dataset.ecg_columns="(1,)" takes the other). The unit is unknown, so the
gate's rules on levels are off. Every worker reads the file once and keeps 220 MB of it. Written from documentation:
nobody tried it on the licensed file.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import dreamer
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="DREAMER, emotion recognition through EEG and ECG from wireless low-cost devices",
    people=23,
    hours=30.0,  # 7 of them baselines; the clips' length, 199 s on average, is unverified
    modalities=("ecg",),
    labels=tuple(dreamer.Config().make().label_specs),
    licence="restricted, academic use",
    access="zenodo.org/records/546113, on request",
    cite="Katsigiannis & Ramzan, IEEE JBHI 22(1):98-107, 2018",
    verified=Verified.LAYOUT,
    subjects=tuple(f"s{number:02d}" for number in range(1, 24)),
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    return Preparation(dreamer.Config(), published.sarkar2020() if variant else preprocess.Config())
