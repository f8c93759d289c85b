"""WESAD: 15 people at rest, stressed, amused and meditating, with a RespiBAN on the chest and an Empatica E4.

    python -m launch.prepare --config=configs/prepare_wesad.py --config.dataset.root=WESAD --store=DIR
    python -m launch.prepare --config=configs/prepare_wesad.py:sarkar2020 ...
    python -m launch.prepare --config=configs/prepare_wesad.py:wu2023 ...

Where to get it: UCI, data set 465, or the University of Siegen; 2 GB, 17 unpacked; for scientific, non-commercial use.
Cite Schmidt et al., ICMI 2018, doi 10.1145/3242969.3242985. By default all of the chest; --config.dataset.device=WRIST
takes the wrist. `sarkar2020` is the chest's ECG as Sarkar & Etemad's first stage wants it, at 256 Hz and high-passed
alone; `wu2023` what Wu et al. 2023 learn from: EDA, BVP and temperature of the wrist, all at 4 Hz.

Labels: "condition" of the protocol (transient, baseline, stress, amusement, meditation, and 5, 6, 7, which the readme
says to ignore; the configs of finetuning keep 1 to 3 or 1 to 4), and over each condition what people said of it:
"valence" and "arousal" (1 to 9), "anxiety" (STAI-6, 6 to 24), "positive_affect" and "negative_affect" (PANAS, 10 to
50; the order of their questions, and of STAI's, is unverified).

The pickles are not unpickled: nothing in them can run. Only the arrays that are asked for are read.
--config.dataset.source=RAW reads SX_respiban.txt, or SX_E4_Data, instead: each device by itself, some minutes longer,
labelled where the samples of the pickle are found in it. Written from documentation, and tried on files that Python 2
wrote; nobody tried it on the data.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wesad
from ecgjax.datasets.base import About, Verified
from ecgjax.datasets.base_chest_wrist import Device
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="WESAD, a multimodal dataset for wearable stress and affect detection",
    people=15,
    hours=24.0,  # by the size of the files: 12.9 GiB of 229 bytes a sample
    modalities=("ecg", "eda", "emg", "temp", "resp", "acc"),  # of the chest; acc, bvp, eda, temp of the wrist
    labels=tuple(wesad.Config().make().label_specs),
    licence="scientific, non-commercial use",
    access="archive.ics.uci.edu, data set 465",
    cite="Schmidt et al., ICMI 2018, 400-408",
    verified=Verified.LAYOUT,
    subjects=tuple(f"S{number}" for number in range(2, 18) if number != 12),
)
VARIANTS = ("sarkar2020", "wu2023")


def get_config(variant: str = "") -> Preparation:
    if variant == "sarkar2020":
        return Preparation(wesad.Config(modalities=("ecg",)), published.sarkar2020())
    if variant == "wu2023":
        return Preparation(wesad.Config(device=Device.WRIST, modalities=("eda", "bvp", "temp")), published.wu2023())
    return Preparation(wesad.Config(), preprocess.Config())
