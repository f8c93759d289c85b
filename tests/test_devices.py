"""The same run on one device, on eight, on a grid with rules, and on two processes."""

import fcntl
import json

import jax
import pytest

from configs import demo_pretrain
from ecgjax.training import checkpoint, loop
from ecgjax.training.mesh import path_of
from tests import processes, tiny

# First rules win: the widest arrays are split, the encoder's other matrices lie where they are used.
RULES = (("mlp_in/kernel", ("fsdp", "tensor")), ("mlp_out/kernel", ("tensor", "fsdp")), ("qkv/kernel", ("fsdp",)))
GRID = ("--config.mesh.data=2", "--config.mesh.fsdp=2", "--config.mesh.tensor=2", f"--config.mesh.rules={RULES}")
HALVES = ("--config.mesh.data=1", "--config.mesh.tensor=2", f"--config.mesh.rules={RULES}")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("devices") / "store")


def flags(store, workdir, *more):
    """Six steps in two epochs of three, each with an evaluation."""
    return (
        "--config=configs/demo_pretrain.py",
        f"--config.data.store={store}",
        f"--workdir={workdir}",
        *tiny.FLAGS,
        "--config.data.batch_size=16",
        "--config.data.eval_batch_size=16",
        "--config.data.split.validation_fraction=0.3",
        "--config.train.num_epochs=2",
        "--config.train.log_every_steps=1",
        "--config.train.checkpoint_every_steps=2",
        "--config.train.tensorboard=False",
        *more,
    )


def experiment(store):
    """The same as `flags`, without a command line."""
    made = demo_pretrain.get_config()
    for name, value in tiny.MODEL.items():
        setattr(made.model, name, value)
    made.data.store, made.data.batch_size, made.data.eval_batch_size = str(store), 16, 16
    made.data.split.validation_fraction = 0.3
    made.train.num_epochs, made.train.log_every_steps, made.train.checkpoint_every_steps = 2, 1, 2
    made.train.tensorboard = False
    return made


def rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "clock"} for line in lines]


def assert_same_course(workdir, other):
    """Sums in another order differ in the last bits, and training lets that grow."""
    ours, theirs = rows(workdir), rows(other)
    assert [(r["step"], r["kind"]) for r in ours] == [(r["step"], r["kind"]) for r in theirs]
    assert [r["step"] for r in ours if r["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    for a, b in zip(ours, theirs, strict=True):
        tolerance = 1e-5 if a["step"] <= 3 else 1e-4
        assert a["loss"] == pytest.approx(b["loss"], rel=tolerance), (a, b)
        assert a["explained"] == pytest.approx(b["explained"], rel=100 * tolerance)
        assert a["masked_fraction"] == pytest.approx(b["masked_fraction"], rel=1e-6)  # the draws are the same


@pytest.fixture(scope="module")
def alone(run_module, store, tmp_path_factory):
    """The folder of the run on one device."""
    workdir = tmp_path_factory.mktemp("devices") / "one"
    done = run_module("launch.train", *flags(store, workdir))
    assert done.returncode == 0, done.stderr[-3000:]
    return workdir


@pytest.mark.skipif(jax.device_count() != 8, reason="needs eight devices")
def test_one_device_and_eight_take_the_same_course(alone, store, tmp_path):
    this, state = loop.run(experiment(store), tmp_path)
    assert len(state.step.sharding.device_set) == 8 and this.compiled.mesh.shape["data"] == 8
    assert_same_course(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.skipif(jax.device_count() != 8, reason="needs eight devices")
def test_a_grid_with_rules_takes_the_same_course(alone, store, tmp_path):
    made = experiment(store)
    made.mesh.data, made.mesh.fsdp, made.mesh.tensor, made.mesh.rules = 2, 2, 2, RULES
    _, state = loop.run(made, tmp_path)
    kernel = state.params["encoder"]["layer_0"]["mlp_in"]["kernel"]
    moments = [
        x for keys, x in jax.tree_util.tree_leaves_with_path(state.opt_state) if "mlp_in/kernel" in path_of(keys)
    ]
    assert kernel.shape == (16, 32) and {s.data.shape for s in kernel.addressable_shards} == {(8, 16)}
    assert [moment.sharding for moment in moments] == [kernel.sharding] * 2
    assert_same_course(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), GRID], ids=["data=8", "2x2x2"])
def test_launched_on_eight_devices(alone, run_module, store, tmp_path, more):
    done = run_module("launch.train", *flags(store, tmp_path, *more), devices=8)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "report.html").exists()
    assert_same_course(tmp_path, alone)


@pytest.mark.slow
def test_a_run_is_resumed_on_other_devices(alone, run_module, store, tmp_path):
    """Finished on one device; eight find nothing left to do and read the same state."""
    before = rows(alone)
    done = run_module("launch.train", *flags(store, alone), devices=8)
    assert done.returncode == 0, done.stderr[-3000:]
    assert checkpoint.describe(alone)["latest"] == 6 and rows(alone) == before


def start_two(store, workdir, *more):
    """With one device each."""
    call = ("-m", "launch.train", "--distributed", *flags(store, workdir, *more))
    return processes.start_two(*call, JAX_NUM_CPU_DEVICES="1")


@pytest.mark.slow
def test_two_processes_stop_together_where_another_run_holds_the_folder(store, tmp_path):
    with (tmp_path / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (first, _, said), (second, _, also_said) = processes.finish(start_two(store, tmp_path), timeout_s=120)
    assert (first, second) == (2, 2), said[-3000:] + also_said[-3000:]
    assert "in use by another run" in said and "process 0 could not go on" in also_said


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), HALVES], ids=["data=2", "tensor=2"])
def test_two_processes_take_the_same_course_and_one_can_go_on(alone, run_module, store, tmp_path, more):
    """With the batch dealt to them, and with the same rows on both, which hold halves of the wide layers."""
    (first, _, said), (second, _, also_said) = processes.finish(start_two(store, tmp_path, *more))
    assert (first, second) == (0, 0), said[-3000:] + also_said[-3000:]
    assert "step 6/6" in said and "step" not in also_said
    assert (tmp_path / "report.html").exists()
    assert_same_course(tmp_path, alone)
    described, theirs = checkpoint.describe(tmp_path), checkpoint.describe(alone)
    assert described["steps"] == theirs["steps"] and described["best"] == theirs["best"]
    before = rows(tmp_path)
    done = run_module("launch.train", *flags(store, tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert rows(tmp_path) == before and checkpoint.describe(tmp_path)["steps"] == described["steps"]
