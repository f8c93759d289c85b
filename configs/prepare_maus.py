"""MAUS: ECG, finger PPG and skin conductance of 22 people at rest and in n-back tasks, at 256 Hz.

From IEEE DataPort, https://doi.org/10.21227/q4td-yd35 (open, with an account).

    python -m launch.prepare --config=configs/prepare_maus.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_maus.py:sarkar2020 ...    # ECG alone, at 256 Hz

Cite Beh, Wu and Wu 2021, arXiv 2111.02561. Label: "n_back" (rest, 0-back, 2-back, 3-back). A recording is a trial.
NASA-TLX ratings are in the download, and not read. Nobody says units, so the gate judges shapes alone.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import maus
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import published

VARIANTS = ("sarkar2020",)

ABOUT = About(
    title="MAUS: mental workload, n-back",
    people=22,
    hours=12.7,  # 22 times six trials of 300 s, and 21 of some 290 s at rest
    modalities=("ecg", "bvp", "eda"),
    labels=("n_back",),
    licence="CC BY 4.0 by one source: see the record",
    access="https://doi.org/10.21227/q4td-yd35 (IEEE DataPort)",
    cite="Beh, Wu and Wu 2021, arXiv 2111.02561",
    verified=Verified.LAYOUT,
    subjects=tuple(f"{person:03d}" for person in (2, 3, 4, 5, 6, 8, *range(10, 26))),
)


def get_config(variant: str = "") -> Preparation:
    if variant == "sarkar2020":
        return Preparation(maus.Config(modalities=("ecg",)), published.sarkar2020())
    return Preparation(maus.Config())
