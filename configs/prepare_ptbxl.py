"""PTB-XL: 21,799 clinical ECGs of 10 s and 12 leads at 500 Hz, of 18,869 people, with diagnoses.

    wget -r -N -c -np https://physionet.org/files/ptb-xl/1.0.3/    # CC-BY 4.0
    python -m launch.prepare --config=configs/prepare_ptbxl.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_ptbxl.py --config.dataset.rate_hz=100 ...    # the smaller files
    python -m launch.prepare --config=configs/prepare_ptbxl.py:sarkar2020 ...

Lead II; others, or several as one signal, by --config.dataset.channels.ecg="('I','II','V2')". Labels, of whole records:
"norm", "mi", "sttc", "cd", "hyp" (absent, present), and "superclass" where a record has one alone. Without a diagnostic
code a record has no labels, and counts as ptbxl_no_superclass. Subjects are patients, so splits are by patient; the
authors' ten folds (strat_fold) are too, and are not used. Where part of the files is missing, the rest is told as
"missing header" and left out.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import ptbxl
from ecgjax.datasets.base import About, Verified
from ecgjax.signals import preprocess, published

ABOUT = About(
    title="PTB-XL, a large publicly available electrocardiography dataset",
    people=18869,
    hours=60.6,
    modalities=("ecg",),
    labels=("superclass", "norm", "mi", "sttc", "cd", "hyp"),
    licence="CC-BY 4.0",
    access="open: physionet.org/content/ptb-xl/1.0.3",
    cite="Wagner et al., Sci Data 7:154, 2020, doi 10.1038/s41597-020-0495-6",
    verified=Verified.LAYOUT,
)
VARIANTS = ("sarkar2020",)


def get_config(variant: str = "") -> Preparation:
    steps = published.sarkar2020() if variant else preprocess.Config()
    return Preparation(ptbxl.Config(), steps)
