"""A device that recorded nothing: a channel of every data set is NaN throughout, as its format says so.

What comes of it is NaN, or the modality is left out with an event, or the recording is dropped; nothing else changes,
and what is prepared has no such signal. EDF has no number for it.
"""

import importlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from ecgjax.errors import DataError
from ecgjax.signals import preprocess
from tests import pickle_files
from tests.readers import CORPORA, config_of


def text(path: Path, column: int = 1, head: int = 1) -> None:
    rows = [row.split(",") for row in path.read_text().splitlines()]
    for row in rows[head:]:
        row[column] = "nan"
    path.write_text("\n".join(map(",".join, rows)) + "\n")


def band(path: Path) -> None:
    text(path, 0, 2)


def wfdb16(path: Path) -> None:
    raw = path.read_bytes()
    head = 24 if path.suffix == ".mat" else 0
    path.write_bytes(raw[:head] + b"\0\x80" * ((len(raw) - head) // 2))


def wfdb212(path: Path) -> None:
    path.write_bytes(b"\0\x88\0" * (path.stat().st_size // 3))


def emptied(value):
    """Long arrays of numbers in structs, cells, lists and dicts, as NaN; times, in the first of few columns, stay."""
    if isinstance(value, dict):
        return {name: inner if name == "label" else emptied(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.names:
        return {name: emptied(value[name][0, 0]) for name in value.dtype.names}
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([emptied(inner) for inner in value.ravel()] + [None], object)[:-1].reshape(value.shape)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 200:
        rising = int(value.ndim == 2 and (np.diff(value[:, 0]) > 0).all())
        return np.where(np.arange(value.shape[-1]) < rising, value, value.dtype.type(np.nan))
    return value


def mat(path: Path) -> None:
    import scipy.io

    own = {name: emptied(value) for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")}
    scipy.io.savemat(path, own)


def pickled(path: Path) -> None:
    pickle_files.write(path, emptied(pickle.loads(path.read_bytes(), encoding="latin1")), 2)


def npz(path: Path) -> None:
    own = dict(np.load(io.BytesIO(path.read_bytes())))
    np.savez(path, **{**own, "segs": np.where(np.arange(4) == 1, np.nan, own["segs"])})


def hdf5(path: Path) -> None:
    import h5py

    with io.BytesIO(path.read_bytes()) as copy:  # a reader may have it open
        with h5py.File(copy, "r+") as file:
            file["tracings"][...] = np.nan
        path.write_bytes(copy.getvalue())


def poly5(path: Path) -> None:
    from tests.corpora import swell

    values_CT = swell.stored(1000, 0)
    values_CT[-1] = np.nan
    swell.write_poly5(path, values_CT)


BLANK = {
    "amigos": ("data_preprocessed/Data_Preprocessed_P08.mat", mat),
    "amigos_original": ("data_original/Data_Original_P12.mat", mat),
    "ascertain": ("ASCERTAIN_Raw/ECGData/Movie_P12/ECG_Clip7.mat", mat),
    "case": ("data/interpolated/physiological/sub_2.csv", text),
    "chapman": ("WFDBRecords/46/460/JS45551.mat", wfdb16),
    "code15": ("exams_part1/exams_part1.hdf5", hdf5),
    "csv": ("y.csv", text),
    "deap": ("s32.dat", pickled),
    "dreamer": ("DREAMER.mat", mat),
    "drivedb": ("drive01.dat", wfdb16),
    "empatica": ("p1/a/BVP.csv", band),
    "icentia11k": ("p01000/p01000_s03.dat", wfdb16),
    "kemocon": ("e4_data/1/E4_BVP.csv", text),
    "ludb": ("data/10.dat", wfdb16),
    "maus": ("MAUS/Data/Raw_data/002/inf_ecg.csv", text),
    "mimic_iv_ecg": ("files/p1000/p10000032/s40689238/40689238.dat", wfdb16),
    "mitdb": ("202.dat", wfdb212),
    "npz": ("b.npz", npz),
    "ppg_dalia": ("S15/S15.pkl", pickled),
    "pspm": ("Data/PsPM-FR_spike_01.mat", mat),
    "ptbxl": ("ptb-xl/1.0.3/records500/21000/21837_hr.dat", wfdb16),
    "qtdb": ("sele0104.dat", wfdb212),
    "stress_predict": ("Raw_data/S02/TEMP.csv", band),
    "swell": ("0 - Raw data/D - Physiology - raw data/Mobi signals (raw and filtered)/pp1_18-9-2012_c1.S00", poly5),
    "wesad": ("S10.pkl", pickled),
    "wfdb": ("p1/b.dat", wfdb16),
}


def test_every_data_set_is_here_whose_format_has_a_number_for_no_sample():
    assert BLANK.keys() == set(CORPORA) - {"edf", "eegmat", "synthetic"}


@pytest.mark.parametrize("name", BLANK)
def test_a_channel_of_nan_is_no_signal(name, tmp_path):
    corpus = importlib.import_module(f"tests.corpora.{name}").write(tmp_path)
    made = config_of(name)(**corpus.config).make()
    found = {key: made.load(key) for key in made.keys()}
    file, blank = BLANK[name]
    blank(tmp_path / file)
    changed = 0
    for key, before in found.items():
        try:
            after = made.load(key)
        except DataError as error:
            assert error.reason.endswith(("no samples", "all NaN")), error
            changed += 1
            continue
        prepared = preprocess.prepare_recording(after, preprocess.Config())
        for modality, signal in before.signals.items():
            if modality not in after.signals:
                assert after.events != before.events
                changed += 1
            elif not np.array_equal(after.signals[modality].samples_TC, signal.samples_TC, equal_nan=True):
                assert np.isnan(after.signals[modality].samples_TC[1:]).all(axis=0).any()
                assert modality not in prepared.signals
                changed += 1
    assert changed
