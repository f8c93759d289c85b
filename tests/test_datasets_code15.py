"""CODE-15%: parts, dummies, padding, a table in another order, and HDF5 files that lead elsewhere or are damaged."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from configs import prepare_code15
from ecgjax.data.prepare import prepare
from ecgjax.datasets import code15
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError
from tests.corpora import code15 as corpus


@pytest.fixture
def folder(tmp_path):
    corpus.write(tmp_path)
    return tmp_path


def made(folder, **fields):
    return code15.Config(root=str(folder), **fields).make()


def reason_of(folder, key="exams_part0/000000-3001"):
    with pytest.raises(DataError) as caught:
        made(folder).load(key)
    return caught.value.reason


def change(folder, old, new):
    text = (folder / "exams.csv").read_text()
    assert old in text
    (folder / "exams.csv").write_text(text.replace(old, new))


def test_rows_in_the_order_of_the_file_without_the_dummy(folder):
    assert made(folder).keys() == (
        "exams_part0/000000-3001", "exams_part0/000001-1", "exams_part0/000002-2000", "exams_part1/000000-77",
    )  # fmt: skip


def test_zeros_around_an_exam_are_cut_off_and_those_within_are_not(folder):
    recording = made(folder, channels=Channels(ecg=("V6", "dii"))).load("exams_part0/000002-2000")
    signal, expected = recording.signals["ecg"], corpus.tracing(2000, 2800 + 2000 % 7)
    np.testing.assert_array_equal(signal.samples_TC, expected[expected.any(axis=1)][:, [11, 1]])
    assert signal.channels == ("V6", "DII") and signal.unit == "unknown"
    assert recording.events == ("code15_padding_cut_off",) and recording.trial == "2000"
    assert made(folder).load("exams_part0/000001-1").events == (), "it fills its row"
    row = corpus.tracing(5, 3000)
    row[1000:1010] = 0
    code15.forget()
    corpus.write_part(folder / "exams_part0.hdf5", (3001,), [row])
    inside_T1 = made(folder).load("exams_part0/000000-3001").signals["ecg"].samples_TC
    assert len(inside_T1) == 3000 and not inside_T1[1000 - 548 : 1010 - 548].any()


def test_an_exam_of_zeros_is_a_counted_drop(folder):
    corpus.write_part(folder / "exams_part0.hdf5", (3001,), [np.zeros((4096, 12), np.float32)])
    assert reason_of(folder) == "all zero"


def test_the_table_s_order_is_its_own(folder):
    recording = made(folder).load("exams_part0/000001-1")
    labels = {label.name: (label.value, label.start_s, label.stop_s) for label in recording.labels}
    values = {"1dAVb": 0.0, "RBBB": 1.0, "LBBB": 0.0, "SB": 0.0, "ST": 1.0, "AF": 1.0}
    assert labels == {name: (value, 0.0, 10.24) for name, value in values.items()}
    assert recording.subject == made(folder).load("exams_part0/000000-3001").subject == "1"


def test_faults_of_the_table_are_counted_or_named(folder):
    change(folder, "\n1,38,True,40.16,False,True", "\n1,38,True,40.16,,True")
    change(folder, "True,0,,,False,exams_part0", "True,,,,False,exams_part0")
    change(folder, ",False,exams_part1.hdf5", ",False,exams_part9.hdf5")
    recording = made(folder).load("exams_part0/000001-1")
    assert recording.events == ("code15_diagnosis_missing",) and len(recording.labels) == 5
    assert reason_of(folder, "exams_part0/000002-2000") == "no subject"
    events = made(folder).load("exams_part1/000000-77").events
    assert events == ("code15_padding_cut_off", "code15_other_trace_file")
    change(folder, "\n3001,", "\n4001,")
    assert reason_of(folder) == "no subject"
    assert "exams_part0/none-4001" in made(folder).keys()
    assert reason_of(folder, "exams_part0/none-4001") == "missing exam"
    assert (
        reason_of(folder, "exams_part0/000000-4001") == reason_of(folder, "exams_part0/000099-3001") == "missing exam"
    )


@pytest.mark.parametrize("old, new", [("patient_id", "patient"), ("\n77,", "\nx,"), ("\n77,", "\n-1,")])
def test_a_table_that_cannot_be_read_is_named(folder, old, new):
    change(folder, old, new)
    with pytest.raises(DataError, match="exams.csv: unreadable table"):
        made(folder).keys()


def test_without_the_table_nobody_knows_whose_they_are(folder):
    (folder / "exams.csv").unlink()
    with pytest.raises(DataError, match="no exams.csv. It says whose"):
        made(folder).keys()


def test_one_part_as_root_and_a_table_above_it(folder):
    (key,) = made(folder / "exams_part1" / "exams_part1.hdf5").keys()
    assert made(folder / "exams_part1" / "exams_part1.hdf5").load(key).subject == "77"
    assert made(folder / "exams_part1").load(key).sources == ("exams_part1.hdf5",)


def rewrite(folder, how) -> None:
    code15.forget()
    with h5py.File(folder / "exams_part0.hdf5", "a") as file:
        how(file, folder)


def external_link(file, folder):
    file.move("tracings", "old")
    file["tracings"] = h5py.ExternalLink(str(folder / "secret.hdf5"), "/tracings")


def soft_link(file, folder):
    file.move("tracings", "old")
    file["tracings"] = h5py.SoftLink("/old")


def external_storage(file, folder):
    del file["tracings"]
    file.create_dataset("tracings", (4, 4096, 12), "f4", external=[(str(folder / "secret.bin"), 0, 4 * 4096 * 48)])


def virtual(file, folder):
    del file["tracings"]
    layout = h5py.VirtualLayout((4, 4096, 12), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "secret.hdf5"), "tracings", (4, 4096, 12))
    file.create_virtual_dataset("tracings", layout)


@pytest.mark.parametrize("how", [external_link, soft_link, external_storage, virtual])
def test_data_in_another_file_is_not_followed(folder, how):
    corpus.write_part(folder / "secret.hdf5", (3001, 1, 2000), [corpus.tracing(n, 3000) for n in (1, 2, 3)])
    (folder / "secret.bin").write_bytes(b"\1" * (4 * 4096 * 48))
    rewrite(folder, how)
    assert reason_of(folder) == "data in another file"
    assert made(folder).keys() == ("exams_part0", "exams_part1/000000-77")
    assert reason_of(folder, "exams_part0") == "data in another file"


def put(name, array, **how):
    def replace(file, folder):
        if name in file:
            del file[name]
        if array is not None:
            file.create_dataset(name, data=array, **how)

    return replace


ROWS = np.ones((4, 64, 12), np.float32)


@pytest.mark.parametrize(
    "how, reason",
    [
        (put("tracings", None), "other layout"), (put("exam_id", None), "other layout"),
        (put("tracings", ROWS[:3]), "other layout"), (put("tracings", ROWS[..., :8]), "other layout"),
        (put("tracings", ROWS.astype("S4")), "other layout"), (put("exam_id", np.ones(4)), "other layout"),
        (put("exam_id", ["a", "b", "c", "d"]), "other layout"),
        (put("tracings", np.ones((4, 2**16 + 1, 12), "f2")), "other layout"),
    ],
)  # fmt: skip
def test_other_layouts_are_refused(folder, how, reason):
    rewrite(folder, how)
    assert reason_of(folder) == reason


def test_a_chunk_that_would_take_much_memory_is_refused(folder, monkeypatch):
    rewrite(folder, put("tracings", ROWS, chunks=(4, 64, 12), compression="gzip"))
    made(folder).load("exams_part0/000000-3001")
    monkeypatch.setattr(code15, "_MAX_CHUNK_BYTES", 4 * 64 * 12 * 4 - 1)
    code15.forget()
    assert reason_of(folder) == "too large"


def test_damaged_rows_spoil_only_themselves(folder):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 4096, 12)).astype(np.float32)
    rewrite(folder, put("tracings", np.concatenate([noise, noise[:1] * 0]), chunks=(1, 4096, 12), compression="gzip"))
    path = folder / "exams_part0.hdf5"
    with h5py.File(path) as file:
        place = file["tracings"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + 1000 : place.byte_offset + 1100] = bytes(100)
    path.write_bytes(content)
    assert reason_of(folder, "exams_part0/000001-1") == "unreadable"
    assert len(made(folder).load("exams_part0/000000-3001").signals["ecg"].samples_TC) == 4096


def test_files_that_are_none(folder):
    (folder / "exams_part0.hdf5").write_bytes(b"no HDF5" * 100)
    assert reason_of(folder) == "unreadable"
    assert made(folder).keys()[0] == "exams_part0"


def test_a_part_is_opened_once_and_read_row_by_row(folder, monkeypatch):
    opened, read, anew = [], [], code15._open_anew
    monkeypatch.setattr(code15, "_open_anew", lambda path: opened.append(Path(path).stem) or anew(path))
    getitem = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda d, at: read.append((d.name, at)) or getitem(d, at))
    code15.forget()
    dataset = made(folder)
    keys = dataset.keys()
    assert {name for name, _ in read} == {"/exam_id"}, "keys read no signals"
    code15.forget()
    del opened[:], read[:]
    for key in keys:
        dataset.load(key)
    assert opened == ["exams_part0", "exams_part1"]
    assert [at for name, at in read if name == "/tracings"] == [0, 1, 2, 0]


def test_parts_are_looked_for_once(folder, monkeypatch):
    searched, real = [], code15.base_files.walk
    monkeypatch.setattr(code15.base_files, "walk", lambda path: searched.append(path) or real(path))
    dataset = made(folder)
    dataset.load("exams_part1/000000-77")
    dataset.load("exams_part0/000001-1")
    assert searched == [folder]


def test_a_part_that_has_changed_is_opened_anew(folder):
    dataset = made(folder)
    held = code15._open(folder / "exams_part0.hdf5")
    assert dataset.load("exams_part0/000001-1").subject == "1" and held.exam_ids[1] == 1
    corpus.write_part(folder / "other.hdf5", (77,), [corpus.tracing(5, 3000)])
    (folder / "exams_part0.hdf5").write_bytes((folder / "other.hdf5").read_bytes())  # in place
    assert dataset.load("exams_part0/000000-77").subject == "77"
    assert dataset.keys()[0] == "exams_part0/000000-77"


def test_groups_are_blocks_that_follow_each_other(folder):
    dataset = made(folder)
    keys = [f"exams_part0/{row:06d}-{9999 - row}" for row in range(150)] + ["exams_part0/none-5", "exams_part1"]
    assert keys == sorted(keys)
    groups = [dataset.group(key) for key in keys]
    sizes = [groups.count(group) for group in dict.fromkeys(groups)]
    assert sizes == [64, 64, 22, 1, 1]


def test_its_config_prepares_it_without_a_unit(folder):
    preparation = prepare_code15.get_config()
    preparation.dataset.root, preparation.workers = str(folder), 1
    preparation.preprocess.ecg.gate.min_similarity = preparation.preprocess.ecg.gate.min_prominence = 0.0
    manifest = prepare(preparation, folder / "store")
    assert manifest["num_recordings"] == 4 and manifest["subjects"] == ["0", "1", "77"]
    assert manifest["modalities"]["ecg"]["unit"] == "unknown"
    assert manifest["modalities"]["ecg"]["normalise"] == "RECORDING"
    assert sorted(manifest["labels"]) == sorted(prepare_code15.ABOUT.labels)
