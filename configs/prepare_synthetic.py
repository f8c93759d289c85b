"""The embedded corpus: generated ECG of many people in calm and aroused trials, whose true effect is known.

    python -m launch.prepare --config=configs/prepare_synthetic.py --store=DIR

No download. Everything follows from --config.dataset.seed; see ecgjax/datasets/synthetic.py for what can be set.
RESULT
"""

from ecgjax.data.prepare import Preparation
from ecgjax.datasets import synthetic


def get_config() -> Preparation:
    return Preparation(dataset=synthetic.Config())
