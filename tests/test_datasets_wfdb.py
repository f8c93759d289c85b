"""WFDB records: formats, rates, segments, missing samples, header quirks, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import base_wfdb, wfdb
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, UserError
from tests import fixtures
from tests.fixtures import WfdbSignal, wave, write_wfdb, write_wfdb_segments

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "qtdb").is_dir(), reason="shared/data is not here")


def load(root, **fields):
    made = wfdb.Config(root=str(root), **fields).make()
    (key,) = made.keys()
    return made.load(key)


def refused(root, **fields):
    """The reason for which a folder of one record cannot be read."""
    with pytest.raises(DataError) as caught:
        load(root, **fields)
    return caught.value.reason


@pytest.mark.parametrize("fmt", ["8", "16", "24", "32", "61", "80", "160", "212"])
def test_every_format_gives_physical_values(tmp_path, fmt):
    digital = np.clip(wave(301), -100, 100)
    if fmt == "8":
        digital = np.cumsum(np.clip(np.diff(digital, prepend=0), -100, 100))
    write_wfdb(tmp_path, "r", [WfdbSignal("II", digital, fmt, gain="400(-7)/uV")])
    signal = load(tmp_path).signals["ecg"]
    np.testing.assert_allclose(signal.samples_TC[:, 0], (digital + 7) / 400 / 1000, rtol=1e-6)
    assert (signal.unit, signal.rate_hz, signal.samples_TC.dtype) == ("mV", 250.0, np.float32)


@pytest.mark.parametrize(
    "fmt, code", [("80", -128), ("212", -2048), ("16", -32768), ("24", -(2**23)), ("32", -(2**31))]
)
def test_the_code_for_no_sample_is_nan(tmp_path, fmt, code):
    digital = np.full(100, 5)
    digital[40:43] = code
    write_wfdb(tmp_path, "r", [WfdbSignal("II", digital, fmt)])
    missing = np.isnan(load(tmp_path).signals["ecg"].samples_TC[:, 0])
    assert np.flatnonzero(missing).tolist() == [40, 41, 42]


def test_large_offsets_keep_their_small_signal(tmp_path):
    digital = 2**30 + wave(200, 50)
    write_wfdb(tmp_path, "r", [WfdbSignal("II", digital, "32", gain=f"10({2**30})/mV")])
    np.testing.assert_allclose(load(tmp_path).signals["ecg"].samples_TC[:, 0], wave(200, 50) / 10, rtol=1e-6)


def test_block_by_block_equals_at_once(tmp_path, monkeypatch):
    signals = [WfdbSignal("II", wave(3001 * 2), "212", per_frame=2, skew=3), WfdbSignal("V", wave(3001), "212")]
    write_wfdb(tmp_path, "r", signals)
    whole = load(tmp_path).signals["ecg"].samples_TC
    monkeypatch.setattr(base_wfdb, "_BLOCK_SAMPLES", 1000)
    np.testing.assert_array_equal(load(tmp_path).signals["ecg"].samples_TC, whole)
    assert np.isfinite(whole[:-6]).all()
    np.testing.assert_allclose(whole[:-6, 0], wave(6002)[6:] / 200, rtol=1e-6)  # moved by three frames of two
    assert np.isnan(whole[-6:]).all()


@pytest.mark.parametrize(
    "names, picked",
    [
        (["V5", "MLII"], "MLII"), (["I", "ii"], "ii"), (["aVR", "Lead II"], "Lead II"), (["ABP", "V1", "V2"], "V1"),
        (["III", "aVF"], "III"), (["RESP", "ECG2", "ECG1"], "ECG1"), (["EEG", "EKG"], "EKG"), (["D4", "D3"], "D4"),
        (["V2-V3", "V4-V5"], "V2-V3"), (["EEG Fp1", "mod.V1"], "mod.V1"), (["RESP", "col 0"], "col 0"),
    ],
)  # fmt: skip
def test_the_best_lead_is_picked_by_its_name(tmp_path, names, picked):
    write_wfdb(tmp_path, "r", [WfdbSignal(name, wave(50)) for name in names])
    recording = load(tmp_path)
    assert recording.signals["ecg"].channels == (picked,)
    assert recording.events == (("ecg_channel_guessed",) if picked == "col 0" else ())


def test_chosen_channels_in_the_order_chosen(tmp_path):
    write_wfdb(tmp_path, "r", [WfdbSignal(name, wave(50, seed=i)) for i, name in enumerate(["I", "II", "V5"])])
    signal = load(tmp_path, channels=Channels(ecg=("v5", "I"))).signals["ecg"]
    assert signal.channels == ("V5", "I")
    np.testing.assert_allclose(signal.samples_TC, np.stack([wave(50, seed=2), wave(50, seed=0)], 1) / 200, rtol=1e-6)
    with pytest.raises(DataError, match=r"'V9' is not among its channels: I, II, V5\. .*channels\.ecg"):
        load(tmp_path, channels=Channels(ecg=("V9",)))


def test_channels_of_two_rates_are_not_one_signal(tmp_path):
    write_wfdb(tmp_path, "r", [WfdbSignal("I", wave(100), per_frame=2), WfdbSignal("II", wave(50))])
    assert refused(tmp_path, channels=Channels(ecg=("I", "II"))) == "channels do not go together"


def test_every_lead_its_own_recording(tmp_path):
    names = ["II", "RESP", "V1", "V1"]
    write_wfdb(tmp_path, "r", [WfdbSignal(name, wave(50, seed=i)) for i, name in enumerate(names)])
    made = wfdb.Config(root=str(tmp_path), leads=wfdb.Leads.ALL).make()
    assert made.keys() == ("r#II", "r#V1", "r#V1.3")
    last = made.load("r#V1.3")
    assert last.subject == "r"
    np.testing.assert_allclose(last.signals["ecg"].samples_TC[:, 0], wave(50, seed=3) / 200, rtol=1e-6)
    only = wfdb.Config(root=str(tmp_path), leads=wfdb.Leads.ALL, channels=Channels(ecg=("ii",))).make()
    assert only.keys() == ("r#II",)


def test_a_modality_that_is_not_there_is_left_out_but_not_all(tmp_path):
    write_wfdb(tmp_path, "r", [WfdbSignal("RESP", wave(50), gain="10/NU"), WfdbSignal("ABP", wave(50), gain="9/mmHg")])
    assert load(tmp_path, modalities=("ecg", "resp")).signals.keys() == {"resp"}
    with pytest.raises(DataError, match="no ecg channel. Its channels are RESP, ABP"):
        load(tmp_path)
    with pytest.raises(UserError, match='Did you mean "resp"'):
        load(tmp_path, modalities=("resq",))


def test_segments_one_after_the_other_with_a_gap(tmp_path):
    for seed, name in enumerate(("a", "b")):
        write_wfdb(tmp_path, name, [WfdbSignal("V", wave(60)), WfdbSignal("II", wave(60, seed=seed), gain="200/uV")])
    write_wfdb_segments(tmp_path, "m", [("a", 60), ("~", 30), ("b", 60)], 2, "250 ")
    recording = load(tmp_path)  # the segments themselves are not listed beside it
    samples = recording.signals["ecg"].samples_TC[:, 0]
    expected = np.concatenate([wave(60, seed=0), np.full(30, np.nan), wave(60, seed=1)]) / 200 / 1000
    np.testing.assert_allclose(samples, expected, rtol=1e-6)
    assert recording.sources == ("m.hea", "a.hea", "b.hea", "a.dat", "b.dat")


def test_segments_whose_signals_come_and_go(tmp_path):
    write_wfdb(tmp_path, "a", [WfdbSignal("II", wave(60), gain="100/mV")])
    write_wfdb(tmp_path, "b", [WfdbSignal("V", wave(60))])
    write_wfdb(tmp_path, "c", [WfdbSignal("V", wave(60)), WfdbSignal("II", wave(60, seed=2))])
    (tmp_path / "layout.hea").write_text("layout 2 250 0\n~ 0 200/mV 0 0 0 0 0 II\n~ 0 200/mV 0 0 0 0 0 V\n")
    write_wfdb_segments(tmp_path, "m", [("layout", 0), ("a", 60), ("b", 60), ("c", 60)], 2, "250 ")
    expected = np.concatenate([wave(60) / 100, np.full(60, np.nan), wave(60, seed=2) / 200])
    np.testing.assert_allclose(load(tmp_path).signals["ecg"].samples_TC[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("rate", ["250", "250/360", "250/360(12)", "250/360(-0.5)"])
def test_counter_frequency_is_not_the_rate(tmp_path, rate):
    write_wfdb(tmp_path, "r", [WfdbSignal("II", wave(50), gain="200(0)")], rate)
    assert load(tmp_path).signals["ecg"].rate_hz == 250


def test_start_time_where_the_header_has_date_and_time(tmp_path):
    write_wfdb(tmp_path, "r", [WfdbSignal("II", wave(50))], tail=" 17:27:45 15/08/1994")
    assert load(tmp_path).start_time == "1994-08-15T17:27:45"
    write_wfdb(tmp_path, "r", [WfdbSignal("II", wave(50))], tail=" 17:27:45")
    assert load(tmp_path).start_time == ""


def test_length_and_gain_may_be_left_out(tmp_path):
    write_wfdb(tmp_path, "r", [WfdbSignal("II", wave(51), "212")])
    (tmp_path / "r.hea").write_text("r 1\nr.dat 212 0 12 0 0 0 0 II\n")
    signal = load(tmp_path).signals["ecg"]
    assert signal.rate_hz == 250  # WFDB's defaults: 250 Hz, 200 units a mV
    np.testing.assert_allclose(signal.samples_TC[:, 0], wave(51) / 200, rtol=1e-6)


@pytest.mark.parametrize(
    "header, reason",
    [
        ("", "unreadable header"), ("# nothing\n", "unreadable header"), ("r x 250 50\n", "unreadable header"),
        ("r 0 250 50\n", "header without signal"), ("r 1 250 0\nr.dat 16 200 12 0 0 0 0 II\n", "no samples"),
        ("r 1 0 50\nr.dat 16 200 12 0 0 0 0 II\n", "no sampling rate"),
        ("r 1 250 51\nr.dat 16 200 12 0 0 0 0 II\n", "truncated"),
        ("r 1 250 50\ns.dat 16 200 12 0 0 0 0 II\n", "missing signal file"),
        (f"r 1 250 50\n{'s' * 300}.dat 16 200 12 0 0 0 0 II\n", "missing signal file"),
        (f"r/1 1 250 50\n{'s' * 300} 50\n", "missing header"),
        ("r 1 250 50\n../r.dat 16 200 12 0 0 0 0 II\n", "unreadable header"),
        ("r 1 250 50\n/etc/passwd 16 200 12 0 0 0 0 II\n", "unreadable header"),
        ("r 1 250 50\nhttp://x/r.dat 16 200 12 0 0 0 0 II\n", "unreadable header"),
        ("r/1 1 250 50\n../r 50\n", "unreadable header"), ("r/1 1 250 50\ns 50\n", "missing header"),
        ("r 2 250 25\nr.dat 16 200 12 0 0 0 0 II\nr.dat 80 200 12 0 0 0 0 V\n", "unreadable header"),
        ("r 1 250\n", "unreadable header"), ("r 2 250 25\nr.dat 16 200 12 0 0 0 0 II\n", "unreadable header"),
        ("r 1 250 25\nr.dat 16 200 12 0 0 0 0 II\nr.dat 16 200 12 0 0 0 0 V\n", "unreadable header"),
        ("r 1 250 50\nr.dat 516 200 12 0 0 0 0 II\n", "unreadable signal file"),
    ],
)  # fmt: skip
def test_headers_that_are_refused(tmp_path, header, reason):
    write_wfdb(tmp_path, "r", [WfdbSignal("II", wave(50))])
    (tmp_path / "r.hea").write_text(header)
    assert refused(tmp_path) == reason


def test_a_header_that_cannot_be_opened_spoils_only_its_record(tmp_path):
    for record in ("a", "b"):
        write_wfdb(tmp_path, record, [WfdbSignal("II", wave(50))])
    (tmp_path / "a.hea").unlink()
    (tmp_path / "a.hea").symlink_to(tmp_path / "gone")
    made = wfdb.Config(root=str(tmp_path)).make()
    assert made.keys() == ("a", "b") and made.load("b")
    with pytest.raises(DataError, match="missing header"):
        made.load("a")


def test_records_file_is_honoured_and_may_nest(tmp_path):
    for record in ("a/1", "a/2", "b"):
        write_wfdb(tmp_path / record.rpartition("/")[0], record[-1], [WfdbSignal("II", wave(50))])
    (tmp_path / "RECORDS").write_text("b\na/\n")
    (tmp_path / "a" / "RECORDS").write_text("2\r\n")
    assert wfdb.Config(root=str(tmp_path)).make().keys() == ("a/2", "b")
    (tmp_path / "RECORDS").write_text("../b\n")
    with pytest.raises(UserError, match="leads out"):
        wfdb.Config(root=str(tmp_path)).make().keys()


@pytest.mark.parametrize("root", ["r", "r.hea", "r.dat"])
def test_one_record_as_root(tmp_path, root):
    write_wfdb(tmp_path, "r", [WfdbSignal("II", wave(50))])
    write_wfdb(tmp_path, "other", [WfdbSignal("II", wave(50))])
    assert load(tmp_path / root).key == "r"
    (tmp_path / "r").mkdir()
    assert load(tmp_path / root).key == "r"


def test_subjects_from_the_path(tmp_path):
    write_wfdb(tmp_path / "patient007", "s1", [WfdbSignal("II", wave(50))])
    assert load(tmp_path).subject == "s1"
    assert load(tmp_path, subject=r"patient(\d+)/").subject == "007"
    assert refused(tmp_path, subject="person") == refused(tmp_path, subject="(p)x|s1") == "no subject"
    with pytest.raises(UserError, match=r"dataset.subject: \"\(\" is no regular expression"):
        load(tmp_path, subject="(")


@needs_data
@pytest.mark.parametrize(
    "record", ["qtdb/sel100", "wfdb_formats/310derive", "wfdb_formats/03700181", "drivedb/drive17a"]
)
def test_real_records_equal_wfdbs_own_reading(record):
    import wfdb as package

    modalities = ("ecg", "resp", "emg", "eda")
    signals = load(DATA / record, modalities=modalities).signals
    own = package.rdrecord(str(DATA / record), smooth_frames=False)
    for signal in signals.values():
        i = own.sig_name.index(signal.channels[0])
        np.testing.assert_allclose(signal.samples_TC[:, 0], own.e_p_signal[i], rtol=1e-6, atol=1e-6)
        assert signal.rate_hz == own.fs * own.samps_per_frame[i]


@needs_data
def test_all_real_records_load():
    made = wfdb.Config(root=str(DATA / "wfdb_formats")).make()
    assert {key: made.load(key).signals["ecg"].channels[0] for key in made.keys()} == {
        "03700181": "MCL1", "100": "MLII", "3000003_0003": "II", "310derive": "col 0", "s0010_re": "ii", "v102s": "II",
    }  # fmt: skip
    assert len(wfdb.Config(root=str(DATA / "qtdb")).make().keys()) == 105


def test_writers_and_the_wfdb_package_agree(tmp_path):
    """The fixtures stand on the format alone; this one keeps them honest."""
    import wfdb as package

    for fmt in ("16", "24", "80", "212"):
        write_wfdb(
            tmp_path, "r", [WfdbSignal("II", np.clip(wave(33), -90, 90), fmt), WfdbSignal("V", wave(33, 90), fmt)]
        )
        own = package.rdrecord(str(tmp_path / "r"), physical=False)
        np.testing.assert_array_equal(own.d_signal, np.stack([np.clip(wave(33), -90, 90), wave(33, 90)], 1))
    assert fixtures.wave(3).dtype == np.int64
