"""Icentia11k as pre-training corpus: single-lead ECG at 250 Hz of 11,000 people, 541,794 segments of 70 minutes.

    wget -r -N -c -np https://physionet.org/files/icentia11k-continuous-ecg/1.0/    # CC-BY-NC-SA 4.0
    python -m launch.prepare --config=configs/prepare_icentia11k.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_icentia11k.py --config.dataset.records="_s0[0-4]$" ...    # a part

Each wore the device for up to two weeks, of which there are 49 segments on average, two days and nine hours. They are
`p00/p00000/p00000_s00`, with or without the folder of a thousand people: the person and the session are read from the
name. The original release is gzipped pickle, and is not read. Annotations of beats and rhythm (.atr), which some
segments lack, are not used. No header is opened for the list of records: it takes as long as listing the folders.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wfdb
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="Icentia11k Single Lead Continuous Raw Electrocardiogram Dataset",
    people=11000,
    hours=631000.0,  # 541,794 segments of 2**20 + 1 samples, if all are full
    modalities=("ecg",),
    labels=(),
    licence="CC-BY-NC-SA 4.0",
    access="open: physionet.org/content/icentia11k-continuous-ecg/1.0",
    cite="Tan et al., arXiv 1910.09570, 2019",
    verified=Verified.LAYOUT,
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(wfdb.Config(name="icentia11k", subject=r"(p\d{5})_(s\d+)$"), steps)
