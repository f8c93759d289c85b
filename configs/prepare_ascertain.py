"""ASCERTAIN: ECG and GSR of 58 people who watched 36 film clips and rated them.

    python -m launch.prepare --config=configs/prepare_ascertain.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_ascertain.py:sarkar2020 ...

DIR holds `ASCERTAIN_Raw` and `ASCERTAIN_Features`. Where to ask: the MHUG group in Trento, ascertain-dataset.github.io.
Cite Subramanian et al., IEEE TAFFC 9(2):147-160, 2018. The variant takes ECG alone and prepares it as Sarkar &
Etemad's first stage wants it, at 256 Hz and high-passed alone.

Labels, by the person: "arousal" from 0 to 6, "valence" from -3 to 3, "engagement", "liking", "familiarity" (0 to 6,
unverified).

Traps: where a file has its ECG depends on its columns, and the two rules in use may disagree (counted); which lead is
which arm is not agreed on (--config.dataset.ecg_leads="(1,)" takes the other). The middle of the scales, 3 and 0, is
high in one code base and low in another (--config.data.label.ties). P44 and P52 are bad or missing by one source: they
are read, and counted. GSR is at the rate of its time stamps, in no known unit. Clips without files are left out and
counted. Written from documentation: nobody tried it on the licensed files.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import ascertain
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import published

ABOUT = About(
    title="ASCERTAIN, implicit personality and affect recognition with commercial sensors",
    people=58,
    hours=46.0,  # clips of 80 s on average, unverified
    modalities=("ecg", "eda"),
    labels=tuple(ascertain.Config().make().label_specs),
    licence="on request, academic use",
    access="ascertain-dataset.github.io, MHUG group, University of Trento",
    cite="Subramanian et al., IEEE TAFFC 9(2):147-160, 2018",
    verified=Verified.LAYOUT,
    subjects=tuple(f"P{number:02d}" for number in range(1, 59)),
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    if variant == "sarkar2020":
        return Preparation(ascertain.Config(modalities=("ecg",)), published.sarkar2020())
    return Preparation(ascertain.Config())
