"""Chapman-Shaoxing and Ningbo as pre-training corpus: clinical ECGs of 10 s and 12 leads at 500 Hz, of 45,152 people.

    wget -r -N -c -np https://physionet.org/files/ecg-arrhythmia/1.0.0/    # CC-BY 4.0
    python -m launch.prepare --config=configs/prepare_chapman.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_chapman.py \\
        --config.dataset.records="JS(0|10[0-5]|106[0-3]|1064[0-6])" ...    # Chapman's

`WFDBRecords/01/010/JS00001.hea` and `.mat`, a MATLAB 4 file that is read as WFDB's format 16 after its first 24 bytes.
A record is a person: JS00001 to JS10646 are Chapman's, the others Ningbo's. Lead II, unless
--config.dataset.channels.ecg names others. Some 68 records have missing samples, which the gate drops. A few have no
header, and count as "missing header"; those of JS01052 and JS23074 lack the end of their first line, and count as
"unreadable header". Some records are copies of others by one source: same_signal_as_another_subject counts them.

There are diagnoses (SNOMED codes in the headers' comments), but they are not read: no labels.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wfdb
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="A large scale 12-lead electrocardiogram database for arrhythmia study (Chapman-Shaoxing and Ningbo)",
    people=45152,
    hours=125.4,
    modalities=("ecg",),
    labels=(),
    licence="CC-BY 4.0",
    access="open: physionet.org/content/ecg-arrhythmia/1.0.0",
    cite="Zheng et al., Sci Data 7:48, 2020; Zheng et al., PhysioNet 2022",
    verified=Verified.LAYOUT,
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(wfdb.Config(name="chapman"), steps)
