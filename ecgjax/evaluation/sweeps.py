"""One experiment under several settings: its cells, which of them are done, and one table and figure of them all."""

import copy
import dataclasses
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgjax import config
from ecgjax.config import Experiment
from ecgjax.data.pipeline import open_stores
from ecgjax.errors import UserError
from ecgjax.evaluation.tables import TITLES, number
from ecgjax.training import checkpoint, workdir
from ecgjax.training.about import check_content

SCORES = ("auroc", "balanced_accuracy", "macro_f1", "accuracy")


@dataclasses.dataclass(frozen=True)
class Axis:
    """A field of the config and the values it takes, as text."""

    field: str
    values: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One setting of the fields, and the experiment it makes.

    Attributes:
      name: of its folder, made of the fields and values.
      settings: field -> value, as text.
    """

    name: str
    settings: dict[str, str]
    experiment: Experiment


def parse(text: str) -> Axis:
    """`field=a,b,c`; a comma inside brackets parts no values, so tuples can be swept: `task.x=(a,b),(c,)`.

    Raises:
      UserError: no field or no value, or one value twice.
    """
    field, equals, values = text.partition("=")
    parts = tuple(part.strip() for part in re.split(r",(?![^()]*\))", values)) if equals else ()
    if not field or not all(parts) or not parts:
        raise UserError(f'--sweep="{text}": give a field and its values, such as --sweep=seed=0,1,2.')
    if len(set(parts)) < len(parts):
        raise UserError(f'--sweep="{text}": names a value twice.')
    return Axis(field.strip().removeprefix("config."), parts)


def cells(
    experiment: Experiment, axes: Sequence[Axis], together: bool, put: Callable[[Experiment, str, str], None]
) -> list[Cell]:
    """All settings: every combination of the axes, or their first values, their second, ... `together`.

    Args:
      put: (experiment, field, text) sets a field of the experiment.

    Raises:
      UserError: a field is swept twice, the axes to go together differ in length, or two cells would share a folder.
    """
    fields = [axis.field for axis in axes]
    if twice := {field for field in fields if fields.count(field) > 1}:
        raise UserError(f"--sweep: {min(twice)} is swept twice. Put all its values into one --sweep.")
    lengths = {axis.field: len(axis.values) for axis in axes}
    if together and len(set(lengths.values())) > 1:
        raise UserError(f"--zip needs as many values of every field, but there are {lengths}.")
    found: dict[str, Cell] = {}
    for values in (zip if together else itertools.product)(*(axis.values for axis in axes)):
        settings = dict(zip(fields, values, strict=True))
        mine = copy.deepcopy(experiment)
        for field, text in settings.items():
            put(mine, field, text)
        name = folder_name(settings)
        if name in found:
            raise UserError(f"--sweep: {found[name].settings} and {settings} would share the folder {name}.")
        found[name] = Cell(name, settings, mine)
    return list(found.values())


def folder_name(settings: Mapping[str, str]) -> str:
    """`snr_db=5,seed=0`: the short name of each field, and of a path its last part."""
    values = {f: v if "(" in v else v.rstrip("/").rpartition("/")[2] for f, v in settings.items()}
    return ",".join(f"{name}={_plain(values[f])}" for f, name in short_names(settings).items())


def short_names(fields: Iterable[str]) -> dict[str, str]:
    """The last part of each field, or the whole of it where two would be called the same."""
    last = {field: field.rpartition(".")[2] for field in fields}
    return {f: name if list(last.values()).count(name) == 1 else f for f, name in last.items()}


def _plain(value: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", value)


@dataclasses.dataclass(frozen=True)
class Score:
    value: float
    low: float = math.nan  # of a 95 % interval over subjects, where there is one
    high: float = math.nan


@dataclasses.dataclass(frozen=True)
class Result:
    """A cell that ended: its scores by row of its table (the model, baselines) and name."""

    cell: Cell
    scores: dict[str, dict[str, Score]]


def read_result(cell: Cell, folder: Path) -> Result | None:
    """What a cell's folder says of its scores; None where it is not done.

    A cross-validation says them in results.json, a training by its best checkpoint's metrics.

    Raises:
      UserError: the folder holds a run with other settings, on other data or from another encoder.
    """
    path = folder / "results.json"
    if path.is_file():
        _check(folder / "fold_00", config.fold_of(cell.experiment, 0))
        found = json.loads(path.read_text(encoding="utf-8"))
        return Result(cell, {name: _scores(found, name) for name in found["scores"]})
    if (folder / "report.html").is_file():
        _check(folder, cell.experiment)
        metrics = checkpoint.describe(folder)["metrics"]
        return Result(cell, {"validation": {name: Score(value) for name, value in metrics.items()}})
    return None


def _check(folder: Path, experiment: Experiment) -> None:
    workdir.check_same(folder, experiment)
    stores = open_stores(dataclasses.replace(experiment.data, verify=False))
    check_content(folder, checkpoint.describe(folder)["extra"], stores, experiment.init_from)


def _scores(found: Mapping[str, Any], name: str) -> dict[str, Score]:
    def value(x: float | None) -> float:
        return math.nan if x is None else x

    return {s: Score(value(x), *map(value, found["intervals"][name][s])) for s, x in found["scores"][name].items()}


def columns(results: Sequence[Result]) -> list[str]:
    """The scores worth showing, the one to draw first."""
    each = [next(iter(result.scores.values())) for result in results]
    shared = [score for score in each[0] if all(score in scores for scores in each)]
    return [score for score in SCORES if score in shared] or sorted(shared)


def table(results: Sequence[Result]) -> list[list[str]]:
    """Head and lines: the model's in every cell, then the baselines', once where the settings do not touch them."""
    shown, names = columns(results), list(results[0].scores)
    fields = list(short_names(results[0].cell.settings).values())
    lines = [["", *fields, *(TITLES.get(column, column) for column in shown)]]
    for name in names:
        told = [
            [*r.cell.settings.values(), *(_with_interval(r.scores[name].get(c, Score(math.nan))) for c in shown)]
            for r in results
            if name in r.scores
        ]
        same = name != names[0] and all(line[len(fields) :] == told[0][len(fields) :] for line in told)
        lines += [[name, *["any"] * len(fields), *told[0][len(fields) :]]] if same else [[name, *t] for t in told]
    return lines


def _with_interval(score: Score) -> str:
    interval = "" if math.isnan(score.low) else f" [{number(score.low)}, {number(score.high)}]"
    return number(score.value) + interval
