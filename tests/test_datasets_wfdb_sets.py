"""Sets that the WFDB reader and a config suffice for: which records there are, whose they are, and what is refused."""

import builtins
from pathlib import Path

import numpy as np
import pytest

from configs import prepare_chapman, prepare_icentia11k, prepare_ludb, prepare_mimic_iv_ecg, prepare_mitdb
from ecgjax.data.prepare import prepare
from ecgjax.datasets import wfdb
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, UserError
from tests.corpora import chapman, icentia11k, ludb, mimic_iv_ecg, mitdb
from tests.fixtures import WfdbSignal, wave, write_wfdb, write_wfdb_segments

II = [WfdbSignal("II", wave(50))]


def made(config_file, root, **fields):
    config = config_file.get_config().dataset
    config.root = str(root)
    for name, value in fields.items():
        setattr(config, name, value)
    return config.make()


def reason_of(dataset, key) -> str:
    with pytest.raises(DataError) as caught:
        dataset.load(key)
    return caught.value.reason


def test_mimic_s_leads_are_found_by_name_and_people_by_path(tmp_path):
    mimic_iv_ecg.write(tmp_path)
    dataset = made(prepare_mimic_iv_ecg, tmp_path, channels=Channels(ecg=("aVL", "aVF")))
    key = "files/p1000/p10000117/s45090959/45090959"
    recording = dataset.load(key)
    expected_TC = np.stack([wave(500, seed=45), wave(500, seed=44)], axis=1) / 200
    np.testing.assert_allclose(recording.signals["ecg"].samples_TC, expected_TC, rtol=1e-6)
    assert (recording.subject, recording.session) == ("p10000117", "s45090959")
    assert recording.start_time == "2180-09-18T09:54:00"
    (tmp_path / "RECORDS").write_text(f"{key}\nfiles/p1000/p10000032/s40689238/40689238\n")
    assert dataset.keys() == ("files/p1000/p10000032/s40689238/40689238", key)
    flat = made(prepare_mimic_iv_ecg, (tmp_path / key).parent)
    assert reason_of(flat, "45090959") == "no subject"


def test_mimic_s_missing_lead_is_missing_samples_and_a_counted_drop(tmp_path):
    mimic_iv_ecg.write(tmp_path)
    preparation = prepare_mimic_iv_ecg.get_config()
    preparation.dataset.root, preparation.workers = str(tmp_path), 1
    preparation.dataset.channels = Channels(ecg=("V3",))
    preparation.preprocess.ecg.gate.min_similarity = preparation.preprocess.ecg.gate.min_prominence = 0.0
    manifest = prepare(preparation, tmp_path / "store")
    (told,) = manifest["skipped_files"]["no good signal"]
    assert "s44458630" in told and "non finite" in told
    assert manifest["subjects"] == ["p10000032", "p10000117"]


@pytest.mark.parametrize("folders", [True, False])
def test_icentia_s_people_have_sessions(tmp_path, folders):
    icentia11k.write(tmp_path)
    root = tmp_path if folders else tmp_path / "p00"
    dataset = made(prepare_icentia11k, root)
    people = {key: (r.subject, r.session) for key in dataset.keys() for r in [dataset.load(key)]}
    expected = {"p00000/p00000_s00": ("p00000", "s00"), "p00000/p00000_s01": ("p00000", "s01")}
    expected |= {"p00001/p00001_s02": ("p00001", "s02")}
    if folders:
        expected = {f"p00/{key}": value for key, value in expected.items()} | {"p01000/p01000_s03": ("p01000", "s03")}
    assert people == expected
    part = made(prepare_icentia11k, root, records="_s0[0-1]$")
    assert [key[-3:] for key in part.keys()] == ["s00", "s01"]


def test_chapman_s_matlab_files_dates_and_missing_samples(tmp_path):
    chapman.write(tmp_path)
    dataset = made(prepare_chapman, tmp_path)
    recording = dataset.load("WFDBRecords/01/010/JS10647")
    assert recording.start_time == ""  # 23-Mar-2021 is none of WFDB's dates
    assert np.flatnonzero(np.isnan(recording.signals["ecg"].samples_TC[:, 0])).tolist() == list(range(200, 210))
    assert recording.sources == ("WFDBRecords/01/010/JS10647.hea", "WFDBRecords/01/010/JS10647.mat")


def test_chapman_s_missing_headers_are_counted_with_and_without_a_list(tmp_path):
    chapman.write(tmp_path)
    folder, gone = tmp_path / "WFDBRecords/01/010", "WFDBRecords/01/010/JS10647"
    (tmp_path / f"{gone}.hea").unlink()
    (folder / "notes.dat").write_text("no signal of any kind that headers name here")
    dataset = made(prepare_chapman, tmp_path)
    assert dataset.keys() == ("WFDBRecords/01/010/JS00001", gone, "WFDBRecords/46/460/JS45551")
    assert reason_of(dataset, gone) == "missing header"
    (tmp_path / "RECORDS").write_text("WFDBRecords/01/010/\n")
    (folder / "RECORDS").write_text("JS00001\nJS10647\n")
    assert dataset.keys() == ("WFDBRecords/01/010/JS00001", gone)


def test_mit_bih_s_people_are_47_and_leads_have_names(tmp_path):
    mitdb.write(tmp_path)
    dataset = made(prepare_mitdb, tmp_path, leads=wfdb.Leads.ALL)
    people = {key: dataset.load(key).subject for key in dataset.keys()}
    assert people == {
        "100#MLII": "100", "100#V1": "100", "114#MLII": "114", "114#V5": "114", "201#MLII": "20", "201#V1": "20",
        "202#MLII": "20", "202#V1": "20",
    }  # fmt: skip


def test_ludb_s_people_are_those_it_says(tmp_path):
    dataset = made(prepare_ludb, tmp_path)
    for record in ludb.write(tmp_path).recordings:
        assert dataset.load(record).subject in prepare_ludb.ABOUT.subjects


def test_headers_are_opened_only_where_one_may_name_another(tmp_path, monkeypatch):
    """The list of 800,000 records that lie alone in their folders takes no reading of 800,000 files."""
    mimic_iv_ecg.write(tmp_path)
    for name in ("a", "b"):
        write_wfdb(tmp_path / "more", name, II)
    write_wfdb_segments(tmp_path / "more", "m", [("a", 50), ("b", 50)], 1, "250 ")
    opened, real = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, *args, **kw: opened.append(path.name) or real(path, *args, **kw))
    monkeypatch.setattr(builtins, "open", None)
    keys = wfdb.Config(root=str(tmp_path)).make().keys()
    assert len(keys) == 4 and keys[-1] == "more/m"
    assert sorted(opened) == ["a.hea", "b.hea", "m.hea"]


def test_headers_with_signals_of_their_own_name_are_not_opened(tmp_path, monkeypatch):
    """541,794 segments of Icentia, and 45,152 records of Chapman, lie many to a folder."""
    expected = {*icentia11k.write(tmp_path).recordings, *chapman.write(tmp_path).recordings}
    monkeypatch.setattr(Path, "open", None)
    monkeypatch.setattr(builtins, "open", None)
    assert wfdb.Config(root=str(tmp_path)).make().keys() == tuple(sorted(expected))


def test_a_list_may_name_folders_without_lists(tmp_path):
    keys = tuple(sorted(icentia11k.write(tmp_path).recordings))
    (tmp_path / "RECORDS").write_text("p00/p00000/\np00/p00001/\np01000/\np99/\n")
    (tmp_path / "p99").mkdir()
    dataset = made(prepare_icentia11k, tmp_path)
    assert dataset.keys() == (*keys, "p99")
    assert reason_of(dataset, "p99") == "missing header"


def test_chapman_s_headers_that_lost_the_end_of_their_first_line(tmp_path):
    """JS01052 and JS23074: the first line runs into the first signal's, so there are eleven."""
    key = chapman.write(tmp_path).breakable.removesuffix(".mat")
    header = tmp_path / f"{key}.hea"
    first, signal, *rest = header.read_text().split("\n")
    header.write_text("\n".join([first + signal.partition("1000/mV")[2].join(("00/mV", "")), *rest]))
    assert header.read_text().startswith("JS45551 12 500 50000/mV 16 0 ")
    dataset = made(prepare_chapman, tmp_path)
    assert key in dataset.keys() and reason_of(dataset, key) == "unreadable header"


def test_a_signal_file_alone_is_a_record_only_where_headers_name_its_kind(tmp_path):
    write_wfdb(tmp_path / "a", "1", II)
    write_wfdb(tmp_path / "a", "2", [WfdbSignal("II", wave(50), file="shared.dat")])
    for name in ("a/lone.dat", "a/features.mat", "b/other.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    dataset = wfdb.Config(root=str(tmp_path)).make()
    assert dataset.keys() == ("a/1", "a/2", "a/lone")
    assert reason_of(dataset, "a/lone") == "missing header"


def test_records_that_are_wanted(tmp_path):
    for name in ("a1", "a2", "b1"):
        write_wfdb(tmp_path, name, II)
    for pattern, keys in (("1$", ("a1", "b1")), ("^a", ("a1", "a2"))):
        assert wfdb.Config(root=str(tmp_path), records=pattern).make().keys() == keys
    (tmp_path / "RECORDS").write_text("a2\nb1\n")
    assert wfdb.Config(root=str(tmp_path), records="1$").make().keys() == ("b1",)
    for pattern, message in (("c", r"dataset\.records=c: give a regex that occurs"), ("(", "no regular expression")):
        with pytest.raises(UserError, match=message):
            wfdb.Config(root=str(tmp_path), records=pattern).make().keys()


@pytest.mark.parametrize("line", ["./", "a/../../b", "/etc/passwd", "s3:bucket/r", "..", ".", "a//b", "a\0b"])
def test_a_list_that_leads_out_of_its_folder_is_refused(tmp_path, line):
    write_wfdb(tmp_path, "r", II)
    (tmp_path / "RECORDS").write_text(f"r\n{line}\n")
    with pytest.raises(UserError, match="leads out of the folder"):
        wfdb.Config(root=str(tmp_path)).make().keys()


def test_names_too_long_for_the_disk_are_missing(tmp_path):
    write_wfdb(tmp_path, "r", II)
    (tmp_path / "RECORDS").write_text(f"r\n{'s' * 300}\n{'t' * 300}/\n")
    made = wfdb.Config(root=str(tmp_path)).make()
    assert made.keys() == ("r", "s" * 300, "t" * 300) and made.load("r")
    assert reason_of(made, "s" * 300) == reason_of(made, "t" * 300) == "missing header"


@pytest.mark.parametrize("name", ["s3://b/r.dat", "~/r.dat", "a/r.dat", "..", "gs:r.dat", "\\\\host\\r.dat", "-"])
def test_a_header_that_names_a_file_elsewhere_is_refused(tmp_path, name):
    write_wfdb(tmp_path, "r", II)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "r.dat").write_bytes((tmp_path / "r.dat").read_bytes())
    (tmp_path / "r.hea").write_text(f"r 1 250 50\n{name} 16 200 12 0 0 0 0 II\n")
    assert reason_of(wfdb.Config(root=str(tmp_path)).make(), "r") in ("unreadable header", "missing signal file")


def test_no_memory_is_taken_for_what_a_header_promises(tmp_path, monkeypatch):
    write_wfdb(tmp_path, "r", II)
    (tmp_path / "r.hea").write_text("r 1 250 200000000\nr.dat 16 200 12 0 0 0 0 II\n")
    monkeypatch.setattr(np, "full", None)
    assert reason_of(wfdb.Config(root=str(tmp_path)).make(), "r") == "truncated"
    write_wfdb_segments(tmp_path, "m", [("r", 50), ("~", 2**28)], 1, "250 ")
    (tmp_path / "r.hea").write_text("r 1 250 50\nr.dat 16 200 12 0 0 0 0 II\n")
    assert reason_of(wfdb.Config(root=str(tmp_path)).make(), "m") == "too long"
    (tmp_path / "r.hea").write_bytes(b"#" * (2**22 + 1))
    assert reason_of(wfdb.Config(root=str(tmp_path)).make(), "r") == "too large"
