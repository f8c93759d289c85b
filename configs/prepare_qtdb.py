"""The QT Database as pre-training corpus: 105 excerpts of 15 minutes, two leads at 250 Hz, no affect labels.

    wget -r -N -c -np https://physionet.org/files/qtdb/1.0.0/    # Open Data Commons Attribution 1.0
    python -m launch.prepare --config=configs/prepare_qtdb.py --config.dataset.root=DIR --store=DIR

Cite Laguna et al., Computers in Cardiology 1997. Mostly cardiac patients, so its shapes are broader than an affect
study's. Both leads count, as recordings of one subject. The records sel1xx and sel2xx are excerpts of MIT-BIH records
of the same number: evaluate on those only after leaving these out. The variant `sarkar2020` is prepared as Sarkar &
Etemad's first stage wants it: at 256 Hz, high-passed alone and z-scored by the central 95 %.

Gives 105 subjects, 210 recordings, 52.2 h at 128 Hz (93 MB) in 15 s on two cores; 0.6 % is dropped: 12 minutes of a
lead clipped at its rail in every beat (sel42 ECG1), paced or noisy stretches without regular beats, one lead settling.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wfdb
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="QT Database",
    people=105,
    hours=26,  # of two leads each
    modalities=("ecg",),
    labels=(),
    licence="ODC-BY 1.0",
    access="https://physionet.org/content/qtdb/1.0.0/",
    cite="Laguna et al., Computers in Cardiology 24, 1997",
    verified=Verified.FILES,
)

VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(wfdb.Config(name="qtdb", leads=wfdb.Leads.ALL), steps)
