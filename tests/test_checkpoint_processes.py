"""Checkpoints of several processes: saved together, judged by the first, restored by any number."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.training import checkpoint
from ecgjax.training.checkpoint import Checkpoints
from tests import processes

OPTIONS = {"monitor": "loss", "monitor_mode": "min", "keep_last": 2, "keep_best": 1}


def make_state(step, devices):
    """A row a device, and a replicated scalar."""
    mesh = jax.sharding.Mesh(np.asarray(devices), ("data",))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    values = {"params": {"encoder": {"w": jnp.arange(32.0).reshape(8, 4) + step}}, "step": jnp.asarray(step)}
    placed = {"params": {"encoder": {"w": rows}}, "step": everywhere}
    return jax.jit(lambda: values, out_shardings=placed)()


def as_target(state):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


def worker(job, folder):
    address, number = os.environ["JAX_COORDINATOR_ADDRESS"], int(os.environ["JAX_PROCESS_ID"])
    jax.distributed.initialize(address, 2, number, initialization_timeout=60, heartbeat_timeout_seconds=20)
    state = make_state(0, jax.devices())
    with Checkpoints(folder, **OPTIONS) as checkpoints:
        if job == "save":
            for step, loss in ((1, 0.1), (2, 0.3), (3, 0.2), (4, 0.4)):
                checkpoints.save(step, make_state(step, jax.devices()), {"loss": loss}, {"step": step})
        else:
            restored, extra = checkpoints.restore(as_target(state))
            for shard in restored["params"]["encoder"]["w"].addressable_shards:
                expected = np.arange(32.0).reshape(8, 4)[shard.index] + extra["step"]
                np.testing.assert_array_equal(shard.data, expected)
            print("restored", extra["step"], checkpoints.steps(), flush=True)


def run_two(job, folder):
    """[(stdout, stderr)] of both."""
    code = "import sys\nfrom tests.test_checkpoint_processes import worker\nworker(*sys.argv[1:])"
    results = processes.finish(processes.start_two("-c", code, job, folder, JAX_NUM_CPU_DEVICES="2"), timeout_s=120)
    for exit_code, _, errors in results:
        assert exit_code == 0, errors[-3000:]
    return [texts for _, *texts in results]


@pytest.mark.slow
def test_two_processes_save_agree_on_the_newest_intact_step_and_one_can_go_on(tmp_path):
    run_two("save", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3", "4"]
    assert checkpoint.describe(tmp_path)["best"] == 1
    alone = as_target(make_state(0, jax.devices()[:1]))
    state, extra = checkpoint.restore(tmp_path, alone, which="latest")
    assert extra["step"] == 4
    np.testing.assert_array_equal(state["params"]["encoder"]["w"], np.arange(32.0).reshape(8, 4) + 4)
    data = next((tmp_path / "4").rglob("d/*"))
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    (first, complaints), (second, silence) = run_two("restore", tmp_path)
    assert first.splitlines()[-1] == second.splitlines()[-1] == "restored 3 [1, 3]"
    assert "damaged" in complaints and "damaged" not in silence
