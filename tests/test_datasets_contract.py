"""What every data set must keep: found by looking into ecgjax/datasets, so a new one is held to it at once.

So are those that have no reader of their own, but a config of a general one: a writer in tests/corpora of the name of
configs/prepare_<name>.py holds that config to it.
"""

import contextlib
import dataclasses
import errno
import importlib
import os
import pickle
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import base_files
from ecgjax.errors import DataError, UserError
from tests.readers import CORPORA, FOLDER, NAMES, config_class, config_of

MODALITIES = {"ecg", "eda", "bvp", "temp", "resp", "emg", "acc"}


@pytest.fixture(params=sorted({*NAMES, *CORPORA}))
def case(request, tmp_path):
    """(what makes a Config, what was written, its folder)."""
    assert request.param in CORPORA, f"add a writer of its tiny files: tests/corpora/{request.param}.py"
    folder = tmp_path / "corpus"
    folder.mkdir()
    return config_of(request.param), importlib.import_module(f"tests.corpora.{request.param}").write(folder), folder


def dataset(case, **changes):
    make, corpus, _ = case
    return make(**{**corpus.config, **changes}).make()


def not_of(made, corpus):
    """Recordings of other files than the breakable one, which may hold several."""
    return {key for key in corpus.recordings if corpus.breakable not in made.load(key).sources}


def assert_same(one, other):
    assert one.signals.keys() == other.signals.keys()
    for modality, signal in one.signals.items():
        np.testing.assert_array_equal(signal.samples_TC, other.signals[modality].samples_TC)
    strip = {"signals": {}}
    assert dataclasses.replace(one, **strip) == dataclasses.replace(other, **strip)


def test_every_set_that_is_told_of_has_a_writer_and_every_writer_a_set():
    configs = {p.stem.removeprefix("prepare_") for p in (FOLDER.parents[1] / "configs").glob("prepare_*.py")}
    assert set(CORPORA) <= {*NAMES, *configs}
    told = {name for name in configs if hasattr(importlib.import_module(f"configs.prepare_{name}"), "ABOUT")}
    assert told - set(CORPORA) == set(), "add writers of their tiny files to tests/corpora"


@pytest.mark.parametrize("name", NAMES)
def test_config_is_a_mutable_dataclass_whose_first_field_is_root(name):
    config = config_class(name)()
    assert dataclasses.fields(config)[0].name == "root"
    assert config.root == ""
    config.root = "elsewhere"  # as a flag does


def test_a_made_data_set_does_not_follow_its_config(case):
    make, corpus, _ = case
    config = make(**corpus.config)
    made = config.make()
    keys = made.keys()
    config.root = "elsewhere"
    assert made.keys() == keys


def test_keys_are_those_written_in_order(case):
    keys = dataset(case).keys()
    assert isinstance(keys, tuple)
    assert list(keys) == sorted(case[1].recordings)


def test_nothing_depends_on_the_order_of_a_folder(case, monkeypatch):
    made = dataset(case)
    keys, found = made.keys(), {key: made.load(key) for key in made.keys()}
    scandir, listdir, rng = os.scandir, os.listdir, random.Random(1)

    class Shuffled:
        def __init__(self, *args):
            with scandir(*args) as entries:
                self.entries = list(entries)
            rng.shuffle(self.entries)

        def __iter__(self):
            return self

        def __next__(self):
            if not self.entries:
                raise StopIteration
            return self.entries.pop()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.close()

        def close(self):
            self.entries = []

    monkeypatch.setattr(os, "scandir", Shuffled)
    monkeypatch.setattr(os, "listdir", lambda *args: rng.sample(names := listdir(*args), len(names)))
    for _ in range(5):
        assert dataset(case).keys() == keys
    made = dataset(case)
    for key in keys:
        assert_same(made.load(key), found[key])


def test_recordings_are_what_was_written(case):
    made = dataset(case)
    for key, expected in case[1].recordings.items():
        recording = made.load(key)
        assert (recording.key, recording.subject) == (key, expected.subject)
        for modality, (samples_TC, rate_hz, unit, channels) in expected.values.items():
            signal = recording.signals[modality]
            assert (signal.rate_hz, signal.unit, signal.channels) == (rate_hz, unit, channels)
            np.testing.assert_allclose(signal.samples_TC, samples_TC, rtol=2e-6, atol=2e-6)
        if expected.values:
            assert recording.signals.keys() == expected.values.keys()
        for name, value in expected.labels.items():
            assert [label.value for label in recording.labels if label.name == name] == [value]


def test_recordings_keep_the_rules(case):
    made = dataset(case)
    assert made.name
    for key in made.keys():
        recording = made.load(key)
        assert recording.subject and recording.signals and recording.signals.keys() <= MODALITIES
        for signal in recording.signals.values():
            assert signal.samples_TC.dtype in (np.float32, np.float64)
            assert len(signal.samples_TC) and signal.unit and isinstance(signal.rate_hz, float)
        longest_s = max(signal.start_s + signal.duration_s for signal in recording.signals.values())
        for label in recording.labels:
            spec = made.label_specs[label.name]
            assert 0 <= label.start_s < label.stop_s <= longest_s + 1e-6
            assert label.value in range(len(spec.classes)) if spec.classes else spec.low <= label.value <= spec.high
        for source in recording.sources:
            assert (case[2] / source).is_file()


def test_loading_twice_or_in_another_process_is_the_same(case):
    made = dataset(case)
    travelled = pickle.loads(pickle.dumps(made))
    assert travelled.keys() == made.keys()
    assert travelled.label_specs == made.label_specs
    for key in made.keys():
        once = made.load(key)
        assert_same(once, made.load(key))
        assert_same(once, travelled.load(key))


def test_no_root_no_folder_or_an_empty_one(case, tmp_path):
    if not case[1].breakable:
        pytest.skip("reads no files")
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"": "No data folder given", str(tmp_path / "gone"): "no such file or folder", str(empty): "holds no"}
    for root, message in places.items():
        with pytest.raises(UserError, match=rf"{message}.*--config\.dataset\.root"):
            dataset(case, root=root).keys()


def test_one_broken_file_spoils_only_itself(case):
    _, corpus, folder = case
    if not corpus.breakable:
        pytest.skip("reads no files")
    others = not_of(dataset(case), corpus)
    path = folder / corpus.breakable
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    if path.suffix == ".csv":  # a text that ends with a whole row is whole
        path.write_bytes(path.read_bytes().rstrip(b"\n").rpartition(b",")[0])
    made, bad = dataset(case), {}
    for key in made.keys():
        try:
            made.load(key)
        except DataError as error:
            bad[key] = pickle.loads(pickle.dumps(error))
    assert {error.reason for error in bad.values()} == {"truncated"}
    assert others <= set(made.keys()) - bad.keys()
    assert all(path.stem.removesuffix("_ecg") in str(error) for error in bad.values())


def test_a_folder_that_cannot_be_listed_is_named(case, monkeypatch):
    _, corpus, folder = case
    if not corpus.breakable:
        pytest.skip("reads no files")
    scandir, closed = os.scandir, str(folder / "closed")
    for name in ("closed", ".Trash"):
        (folder / name).mkdir(exist_ok=True)
    made = dataset(case)

    def refuse(path):
        if Path(path).name in refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    refused = (".Trash",)
    assert made.keys() == tuple(sorted(corpus.recordings))
    refused = ("closed",)
    with pytest.raises(UserError, match=f"{closed}: cannot be listed .Permission denied."):
        made.keys()


def test_a_file_that_has_gone_is_a_data_error(case):
    _, corpus, folder = case
    if not corpus.breakable:
        pytest.skip("reads no files")
    made = dataset(case)
    keys, others = made.keys(), not_of(made, corpus)
    (folder / corpus.breakable).unlink()
    missing = {}
    for key in keys:
        try:
            made.load(key)
        except DataError as error:
            missing[key] = error.reason
    assert missing.keys() == set(keys) - others
    assert all("missing" in reason for reason in missing.values())


@pytest.mark.parametrize(
    "name",
    ["amigos", "amigos_original", "ascertain", "case", "code15", "deap", "dreamer", "drivedb", "eegmat", "kemocon",
     "maus", "ppg_dalia", "pspm", "stress_predict", "swell", "wesad"],
)  # fmt: skip
def test_of_copies_one_is_read_and_that_is_told_once(name, tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    corpus = importlib.import_module(f"tests.corpora.{name}").write(folder)
    made = config_of(name)(**corpus.config).make()
    keys = made.keys()
    some = {key: made.load(key) for key in (keys[0], keys[-1])}
    shutil.move(shutil.copytree(folder, tmp_path / "zz"), folder)
    made = config_of(name)(**corpus.config).make()
    assert made.keys() == keys
    for key, alone in some.items():
        recording = config_of(name)(**corpus.config).make().load(key)
        assert sorted(recording.events) == sorted([*alone.events, base_files.COPY]), key
        assert_same(dataclasses.replace(recording, events=()), dataclasses.replace(alone, events=()))


SAY_WHOSE = {"exams.csv", "ptbxl_database.csv"}  # without them nothing can be read
SAY_WHAT = {  # labels of all: those of a missing one are told to be missing, those of a damaged one might be wrong
    "Dt_SelfReports.mat", "Improved_All_Combined_hr_rsp_binary.csv", "SWELL-KW - overview available data.xlsx",
    "SelfAsessment.xlsx", "subject-info.csv",
}  # fmt: skip


@pytest.mark.parametrize(
    "left",
    [pytest.param(lambda content: content[: len(content) // 2], marks=pytest.mark.slow), None],
    ids=["half", "none"],
)
def test_a_file_that_is_cut_or_missing_spoils_only_what_is_read_from_it(case, left):
    """And where it is a table of labels, those that are lost are told by an event."""
    _, corpus, folder = case
    if not corpus.breakable:
        pytest.skip("reads no files")
    made, bare = dataset(case), {"labels": (), "events": ()}
    found = {key: made.load(key) for key in made.keys()}
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    for name in {re.sub(r"\d+", "#", file): file for file in files}.values():  # whose names differ in more than numbers
        content = (folder / name).read_bytes()
        if left:
            (folder / name).write_bytes(left(content))
        else:
            (folder / name).unlink()
        loaded = dict(what_loads(dataset(case)))
        lost = {key for key in found if name not in found[key].sources} - loaded.keys()
        needed = Path(name).name in (SAY_WHOSE | SAY_WHAT if left else SAY_WHOSE)
        assert needed or len(lost) <= bool(left), (name, lost)  # one, that its damaged labels are of
        for key, recording in loaded.items():
            if name not in found[key].sources:
                assert_same(dataclasses.replace(recording, **bare), dataclasses.replace(found[key], **bare))
                assert recording.labels == found[key].labels or recording.events != found[key].events, (key, name)
        (folder / name).write_bytes(content)


def what_loads(made):
    with contextlib.suppress(UserError):  # of a table that all need
        for key in made.keys():
            with contextlib.suppress(UserError):
                yield key, made.load(key)
