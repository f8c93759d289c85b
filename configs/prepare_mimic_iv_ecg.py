"""MIMIC-IV-ECG as pre-training corpus: 800,035 clinical ECGs of 10 s and 12 leads at 500 Hz, of 161,352 people.

    wget -r -N -c -np https://physionet.org/files/mimic-iv-ecg/1.0/    # Open Database License
    python -m launch.prepare --config=configs/prepare_mimic_iv_ecg.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_mimic_iv_ecg.py --config.dataset.records=/p100 ...    # a part

A person and a study are read from a record's path, `files/p1000/p10000032/s40689238/40689238`. Leads are found by their
names, since aVF comes before aVL here; lead II, unless --config.dataset.channels.ecg names others. What was not
recorded in a lead is missing samples, which the gate drops.

The list of records is RECORDS, where there is one (2 s and 150 MB of memory for 800,000 names), or else every header
below DIR (half a minute). --config.dataset.leads=ALL would open every header for it, and asks for gigabytes.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wfdb
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset",
    people=161352,
    hours=2222.0,
    modalities=("ecg",),
    labels=(),
    licence="ODbL 1.0",
    access="open: physionet.org/content/mimic-iv-ecg/1.0",
    cite="Gow et al., PhysioNet 2023, doi 10.13026/4nqg-sb35",
    verified=Verified.LAYOUT,
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(wfdb.Config(name="mimic_iv_ecg", subject=r"(p\d{8})/(s\d+)/"), steps)
