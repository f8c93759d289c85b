"""Preparation on Apache Beam makes the store that local processes make, however its runner treats the bundles.

A small stand-in for Beam, which runs every bundle twice and the last one first, is for what Beam's own DirectRunner
does not do. Tests of Beam itself are skipped where it is not installed.
"""

import importlib.metadata
import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import toy

import ecgjax
from ecgjax.data import prepare_beam
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.data.staging import SUFFIX
from ecgjax.data.store import verify_store
from ecgjax.datasets import swell
from ecgjax.errors import DataError, UserError

ROOT = Path(__file__).parents[1]
FAULTS = ("r1:truncated", "r3:flat", "r4:no permission", "r5:two leads")
needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="an extra: pip install -e '.[beam]'"
)


def preparation(**dataset) -> Preparation:
    return Preparation(toy.Config(**{"num_recordings": 9, "duration_s": 10.0} | dataset), workers=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_same_store(first: Path, second: Path) -> None:
    verify_store(first)
    here, there = contents(first), contents(second)
    assert here.keys() == there.keys()
    for name in here:
        assert here[name] == there[name], name


class Step(list):
    """A transform by its arguments, which may be named."""

    def __rrshift__(self, name: str) -> "Step":
        return self


class Pipeline:
    """Runs the last element first, and all of them again."""

    state, lost = "DONE", ()

    def __init__(self, options: list[str]):
        self.steps, self.options, self.cancelled = [], options, False

    def __or__(self, step: Step) -> "Pipeline":
        self.steps += step
        return self

    def run(self) -> "Pipeline":
        elements, work = self.steps
        for element in (*elements[::-1], *elements):
            if element not in self.lost:
                try:
                    work(element)
                except UserError as error:
                    raise RuntimeError(f"Traceback\necgjax.errors.UserError: {error} [while running 'it']\n") from None
        return self

    def wait_until_finish(self) -> str:
        return self.state

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def standin(monkeypatch) -> type[Pipeline]:
    class Here(Pipeline):
        pass

    beam = types.ModuleType("apache_beam")
    beam.Pipeline, beam.Reshuffle = Here, Step
    beam.Create = beam.Map = lambda argument: Step([argument])
    options = types.ModuleType("apache_beam.options.pipeline_options")
    options.PipelineOptions = list
    for module in (beam, options):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return Here


@pytest.mark.parametrize(("in_a_file", "max_parts"), [(0, 10_000), (4, 10_000), (0, 2), (2, 1)])
def test_the_order_of_bundles_and_their_repetition_change_no_byte(tmp_path, standin, monkeypatch, in_a_file, max_parts):
    monkeypatch.setattr(prepare_beam, "_MAX_PARTS", max_parts)
    told = preparation(faults=FAULTS, in_a_file=in_a_file)
    deal = prepare_beam.deal_by(["--runner=Here"])
    manifest = prepare(told, tmp_path / "beam", deal=deal)
    assert 1 <= len(deal.args[0].steps[0]) <= max_parts
    assert manifest == prepare(told, tmp_path / "local")
    assert manifest["num_recordings"] == 5 and len(manifest["skipped_files"]) == 4 and manifest["dropped"]
    assert_same_store(tmp_path / "beam", tmp_path / "local")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beam", "local"]


def test_a_recording_is_prepared_once_and_its_part_removed_once_it_is_read(tmp_path, standin, monkeypatch):
    loaded, left = [], []
    load = toy.Toy.load
    monkeypatch.setattr(toy.Toy, "load", lambda self, key: loaded.append(key) or load(self, key))

    def progress(results, total):
        for result in results:
            left.append(len(list((tmp_path / f"store{SUFFIX}").glob("parts-*/*"))))
            yield result

    prepare(preparation(num_recordings=3), tmp_path / "store", progress=progress, deal=prepare_beam.deal_by([]))
    assert loaded == ["r2", "r1", "r0"] and left == [4, 3, 2]  # and the list of keys


def test_mistakes_of_the_user_are_told_as_locally(tmp_path, standin):
    prepare(preparation(num_recordings=1), tmp_path / "store")
    before = contents(tmp_path)
    calls = {
        "the pattern is wrong.$": (preparation(faults=("r3:mistake",)), "new", {}),
        "r0: truncated. Fetch it again.": (preparation(faults=("r0:truncated", "r1:gone")), "new", {"strict": True}),
        "none of 1 recordings is usable": (preparation(num_recordings=1, faults=("r0:flat",)), "new", {}),
        "there is a store already.*--overwrite": (preparation(), "store", {}),
    }
    for match, (told, name, more) in calls.items():
        with pytest.raises(UserError, match=match):
            prepare(told, tmp_path / name, deal=prepare_beam.deal_by([]), **more)
        assert contents(tmp_path) == before
    with pytest.raises(UserError, match="gs:/bucket/store: a store is made in a folder. Mount the bucket"):
        prepare(preparation(), "gs://bucket/store", deal=prepare_beam.deal_by([]))
    prepare(preparation(), tmp_path / "store", overwrite=True, deal=prepare_beam.deal_by([]))
    assert verify_store(tmp_path / "store").manifest["num_recordings"] == 9


def test_a_pipeline_that_did_not_do_all_makes_no_store(tmp_path, standin):
    standin.lost = (0,)
    with pytest.raises(UserError, match=r"/parts-\w+/0: no worker of Beam wrote it. .*every worker of Beam mounts"):
        prepare(preparation(), tmp_path / "store", deal=prepare_beam.deal_by([]))
    standin.lost, standin.state = (), "CANCELLED"
    with pytest.raises(UserError, match="ended as CANCELLED"):
        prepare(preparation(), tmp_path / "store", deal=prepare_beam.deal_by([]))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_pipeline_is_cancelled(tmp_path, standin, monkeypatch):
    deal = prepare_beam.deal_by([])

    def interrupt(self):
        raise SystemExit(143)

    monkeypatch.setattr(standin, "wait_until_finish", interrupt)
    with pytest.raises(SystemExit):
        prepare(preparation(), tmp_path / "store", deal=deal)
    assert deal.args[0].cancelled and not list(tmp_path.iterdir())


def test_another_failure_is_no_mistake_of_the_user_s(tmp_path, standin, monkeypatch):
    def fail(self):
        raise RuntimeError("Traceback\necgjax.errors.UserErrorOfNobody: a bug")

    monkeypatch.setattr(standin, "wait_until_finish", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        prepare(preparation(), tmp_path / "store", deal=prepare_beam.deal_by([]))
    assert not list(tmp_path.iterdir())


def task(versions: str = "", **dataset) -> bytes:
    told = preparation(**dataset)
    return pickle.dumps((told.dataset, told.preprocess, versions or prepare_beam._versions()))


def test_threads_of_a_worker_take_turns(tmp_path, monkeypatch):
    inside, seen = [], []

    def load(self, key):
        inside.append(key)
        time.sleep(0.05)
        seen.append(len(inside))
        inside.remove(key)
        raise DataError(key, "truncated")

    monkeypatch.setattr(toy.Toy, "load", load)
    firsts = prepare_beam._write_keys(tmp_path / "keys", [["r0"], ["r1"]])
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda first: prepare_beam.write_part(task(), str(tmp_path), first), firsts))
    assert seen == [1, 1] and len(list(tmp_path.iterdir())) == 3


def test_a_worker_that_would_do_something_else_says_so(tmp_path):
    def work(folder: Path = tmp_path, **told) -> None:
        prepare_beam.write_part(task(**told), str(folder), 0)

    with pytest.raises(UserError, match=f"{tmp_path}/away: not found by a worker on .*must be absolute paths"):
        work(folder=tmp_path / "away")
    prepare_beam._write_keys(tmp_path / "keys", [["r0", "r1"]])
    with pytest.raises(UserError, match="away/data: not found by a worker on .*must be absolute paths"):
        work(root="away/data")
    with pytest.raises(UserError, match="away/tables: not found by a worker on .*must be absolute paths"):
        told = (swell.Config(root=str(tmp_path), tables="away/tables"), None, prepare_beam._versions())
        prepare_beam.write_part(pickle.dumps(told), str(tmp_path), 0)
    with pytest.raises(UserError, match=r"has ecgjax .*numpy .*scipy .*, the launcher numpy 1. Install the same"):
        work(versions="numpy 1")
    with pytest.raises(UserError, match="the pattern is wrong"):
        work(faults=("r1:mistake",))
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]
    work(root=str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "keys"]


def test_versions_are_those_of_what_computes_and_decodes(monkeypatch):
    found = importlib.metadata.version

    def version(library):
        if library == "pyarrow":
            raise importlib.metadata.PackageNotFoundError
        return found(library)

    monkeypatch.setattr(importlib.metadata, "version", version)
    told = prepare_beam._versions()
    assert f"ecgjax {ecgjax.__version__}, numpy {np.__version__}, scipy " in told and ", no pyarrow, wfdb " in told
    assert all(f", {library} {found(library)}" in told for library in ("wfdb", "edfio", "h5py", "pandas", "openpyxl"))


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"apache-beam is not installed. Run: pip install -e '.\[beam\]'"):
        prepare_beam.deal_by(["--runner=DirectRunner"])


@needs_beam
@pytest.mark.filterwarnings("default")
def test_the_direct_runner(tmp_path):
    told = preparation(faults=FAULTS, in_a_file=4)
    prepare(told, tmp_path / "beam", deal=prepare_beam.deal_by(["--runner=DirectRunner"]))
    prepare(told, tmp_path / "local")
    assert_same_store(tmp_path / "beam", tmp_path / "local")

    with pytest.raises(UserError, match="^the pattern is wrong.$"):
        deal = prepare_beam.deal_by(["--runner=DirectRunner"])
        prepare(preparation(faults=("r3:mistake",)), tmp_path / "mistaken", deal=deal)
    with pytest.raises(DataError, match="r1: truncated. Fetch it again."):
        prepare(told, tmp_path / "strict", strict=True, deal=prepare_beam.deal_by(["--runner=DirectRunner"]))
    with pytest.raises(UserError, match="--beam: .*NoRunner"):
        prepare_beam.deal_by(["--runner=NoRunner"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beam", "local"]


CONFIG = """
import toy
from ecgjax.data.prepare import Preparation
def get_config():
    return Preparation(toy.Config(num_recordings=2000, faults=("r0:truncated",)))
"""


@needs_beam
@pytest.mark.slow
def test_the_script_and_its_worker_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "tests"))))
    (tmp_path / "config.py").write_text(CONFIG)
    command = [sys.executable, "-m", "launch.prepare", f"--config={tmp_path / 'config.py'}"]
    direct = "--beam=--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2"
    few = "--config.dataset.num_recordings=9"
    for name, more in (("beam", direct), ("local", "--config.workers=1")):
        call = [*command, f"--store={tmp_path / name}", few, more]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "toy: 5 subjects, 8 recordings" in done.stdout
    assert_same_store(tmp_path / "beam", tmp_path / "local")

    with subprocess.Popen([*command, f"--store={tmp_path / 'killed'}", direct], cwd=ROOT, text=True) as parent:
        while not list(tmp_path.glob(f"killed{SUFFIX}/parts-*/?*[0-9]")):
            assert parent.poll() is None
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(60) == 143
    assert not list(tmp_path.glob("killed*"))
