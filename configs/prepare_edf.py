"""A store from EDF, EDF+ and BDF files: one ECG channel a file, at 128 Hz.

    python -m launch.prepare --config=configs/prepare_edf.py --config.dataset.root=DIR --store=DIR

DIR is a folder of files or one file. The channel is picked by its name; choose another by
--config.dataset.channels.ecg="('ECG1',)", and other signals by --config.dataset.modalities="('ecg','resp')".
A file is a subject of its own, unless --config.dataset.subject gives a regex for its path. Annotations are not used.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import edf


def get_config() -> Preparation:
    return Preparation(dataset=edf.Config())
