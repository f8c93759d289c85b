"""Signals of several rates keep their seconds: an impulse at one second of a file is at that second in every signal.

As recorded, and as prepared. WESAD, drivedb and others have such a test of their own.
"""

import numpy as np
import pytest

from ecgjax.datasets import edf, empatica, ppg_dalia, pspm, stress_predict, wesad, wfdb
from ecgjax.datasets.base_chest_wrist import Device
from ecgjax.signals import preprocess
from tests import pickle_files
from tests.chest_wrist import WRIST_HZ
from tests.corpora.pspm import channel, write_file
from tests.corpora.wesad import write_belt
from tests.fixtures import EdfChannel, WfdbSignal, write_e4, write_edf, write_wfdb

AT_S, NUM_S = 21.0, 40


def impulse(rate_hz, at_s=AT_S, num_s=NUM_S, height=9000):
    digital = np.arange(round(num_s * rate_hz)) % 2
    digital[round(at_s * rate_hz)] = height
    return digital


def e4(folder):
    """Its files start apart: BVP first, EDA 2 s and temperature 3.5 s later."""
    write_session(folder / "s")
    return empatica.Config(root=str(folder)).make().load("s")


def write_session(folder):
    write_e4(folder, 1644226000, NUM_S)
    for name, rate_hz, late_s in (("BVP", 64, 0), ("EDA", 4, 2), ("TEMP", 4, 3.5), ("ACC", 32, 1)):
        path, columns = folder / f"{name}.csv", 3 if name == "ACC" else 1
        rows = [1644226000 + late_s, rate_hz, *impulse(rate_hz, AT_S - late_s, height=100)]
        path.write_text("\n".join(",".join([f"{row:.2f}"] * columns) for row in rows) + "\n")


def stress_predict_s_e4(folder):
    write_session(folder / "Raw_data" / "S02")
    return stress_predict.Config(root=str(folder)).make().load("S02")


def write_wrist(folder, key, **told):
    """The belt of a pickle is read by its length alone."""
    wrist = {name: np.tile(impulse(hz)[:, None] / 9.0, 3 if name == "ACC" else 1) for name, hz in WRIST_HZ.items()}
    tree = {"signal": {"chest": {"ECG": np.ones((700 * NUM_S, 1))}, "wrist": wrist}, "subject": key}
    pickle_files.write(folder / key / f"{key}.pkl", {**tree, **told}, 2)


def wesad_s_e4(folder):
    write_wrist(folder, "S3", label=np.ones(700 * NUM_S, "<i4"))
    write_session(folder / "S3" / "S3_E4_Data")
    return wesad.Config(root=str(folder), device=Device.WRIST, source=wesad.Source.RAW).make().load("S3")


def belt_with_a_gap(folder):
    """Of 8.5 s, before the impulse: its lines are gone, and the numbers of the others tell. All at one rate."""
    path = folder / "S3" / "S3_respiban.txt"
    path.parent.mkdir()
    write_belt(path, np.tile(impulse(700)[:, None], 8))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3000] + lines[3000 + 5950 :]))
    modalities = ("ecg", "eda", "emg", "resp", "acc")  # of a thermistor, this is no impulse
    return wesad.Config(root=str(folder), source=wesad.Source.RAW, modalities=modalities).make().load("S3")


def ppg_dalia_s_wrist(folder):
    write_wrist(folder, "S1", label=np.full(17, 70.0), activity=np.zeros((4 * NUM_S, 1)))
    return ppg_dalia.Config(root=str(folder)).make().load("S1")


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


LOADS = (e4, stress_predict_s_e4, wesad_s_e4, ppg_dalia_s_wrist)
LOADS += (belt_with_a_gap, edf_with_a_gap, wfdb_with_a_skew, pspm_of_three_rates)


@pytest.mark.parametrize("load", LOADS)
def test_an_impulse_stays_at_its_second(tmp_path, load):
    recording = load(tmp_path)
    assert len({signal.rate_hz for signal in recording.signals.values()}) > 2 or load is belt_with_a_gap
    steps = preprocess.Config()
    for modality in recording.signals:
        getattr(steps, modality).gate = preprocess.Gate(flat_s=0.0, padding_s=0.0)
    for signals, within in ((recording.signals, 0.5), (preprocess.prepare_recording(recording, steps).signals, 0.6)):
        assert signals.keys() == recording.signals.keys()
        for modality, signal in signals.items():
            x_T = signal.samples_TC[:, 0]
            at_s = signal.start_s + np.nanargmax(x_T - np.nanmedian(x_T)) / signal.rate_hz
            assert abs(at_s - AT_S) <= within / signal.rate_hz, (modality, at_s)
