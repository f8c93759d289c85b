"""The Lobachevsky University Database as pre-training corpus: 200 clinical ECGs of 10 s and 12 leads at 500 Hz.

    wget -r -N -c -np https://physionet.org/files/ludb/1.0.1/    # Open Data Commons Attribution 1.0
    python -m launch.prepare --config=configs/prepare_ludb.py --config.dataset.root=DIR --store=DIR

`data/1.hea` ... `data/200.hea`; a record is a person. Lead ii, unless --config.dataset.channels.ecg names others.
Version 1.0.0 had a wrong gain: take 1.0.1.

There are annotations of waves (.i, .ii, ...) and diagnoses (headers' comments, ludb.csv), but they are not read: no
labels.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wfdb
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="Lobachevsky University Electrocardiography Database",
    people=200,
    hours=0.56,
    modalities=("ecg",),
    labels=(),
    licence="ODC-BY 1.0",
    access="open: physionet.org/content/ludb/1.0.1",
    cite="Kalyakulina et al., IEEE Access 8:186181-186190, 2020",
    verified=Verified.LAYOUT,
    subjects=tuple(str(number) for number in range(1, 201)),
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(wfdb.Config(name="ludb"), steps)
