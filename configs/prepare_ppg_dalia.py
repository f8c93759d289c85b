"""PPG-DaLiA: two and a half hours of daily life of 15 people, with an Empatica E4 and a RespiBAN's ECG.

    python -m launch.prepare --config=configs/prepare_ppg_dalia.py --config.dataset.root=PPG_FieldStudy --store=DIR
    python -m launch.prepare --config=configs/prepare_ppg_dalia.py:wu2023 ...
    python -m launch.prepare --config=configs/prepare_ppg_dalia.py:sarkar2020 ...

Where to get it: UCI, data set 495; 2.7 GB; CC BY 4.0. Cite Reiss et al., Sensors 2019, 19(14):3079. By default the
wrist; --config.dataset.device=CHEST takes ECG, respiration and acceleration of the chest. `wu2023` is what Wu et al.
2023 learn from, EDA, BVP and temperature of the wrist, all at 4 Hz; `sarkar2020` the chest's ECG as Sarkar & Etemad's
first stage wants it, at 256 Hz and high-passed alone.

Labels: "activity" (none, sitting, stairs, table soccer, cycling, driving, lunch, walking, working), and "heart_rate"
from the ECG, of the middle 2 s of each of its windows of 8 s. Nobody was asked how they felt: for emotion it is a
corpus to pre-train on.

Traps: EDA, EMG and temperature of the chest are of inputs with nothing plugged in, and are not read. S6 is said to be
short. The pickles are not unpickled: nothing in them can run. Written from documentation, and tried on files that
Python 2 wrote; nobody tried it on the data.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import ppg_dalia
from ecgjax.datasets.base import About, Verified
from ecgjax.datasets.base_chest_wrist import Device
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="PPG-DaLiA, PPG for motion compensation and heart rate estimation in daily life",
    people=15,
    hours=36.0,  # unverified
    modalities=("acc", "bvp", "eda", "temp"),  # of the wrist; ecg, resp, acc of the chest
    labels=tuple(ppg_dalia.Config().make().label_specs),
    licence="CC BY 4.0 by one source: see the record",
    access="archive.ics.uci.edu, data set 495",
    cite="Reiss et al., Sensors 2019, 19(14):3079",
    verified=Verified.LAYOUT,
    subjects=tuple(f"S{number}" for number in range(1, 16)),
)
VARIANTS = ("sarkar2020", "wu2023")


def get_config(variant: str = "") -> Preparation:
    if variant == "sarkar2020":
        return Preparation(ppg_dalia.Config(device=Device.CHEST, modalities=("ecg",)), published.sarkar2020())
    if variant == "wu2023":
        return Preparation(ppg_dalia.Config(modalities=("eda", "bvp", "temp")), published.wu2023())
    return Preparation(ppg_dalia.Config(), preprocess.Config())
