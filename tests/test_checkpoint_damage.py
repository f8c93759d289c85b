"""Damaged, half-written and killed checkpoints: never a wrong value, and never the loss of an earlier one."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging

from ecgjax.errors import UserError
from ecgjax.training import checkpoint
from ecgjax.training.checkpoint import Checkpoints
from ecgjax.training.digest import RECORD

OPTIONS = {"monitor": "loss", "monitor_mode": "min", "keep_last": 2, "keep_best": 0}


def make_state(step):
    return {
        "step": jnp.asarray(step),
        "params": {"encoder": {"w": jnp.arange(64.0) + step}},
        "key": jax.random.key(step),
    }


TARGET = jax.eval_shape(lambda: make_state(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with steps 1 and 2. Copy it before damaging it."""
    folder = tmp_path_factory.mktemp("saved")
    with Checkpoints(folder, **OPTIONS) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step), {}, {"step": step})
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def is_state(state, step):
    return (
        int(state["step"]) == step
        and np.array_equal(state["params"]["encoder"]["w"], np.arange(64.0) + step)
        and bool((jax.random.key_data(state["key"]) == jax.random.key_data(jax.random.key(step))).all())
    )


def resume(folder):
    """The step that a resumed run starts from, after checking every value of it."""
    with Checkpoints(folder, **OPTIONS) as checkpoints:
        state, extra = checkpoints.restore(TARGET)
        assert checkpoints.steps()[-1] == extra["step"]
    assert is_state(state, extra["step"])
    return extra["step"]


# Changed or gone, these alter no value; Orbax does not read them back, or writes them after our digests.
HARMLESS = ("_CHECKPOINT_METADATA", "commit_success.txt")


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_a_flipped_bit_anywhere_is_never_a_wrong_value(folder, tmp_path, warnings):
    pristine = shutil.copytree(folder, tmp_path / "pristine")
    names = [path.relative_to(folder) for path in files(folder / "2")]
    assert len(names) >= 8 and any(RECORD in str(name) for name in names)
    for name in names:
        size = (pristine / name).stat().st_size
        for offset in sorted({int(size * part) for part in (0, 0.13, 0.29, 0.5, 0.71, 0.93)} | {size - 1}):
            shutil.rmtree(folder)
            shutil.copytree(pristine, folder)
            warnings.clear()
            flip(folder / name, offset)
            step = resume(folder)
            if name.name not in HARMLESS:
                assert step == 1 and len(warnings) == 1 and f"{folder / name}: damaged" in warnings[0], (name, offset)


@pytest.mark.parametrize("damage", ["truncate", "empty", "delete"])
def test_a_file_cut_short_or_gone(folder, tmp_path, damage, warnings):
    pristine = shutil.copytree(folder, tmp_path / "pristine")
    for name in [path.relative_to(folder) for path in files(folder / "2")]:
        shutil.rmtree(folder)
        shutil.copytree(pristine, folder)
        path = folder / name
        if damage == "delete":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: -1 if damage == "truncate" else 0])
        step = resume(folder)
        assert step == (2 if name.name in HARMLESS else 1), name
        if step == 1 and name.name != RECORD:
            assert ("missing" if damage == "delete" else "bytes instead of") in warnings[-1]


def test_evaluation_falls_back_too_and_leaves_the_folder_alone(folder, warnings):
    flip(next((folder / "2").rglob("d/*")), 40)
    before = {path: path.stat().st_mtime_ns for path in files(folder)}
    state, extra = checkpoint.restore(folder, TARGET, which="latest")
    assert extra["step"] == 1 and is_state(state, 1)
    assert "damaged (its digest differs)" in warnings[0]
    assert {path: path.stat().st_mtime_ns for path in files(folder)} == before


def test_a_step_trained_again_takes_the_place_of_the_damaged_one(folder, warnings):
    flip(next((folder / "2").rglob("d/*")), 40)
    with Checkpoints(folder, **OPTIONS) as checkpoints:
        assert checkpoints.restore(TARGET).extra["step"] == 1
        assert checkpoints.save(2, make_state(2), {}, {"step": 2})
    assert resume(folder) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "2.damaged"]


@pytest.mark.parametrize("damage", ["bit", "record"])
def test_when_none_is_left_that_is_said_every_time(folder, damage, warnings):
    for step in ("1", "2"):
        if damage == "record":
            (folder / step / RECORD).unlink()
        else:
            flip(next((folder / step).rglob("d/*")), 40)
    for _ in range(2):  # the first attempt must not clear the way for a silent fresh start
        with pytest.raises(UserError, match="none of the checkpoints there can be used.*delete the folder"):
            resume(folder)
        with pytest.raises(UserError, match="none of the checkpoints there can be used"):
            checkpoint.restore(folder, TARGET)


def test_a_half_deleted_step_does_not_count(folder, warnings):
    shutil.rmtree(folder / "1")
    (folder / "1" / "state").mkdir(parents=True)
    assert resume(folder) == 2
    assert checkpoint.describe(folder)["steps"] == [2]


def test_a_record_of_another_format_is_told(folder, warnings, monkeypatch):
    monkeypatch.setattr("ecgjax.training.digest.FORMAT", 2)
    with pytest.raises(UserError):
        checkpoint.describe(folder)
    assert "written in format 1, this ecgjax reads format 2" in warnings[0]


def test_what_a_kill_left_is_cleaned_up(folder):
    shutil.copytree(folder / "2", folder / "3.orbax-checkpoint-tmp")
    assert resume(folder) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_a_fresh_start_after_a_kill_in_the_first_save(tmp_path):
    (tmp_path / "1.orbax-checkpoint-tmp").mkdir()
    with Checkpoints(tmp_path, **OPTIONS) as checkpoints:
        assert checkpoints.steps() == []


def test_a_full_disk_is_told_and_costs_no_earlier_step(tmp_path):
    big = {"params": {"encoder": {"w": jax.random.normal(jax.random.key(0), (1 << 20,))}}}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(UserError, match=r"could not be written \(the disk is full\). Earlier ones are intact"):
        with Checkpoints(tmp_path, **OPTIONS | {"keep_last": 1}) as checkpoints:
            checkpoints.save(1, big, {}, {})
            checkpoints.wait()
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # like a disk with 1 MiB left
                checkpoints.save(2, big, {}, {})
                time.sleep(0.1)
                checkpoints.save(3, big, {}, {})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    restored = checkpoint.restore(tmp_path, jax.eval_shape(lambda: big)).state
    assert (restored["params"]["encoder"]["w"] == big["params"]["encoder"]["w"]).all()
    with Checkpoints(tmp_path, **OPTIONS) as checkpoints:  # and the run goes on once there is space again
        assert checkpoints.steps() == [1] and checkpoints.save(2, big, {}, {})


SAVE_ON_A_FULL_DISK = """
import resource, sys
import jax
from ecgjax.errors import UserError
from ecgjax.training.checkpoint import Checkpoints
from test_checkpoint_damage import OPTIONS
state = {f"w{i}": jax.random.normal(jax.random.key(i), (1000,)) for i in range(40)}
try:
    with Checkpoints(sys.argv[1], **OPTIONS) as checkpoints:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        checkpoints.save(1, state, {}, {})
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 500])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, room):
    command, path = [sys.executable, "-c", SAVE_ON_A_FULL_DISK, str(tmp_path), str(room)], os.pathsep.join(sys.path)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=True)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{tmp_path}: a checkpoint could not be written (the disk is full)")
    assert list(tmp_path.iterdir()) == []


def test_what_threads_say_to_a_closed_event_loop_is_not_shown(tmp_path, monkeypatch):
    """After a failed save on a disk without a free block these are hundreds; a limit on file sizes brings none."""
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: shown.append(str(unraisable.exc_value)))
    for _ in range(2):
        with Checkpoints(tmp_path, **OPTIONS):
            for error in (RuntimeError("Event loop is closed"), RuntimeError("other"), ValueError("another")):
                sys.unraisablehook(types.SimpleNamespace(exc_type=type(error), exc_value=error))
    assert shown == 2 * ["other", "another"]


def test_the_older_step_goes_only_after_the_newer_has_its_digests(tmp_path, monkeypatch):
    seen = []

    def no_space(folder, record):
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="the disk is full"):
        with Checkpoints(tmp_path, **OPTIONS | {"keep_last": 1}) as checkpoints:
            checkpoints.save(1, make_state(1), {}, {"step": 1})
            checkpoints.wait()
            monkeypatch.setattr("ecgjax.training.digest.write_record", no_space)
            checkpoints.save(2, make_state(2), {}, {"step": 2})
    assert seen == [["1", "2.orbax-checkpoint-tmp"]]
    monkeypatch.undo()
    assert resume(tmp_path) == 1


SAVE_FOR_EVER = """
import sys
from ecgjax.training.checkpoint import Checkpoints
from test_checkpoint_damage import OPTIONS, make_state
with Checkpoints(sys.argv[1], **OPTIONS | {"keep_last": 1}) as checkpoints:
    for step in range(max(checkpoints.steps(), default=0), 10**6):
        checkpoints.save(step, make_state(step), {}, {"step": step})
        print(step, flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, kills):
    random, before = np.random.default_rng(kills), -1
    command = [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path)]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **path}) as process:
            printed = [process.stdout.readline() for _ in range(3)]  # the third save begins when two are committed
            time.sleep(random.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        step = resume(tmp_path)
        assert printed[-1] and step > before
        before = step
