"""CODE-15%: 345,779 clinical ECGs of 7 to 10 s and 12 leads at 400 Hz, of 233,770 people, with six diagnoses.

    # From zenodo.org/records/4916206 (CC-BY 4.0): exams.csv, and exams_part0.zip ... exams_part17.zip, unpacked
    python -m launch.prepare --config=configs/prepare_code15.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_code15.py:sarkar2020 ...

Some of the parts are enough; a part has 4 GB and is read row by row. Lead DII, unless --config.dataset.channels.ecg
names others of DI DII DIII AVR AVL AVF V1 ... V6. Labels, of whole exams: "1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"
(absent, present). Sources disagree on the scale, so the unit is unknown, the gate judges shapes and no amplitudes, and
every exam is z-scored by itself. Zeros around an exam are cut off; many are shorter than a window of 10 s then.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import code15
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published
from ecgjax.signals.moments import Normalise

ABOUT = About(
    title="CODE-15%: a large scale annotated dataset of 12-lead ECGs",
    people=233770,
    hours=0.0,
    modalities=("ecg",),
    labels=("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"),
    licence="CC-BY 4.0",
    access="open: zenodo.org/records/4916206",
    cite="Ribeiro et al., Zenodo 2021, doi 10.5281/zenodo.4916206; Ribeiro et al., Nat Commun 11:1760, 2020",
    verified=Verified.LAYOUT,
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    steps.ecg.normalise = Normalise.RECORDING
    return Preparation(code15.Config(), steps)
