"""The step folders of a run: which there are, which is best, which can be trusted. Knows nothing of Orbax."""

import dataclasses
import hashlib
import math
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from ecgjax.errors import DataError, UserError
from ecgjax.training import digest

FOLDER = "checkpoints"  # in the run's folder
_HALF_WRITTEN = "*.orbax-checkpoint-tmp*"
_DAMAGED = ".damaged"  # appended to the name of a step that must not be used


def numbers(folder: Path) -> list[int]:
    """Steps that have a folder under their final name, ascending."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def read_records(folder: Path) -> dict[int, dict[str, Any]]:
    """Records by step; steps without a readable one are reported and left out."""
    records = {}
    for step in numbers(folder):
        try:
            records[step] = digest.read_record(folder / str(step))
        except DataError as error:
            logging.warning("%s", error)
    return records


def scores(records: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """Score of each evaluated step, larger is better. A NaN is no evaluation."""
    found = {}
    for record in records:
        value = record["metrics"].get(record["monitor"], math.nan)
        if not math.isnan(value):
            found[record["step"]] = -value if record["monitor_mode"] == "min" else value
    return found


def best_first(steps: Iterable[int], step_scores: Mapping[int, float]) -> list[int]:
    """The evaluated ones among `steps`; of equals the earlier first."""
    return sorted((step for step in steps if step in step_scores), key=lambda step: (-step_scores[step], step))


@dataclasses.dataclass
class Keep:
    """The newest steps and the best of those evaluated. `scores` is shared with `Checkpoints`, larger is better."""

    last: int
    best: int
    scores: dict[int, float]

    def should_preserve(self, checkpoints: Iterable[Any], *, context: Any) -> list[bool]:
        numbers = [checkpoint.step for checkpoint in checkpoints]
        kept = {*sorted(numbers)[-self.last :], *best_first(numbers, self.scores)[: self.best]}
        return [number in kept for number in numbers]


def candidates(path: Path, which: str) -> list[Path]:
    """Step folders in the order in which they are tried.

    Args:
      path: a run's folder, its folder of checkpoints, or the folder of one step.
      which: "best" (steps that were not evaluated come last) or "latest".

    Raises:
      UserError: there is none.
    """
    if which not in ("best", "latest"):
        raise UserError(f'which is "{which}"; it must be "best" or "latest".')
    if (path / digest.RECORD).is_file():
        return [path]
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    if not folder.is_dir():
        raise UserError(f"{path}: no such folder. Name the --workdir of a training run.")
    records = read_records(folder)
    if not records:
        raise UserError(none_left(folder) if numbers(folder) else f"{path}: holds no checkpoint. {_runs_inside(path)}")
    ranked = best_first(records, scores(records.values())) if which == "best" else []
    return [folder / str(step) for step in ranked + sorted(set(records) - set(ranked), reverse=True)]


def _runs_inside(path: Path) -> str:
    """What to name instead; a cross-validation holds a run a fold."""
    inner = sorted(part.name for part in path.iterdir() if (part / FOLDER).is_dir())
    return f"Name one of the runs inside: {', '.join(inner)}." if inner else "Name the --workdir of a training run."


def describe(path: Path) -> dict[str, Any]:
    """What the checkpoints in `path` are, without loading an array.

    Returns:
      folder, steps, best, latest, damaged (steps whose record cannot be read), and of the best (else latest) step:
      step, metrics, monitor, monitor_mode, extra, leaves {path: [shape, dtype]}, num_parameters, bytes, content (a
      digest of its files).

    Raises:
      UserError: no usable checkpoint there.
    """
    chosen = candidates(Path(path).absolute(), "best")[0]
    folder = chosen.parent
    records = read_records(folder)
    record = records[int(chosen.name)]
    parameters = [shape for name, (shape, _) in record["leaves"].items() if name.startswith("params/")]
    return {
        "folder": str(folder),
        "steps": sorted(records),
        "latest": max(records),
        "best": next(iter(best_first(records, scores(records.values()))), None),
        "damaged": sorted(set(numbers(folder)) - set(records)),
        **{name: record[name] for name in ("step", "metrics", "monitor", "monitor_mode", "extra", "leaves")},
        "num_parameters": sum(math.prod(shape) for shape in parameters),
        "content": hashlib.blake2b(repr(sorted(record["files"].items())).encode(), digest_size=16).hexdigest(),
        "bytes": sum(size for size, _ in record["files"].values()),
    }


def first_intact(folders: Iterable[Path]) -> int | None:
    """The first step whose files all have their digests; the others are reported."""
    for folder in folders:
        try:
            digest.verify(folder)
        except DataError as error:
            logging.warning("%s", error)
        else:
            return int(folder.name)
    return None


def newest_intact(folder: Path) -> int | None:
    """Sets aside the damaged steps above it, so that a step trained again finds its name free."""
    newest = sorted(numbers(folder), reverse=True)
    intact = first_intact(folder / str(step) for step in newest)
    for step in newest[: newest.index(intact)] if intact is not None else ():
        _set_aside(folder / str(step))
    return intact


def tidy(folder: Path) -> None:
    """Clears what a kill left: half-written steps, and half-deleted ones unless there is no other step."""
    for path in folder.glob(_HALF_WRITTEN):
        shutil.rmtree(path)
    readable = read_records(folder)
    for step in set(numbers(folder)) - set(readable) if readable else ():
        _set_aside(folder / str(step))


def clear_half_written(folder: Path) -> None:
    """Removes what a failed save left; the threads that wrote it may still put files there for a moment."""
    for _ in range(10):
        half = list(folder.glob(_HALF_WRITTEN))
        if not half:
            break
        for path in half:
            shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.3)


def none_left(folder: Path) -> str:
    return (
        f"{folder}: none of the checkpoints there can be used, see the warnings above. "
        "Copy them again from where they are intact, or delete the folder to start over."
    )


def _set_aside(folder: Path) -> None:
    aside = folder.with_name(folder.name + _DAMAGED)
    if aside.exists():
        shutil.rmtree(aside)
    folder.rename(aside)
