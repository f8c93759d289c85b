"""A store from text tables: a column a channel, with or without a header and a column of times.

    python -m launch.prepare --config=configs/prepare_csv.py --config.dataset.root=DIR --store=DIR \\
        --config.dataset.rate_hz=1000 --config.dataset.unit=mV --config.dataset.channels.ecg="('ECG',)"

The rate is needed where neither a column of times nor a '#' line tells it. Without the unit, the gate cannot judge
amplitudes, only shapes. A file is a subject of its own, unless --config.dataset.subject gives a regex for its path.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import csv


def get_config() -> Preparation:
    return Preparation(dataset=csv.Config())
