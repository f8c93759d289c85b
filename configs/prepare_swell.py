"""SWELL-KW: ECG and skin conductance at 2048 Hz of 25 people at knowledge work, undisturbed, interrupted, or hurried.

From DANS, https://doi.org/10.17026/dans-x55-69zp (CC BY-NC-SA 4.0): the folder "Mobi signals (raw and filtered)" of the
raw data, and "Behavioral-features - per minute" (as .xlsx or .tab) for the conditions.

    python -m launch.prepare --config=configs/prepare_swell.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_swell.py:sarkar2020 ...    # ECG alone, at 256 Hz

Cite Koldijk et al., ICMI 2014. Labels: "condition" (neutral, interruption, time pressure, relax), and ratings of the
block: valence, arousal, dominance, stress, mental_effort and NASA-TLX's six. Relaxing, before each block, has no
ratings; without stamps it is not told from the block, and an event says so.

Traps. The number of a block, c1 to c3, is its place in time and no condition, though papers have taken it for one
(--config.dataset.conditions=BLOCK_NUMBER does, to compare with). A start in the files that does not fit the stamps of
the table makes labels of whole blocks. One public reader leaves out 20 of the files, PP8's among them, without a word
why: leave the gate on.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import swell
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import published

VARIANTS = ("sarkar2020",)

ABOUT = About(
    title="SWELL Knowledge Work",
    people=25,
    hours=52.3,  # minutes in the table of features, 3,139
    modalities=("ecg", "eda"),
    labels=("condition", "valence", "arousal", "dominance", "stress", "mental_effort", "mental_demand",
            "physical_demand", "temporal_demand", "effort", "performance", "frustration"),
    licence="CC BY-NC-SA 4.0 by one source: see the record",
    access="https://doi.org/10.17026/dans-x55-69zp (DANS)",
    cite="Koldijk et al., ICMI 2014",
    verified=Verified.LAYOUT,
    subjects=tuple(f"PP{person:02d}" for person in range(1, 26)),
)  # fmt: skip


def get_config(variant: str = "") -> Preparation:
    if variant == "sarkar2020":
        return Preparation(swell.Config(modalities=("ecg",)), published.sarkar2020())
    return Preparation(swell.Config())
