"""PTB-XL: whose a record is, what its codes say and that they are not run, both rates, and tables that are damaged."""

from pathlib import Path

import numpy as np
import pytest

from configs import prepare_ptbxl
from ecgjax.data.prepare import prepare
from ecgjax.datasets import ptbxl
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, UserError
from tests.corpora import ptbxl as corpus
from tests.fixtures import WfdbSignal, wave, write_wfdb


@pytest.fixture
def folder(tmp_path):
    corpus.write(tmp_path)
    return tmp_path / "ptb-xl" / "1.0.3"


def load(folder, key="00001", **fields):
    return ptbxl.Config(root=str(folder), **fields).make().load(key)


def change(folder, old, new, file="ptbxl_database.csv"):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))


def reason_of(folder, key="00001", **fields):
    with pytest.raises(DataError) as caught:
        load(folder, key, **fields)
    return caught.value.reason


def labels(recording):
    return {label.name: label.value for label in recording.labels}


NONE = dict.fromkeys(("norm", "mi", "sttc", "cd", "hyp"), 0.0)


def test_superclasses_are_labels_of_the_whole_record(folder):
    first = load(folder)
    assert labels(first) == NONE | {"norm": 1.0, "superclass": 0.0} and first.events == ()
    assert {(label.start_s, label.stop_s) for label in first.labels} == {(0.0, 1.0)}
    second = load(folder, "00002")
    assert labels(second) == NONE | {"mi": 1.0, "sttc": 1.0}
    assert second.events == ("ptbxl_several_superclasses",)
    third = load(folder, "21837")
    assert labels(third) == {} and third.events == ("ptbxl_no_superclass",)
    specs = ptbxl.Config().make().label_specs
    assert specs["superclass"].classes == ("NORM", "MI", "STTC", "CD", "HYP")
    assert specs["mi"].classes == ("absent", "present") and specs["mi"].rater == "external"


def test_form_and_rhythm_are_no_diagnoses(folder):
    change(folder, "LVOLT,low QRS voltages,,1.0,,,", "LVOLT,low QRS voltages,,1.0,,HYP,", "scp_statements.csv")
    assert labels(load(folder)) == NONE | {"norm": 1.0, "superclass": 0.0}


def test_both_rates_are_one_record(folder):
    slow = load(folder, "00002", rate_hz=100.0)
    assert (slow.key, slow.subject, slow.start_time) == ("00002", "15709", "1984-11-09T09:17:34")
    signal = slow.signals["ecg"]
    np.testing.assert_allclose(signal.samples_TC[:, 0], wave(100, seed=201) / 1000, rtol=1e-6)
    assert signal.rate_hz == 100 and load(folder, "00002").signals["ecg"].rate_hz == 500
    assert slow.sources == ("records100/00000/00002_lr.hea", "records100/00000/00002_lr.dat")
    with pytest.raises(UserError, match="dataset.rate_hz=250.0: give 500 or 100"):
        ptbxl.Config(rate_hz=250.0).make()


def test_leads_are_chosen_by_name(folder):
    signal = load(folder, channels=Channels(ecg=("V2", "avf"))).signals["ecg"]
    assert signal.channels == ("V2", "AVF")
    np.testing.assert_allclose(signal.samples_TC[:, 1], wave(500, seed=505) / 1000, rtol=1e-6)
    assert reason_of(folder, channels=Channels(ecg=("V7",))) == "unknown channel"


@pytest.mark.parametrize("name", ["r" * 300, "r" * 300 + "/1"])
def test_a_record_whose_name_is_too_long_for_the_disk_is_missing(folder, name):
    change(folder, "records500/00000/00001_hr", name)
    assert reason_of(folder) == "missing header"


def test_a_header_of_another_rate_is_refused(folder):
    write_wfdb(folder / "records500" / "00000", "00001_hr", [WfdbSignal("II", wave(50))], "250")
    assert reason_of(folder) == "wrong rate"


@pytest.mark.parametrize(
    "codes",
    [
        "__import__('os').system('touch hacked')", "{'NORM': open('hacked', 'w')}", "[" * 3000, "-" * 4000 + "1",
        "{[]: 1}", "['NORM']", "{", "7",
    ],
)  # fmt: skip
def test_codes_are_parsed_and_never_run(folder, tmp_path, monkeypatch, codes):
    monkeypatch.chdir(tmp_path)
    change(folder, corpus.CODES[1], codes)
    recording = load(folder)
    assert labels(recording) == {} and recording.events == ("ptbxl_scp_codes_unreadable",)
    assert not (tmp_path / "hacked").exists()


def test_codes_that_python_s_parser_would_warn_of(folder):
    change(folder, corpus.CODES[1], r"{'NORM': 100.0, '\d': 0.0}")
    assert labels(load(folder))["superclass"] == 0.0


def test_without_statements_there_are_no_labels(folder):
    (folder / "scp_statements.csv").unlink()
    assert load(folder).labels == () and load(folder).events == ("ptbxl_without_statements",)


@pytest.mark.parametrize("patient", ["", "x", "nan", "1.5"])
def test_a_record_of_nobody_is_a_counted_drop(folder, patient):
    change(folder, "1,15709.0,", f"1,{patient},")
    assert reason_of(folder) == "no subject"
    assert load(folder, "00002").subject == "15709"


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "s3:x", "records500//1"])
def test_a_table_that_names_files_elsewhere_is_refused(folder, path):
    change(folder, "records500/00000/00001_hr", path)
    with pytest.raises(DataError, match="ptbxl_database.csv: unreadable table. Record 1 has no number, or files"):
        ptbxl.Config(root=str(folder)).make().keys()


@pytest.mark.parametrize("old, new", [("patient_id", "patient"), ("\n1,", "\none,"), ("scp_codes", "codes")])
def test_tables_that_cannot_be_read_are_named(folder, old, new):
    change(folder, old, new)
    with pytest.raises(DataError, match="ptbxl_database.csv: unreadable table"):
        ptbxl.Config(root=str(folder)).make().keys()


def test_an_empty_table_and_a_cell_that_never_ends(folder):
    table = folder / "ptbxl_database.csv"
    for text in (corpus.COLUMNS + "\n", corpus.COLUMNS + '\n1,"' + "x" * 200_000):
        table.write_text(text)
        with pytest.raises(DataError, match="unreadable table"):
            ptbxl.Config(root=str(folder)).make().keys()


def test_the_table_is_looked_for_once(folder, tmp_path, monkeypatch):
    """87,000 files lie beside it, and 21,799 records are loaded."""
    searched, real = [], ptbxl.base_files.walk
    monkeypatch.setattr(ptbxl.base_files, "walk", lambda path: searched.append(path) or real(path))
    made = ptbxl.Config(root=str(tmp_path)).make()
    assert [made.load(key).subject for key in made.keys()] == ["15709", "15709", "17014"]
    assert searched == [tmp_path]
    (folder / "ptbxl_database.csv").rename(tmp_path / "ptb-xl" / "ptbxl_database.csv")
    assert reason_of(tmp_path) == "missing header", "where it is now there are no records"


def test_the_table_itself_may_be_the_root(folder):
    recording = load(folder / "ptbxl_database.csv", "00002")
    assert recording.sources == ("records500/00000/00002_hr.hea", "records500/00000/00002_hr.dat")


def test_a_key_that_is_not_there(folder):
    assert reason_of(folder, "00003") == "not in the table"


def test_a_changed_table_is_read_again(folder):
    assert load(folder).subject == "15709"
    change(folder, "1,15709.0,", "1,4.0,")
    assert load(folder).subject == "4"


def test_a_copy_without_folders(folder, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in (*folder.glob("*.csv"), *folder.rglob("*_hr.*")):
        (flat / file.name).write_bytes(file.read_bytes())
    assert load(flat).sources == ("00001_hr.hea", "00001_hr.dat")
    assert reason_of(flat, rate_hz=100.0) == "missing header"


def test_a_part_of_the_set_is_prepared_and_the_rest_counted(folder):
    for file in Path(folder).glob("records500/21000/*"):
        file.unlink()
    preparation = prepare_ptbxl.get_config("sarkar2020")
    preparation.dataset.root, preparation.workers = str(folder), 1
    preparation.preprocess.ecg.gate.min_similarity = preparation.preprocess.ecg.gate.min_prominence = 0.0
    manifest = prepare(preparation, folder / "store")
    assert manifest["subjects"] == ["15709"] and manifest["modalities"]["ecg"]["rate_hz"] == 256
    assert list(manifest["skipped_files"]) == ["missing header"]
