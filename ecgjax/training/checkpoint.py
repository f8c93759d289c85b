"""Checkpoints: saved without stopping the training, trusted only after their digests were compared.

Two verbs. *Resume* restores everything in the same folder (`Checkpoints.restore`). *Start from* loads the encoder of
another run alone (`restore_encoder`). The only file that imports Orbax.

Order of events in one save: arrays are copied; in the background Orbax writes the files, we digest them, Orbax gives
the folder its final name, and only then deletes older steps. A kill anywhere leaves the earlier steps as they were.
"""

import contextlib
import json
import logging as std_logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from ecgjax.errors import UserError
from ecgjax.training import digest, steps
from ecgjax.training import mesh as meshes

FOLDER = steps.FOLDER
describe = steps.describe
_STATE = "state"  # name of the tree inside a step folder
# What a full disk, a vanished folder or a lost host raise from Orbax's and TensorStore's background threads, and ours.
_SAVE_ERRORS = (OSError, ValueError, RuntimeError, UserError)


class Restored(NamedTuple):
    """A checkpoint in memory: what `save` was given."""

    state: Any
    extra: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, for the process that trains. Call every method on all processes.

    A step that fails its digests is reported, renamed `<step>.damaged`, and the step before is used.

    Args:
      folder: holds one folder a step; made if absent.
      keep_last: how many of the newest steps are kept, at least 1.
      keep_best: how many of the best evaluated steps are kept besides.
      monitor: metric that says which step is best.
      monitor_mode: "min" or "max".

    Raises:
      UserError: the folder cannot be written, or holds checkpoints of which none can be used.
    """

    def __init__(
        self, folder: Path, *, monitor: str, monitor_mode: str, keep_last: int = 2, keep_best: int = 1
    ) -> None:
        if monitor_mode not in ("min", "max"):
            raise ValueError(f"monitor_mode is {monitor_mode!r}")
        self._folder, self._monitor, self._mode = Path(folder).absolute(), monitor, monitor_mode
        self._pending: tuple[int, dict[str, Any]] | None = None
        self._saving: ocp.AsyncResponse[bool] | None = None
        _hush_orbax()
        with _saving(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            if jax.process_index() == 0:
                steps.tidy(self._folder)
            _barrier("ecgjax_checkpoints_opened")
            self._scores = steps.scores(steps.read_records(self._folder).values())
            context = ocp.Context()
            # A lambda, because Orbax deep-copies its options: of a bound method it would copy this object too.
            context.async_options.post_finalization_callback = lambda: self._write_record()
            self._checkpointer = ocp.training.Checkpointer(
                self._folder,
                context=context,
                preservation_policy=steps.Keep(max(keep_last, 1), keep_best, self._scores),
            )

    def steps(self) -> list[int]:
        """Committed steps, ascending; one still being written is among them."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def save(self, step: int, state: Any, metrics: Mapping[str, float], extra: Mapping[str, Any]) -> bool:
        """Starts writing `state`; its buffers may be donated as soon as this returns.

        Args:
          step: a step already saved is left as it is.
          state: any tree of global `jax.Array`s.
          metrics: of this step's evaluation; empty if it was not evaluated, then it never counts as best.
          extra: JSON: config, manifest, monitor's history.

        Returns:
          Whether the step is being saved.

        Raises:
          UserError: this save could not start, or the one before failed. Earlier checkpoints are intact.
        """
        self.wait()
        if step in self.steps():
            return False
        record = {
            "step": step,
            "metrics": {name: float(value) for name, value in metrics.items()},
            "monitor": self._monitor,
            "monitor_mode": self._mode,
            "extra": dict(extra),
            "leaves": digest.leaves(state),
        }
        self._scores.update(steps.scores([record]))
        self._pending = step, json.loads(json.dumps(record))  # a copy; what is not JSON fails here, not in the thread
        with _saving(self._folder / str(step)):
            self._saving = self._checkpointer.save_async(step, state, checkpointable_name=_STATE, force=True)
        return True

    def restore(self, abstract_state: Any) -> Restored:
        """The newest step that passes its digests.

        Args:
          abstract_state: tree of `jax.ShapeDtypeStruct`; each leaf comes back with its sharding, whatever it was.

        Raises:
          UserError: there is no step, none can be used, or the leaves differ in name, shape or dtype.
        """
        self.wait()
        step = _agree(steps.newest_intact(self._folder) if jax.process_index() == 0 else None)
        if step is None:
            raise UserError(steps.none_left(self._folder))
        self._checkpointer.reload()
        return _load(self._folder / str(step), abstract_state)

    def wait(self) -> None:
        """Blocks until the last save is committed.

        Raises:
          UserError: it failed.
        """
        saving, self._saving = self._saving, None
        if saving is not None:
            with _saving(self._folder):
                saving.result()

    def close(self) -> None:
        """Waits for the last save and stops the background threads."""
        try:
            self.wait()
        finally:
            with _saving(self._folder):
                self._checkpointer.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except UserError as error:
            if kind is None:
                raise
            if kind is not UserError:  # which may be this same one
                logging.error("%s", error)
        finally:
            if jax.process_index() == 0:
                steps.clear_half_written(self._folder)

    def _write_record(self) -> None:
        """Called by Orbax on process 0, in its thread, when all files are written but the folder is not yet named."""
        step, record = self._pending
        folder = self._folder / str(step)
        if not folder.exists():
            folder = next(self._folder.glob(f"{step}.orbax-checkpoint-tmp*"))
        digest.write_record(folder, record)


def restore(path: Path, abstract: Any, *, which: str = "best", model: Mapping[str, Any] | None = None) -> Restored:
    """Reads a checkpoint without touching the folder: for evaluation and prediction.

    Args:
      path: a run's folder, its folder of checkpoints, or the folder of one step.
      abstract: tree of `jax.ShapeDtypeStruct`: the state, or a dict of some of its fields.
      which: "best" (the latest, where no step was evaluated) or "latest".
      model: config of the model here, as a dict; differences from the checkpoint's are told when leaves do not fit.

    Raises:
      UserError: no usable checkpoint there, or its leaves differ in name, shape or dtype.
    """
    return _restore(path, abstract, which, model, roots={name.split("/")[0] for name in digest.leaves(abstract)})


def restore_encoder(
    path: Path, abstract: Mapping[str, Any], *, which: str = "best", model: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Loads another run's encoder alone: what `init_from` means.

    Args:
      path, which, model: as in `restore`.
      abstract: what stands under "encoder" in these fields of the state: `{"params": ..., "model_state": ...}`, nested
        dicts of `jax.ShapeDtypeStruct`.

    Returns:
      The same tree with arrays.

    Raises:
      UserError: as in `restore`.
    """
    wanted = {field: {"encoder": tree} for field, tree in abstract.items()}
    state = _restore(path, wanted, which, model, roots={f"{field}/encoder" for field in abstract}).state
    return {field: tree["encoder"] for field, tree in state.items()}


def _restore(
    path: Path, abstract: Any, which: str, model: Mapping[str, Any] | None, roots: Collection[str]
) -> Restored:
    folders = steps.candidates(Path(path).absolute(), which)
    chosen = _agree(steps.first_intact(folders) if jax.process_index() == 0 else None)
    if chosen is None:
        raise UserError(steps.none_left(folders[0].parent))
    return _load(folders[0].parent / str(chosen), abstract, roots, model)


def _load(folder: Path, abstract: Any, roots: Collection[str] = (), model: Mapping[str, Any] | None = None) -> Restored:
    """Loads a verified step folder, after comparing the leaves (those under `roots`), as Orbax casts silently."""
    record = digest.read_record(folder)
    prefixes = tuple(f"{root}/" for root in roots) or ("",)
    saved = {path: leaf for path, leaf in record["leaves"].items() if f"{path}/".startswith(prefixes)}
    lines = digest.mismatches(saved, digest.leaves(abstract))
    if lines:
        raise UserError(digest.misfit(folder, lines, record["extra"], model))
    context = ocp.Context()
    context.pytree_options.loading.partial_load = True
    with context:
        state = ocp.load(folder, jax.tree.map(_placed, abstract), checkpointable_name=_STATE)
    return Restored(state, record["extra"])


def _placed(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """On this process's first device, where the target names no sharding."""
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _hush_orbax() -> None:
    """Silences what Orbax's threads say of an error that we also get raised, hundreds of lines for a full disk.

    They log its traceback; and TensorStore's report what they did to an event loop that is closed by then, whose every
    refusal goes to `sys.unraisablehook`.
    """
    logging.get_absl_logger().addFilter(_is_not_orbax_error)
    if not isinstance(sys.unraisablehook, _ButClosedLoops):
        sys.unraisablehook = _ButClosedLoops(sys.unraisablehook)


class _ButClosedLoops(NamedTuple):
    show: Callable[[Any], None]

    def __call__(self, unraisable: Any) -> None:
        if unraisable.exc_type is not RuntimeError or str(unraisable.exc_value) != "Event loop is closed":
            self.show(unraisable)


def _is_not_orbax_error(record: std_logging.LogRecord) -> bool:
    return record.levelno < std_logging.ERROR or "orbax" not in Path(record.pathname).parts


def _agree(step: int | None) -> int | None:
    """Process 0's answer, on all processes."""
    answer = meshes.agree(-1 if step is None else step)
    return None if answer < 0 else answer


def _barrier(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def _saving(path: Path) -> Iterator[None]:
    """Turns what Orbax raises, here or from its threads, into one line."""
    try:
        yield
    except _SAVE_ERRORS as error:
        reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
        full = any(words in str(error) for words in ("No space left", "File too large", "Disk quota", "disk is full"))
        raise UserError(
            f"{path}: a checkpoint could not be written ({'the disk is full' if full else reason}). Earlier ones are "
            "intact: free disk space or mend the permissions, then start the same command again."
        ) from error
