"""Stress Recognition in Automobile Drivers: ECG, skin conductance, respiration in drives of rest, city and highway.

    wget -r -N -c -np https://physionet.org/files/drivedb/1.0.0/    # Open Data Commons Attribution 1.0
    python -m launch.prepare --config=configs/prepare_drivedb.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_drivedb.py:sarkar2020 ...

Label: "condition" (rest, city, highway), which the authors took for low, high and medium stress. It needs a table that
PhysioNet does not have, `time_intervals_clean.csv`, in DIR: "Drive No,Initial Rest,City 1,Highway,City 2,Highway 2,
City 3,Final Rest,Total rec. time(min)", one row a drive, in minutes. Its parts begin with the driver's first press of
the marker, not with the recording, and are laid by the presses, where these confirm three quarters of their borders.

Who drove is not told, and some drove more than once: drives are not people, so held-out scores may be optimistic
(drivedb_driver_unknown, once a recording).
ECG is in the WFDB records, not in tables of 15.5 Hz. The header of drive17a says 15 Hz, and is read as 15.5.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import drivedb
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="Stress Recognition in Automobile Drivers, 17 drives",
    people=17,  # drives, of fewer people
    hours=0.0,
    modalities=("ecg", "eda", "resp"),
    labels=("condition",),
    licence="ODC-BY 1.0",
    access="open: physionet.org/content/drivedb/1.0.0",
    cite="Healey & Picard, IEEE T-ITS 6(2):156-166, 2005",
    verified=Verified.FILES,
    subjects=tuple(f"drive{number:02d}" for number in range(1, 18)),
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(drivedb.Config(), steps)
