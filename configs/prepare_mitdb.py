"""The MIT-BIH Arrhythmia Database as pre-training corpus: 48 half hours of two leads at 360 Hz, of 47 people.

    wget -r -N -c -np https://physionet.org/files/mitdb/1.0.0/    # Open Data Commons Attribution 1.0
    python -m launch.prepare --config=configs/prepare_mitdb.py --config.dataset.root=DIR --store=DIR

One lead a record, MLII where there is one, found by its name, since record 114 is said to have its leads the other way
round; every lead by --config.dataset.leads=ALL. Records 201 and 202 are of one person, whose name is 20 here. The QT
Database's records sel1xx and sel2xx are excerpts of the records of these numbers. Annotations of beats are not used.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wfdb
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="MIT-BIH Arrhythmia Database",
    people=47,
    hours=24.1,
    modalities=("ecg",),
    labels=(),
    licence="ODC-BY 1.0",
    access="open: physionet.org/content/mitdb/1.0.0",
    cite="Moody & Mark, IEEE Eng in Med and Biol 20(3):45-50, 2001",
    verified=Verified.LAYOUT,
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(wfdb.Config(name="mitdb", subject=r"(20(?=[12]$)|\d{3}$)"), steps)
