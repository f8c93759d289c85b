"""The embedded corpus: generated ECG of many people in calm and aroused trials, whose true effect is known.

    python -m launch.prepare --config=configs/prepare_synthetic.py --store=DIR

No download. Everything follows from --config.dataset.seed; see ecgjax/datasets/synthetic.py for what can be set.

Gives 40 subjects, 480 recordings, 8.0 h at 128 Hz (15 MB) in 15 s on two cores; 0.6 % is dropped, gaps and lead-off.
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import synthetic


def get_config() -> Preparation:
    return Preparation(dataset=synthetic.Config())
