"""Devices as a grid with axes data, fsdp and tensor; which parameter lies where; host batches to global arrays."""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ecgjax import config
from ecgjax.errors import UserError, require

BATCH = PartitionSpec(("data", "fsdp"))


def start(distributed: bool) -> None:
    """Readies JAX for a launch script: programs compiled before are found again, other hosts joined if asked.

    The cache of compiled programs is JAX_COMPILATION_CACHE_DIR, else ~/.cache/ecgjax; it may be deleted at will.
    Hosts find each other through Slurm, GKE or the TPU's metadata, or through JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Raises:
      UserError: one of the last two is no number.
    """
    if not jax.config.jax_compilation_cache_dir:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "ecgjax"))
    if distributed:
        count, index = _whole_number("JAX_NUM_PROCESSES"), _whole_number("JAX_PROCESS_ID")
        jax.distributed.initialize(os.environ.get("JAX_COORDINATOR_ADDRESS"), count, index)


def _whole_number(variable: str) -> int | None:
    """Of the environment; None where it is not set, which leaves it to JAX to find out."""
    text = os.environ.get(variable, "").strip()
    require(text.isdecimal() or not text, variable, text, "a whole number")
    return int(text) if text else None


def make_mesh(mesh: config.Mesh) -> Mesh:
    """The device grid; an axis of -1 takes the devices that the others leave.

    Raises:
      UserError: the sizes do not fit the number of devices.
    """
    count, sizes = jax.device_count(), [mesh.data, mesh.fsdp, mesh.tensor]
    fixed = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1 or min(sizes) < -1 or 0 in sizes or count % fixed:
        raise UserError(f"mesh: data={sizes[0]}, fsdp={sizes[1]}, tensor={sizes[2]} do not fit {count} devices.")
    sizes = tuple(count // fixed if size == -1 else size for size in sizes)
    if math.prod(sizes) != count:
        raise UserError(f"mesh: data x fsdp x tensor = {sizes} uses {math.prod(sizes)} of {count} devices.")
    # Auto, written out: the default (Explicit) makes convolutions ask for an output sharding.
    return jax.make_mesh(sizes, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


def path_of(keys: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def shardings(tree: Any, mesh: Mesh, rules: tuple[tuple[str, tuple[str, ...]], ...]) -> Any:
    """A sharding for every leaf: that of the first rule whose regex is found in its path, else replicated.

    A rule's axes name the mesh axis of each array axis in turn ("" for none). Optimizer moments end in their
    parameter's path, so they follow it.

    Raises:
      UserError: a rule's axes do not fit the array.
    """

    def place(keys: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        path = path_of(keys)
        for pattern, axes in rules:
            if re.search(pattern, path) and leaf.ndim:
                used = [(axis, size) for axis, size in zip(axes, leaf.shape, strict=False) if axis]
                divides = all(axis in mesh.shape and size % mesh.shape[axis] == 0 for axis, size in used)
                if len(axes) > leaf.ndim or len(dict(used)) < len(used) or not divides:
                    raise UserError(f'mesh.rules: "{pattern}" puts {axes} on {path} of shape {leaf.shape}.')
                return NamedSharding(mesh, PartitionSpec(*(axis or None for axis in axes)))
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(place, tree)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def check_batch_size(batch_size: int, mesh: Mesh, field: str) -> None:
    """Raises a UserError unless the batch can be dealt to the devices evenly."""
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch_size % parts or batch_size < 1:
        raise UserError(f"{field}={batch_size} is not a multiple of {parts}, the devices that share a batch.")


def rows_here(batch_size: int, mesh: Mesh) -> np.ndarray:
    """The rows of a global batch that lie on this process's devices, ascending.

    Processes whose devices differ in their place on the tensor axis alone hold the same ones.
    """
    held = NamedSharding(mesh, BATCH).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[rows] for rows in held]))


def to_global(batch: Any, mesh: Mesh) -> Any:
    """The rows of `rows_here` as part of global arrays, first axis over data and fsdp."""
    sharding = NamedSharding(mesh, BATCH)
    return jax.tree.map(lambda rows: jax.make_array_from_process_local_data(sharding, np.asarray(rows)), batch)


def to_host(tree: Any) -> Any:
    """Global arrays, sharded over their first axis, as NumPy on every process."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        tree = multihost_utils.process_allgather(tree, tiled=True)
    return jax.tree.map(np.asarray, jax.device_get(tree))


def whole(tree: Any, mesh: Mesh) -> Any:
    """Global arrays, however sharded, as NumPy on every process."""
    return jax.device_get(jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree))


def on_first(action: Callable[[], None]) -> None:
    """Runs `action` on process 0 alone. Where it raises a UserError, all processes do, so that none waits for another.

    Call it on all processes.
    """
    error = None
    if jax.process_index() == 0:
        try:
            action()
        except UserError as raised:
            error = raised
    if agree(error is not None):
        raise error or UserError("process 0 could not go on; its own message says why.")


def agree(value: int) -> int:
    """Process 0's answer, on all processes."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))
