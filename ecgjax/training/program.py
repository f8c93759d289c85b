"""The compiled functions of an experiment. Runs that differ in data and length alone (folds, seeds) share them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ecgjax import plain
from ecgjax.config import Experiment
from ecgjax.tasks.base import Batch
from ecgjax.training import mesh as meshes
from ecgjax.training import optim, state
from ecgjax.training.state import Program, State


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What a run needs on its devices.

    Attributes:
      mesh: the device grid.
      program: encoder, head and task.
      abstract: `State` of shapes, dtypes and shardings: what a checkpoint is restored onto.
      init: (key) -> State.
      train_step: (state, batch, learning rate) -> (state, metrics); the state given is consumed.
      eval_step: (state, batch, number) -> (metrics, predictions).
      encode: (state, batch) -> pooled vectors of the windows as they are.
    """

    mesh: Mesh
    program: Program
    abstract: State
    init: Callable[..., State]
    train_step: Callable[..., Any]
    eval_step: Callable[..., Any]
    encode: Callable[..., jax.Array]


# The last two programs: compiling takes longer than a fold's first steps, and between two cross-validations of a sweep
# the report looks at the pre-training.
_compiled: dict[str, Compiled] = {}


def compile_program(experiment: Experiment, batch: Batch) -> Compiled:
    """Shapes, shardings and jitted functions of an experiment for batches like this one."""
    shapes = jax.tree.map(lambda x: (np.shape(x)[1:], str(np.asarray(x).dtype)), batch)
    described = plain.to_dict(experiment)
    key = repr([described[part] for part in ("task", "model", "optim", "mesh")] + [shapes])
    if key not in _compiled:
        while len(_compiled) > 1:
            del _compiled[next(iter(_compiled))]
        _compiled[key] = _compile(experiment, batch)
    return _compiled[key]


def compile_for(experiment: Experiment, modalities: Mapping[str, Mapping[str, Any]]) -> Compiled:
    """The same for windows of these modalities, told as a checkpoint does."""
    signals = {
        name: np.zeros((1, round(experiment.data.window_s * m["rate_hz"]), len(m["channels"])), np.float32)
        for name, m in modalities.items()
    }
    one = np.zeros(1, np.int32)
    batch = {"signals": signals, "label": one, "window": one, "weight": np.ones(1, np.float32)}
    return compile_program(experiment, batch)


def _compile(experiment: Experiment, batch: Batch) -> Compiled:
    mesh = meshes.make_mesh(experiment.mesh)
    task = experiment.task.make()
    jax.eval_shape(task.view, jax.random.key(0), batch)  # a window that does not suit the task is refused at once
    program = Program(experiment.model.make(), task.head(), task)

    def init_variables(key: jax.Array) -> Any:
        signals = {m: jnp.zeros((1, *x.shape[1:]), x.dtype) for m, x in batch["signals"].items()}
        return state.init_variables(program, key, signals)

    params, _ = jax.eval_shape(init_variables, jax.random.key(0))
    program = dataclasses.replace(program, encoder_trains=not optim.freezes_encoder(params, experiment.optim))
    optimizer = optim.make_optimizer(experiment.optim, params)

    def init(key: jax.Array) -> State:
        # A number no step reaches: draws for the weights must not meet those of a training step.
        return state.init_state(optimizer, key, *init_variables(jax.random.fold_in(key, state.INIT)))

    shapes = jax.eval_shape(init, jax.random.key(0))
    placed = meshes.shardings(shapes, mesh, experiment.mesh.rules)
    abstract = jax.tree.map(lambda s, p: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=p), shapes, placed)
    everywhere = meshes.replicated(mesh)
    over_batch = jax.sharding.NamedSharding(mesh, meshes.BATCH)

    def train_step(now: State, batch: Batch, rate: jax.Array) -> Any:
        return state.train_step(program, optimizer, now, batch, rate)

    def eval_step(now: State, batch: Batch, number: jax.Array) -> Any:
        return state.eval_step(program, now, batch, number)

    def encode(now: State, batch: Batch) -> jax.Array:
        return state.encode(program, now.params, now.model_state, batch["signals"], now.key, train=False)[0].pooled_BD

    return Compiled(
        mesh=mesh,
        program=program,
        abstract=abstract,
        init=jax.jit(init, out_shardings=placed),
        train_step=jax.jit(train_step, out_shardings=(placed, everywhere), donate_argnums=0),
        eval_step=jax.jit(eval_step, out_shardings=(everywhere, over_batch)),
        encode=jax.jit(encode, out_shardings=over_batch),
    )


def count_parameters(params: Any) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
