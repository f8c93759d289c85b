"""The device grid, and who lies where. Eight fake CPU devices."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from configs import vazquez2022_pretrain
from ecgjax.config import Mesh, Optim, Optimizer
from ecgjax.errors import UserError
from ecgjax.training import mesh as meshes
from ecgjax.training.optim import make_optimizer
from ecgjax.training.program import compile_program

pytestmark = pytest.mark.skipif(jax.device_count() != 8, reason="needs eight devices")


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


PARAMS = {
    "encoder": {"mlp": {"kernel": shape(4, 8), "bias": shape(8)}},
    "head": {"out": {"kernel": shape(8, 2), "bias": shape(2)}},
}


@pytest.fixture(scope="module")
def grid():
    return meshes.make_mesh(Mesh(data=2, fsdp=2, tensor=2))


def specs(tree):
    return {meshes.path_of(keys): leaf.spec for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize("name", ["JAX_NUM_PROCESSES", "JAX_PROCESS_ID"])
@pytest.mark.parametrize("text", ["two", "1.5", "-1"])
def test_numbers_of_processes_that_are_none_are_named(monkeypatch, name, text):
    met = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given: met.append(given))
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "here:1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    monkeypatch.setenv("JAX_PROCESS_ID", "")
    meshes.start(distributed=True)
    assert met == [("here:1", 4, None)]
    monkeypatch.setenv(name, text)
    with pytest.raises(UserError, match=f"{name}={text}: give a whole number"):
        meshes.start(distributed=True)


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [
        (Mesh(), (8, 1, 1)),
        (Mesh(data=1, fsdp=-1), (1, 8, 1)),
        (Mesh(data=2, fsdp=2, tensor=2), (2, 2, 2)),
        (Mesh(data=2, fsdp=1, tensor=-1), (2, 1, 4)),
        (Mesh(data=-1, fsdp=4, tensor=2), (1, 4, 2)),
    ],
)
def test_sizes_and_the_axis_that_takes_the_rest(asked, sizes):
    made = meshes.make_mesh(asked)
    assert made.axis_names == ("data", "fsdp", "tensor") and made.devices.shape == sizes
    assert set(made.devices.flat) == set(jax.devices())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Mesh(data=3), "data=3, fsdp=1, tensor=1 do not fit 8 devices"),
        (Mesh(data=-1, fsdp=3), "fsdp=3, tensor=1 do not fit 8"),
        (Mesh(data=-1, fsdp=-1), "do not fit 8"),
        (Mesh(data=0), "data=0, .* do not fit 8"),
        (Mesh(data=-2), "data=-2, .* do not fit 8"),
        (Mesh(data=16), "do not fit 8"),
        (Mesh(data=2, fsdp=2), r"\(2, 2, 1\) uses 4 of 8 devices"),
    ],
)
def test_sizes_that_do_not_fit(asked, message):
    with pytest.raises(UserError, match=message):
        meshes.make_mesh(asked)


def test_first_rule_wins_and_the_rest_is_replicated(grid):
    rules = (("encoder/.*kernel", ("", "tensor")), ("kernel", ("fsdp",)))
    assert specs(meshes.shardings(PARAMS, grid, rules)) == {
        "encoder/mlp/kernel": P(None, "tensor"),
        "encoder/mlp/bias": P(),
        "head/out/kernel": P("fsdp"),
        "head/out/bias": P(),
    }


@pytest.mark.parametrize("optimizer", Optimizer)
def test_moments_lie_where_their_parameter_lies(grid, optimizer):
    rules = (("mlp/kernel", ("fsdp", "tensor")), ("head/out/kernel", ("tensor",)), ("mlp/bias", ("data",)))
    optim = Optim(optimizer=optimizer, clip_norm=1.0, weight_decay=0.1, multipliers=(("head/out/bias", 0.0),))
    state = jax.eval_shape(make_optimizer(optim, PARAMS).init, PARAMS)
    params, moments = (specs(meshes.shardings(tree, grid, rules)) for tree in (PARAMS, state))
    following = {path: [s for name, s in moments.items() if name.endswith(path)] for path in params}
    copies = 1 if optimizer is Optimizer.SGD else 2
    assert following == {path: [s] * (0 if path == "head/out/bias" else copies) for path, s in params.items()}
    others = [s for name, s in moments.items() if not name.endswith(tuple(params))]
    assert all(s == P() for s in others)  # Adam's count


def test_scalars_are_replicated_whatever_the_rule(grid):
    assert meshes.shardings({"count": shape()}, grid, (("", ("fsdp",)),))["count"].spec == P()


@pytest.mark.parametrize(
    ("axes", "sizes"),
    [(("tensor", "", "data"), (4, 2)), (("", "tensor"), (4, 3)), (("fsdp", "fsdp"), (4, 2)), (("model",), (4, 2))],
)
def test_axes_that_do_not_fit_the_array(grid, axes, sizes):
    with pytest.raises(UserError, match=rf'"odd" puts \(.*\) on odd of shape \(4, {sizes[1]}\)'):
        meshes.shardings({"odd": shape(*sizes)}, grid, (("odd", axes),))


@pytest.mark.parametrize(("batch_size", "fits"), [(4, True), (16, True), (2, False), (6, False), (0, False)])
def test_a_batch_is_dealt_evenly_over_data_and_fsdp(grid, batch_size, fits):
    if fits:
        meshes.check_batch_size(batch_size, grid, "data.batch_size")
        return
    with pytest.raises(UserError, match=f"data.batch_size={batch_size} is not a multiple of 4"):
        meshes.check_batch_size(batch_size, grid, "data.batch_size")


@pytest.mark.parametrize(("process", "message"), [(0, "the disk is full"), (1, "process 0 could not go on")])
def test_what_stops_the_first_process_stops_the_others(monkeypatch, process, message):
    def action():
        assert process == 0, "only the first acts"
        raise UserError("the disk is full")

    monkeypatch.setattr(jax, "process_index", lambda: process)
    monkeypatch.setattr(meshes, "agree", lambda failed: True)  # what process 0 says
    with pytest.raises(UserError, match=message):
        meshes.on_first(action)
    monkeypatch.setattr(meshes, "agree", lambda failed: False)
    meshes.on_first(lambda: None)


def test_rows_go_to_devices_and_come_back_in_order(grid):
    batch = {"signals": np.arange(24.0, dtype=np.float32).reshape(8, 3), "weight": np.arange(8, dtype=np.float32)}
    placed = meshes.to_global(batch, grid)
    assert {shard.data.shape for shard in placed["signals"].addressable_shards} == {(2, 3)}
    back = meshes.to_host(placed)
    assert all(isinstance(x, np.ndarray) for x in back.values())
    jax.tree.map(np.testing.assert_array_equal, back, batch)


def test_the_rules_of_the_full_model_shard_nearly_all_of_it():
    experiment = vazquez2022_pretrain.get_config()
    batch = {"signals": {"ecg": np.zeros((8, 1280, 1), np.float32)}, "weight": np.ones(8, np.float32)}
    whole = compile_program(experiment, batch).abstract
    experiment.mesh.data, experiment.mesh.fsdp, experiment.mesh.tensor = 1, 4, 2
    sharded = compile_program(experiment, batch).abstract
    chex.assert_trees_all_equal_shapes_and_dtypes(whole.params, sharded.params)
    sizes = [(leaf.size, np.prod(leaf.sharding.shard_shape(leaf.shape))) for leaf in jax.tree.leaves(sharded.params)]
    assert sum(part for _, part in sizes) < 0.25 * sum(size for size, _ in sizes)
    moments = specs(jax.tree.map(lambda leaf: leaf.sharding, sharded.opt_state))
    assert moments and {s for path, s in moments.items() if path.endswith("mlp_in/kernel")} == {P("fsdp", "tensor")}
