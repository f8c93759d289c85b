"""Preparations that papers describe, for readers of any data set."""

from ecgjax.signals import preprocess
from ecgjax.signals.moments import Normalise


def wu2023() -> preprocess.Config:
    """EDA, BVP and temperature for Wu et al. (TAFFC 2023): all at 4 Hz, z-scored over the recording.

    The rate is of the released code, the normalisation what its weights work with best; filters are unknown, and there
    are none here. The gate is ours, as by default.
    """
    steps = preprocess.Config()
    for modality in (steps.eda, steps.bvp, steps.temp):
        modality.resample_hz, modality.low_hz, modality.high_hz = 4.0, 0.0, 0.0
        modality.normalise = Normalise.RECORDING
    return steps
