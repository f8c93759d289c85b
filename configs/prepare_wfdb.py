"""A store from WFDB records, such as any of PhysioNet's: one ECG lead a record, at 128 Hz.

    python -m launch.prepare --config=configs/prepare_wfdb.py --config.dataset.root=DIR --store=DIR

DIR is a folder of records or one record. The lead is picked by its name; choose another by
--config.dataset.channels.ecg="('V5',)", or take every lead as a recording of its own by --config.dataset.leads=ALL.
A record is a subject of its own, unless --config.dataset.subject gives a regex for its path: "(patient\\d+)/" for PTB.
How fast: benchmarks/prepare.py.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import wfdb


def get_config() -> Preparation:
    return Preparation(dataset=wfdb.Config())
