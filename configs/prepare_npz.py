"""A store from NumPy archives of signals or of windows, such as the intermediate files of holdings like PRESAGE.

    python -m launch.prepare --config=configs/prepare_npz.py --config.dataset.root=DIR --store=DIR
    python -m launch.prepare --config=configs/prepare_npz.py:wu2023 ...

A file is one person (and scenario): `segs` (windows, time, channels) or (time, channels), `fs` in Hz, and optionally
`channel_names`, `units`, `subject`, `scenario`, and `hop`, the samples from one window's start to the next's. Windows
that overlap are joined to the signal that they were cut from; --config.dataset.windows=APART takes each for itself,
where each was normalised by itself. `wu2023` stores EDA, BVP and temperature at 4 Hz, z-scored over the recording.

joblib files, as WER-SSL's loader reads them, are pickles: opening one runs whatever is in it, so nothing here does.
Who made them may convert them, for each person:

    held = joblib.load("focus_v2_augmented_995/time/P01")    # of your own making only
    numpy.savez_compressed("P01_focus.npz", segs=held["segs"][:, :, :3].astype("float32"), fs=4.0, subject="P01",
                           scenario="focus", channel_names=["EDA", "BVP", "TEMP"])
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import npz
from ecgjax.signals import preprocess, published

VARIANTS = ("wu2023",)


def get_config(variant: str = "") -> Preparation:
    return Preparation(npz.Config(), published.wu2023() if variant else preprocess.Config())
