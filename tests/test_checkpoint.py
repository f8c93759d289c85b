"""Checkpoints: what is saved comes back bit by bit, anywhere; the right steps are kept; misfits are told apart."""

import copy

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ecgjax.errors import UserError
from ecgjax.training import checkpoint
from ecgjax.training.checkpoint import Checkpoints
from ecgjax.training.state import State

LOSS = {"monitor": "loss", "monitor_mode": "min"}


def make_state(seed: int) -> State:
    """Every kind of leaf a run has: a typed key, scalars, bfloat16, the optimizer's named tuples, empty branches."""
    key = jax.random.key(seed)
    params = {
        "encoder": {
            "conv": {
                "kernel": jax.random.normal(key, (8, 16)),
                "bias": jax.random.normal(key, (16,)).astype(jnp.bfloat16),
            }
        },
        "head": {"dense": {"kernel": jax.random.normal(key, (16, 2))}},
    }
    model_state = {"encoder": {"batch_stats": {"mean": jax.random.normal(key, (16,))}}, "head": {}}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.identity())
    return State(jnp.asarray(seed, jnp.int32), key, params, model_state, optimizer.init(params))


def abstract(tree):
    return jax.eval_shape(lambda: tree)


def bits(tree):
    """Leaves as host arrays, keys as their data: what `bitwise equal` compares."""
    return jax.tree.map(
        lambda x: np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x), tree
    )


def save(folder, steps, **options):
    """Saves (step, loss or None) one after another and returns the steps on disk."""
    with Checkpoints(folder, **{**LOSS, **options}) as checkpoints:
        for step, loss in steps:
            checkpoints.save(step, make_state(step), {} if loss is None else {"loss": loss}, {"note": step})
    return sorted(int(p.name) for p in folder.iterdir())


def test_everything_comes_back_bit_by_bit(tmp_path):
    state = make_state(7)
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        assert checkpoints.steps() == []
        checkpoints.save(7, state, {"loss": 0.5}, {"history": [[7, 0.5], [8, float("nan")]]})
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        restored, extra = checkpoints.restore(abstract(state))
    chex.assert_trees_all_equal(bits(restored), bits(state), strict=True)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert jax.random.uniform(restored.key) == jax.random.uniform(state.key)
    assert extra["history"][0] == [7, 0.5] and np.isnan(extra["history"][1][1])


def test_saving_copies_so_buffers_may_be_donated_at_once(tmp_path):
    state = {"params": {"encoder": {"w": jnp.arange(1 << 20, dtype=jnp.float32)}}}
    expected = bits(state)
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        checkpoints.save(1, state, {}, {})
        jax.block_until_ready(jax.jit(lambda s: jax.tree.map(jnp.negative, s), donate_argnums=0)(state))
        checkpoints.wait()
        chex.assert_trees_all_equal(bits(checkpoints.restore(abstract(expected)).state), expected)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_saved_on_eight_devices_restored_on_any(tmp_path, devices):
    def place(leaf, mesh):
        spec = PartitionSpec("data") if leaf.ndim and leaf.shape[0] % 8 == 0 else PartitionSpec()
        return NamedSharding(mesh, spec)

    def mesh(count):
        return Mesh(np.asarray(jax.devices()[:count]), ("data",))

    state = make_state(3)
    sharded = jax.tree.map(lambda x: jax.device_put(x, place(x, mesh(8))), state)
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        checkpoints.save(3, sharded, {}, {})
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place(x, mesh(devices))), abstract(state)
    )
    restored = checkpoint.restore(tmp_path, target).state
    chex.assert_trees_all_equal(bits(restored), bits(state), strict=True)
    assert len(restored.params["encoder"]["conv"]["kernel"].devices()) == devices
    jax.tree.map(
        lambda x, t: chex.assert_equal(x.sharding.is_equivalent_to(t.sharding, x.ndim), True), restored, target
    )


LOSSES = [(1, 0.5), (2, 0.1), (3, None), (4, 0.4), (5, float("nan")), (6, 0.3)]


@pytest.mark.parametrize(
    "options, kept",
    [
        ({"keep_last": 1, "keep_best": 0}, [6]),
        ({"keep_last": 2, "keep_best": 1}, [2, 5, 6]),
        ({"keep_last": 1, "keep_best": 2}, [2, 6]),
        ({"keep_last": 1, "keep_best": 1, "monitor_mode": "max"}, [1, 6]),
        ({"keep_last": 1, "keep_best": 3, "monitor": "accuracy"}, [6]),
        ({"keep_last": 0, "keep_best": 0}, [6]),  # the newest always stays: resume needs it
    ],
)
def test_the_newest_and_the_best_evaluated_are_kept(tmp_path, options, kept):
    assert save(tmp_path, LOSSES, **options) == kept


def test_retention_goes_on_after_a_restart(tmp_path):
    save(tmp_path, LOSSES[:4], keep_last=1, keep_best=1)
    assert save(tmp_path, LOSSES[4:], keep_last=1, keep_best=1) == [2, 6]
    assert save(tmp_path, [(7, 0.05)], keep_last=1, keep_best=1) == [7]


def test_of_equally_good_steps_the_earlier_is_best(tmp_path):
    save(tmp_path, [(1, 0.2), (2, 0.1), (3, 0.1)], keep_last=3)
    told = checkpoint.describe(tmp_path)
    assert told["best"] == 2 and told["latest"] == 3


def test_best_and_latest_can_be_asked_for(tmp_path):
    folder = tmp_path / "run" / checkpoint.FOLDER
    save(folder, LOSSES)
    target = abstract(make_state(0))
    for where in (tmp_path / "run", folder):
        assert checkpoint.restore(where, target).extra == {"note": 2}
        assert checkpoint.restore(where, target, which="latest").extra == {"note": 6}
    assert checkpoint.restore(folder / "5", target).extra == {"note": 5}
    assert checkpoint.restore(folder, {"params": target.params}).state.keys() == {"params"}
    with pytest.raises(UserError, match='which is "newest"'):
        checkpoint.restore(folder, target, which="newest")


def test_best_is_the_latest_where_nothing_was_evaluated(tmp_path):
    save(tmp_path, [(1, None), (2, None)])
    assert checkpoint.restore(tmp_path, abstract(make_state(0))).extra == {"note": 2}


def test_a_step_already_saved_is_left_alone(tmp_path):
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        assert checkpoints.save(1, make_state(1), {}, {"note": "first"})
        assert not checkpoints.save(1, make_state(2), {}, {"note": "second"})
        assert checkpoints.restore(abstract(make_state(1))).extra == {"note": "first"}


def test_extra_is_taken_as_it_is_now_and_must_be_json(tmp_path):
    history = [[1, 0.5]]
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        checkpoints.save(1, make_state(1), {}, {"history": history})
        history.append([2, 0.4])
        checkpoints.wait()
        assert checkpoints.restore(abstract(make_state(1))).extra == {"history": [[1, 0.5]]}
        with pytest.raises(TypeError, match="JSON"):
            checkpoints.save(2, make_state(2), {}, {"history": object()})


def test_the_encoder_comes_alone(tmp_path):
    save(tmp_path, [(1, 0.5)])
    state = make_state(1)
    wanted = {"params": state.params["encoder"], "model_state": state.model_state["encoder"]}
    chex.assert_trees_all_equal(bits(checkpoint.restore_encoder(tmp_path, abstract(wanted))), bits(wanted), strict=True)
    with pytest.raises(UserError, match="model_state/encoder/batch_stats/mean is only in the checkpoint"):
        checkpoint.restore_encoder(tmp_path, abstract(wanted | {"model_state": {}}))


def test_an_encoder_without_state_comes_too(tmp_path):
    state = make_state(1).replace(model_state={"encoder": {}, "head": {}})
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        checkpoints.save(1, state, {}, {})
    wanted = {"params": state.params["encoder"], "model_state": {}}
    chex.assert_trees_all_equal(bits(checkpoint.restore_encoder(tmp_path, abstract(wanted))), bits(wanted), strict=True)


def test_of_two_encoders_only_one_has_state(tmp_path):
    state = make_state(1)
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        checkpoints.save(1, state.replace(model_state={"encoder": {}, "head": {}}), {}, {})
    wanted = {"params": state.params["encoder"], "model_state": state.model_state["encoder"]}
    message = "model_state/encoder/batch_stats/mean is not in the checkpoint. It comes from another model: name"
    with pytest.raises(UserError, match=message):
        checkpoint.restore_encoder(tmp_path, abstract(wanted))


def change(encoder, kind):
    conv = copy.deepcopy(encoder)["conv"]
    if kind == "shape":
        conv["kernel"] = jax.ShapeDtypeStruct((8, 32), jnp.float32)
    elif kind == "dtype":
        conv["bias"] = jax.ShapeDtypeStruct((16,), jnp.float32)
    elif kind == "missing":
        return {"conv": conv, "layer_1": {"scale": jax.ShapeDtypeStruct((4,), jnp.float32)}}
    else:
        del conv["bias"]
    return {"conv": conv}


MISFITS = {
    "shape": "params/encoder/conv/kernel has shape 8x16 in the checkpoint and 8x32 here",
    "dtype": "params/encoder/conv/bias has dtype bfloat16 in the checkpoint and float32 here",
    "missing": "params/encoder/layer_1/scale is not in the checkpoint",
    "extra": "params/encoder/conv/bias is only in the checkpoint",
}


@pytest.mark.parametrize("kind", MISFITS)
def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path, kind):
    save(tmp_path, [(1, 0.5)])
    target = abstract(make_state(1))
    encoder = change(target.params["encoder"], kind)
    with pytest.raises(UserError, match=MISFITS[kind]):
        checkpoint.restore_encoder(tmp_path, {"params": encoder})
    changed = target.replace(params=target.params | {"encoder": encoder})
    with pytest.raises(UserError, match=MISFITS[kind]):
        checkpoint.restore(tmp_path, changed)
    with Checkpoints(tmp_path, **LOSS) as checkpoints, pytest.raises(UserError, match=MISFITS[kind]):
        checkpoints.restore(changed)


def test_a_field_of_the_state_that_the_target_lacks_is_a_misfit_on_resume(tmp_path):
    save(tmp_path, [(1, 0.5)])
    with Checkpoints(tmp_path, **LOSS) as checkpoints, pytest.raises(UserError, match="opt_state.* is only in the"):
        checkpoints.restore(abstract(make_state(1)).replace(opt_state=()))


def test_a_misfit_tells_which_fields_of_the_model_explain_it(tmp_path):
    with Checkpoints(tmp_path, **LOSS) as checkpoints:
        checkpoints.save(1, make_state(1), {}, {"config": {"model": {"class": "a:B", "num_layers": 2}}})
    encoder = change(abstract(make_state(1)).params["encoder"], "missing")
    with pytest.raises(UserError, match="model.num_layers is 2 in the checkpoint and 3 here"):
        checkpoint.restore_encoder(tmp_path, {"params": encoder}, model={"class": "a:B", "num_layers": 3})


def test_describe_needs_no_arrays(tmp_path):
    save(tmp_path, LOSSES)
    for file in tmp_path.rglob("d/*"):
        file.unlink()
    told = checkpoint.describe(tmp_path)
    assert (told["steps"], told["best"], told["latest"], told["step"]) == ([2, 5, 6], 2, 6, 2)
    assert told["metrics"] == {"loss": 0.1} and told["extra"] == {"note": 2}
    assert told["num_parameters"] == 8 * 16 + 16 + 16 * 2
    assert told["leaves"]["params/encoder/conv/bias"] == [[16], "bfloat16"]
    assert told["leaves"]["key"] == [[], "key<fry>"]


def test_no_checkpoints_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, message in (("absent", "no such folder"), ("empty", "holds no checkpoint. Name the --workdir of a")):
        with pytest.raises(UserError, match=message):
            checkpoint.describe(tmp_path / name)


def test_the_folds_of_a_cross_validation_are_named(tmp_path):
    for name in ("fold_00", "fold_01"):
        save(tmp_path / name / checkpoint.FOLDER, [(1, 0.5)])
    (tmp_path / "notes").mkdir()
    for read in (checkpoint.describe, lambda path: checkpoint.restore(path, abstract(make_state(1)))):
        with pytest.raises(UserError, match="holds no checkpoint. Name one of the runs inside: fold_00, fold_01[.]$"):
            read(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        Checkpoints(tmp_path / "file", **LOSS)
