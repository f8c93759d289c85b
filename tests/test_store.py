import dataclasses
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy

from ecgjax.data import staging, store_writer
from ecgjax.data.store import open_store, verify_store
from ecgjax.errors import DataError, UserError
from ecgjax.signals.moments import Normalise
from ecgjax.signals.preprocess import Config, Prepared, prepare_recording
from ecgjax.signals.recording import Label

ABOUT = {
    "dataset": {"name": "toy", "config": {}},
    "labels": {"arousal": {}, "mood": {}},
    "dropped": {},
    "skipped_files": {},
    "events": {},
}


def prepared(key: str, subject: str = "s0", scale: float = 1.0, labels=(), **signals) -> Prepared:
    signals = signals or {"ecg": toy.lead(scale * toy.ecg(12.0, seed=int(key[1:])))}
    return prepare_recording(toy.recording(key, subject, labels, **signals), Config())


def write(path: Path, *recordings: Prepared, config: Config | None = None, overwrite: bool = False) -> dict:
    with store_writer.create(path, config or Config(), overwrite) as writer:
        for one in recordings:
            writer.append(one)
        return writer.commit(ABOUT)


@pytest.fixture
def path(tmp_path) -> Path:
    write(tmp_path / "store", prepared("r0", "b"), prepared("r1", "a", 2.0), prepared("r2", "b", 3.0))
    return tmp_path / "store"


def test_what_is_written_is_read(tmp_path):
    labels = (Label("mood", 0.0, 5.0, 1.0), Label("arousal", 2.0, 8.0, 6.5))
    both = {"ecg": toy.lead(toy.ecg(12.0)), "temp": toy.lead(33 + np.arange(48) / 100, 4.0, "degC", "wrist")}
    holed_T = toy.ecg(12.0, seed=1)
    holed_T[1024:1280] = np.nan
    recordings = (
        dataclasses.replace(prepared("r0", "b"), sources=("a/r0.hea", "a/r0.dat")),
        dataclasses.replace(prepared("r1", "a", labels=labels, **both), sources=("r1.txt",)),
        prepared("r2", "b", ecg=toy.lead(holed_T)),
    )
    manifest = write(tmp_path / "store", *recordings)
    store = verify_store(tmp_path / "store")

    assert store.manifest == manifest == json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert {name: x.shape for name, x in store.signals.items()} == {"ecg": (3 * 12 * 128, 1), "temp": (48, 1)}
    index = store.index
    assert index["key"].tolist() == ["r0", "r1", "r2"] == index["trial"].tolist()
    assert index["start_time"][0] == "2020-01-01T00:00:00" and index["session"].tolist() == ["1"] * 3
    assert [manifest["subjects"][i] for i in index["subject"]] == ["b", "a", "b"]
    assert index["ecg/offset"].tolist() == [0, 1536, 3072] and index["ecg/length"].tolist() == [1536] * 3
    assert index["temp/length"].tolist() == [0, 48, 0]
    assert index["ecg/recorded_hz"].tolist() == [256.0] * 3 and index["temp/recorded_hz"].tolist() == [0, 4, 0]
    assert index["temp/digest"].tolist() == ["", recordings[1].digests["temp"], ""]
    assert index["source/recording"].tolist() == [0, 0, 1]
    assert index["source/file"].tolist() == ["a/r0.hea", "a/r0.dat", "r1.txt"]
    assert index["ecg/span_recording"].tolist() == [0, 1, 2, 2] and index["temp/span_recording"].tolist() == [1]
    np.testing.assert_allclose(index["ecg/span_start_s"], [0, 0, 0, 5.25], atol=0.01)
    np.testing.assert_allclose(index["ecg/span_stop_s"], [12, 12, 3.75, 12], atol=0.01)
    assert [list(manifest["labels"])[i] for i in index["label/name"]] == ["mood", "arousal"]
    assert index["label/recording"].tolist() == [1, 1] and index["label/value"].tolist() == [1.0, 6.5]
    assert index["label/start_s"].tolist() == [0.0, 2.0] and index["label/stop_s"].tolist() == [5.0, 8.0]
    ecg = manifest["modalities"]["ecg"]
    assert (ecg["rate_hz"], ecg["unit"], ecg["channels"], ecg["normalise"]) == (128.0, "mV", ["II"], "SUBJECT")
    assert (ecg["samples"], ecg["hours"]) == (4608, pytest.approx((36 - 1.5) / 3600, abs=1e-5))
    assert manifest["num_recordings"] == 3 and manifest["preprocess"]["ecg"]["resample_hz"] == 128.0


@pytest.mark.parametrize("rule", list(Normalise))
def test_normalised_as_in_memory(tmp_path, rule):
    from ecgjax.signals.preprocess import normalise

    config = Config()
    config.ecg.normalise = rule
    recordings = [prepared("r0", "b"), prepared("r1", "a", 2.0), prepared("r2", "b", 3.0)]
    write(tmp_path / "store", *recordings, config=config)
    expected = np.concatenate([p.signals["ecg"].samples_TC for p in normalise(recordings, config)])
    np.testing.assert_array_equal(open_store(tmp_path / "store").signals["ecg"], expected)
    whole = open_store(tmp_path / "store").signals["ecg"]
    stds = [float(whole[a : a + 1536].std()) for a in (0, 1536, 3072)]
    assert stds[2] / stds[0] == pytest.approx(1.0 if rule is Normalise.RECORDING else 3.0, rel=0.05)
    assert (stds[1] == pytest.approx(1.0, rel=1e-4)) == (rule in (Normalise.RECORDING, Normalise.SUBJECT))
    assert (stds[1] > 1.05) == (rule in (Normalise.SUBJECT_CENTRAL, Normalise.LAST_CENTRAL))  # the peaks are left out


def test_long_recordings_are_normalised_in_pieces(tmp_path, path, monkeypatch):
    monkeypatch.setattr(store_writer, "_ROWS", 500)
    write(tmp_path / "pieces", prepared("r0", "b"), prepared("r1", "a", 2.0), prepared("r2", "b", 3.0))
    assert verify_store(tmp_path / "pieces").manifest["content_hash"] == open_store(path).manifest["content_hash"]


def test_signals_are_plain_numpy_files(path):
    loaded = np.load(path / "signals" / "ecg.npy")
    assert loaded.dtype == np.float32 and loaded.shape == (3 * 1536, 1)


@pytest.mark.parametrize("file", ["signals/ecg.npy", "index/ecg/span_start_s.npy", "index/key.npy"])
def test_a_flipped_byte_is_found(path, file):
    verify_store(path)
    data = bytearray((path / file).read_bytes())
    data[-3] ^= 1
    (path / file).write_bytes(data)
    with pytest.raises(UserError, match="damaged: its content"):
        verify_store(path)


def break_version(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))


BREAKS = {
    "no such store.*launch.prepare": shutil.rmtree,
    "not a store, there is no manifest.json": lambda path: (path / "manifest.json").unlink(),
    "a store of format 99, written by ecgjax .* this version reads format 2": break_version,
    "manifest.json cannot be read": lambda path: (path / "manifest.json").write_text('{"format_ver'),
    "signals/ecg.npy: damaged": lambda path: os.truncate(path / "signals" / "ecg.npy", 5000),
    "ecg/length.* is missing": lambda path: (path / "index" / "ecg" / "length.npy").unlink(),
    "do not fit together": lambda path: (path / "index" / "subject.npy").unlink(),
    "ecg.npy: damaged: it cannot be read": lambda path: (path / "signals" / "ecg.npy").unlink(),
}


@pytest.mark.parametrize("message", list(BREAKS))
def test_what_cannot_be_opened_says_why(path, message):
    BREAKS[message](path)
    with pytest.raises(UserError, match=message):
        open_store(path)


def test_a_store_pickles_as_its_path(path):
    data = pickle.dumps(open_store(path))
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data).signals["ecg"], open_store(path).signals["ecg"])


def test_opens_in_milliseconds_at_a_thousand_hours(path):
    rows = 1000 * 3600 * 128
    with open(path / "signals" / "ecg.npy", "r+b") as file:  # sparse
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, 1)})
        file.truncate(file.tell() + 4 * rows)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["modalities"]["ecg"]["samples"] = rows
    (path / "manifest.json").write_text(json.dumps(manifest))
    count = 4000
    for name in ("key", "session", "trial", "start_time"):
        np.save(path / "index" / f"{name}.npy", np.array([f"recording {i:05d}" for i in range(count)]))
    for name, column in {"offset": np.arange(count) * (rows // count), "length": np.full(count, rows // count)}.items():
        np.save(path / "index" / "ecg" / f"{name}.npy", column)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        store = open_store(path)
        times.append(time.perf_counter() - start)
    assert store.signals["ecg"].shape == (rows, 1) and store.signals["ecg"][-1, 0] == 0.0
    assert min(times) < 0.02


def test_a_read_only_store_opens(path):
    for inner in (*path.rglob("*"), path):
        inner.chmod(0o555 if inner.is_dir() else 0o444)
    before = sorted(path.rglob("*"))
    try:
        assert not verify_store(path).signals["ecg"].flags.writeable
        assert sorted(path.rglob("*")) == before
    finally:
        for inner in (path, *path.rglob("*")):
            inner.chmod(0o755)


def test_an_existing_store_stays_unless_told(path):
    before = open_store(path).manifest
    with pytest.raises(UserError, match="there is a store already.*--overwrite"):
        write(path, prepared("r0"))
    assert open_store(path).manifest == before
    write(path, prepared("r0"), overwrite=True)
    assert verify_store(path).manifest["num_recordings"] == 1
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_the_old_store_stays_until_the_new_one_is_complete(path):
    before = open_store(path).manifest["content_hash"]
    with pytest.raises(ZeroDivisionError), store_writer.create(path, Config(), overwrite=True) as writer:
        writer.append(prepared("r0"))
        assert verify_store(path).manifest["content_hash"] == before
        raise ZeroDivisionError
    assert verify_store(path).manifest["content_hash"] == before
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_no_other_folder_is_ever_replaced(tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(UserError, match="exists and is not a store"):
        write(tmp_path, prepared("r0"), overwrite=True)
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.parametrize("limit_bytes", [4_000, 25_000])  # met by the first signal, and by the manifest
def test_a_full_disk_is_one_clear_error(path, limit_bytes, monkeypatch):
    monkeypatch.setitem(ABOUT, "skipped_files", {"truncated": ["a long message"] * 4000})
    before = open_store(path).manifest["content_hash"]
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, usual[1]))
        with pytest.raises(UserError, match="the disk is full.*another folder"):
            write(path, prepared("r0"), prepared("r1"), prepared("r2"), overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert verify_store(path).manifest["content_hash"] == before
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_an_unwritable_place_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "file" / "store", prepared("r0"))


KILLED = """
import sys, time
sys.path[:0] = ["tests", "."]
import test_store
from ecgjax.data import store_writer
with store_writer.create(sys.argv[1], test_store.Config()) as writer:
    writer.append(test_store.prepared("r0"))
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_killed_preparation_leaves_no_store_and_no_obstacle(tmp_path):
    path = tmp_path / "store"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    with process:
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(UserError, match="process .* is writing here"):
            write(path, prepared("r0"))
        process.send_signal(signal.SIGKILL)
        process.wait()
    with pytest.raises(UserError, match="no such store. .*preparing is not complete"):
        open_store(path)
    with pytest.raises(UserError, match="half written"):
        open_store(path.with_name(path.name + staging.SUFFIX))
    write(path, prepared("r0"))
    assert verify_store(path).manifest["num_recordings"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]


def test_a_recording_of_other_channels_is_refused_whole(tmp_path):
    two = prepared("r1", ecg=toy.lead(np.stack([toy.ecg(12.0), toy.ecg(12.0)], axis=1)))
    with store_writer.create(tmp_path / "store", Config()) as writer:
        writer.append(prepared("r0"))
        with pytest.raises(DataError, match="r1: number of channels differs.*2 channels of ecg, others 1"):
            writer.append(two)
        writer.append(prepared("r2"))
        writer.commit(ABOUT)
    assert verify_store(tmp_path / "store").index["key"].tolist() == ["r0", "r2"]


def test_units_may_differ_only_where_they_are_normalised_away(tmp_path):
    volts = prepared("r1", ecg=toy.lead(toy.ecg(12.0), unit="adu", channel="V5"))
    manifest = write(tmp_path / "scored", prepared("r0"), volts)
    assert (manifest["modalities"]["ecg"]["unit"], manifest["modalities"]["ecg"]["channels"]) == ("mixed", ["mixed"])
    config = Config()
    config.ecg.normalise = Normalise.NONE
    with pytest.raises(DataError, match="unit differs.*ecg is in adu, others in mV"):
        write(tmp_path / "raw", prepared("r0"), volts, config=config)


def test_recordings_come_in_order(tmp_path):
    with pytest.raises(ValueError, match="r0 came late"):
        write(tmp_path / "store", prepared("r1"), prepared("r0"))
