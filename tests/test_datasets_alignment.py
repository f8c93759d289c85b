"""Signals of several rates keep their seconds: an impulse at one second of a file is at that second in every signal.

As recorded, and as prepared. WESAD, drivedb and others have such a test of their own.
"""

import numpy as np
import pytest

from ecgjax.datasets import edf, empatica, pspm, wfdb
from ecgjax.signals import preprocess
from tests.corpora.pspm import channel, write_file
from tests.fixtures import EdfChannel, WfdbSignal, write_e4, write_edf, write_wfdb

AT_S, NUM_S = 21.0, 40


def impulse(rate_hz, at_s=AT_S, num_s=NUM_S, height=9000):
    digital = np.arange(round(num_s * rate_hz)) % 2
    digital[round(at_s * rate_hz)] = height
    return digital


def e4(folder):
    """Its files start apart: BVP first, EDA 2 s and temperature 3.5 s later."""
    write_e4(folder / "s", 1644226000, NUM_S)
    for name, rate_hz, late_s in (("BVP", 64, 0), ("EDA", 4, 2), ("TEMP", 4, 3.5), ("ACC", 32, 1)):
        path, columns = folder / "s" / f"{name}.csv", 3 if name == "ACC" else 1
        rows = [1644226000 + late_s, rate_hz, *impulse(rate_hz, AT_S - late_s, height=100)]
        path.write_text("\n".join(",".join([f"{row:.2f}"] * columns) for row in rows) + "\n")
    return empatica.Config(root=str(folder)).make().load("s")


def edf_with_a_gap(folder):
    """Of 8.5 s, before the impulse."""
    rates = {"ECG": 200, "GSR": 8, "Resp": 32}
    signals = [EdfChannel(name, impulse(hz, AT_S - 8.5, 20).reshape(20, hz)) for name, hz in rates.items()]
    onsets_s = [second + 8.5 * (second >= 10) for second in range(20)]
    write_edf(folder / "a.edf", signals, "EDF+D", onsets_s=onsets_s)
    return edf.Config(root=str(folder), modalities=("ecg", "eda", "resp")).make().load("a.edf")


def wfdb_with_a_skew(folder):
    """Of the respiration, which stands 5 frames late in the file."""
    signals = [WfdbSignal("II", impulse(200), per_frame=8), WfdbSignal("GSR", impulse(50), per_frame=2)]
    late = np.concatenate([[0] * 5, impulse(25)[:-5]])
    write_wfdb(folder, "r", [*signals, WfdbSignal("RESP", late, skew=5)], "25")
    return wfdb.Config(root=str(folder), modalities=("ecg", "eda", "resp")).make().load("r")


def pspm_of_three_rates(folder):
    """Their lengths are a few samples off, as PsPM tolerates."""
    kinds = {"ecg": (1000.0, 3), "scr": (100.0, -2), "resp": (40.0, 1)}
    values = {kind: impulse(hz, num_s=NUM_S + more / hz)[:, None] / 9.0 for kind, (hz, more) in kinds.items()}
    own = [channel(kind, values[kind], hz, "mV") for kind, (hz, _) in kinds.items()]
    write_file(folder / "PsPM-FR_spike_01.mat", own, {"duration": float(NUM_S)})
    return pspm.Config(root=str(folder)).make().load("PsPM-FR_spike_01")


@pytest.mark.parametrize("load", [e4, edf_with_a_gap, wfdb_with_a_skew, pspm_of_three_rates])
def test_an_impulse_stays_at_its_second(tmp_path, load):
    recording = load(tmp_path)
    assert len({signal.rate_hz for signal in recording.signals.values()}) > 2
    steps = preprocess.Config()
    for modality in recording.signals:
        getattr(steps, modality).gate = preprocess.Gate(flat_s=0.0, padding_s=0.0)
    for signals, within in ((recording.signals, 0.5), (preprocess.prepare_recording(recording, steps).signals, 0.6)):
        assert signals.keys() == recording.signals.keys()
        for modality, signal in signals.items():
            x_T = signal.samples_TC[:, 0]
            at_s = signal.start_s + np.nanargmax(x_T - np.nanmedian(x_T)) / signal.rate_hz
            assert abs(at_s - AT_S) <= within / signal.rate_hz, (modality, at_s)
