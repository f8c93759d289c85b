"""Weights from elsewhere as a run of ours, which `launch.evaluate` and `init_from` take as any other."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ecgjax import config, plain
from ecgjax.config import Experiment
from ecgjax.data import staging
from ecgjax.errors import UserError
from ecgjax.signals.preprocess import Steps
from ecgjax.training import checkpoint, digest, mesh, workdir
from ecgjax.training.about import About
from ecgjax.training.checkpoint import Checkpoints
from ecgjax.training.program import compile_for


def write_run(
    folder: Path,
    experiment: Experiment,
    modalities: dict[str, dict[str, Any]],
    preprocess: dict[str, Steps],
    origin: dict[str, Any],
    convert: Callable[[Mapping[str, tuple[int, ...]]], Mapping[str, np.ndarray]],
) -> None:
    """Writes a run of one checkpoint, at step 0. It appears complete or not at all.

    Args:
      folder: must not exist, or be empty.
      experiment: its model and task have the weights; its data say what windows they read.
      modalities, preprocess: what the weights want to be fed, as `launch.prepare` tells it of a store.
      origin: where the weights come from.
      convert: arrays by the names of `params` and `model_state`, given these names and their shapes.

    Raises:
      UserError: the folder holds something, the config reads other modalities, or what `convert` raises.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--workdir={folder}: exists. Give the name of a folder that is yet to be made.")
    config.check(experiment)
    if set(experiment.data.modalities) != set(modalities):
        raise UserError(
            f"data.modalities={','.join(experiment.data.modalities)}: the weights read {','.join(modalities)}. "
            f"Set --config.data.modalities={','.join(modalities)}."
        )
    compiled = compile_for(experiment, modalities)
    abstract = {"params": compiled.abstract.params, "model_state": compiled.abstract.model_state}
    arrays = convert({name: tuple(shape) for name, (shape, _) in digest.leaves(abstract).items()})
    placed = jax.tree_util.tree_map_with_path(
        lambda keys, leaf: jax.device_put(arrays[mesh.path_of(keys)], leaf.sharding), abstract
    )
    state = compiled.init(jax.random.key(experiment.seed)).replace(**placed)
    steps = {name: plain.to_dict(each) for name, each in preprocess.items()}
    about = About(experiment, compiled, modalities, steps, experiment.data.label, origin=origin)
    with staging.claimed(folder) as new:
        task = compiled.program.task
        with Checkpoints(new / checkpoint.FOLDER, monitor=task.monitor, monitor_mode=task.monitor_mode) as checkpoints:
            checkpoints.save(0, state, {}, about.to_dict())
        workdir.write_config(new, experiment)
        staging.publish(new, folder)
