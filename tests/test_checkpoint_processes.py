"""Checkpoints of several processes: saved together, judged by the first, restored by any number."""

import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.training import checkpoint
from ecgjax.training.checkpoint import Checkpoints

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


def worker(job, folder, address, process):
    jax.distributed.initialize(address, 2, int(process), initialization_timeout=60, heartbeat_timeout_seconds=20)
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_NUM_CPU_DEVICES": "2"}
    code = "import sys\nfrom test_checkpoint_processes import worker\nworker(*sys.argv[1:])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-u", "-c", code, job, str(folder), address, str(process)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    try:
        results = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return results


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
