"""A recording is read in a small multiple of its own size: long ones of every format, with what Python traces.

Its size is that of the numbers in its file, or in its part of an HDF5 file, as doubles.
"""

import importlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import (
    amigos,
    amigos_original,
    ascertain,
    case,
    code15,
    csv,
    deap,
    dreamer,
    drivedb,
    edf,
    empatica,
    kemocon,
    maus,
    npz,
    ppg_dalia,
    pspm,
    swell,
    wesad,
    wfdb,
)  # fmt: skip
from ecgjax.datasets.base_chest_wrist import Device
from tests import chest_wrist, fixtures, pickle_files
from tests.readers import CORPORA

N = 30_000  # samples or so


def corpus(name: str):
    return importlib.import_module(f"tests.corpora.{name}")


def long_wave(num: int) -> np.ndarray:
    return np.resize(fixtures.wave(997), num)


def write_wfdb(folder: Path) -> int:
    fixtures.write_wfdb(folder, "a", [fixtures.WfdbSignal("ECG", long_wave(5 * N))], "250")
    return 5 * N


def write_wfdb_8(folder: Path) -> int:
    small = np.resize(fixtures.wave(997, 60), N)
    fixtures.write_wfdb(folder, "a", [fixtures.WfdbSignal("ECG", small, "8")], "250")
    return N


def write_edf(folder: Path) -> int:
    fixtures.write_edf(folder / "a.edf", [fixtures.EdfChannel("ECG", long_wave(5 * N).reshape(-1, 1000))])
    return 5 * N


def write_csv(folder: Path) -> int:
    rows = "".join(f"{i / 125:.3f},{i % 997}\n" for i in range(N))
    (folder / "a.csv").write_text("time (s),Lead II (uV)\n" + rows)
    return 2 * N


def write_parquet(folder: Path) -> int:
    pytest.importorskip("pyarrow")
    import pandas

    pandas.DataFrame({"time (s)": np.arange(N) / 125, "Lead II (uV)": long_wave(N)}).to_parquet(folder / "a.parquet")
    return 2 * N


def write_npz(folder: Path) -> int:
    segs = np.resize(fixtures.wave(997) / 100, (N, 3))
    np.savez(
        folder / "a.npz", segs=segs, subject="p", channel_names=["EDA", "BVP", "TEMP"], fs=4.0, units=["uS", "", "degC"]
    )
    return 3 * N


def write_amigos(folder: Path) -> int:
    own = corpus("amigos")
    trials = [own.trial(i, N / 128 / 4) for i in range(4)]
    parts = [own.answers(0)] * 4, [own.segments(0, 2)] * 4
    own.write_person(folder / "Data_Preprocessed_P01.mat", own.SHORT[:4], trials, *parts)
    return 17 * N


def write_amigos_original(folder: Path) -> int:
    own = corpus("amigos_original")
    trials = [own.trial(i, N / 256 / 4) for i in range(4)]
    own.write_person(folder / "Data_Original_P03.mat", trials, own.seen(3)[:4])
    own.write_table(folder / "SelfAsessment.xlsx", [])
    return 6 * N


def write_ascertain(folder: Path) -> int:
    own = corpus("ascertain")
    own.write_clip(folder, "ECG", 1, 1, own.ecg(1, False, N / 256), 7.5)
    own.write_ratings(folder, own.all_ratings())
    return 3 * N


def write_case(folder: Path) -> int:
    own = corpus("case")
    times_s = np.arange(N // 4) / 1000
    own.write_raw(folder, 1, times_s, times_s[::50])
    own.write_metadata(folder)
    return 9 * N // 4


def write_case_table(folder: Path) -> int:
    own = corpus("case")
    times_s = np.arange(N // 4) / 1000
    own.write_processed(folder, 1, times_s, times_s[::50], "interpolated")
    return 10 * N // 4


def write_code15(folder: Path) -> int:
    own = corpus("code15")
    own.write_part(folder / "exams_part0.hdf5", tuple(range(1, 101)), [own.tracing(0, 4096)] * 100)
    rows = [f"{i},38,True,40.16,False,False,False,False,True,True,{i},,,False,exams_part0.hdf5" for i in range(1, 101)]
    (folder / "exams.csv").write_text("\n".join([own.COLUMNS, *rows]) + "\n")
    return 4096 * 12


def write_deap(folder: Path) -> int:
    pickle_files.write(
        folder / "s01.dat",
        {name: np.resize(a, (8, *a.shape[1:])) for name, a in corpus("deap").person(1, 2, 63).items()},
        2,
    )
    return 8 * 40 * 8064


def write_deap_mat(folder: Path) -> int:
    import scipy.io

    own = {name: np.resize(a, (8, *a.shape[1:])) for name, a in corpus("deap").person(1, 2, 63).items()}
    scipy.io.savemat(folder / "s01.mat", own, do_compression=True)
    return 8 * 40 * 8064


def write_dreamer(folder: Path) -> int:
    own = corpus("dreamer")
    own.write_file(folder / "DREAMER.mat", [own.person(1, 60.0)])
    return 2 * 36 * 60 * 256


def write_drivedb(folder: Path) -> int:
    columns = {"foot GSR(mV)": long_wave(N // 2) / 1000, "RESP(mV)": long_wave(N // 2) / 10}
    corpus("drivedb").write_table(folder / "drive10.csv", columns)
    return 3 * N // 2


def write_e4(folder: Path) -> int:
    fixtures.write_e4(folder / "p1", 1644226061, N / 64)
    return N * (64 + 3 * 32 + 4 + 4) // 64


def write_kemocon(folder: Path) -> int:
    own = corpus("kemocon")
    own.write_e4(folder, 1, "BVP", N / 64)
    own.write_subjects(folder, [1], (1.0, 4.0, 2400.0))
    return 2 * N


def write_maus(folder: Path) -> int:
    own = corpus("maus")
    own.write_columns(folder / "002" / "inf_ecg.csv", {header: long_wave(N // 4) / 1000 for header in own.TRIALS})
    return 6 * N // 4


def write_dalia(folder: Path) -> int:
    belt = {name: np.resize(samples, (N, samples.shape[1])) for name, samples in chest_wrist.person(2.0).chest.items()}
    tree = {
        "signal": {"chest": belt, "wrist": {}},
        "label": np.full(100, 70.0),
        "activity": np.zeros((4 * N // 700, 1)),
    }
    pickle_files.write(folder / "S1" / "S1.pkl", {**tree, "subject": "S1"}, 0)
    return 8 * N


def write_belt(folder: Path) -> int:
    own = chest_wrist.person(2.0)
    tree = {"signal": {"chest": own.chest, "wrist": own.wrist}, "label": np.ones(1400, "<i4"), "subject": "S2"}
    pickle_files.write(folder / "S2" / "S2.pkl", tree, 2)
    corpus("wesad").write_belt(folder / "S2" / "S2_respiban.txt", np.resize(own.counts, (N // 4, 8)))
    return 10 * N // 4


def write_wesad(folder: Path) -> int:
    belt = {name: np.resize(samples, (N, samples.shape[1])) for name, samples in chest_wrist.person(2.0).chest.items()}
    tree = {"signal": {"chest": belt, "wrist": {}}, "label": np.ones(N, "<i4"), "subject": "S2"}
    pickle_files.write(folder / "S2" / "S2.pkl", tree, 0)
    return 9 * N


def write_pspm(folder: Path) -> int:
    own = corpus("pspm")
    infos = {"duration": 5 * N / 200, "sourcetype": "spike", "importdate": "06-Nov-2021"}
    own.write_file(folder / "PsPM-FR_spike_01.mat", [own.channel("ecg", long_wave(5 * N)[:, None], 200.0, "mV")], infos)
    return 5 * N


def write_swell(folder: Path) -> int:
    values_CT = np.resize(corpus("swell").stored(997, 1), (8, N)).astype(np.float32)
    corpus("swell").write_poly5(folder / "pp1_18-9-2012_c1.S00", values_CT)
    return 8 * N


CASES: dict[str, tuple[Callable, object]] = {
    "amigos": (write_amigos, amigos.Config()),
    "amigos_original": (write_amigos_original, amigos_original.Config()),
    "ascertain": (write_ascertain, ascertain.Config()),
    "case": (write_case, case.Config()),
    "case table": (write_case_table, case.Config()),
    "code15": (write_code15, code15.Config()),
    "csv": (write_csv, csv.Config()),
    "csv parquet": (write_parquet, csv.Config()),
    "deap pickle": (write_deap, deap.Config(num_trials=8)),
    "deap mat": (write_deap_mat, deap.Config(num_trials=8)),
    "dreamer": (write_dreamer, dreamer.Config(num_people=1)),
    "drivedb": (write_drivedb, drivedb.Config()),
    "edf": (write_edf, edf.Config()),
    "empatica": (write_e4, empatica.Config()),
    "kemocon": (write_kemocon, kemocon.Config()),
    "maus": (write_maus, maus.Config()),
    "npz": (write_npz, npz.Config()),
    "ppg_dalia": (write_dalia, ppg_dalia.Config(device=Device.CHEST)),
    "pspm": (write_pspm, pspm.Config()),
    "swell": (write_swell, swell.Config()),
    "wesad": (write_wesad, wesad.Config()),
    "wesad belt": (write_belt, wesad.Config(source=wesad.Source.RAW)),
    "wfdb": (write_wfdb, wfdb.Config()),
    "wfdb differences": (write_wfdb_8, wfdb.Config()),
}
AS = {"eegmat": "edf", "stress_predict": "empatica"}  # whose files another data set's reading is the same of
AS |= dict.fromkeys(("chapman", "icentia11k", "ludb", "mimic_iv_ecg", "mitdb", "ptbxl", "qtdb"), "wfdb")


def test_every_data_set_is_here_or_is_read_as_another_one():
    here = {name.split()[0] for name in CASES}
    assert here.isdisjoint(AS) and here.issuperset(AS.values())
    assert here | AS.keys() == set(CORPORA) - {"synthetic"}, "it has no files"


@pytest.mark.parametrize("name", CASES)
def test_a_long_recording_takes_a_small_multiple_of_its_size(name, tmp_path):
    write, config = CASES[name]
    numbers = write(tmp_path)
    config.root = str(tmp_path)
    made = config.make()
    keys = made.keys()
    for library in ("edfio", "h5py", "pandas", "scipy.io", "wfdb"):  # whose own code is none of ours
        importlib.import_module(library)
    tracemalloc.start()
    try:
        recording = made.load(keys[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert recording.signals and peak < (1 << 20) + 6 * 8 * numbers, (peak, numbers)
