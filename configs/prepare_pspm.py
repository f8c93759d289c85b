"""PsPM-FR, HRM5, RRM1-2, VIS: ECG, skin conductance and respiration during fear conditioning, pictures and sounds.

    python -m launch.prepare --config=configs/prepare_pspm.py:fr --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_pspm.py:hrm5 ...    # or rrm12, vis

DIR holds `data.zip` as downloaded, or what was in it; a variant only names the store. Where to get them: zenodo.org,
by the names (FR: record 5573765); the licence is that of each record. Cite the record and the paper it names: HRM5
Paulus, Castegnetti & Bach 2016; RRM1-2 Bach et al., J Neurosci Methods 270:147-155, 2016. Other sets of PsPM's authors
are read too. With `sarkar2020`, ECG alone, prepared as Sarkar & Etemad's first stage wants it.

Unlabelled: for pre-training (Vazquez-Rodriguez et al. 2022 pre-train with these). Channels, units and rates are what
the files' headers say, and what was found and missed is counted in the manifest; with two channels of a kind, the first
is read (--config.dataset.positions.eda=1 takes the second). A person is the number in a file's name: where two sets
number other people alike, make two stores, or give --config.dataset.subject. FR has ECG in its first session only; the
others are kept for their skin conductance, and counted.

Written from PsPM's source and the readme of FR: nobody tried it on the files, though they are public.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import pspm
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import published

ABOUT = About(
    title="PsPM-FR, PsPM-HRM5, PsPM-RRM1-2, PsPM-VIS",
    people=0,
    hours=0.0,
    modalities=("ecg", "eda", "resp"),
    labels=(),
    licence="that of each Zenodo record",
    access="zenodo.org/records/5573765 (FR); zenodo.org, by name",
    cite="the Zenodo record and the paper it names",
    verified=Verified.LAYOUT,
)
NAMES = {"fr": "pspm_fr", "hrm5": "pspm_hrm5", "rrm12": "pspm_rrm12", "vis": "pspm_vis"}
VARIANTS = (*NAMES, "sarkar2020")


def get_config(variant: str = "") -> Preparation:
    if variant == "sarkar2020":
        return Preparation(pspm.Config(modalities=("ecg",)), published.sarkar2020())
    return Preparation(pspm.Config(name=NAMES.get(variant, "")))
