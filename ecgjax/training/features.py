"""What a frozen encoder makes of every window, computed once: the head then trains on vectors in memory."""

import dataclasses
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from ecgjax import __version__
from ecgjax.data.pipeline import EvalSource, Gather, stream
from ecgjax.data.staging import whole_file
from ecgjax.errors import UserError
from ecgjax.models.base import POOLED
from ecgjax.training import mesh as meshes
from ecgjax.training import provenance
from ecgjax.training.program import Compiled
from ecgjax.training.state import State

FOLDER = "features"  # in the folder of the run that trained the encoder


@dataclasses.dataclass(frozen=True)
class Features:
    """Stands where a `Gather` stands: window ids in, a batch out, with the encoder's vectors for signals."""

    gather: Gather
    pooled_ND: np.ndarray

    def __call__(self, ids: np.ndarray) -> dict[str, Any]:
        return self.gather.about(ids) | {"signals": {POOLED: self.pooled_ND[ids]}}


def extract(compiled: Compiled, state: State, gather: Gather, batch_size: int, init_from: str) -> Features:
    """The pooled vectors of all of the gather's windows.

    Args:
      init_from: folder of the run that trained the encoder. They are kept there, under a hash of the encoder's weights,
        its model and the windows, and found again by every fold, head and later run. Empty keeps them in memory alone.

    Raises:
      UserError: the file kept there is damaged.
    """
    path = Path(init_from) / FOLDER / f"{_hash(compiled, state, gather)}.npz" if init_from else None
    if path and meshes.agree(path.is_file()):
        return Features(gather, _read(path))
    rows = meshes.rows_here(batch_size, compiled.mesh)
    source = EvalSource(gather, np.arange(len(gather.windows)), batch_size, rows)
    pooled = [meshes.to_host(compiled.encode(state, meshes.to_global(b, compiled.mesh))) for b in stream(source)]
    pooled_ND = np.concatenate(pooled)[: len(gather.windows)]
    if path and jax.process_index() == 0:
        _write(path, pooled_ND)
    return Features(gather, pooled_ND)


def _read(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:  # a zip, which checks its sums
            return file[POOLED]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged ({error}). Delete it: it will be computed again.") from None


def _write(path: Path, pooled_ND: np.ndarray) -> None:
    """Without the file the next run computes it again, so none is no failure."""
    try:
        path.parent.mkdir(exist_ok=True)
        with whole_file(path, "wb") as file:
            np.savez(file, **{POOLED: pooled_ND})
    except (OSError, UserError) as error:
        logging.warning("features could not be kept: %s", error)


def _hash(compiled: Compiled, state: State, gather: Gather) -> str:
    """Of everything the vectors depend on; two runs that share it share them."""
    found = hashlib.blake2b(repr(compiled.program.encoder).encode(), digest_size=16)
    found.update(f"{__version__} {provenance.commit()}".encode())  # another code may make other vectors
    encoder = {name: getattr(state, name)["encoder"] for name in ("params", "model_state")}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(meshes.whole(encoder, compiled.mesh)):
        found.update(f"{meshes.path_of(keys)} {leaf.dtype} {leaf.shape}".encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    for store in gather.stores:
        found.update(store.manifest["content_hash"].encode())
    found.update(repr(sorted(gather.samples.items())).encode())
    for column in (gather.windows.store, *(rows for _, rows in sorted(gather.windows.rows.items()))):
        found.update(np.ascontiguousarray(column).tobytes())
    return found.hexdigest()
