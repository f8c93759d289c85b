"""Rest against mental arithmetic: the ECG of EEG During Mental Arithmetic Tasks, 36 people at 500 Hz, labelled.

    wget -r -N -c -np https://physionet.org/files/eegmat/1.0.0/    # Open Data Commons Attribution 1.0
    python -m launch.prepare --config=configs/prepare_eegmat.py --config.dataset.root=DIR --store=DIR

Cite Zyma et al., Data 2019, 4(1):14. Labels: "condition" (rest, arithmetic), and "counter" (bad, good) of the person.
The gate must stay on: every file ends in two seconds of padding, which tell rest from task by the file's length. The
variant `sarkar2020` is prepared as Sarkar & Etemad's first stage wants it: at 256 Hz, high-passed alone and z-scored
by the central 95 %.

Of 27 of the people: 51 recordings, 1.67 h at 128 Hz in 5 s on two cores; 8.6 % is dropped, of which the padding is
2 minutes, and three recordings with the lead off (2_1, 13_1, 20_2) are 7 minutes.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import eegmat
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="EEG During Mental Arithmetic Tasks",
    people=36,
    hours=2.4,
    modalities=("ecg",),
    labels=("condition", "counter"),
    licence="ODC-BY 1.0",
    access="https://physionet.org/content/eegmat/1.0.0/",
    cite="Zyma et al., Data 4(1):14, 2019",
    verified=Verified.FILES,
    subjects=tuple(f"Subject{number:02d}" for number in range(36)),
)

VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(eegmat.Config(), steps)
