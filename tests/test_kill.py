"""A run that is killed and started again ends with the bits of one that was not. All by the real launch script."""

import json
import signal
import time

import jax
import numpy as np
import pytest

from ecgjax.errors import Preempted
from ecgjax.training import checkpoint, loop, workdir
from tests import processes, tiny

TIMEOUT_S = 120
MOMENTS = ("start", "compile", "step", "evaluation", "save") * 2
NUM_EPOCHS = 20  # for the slow test; sixty steps


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("kill") / "store")


def start(store, folder, num_epochs, start_them=processes.start, more=(), module="launch.train"):
    """launch.train in the background: three steps an epoch, an evaluation and a save at every step."""
    arguments = (
        "--config=configs/demo_pretrain.py",
        f"--config.data.store={store}",
        f"--workdir={folder}",
        *tiny.FLAGS,
        "--config.data.batch_size=16",
        "--config.data.eval_batch_size=16",
        "--config.data.split.validation_fraction=0.3",
        f"--config.train.num_epochs={num_epochs}",
        "--config.train.log_every_steps=1",
        "--config.train.checkpoint_every_steps=1",
        "--config.train.eval_every_epochs=0.34",
        "--config.train.tensorboard=False",
    )
    command = ("-m", module, *more, *arguments)
    return start_them(*command, JAX_NUM_CPU_DEVICES="1")


def finish(process):
    """(exit code, stderr)"""
    ((code, _, errors),) = processes.finish([process], TIMEOUT_S)
    return code, errors


def complete(store, folder, num_epochs):
    code, errors = finish(start(store, folder, num_epochs))
    assert code == 0, errors[-3000:]


def rows(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "clock"} for line in lines]


def latest_state(folder):
    abstract = loop.set_up(workdir.read_experiment(folder), folder).compiled.abstract
    return checkpoint.restore(folder, abstract, which="latest").state


def assert_same_run(folder, other):
    assert rows(folder) == rows(other)
    described = [checkpoint.describe(path) for path in (folder, other)]
    assert described[0]["steps"] == described[1]["steps"] and described[0]["best"] == described[1]["best"]
    assert described[0]["extra"]["history"] == described[1]["extra"]["history"]
    states = [jax.tree_util.tree_leaves_with_path(latest_state(path)) for path in (folder, other)]
    for (path, x), (_, y) in zip(*states, strict=True):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y), err_msg=jax.tree_util.keystr(path))


def wait_for(process, happened):
    """Polls until `happened()`; False where the process ends or time is up before."""
    until = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        if happened():
            return True
        time.sleep(0.002)
    return False


def num_rows(folder, kind=""):
    path = folder / "metrics.jsonl"
    return sum(f'"kind": "{kind}' in line for line in path.read_text().splitlines()) if path.exists() else 0


def kill_at(moment, process, folder, delay):
    """Kills the process at a moment of its life, and a part `delay` of some seconds later."""
    lock, checkpoints = folder / "lock", folder / "checkpoints"
    trained, evaluated = num_rows(folder, "train"), num_rows(folder, "eval")
    half_written = lambda: set(checkpoints.glob("*.orbax-checkpoint-tmp*"))  # noqa: E731
    stale = half_written()
    happened, seconds = {
        "start": (lambda: True, 3.0),
        "compile": (lambda: lock.exists() and f"pid {process.pid} " in lock.read_text(), 3.0),
        "step": (lambda: num_rows(folder, "train") > trained + 2, 0.3),
        "evaluation": (lambda: num_rows(folder, "train") > num_rows(folder, "eval") > evaluated + 1, 0.0),
        "save": (lambda: half_written() - stale, 0.05),
    }[moment]
    try:
        assert wait_for(process, happened), f"{moment}: it never came"
        time.sleep(delay * seconds)
    finally:
        process.kill()
    code, errors = finish(process)
    assert code == -signal.SIGKILL, f"{moment}: {errors[-3000:]}"


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bits(store, tmp_path):
    rng = np.random.default_rng(0)
    complete(store, tmp_path / "whole", NUM_EPOCHS)
    folder = tmp_path / "killed"
    for moment in rng.permutation(MOMENTS):
        kill_at(moment, start(store, folder, NUM_EPOCHS), folder, rng.uniform())
    assert 0 < num_rows(folder, "train") < num_rows(tmp_path / "whole", "train")  # it was still on its way
    complete(store, folder, NUM_EPOCHS)
    assert_same_run(folder, tmp_path / "whole")


def test_asked_to_stop_it_saves_and_the_same_command_ends_with_the_same_bits(store, tmp_path):
    complete(store, tmp_path / "whole", num_epochs=4)
    folder = tmp_path / "stopped"
    process = start(store, folder, 4)
    assert wait_for(process, lambda: num_rows(folder, "train") > 1)
    process.send_signal(signal.SIGTERM)
    code, errors = finish(process)
    assert code == Preempted.exit_code == 75, errors[-3000:]
    step = checkpoint.describe(folder)["latest"]
    assert 2 <= step < 12 and f"after step {step}, which is saved" in errors
    assert not (folder / "report.html").exists()
    complete(store, folder, num_epochs=4)
    assert_same_run(folder, tmp_path / "whole")


def test_a_sweep_that_is_asked_to_stop_begins_no_other_cell(store, tmp_path):
    sweep = ("--sweep=seed=0,1",)
    process = start(store, tmp_path, 400, module="launch.sweep", more=sweep)
    assert wait_for(process, lambda: num_rows(tmp_path / "seed=0", "train") > 1)
    process.send_signal(signal.SIGTERM)
    code, errors = finish(process)
    assert code == Preempted.exit_code and "which is saved" in errors, errors[-3000:]
    assert "cell 1 of 2" in errors and "cell 2 of 2" not in errors and not (tmp_path / "seed=1").exists()


def start_two(store, folder):
    return start(store, folder, 8, processes.start_two, ("--distributed",))


@pytest.mark.slow
def test_two_processes_asked_to_stop_save_together_and_end_with_the_same_bits(store, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    for code, _, errors in processes.finish(start_two(store, whole)):
        assert code == 0, errors[-3000:]
    pair = start_two(store, folder)
    try:
        assert wait_for(pair[0], lambda: num_rows(folder, "train") > 1)
    finally:
        for process in pair:
            process.send_signal(signal.SIGTERM)
        results = processes.finish(pair)
    step = checkpoint.describe(folder)["latest"]
    for code, _, errors in results:
        assert code == Preempted.exit_code, errors[-3000:]
        assert f"after step {step}, which is saved" in errors
    assert 2 <= step == num_rows(folder, "train") < num_rows(whole, "train")
    for code, _, errors in processes.finish(start_two(store, folder)):
        assert code == 0, errors[-3000:]
    assert_same_run(folder, whole)
