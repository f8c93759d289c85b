"""Preparations that papers describe, for readers of any data set."""

from ecgjax.signals import preprocess
from ecgjax.signals.moments import Normalise


def sarkar2020() -> preprocess.Config:
    """ECG for Sarkar & Etemad (TAFFC 2020): 256 Hz, z-scored by the deviation of the central 95 % of all of a subject.

    Rate and deviation are of the released code, which took that of the last file alone. The high-pass at 0.8 Hz is
    second-hand, its order ours.
    """
    steps = preprocess.Config()
    steps.ecg.resample_hz, steps.ecg.high_hz, steps.ecg.filter_order = 256.0, 0.0, 4
    steps.ecg.normalise = Normalise.SUBJECT_CENTRAL
    return steps


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
