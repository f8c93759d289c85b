"""Another framework's named arrays as our tree of parameters, by one table that has every array and its shape.

    Row("fc{m}.weight", (64, 128), "params/head/{m}/hidden/kernel", (1, 0))

says where an array of theirs goes, for every value that the hole `{m}` takes (`Table.holes`), and that its axes change
places on the way. Our names are those of the leaves in a checkpoint.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.errors import DataError, UserError

_REMEDY = "Is it a file of the --format given, and whole?"


@dataclasses.dataclass(frozen=True)
class Row:
    """An array, or one for each value of the holes in its name.

    Attributes:
      theirs: its name there.
      shape: there.
      ours: its name here. After its axes were permuted, it is given the shape it has here.
      axes: as for `np.transpose`; () leaves them.
    """

    theirs: str
    shape: tuple[int, ...]
    ours: str
    axes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """All arrays of a model.

    Attributes:
      holes: for each hole, what stands there in their names and in ours.
      copies: (name, name) of theirs, with holes: the first may be absent, else it equals the second.
      left_over: patterns of names that have no use.
    """

    rows: tuple[Row, ...]
    holes: Mapping[str, Mapping[str, str]]
    copies: tuple[tuple[str, str], ...] = ()
    left_over: tuple[str, ...] = ()


def expand(table: Table) -> tuple[list[Row], dict[str, str]]:
    """(one row an array, {copy: what it is a copy of}), without holes."""
    rows, copies = [], {}
    for row in table.rows:
        for there, here in _fillings(table, row.theirs):
            rows.append(dataclasses.replace(row, theirs=row.theirs.format(**there), ours=row.ours.format(**here)))
    for copy, original in table.copies:
        copies |= {copy.format(**there): original.format(**there) for there, _ in _fillings(table, copy)}
    return rows, copies


def _fillings(table: Table, name: str) -> list[tuple[dict[str, str], dict[str, str]]]:
    """({hole: what stands there in their name}, {hole: in ours}), for every combination."""
    holes = [hole for hole in table.holes if f"{{{hole}}}" in name]
    combinations = itertools.product(*(table.holes[hole].items() for hole in holes))
    return [
        tuple(dict(zip(holes, side, strict=True)) for side in zip(*c, strict=True)) or ({}, {}) for c in combinations
    ]


def convert(
    table: Table, theirs: Any, wanted: Mapping[str, tuple[int, ...]], path: str | Path
) -> dict[str, np.ndarray]:
    """Our arrays by name, in float32.

    Args:
      theirs: arrays by name, as the file has them.
      wanted: names and shapes of ours.
      path: the file, for messages.

    Raises:
      DataError: the file lacks arrays, has others, has some of other shapes, or not finite, or copies that differ.
      UserError: the arrays wanted are not the table's.
    """
    if not isinstance(theirs, Mapping) or not all(isinstance(array, np.ndarray) for array in theirs.values()):
        raise DataError(path, "holds something else than arrays by name", _REMEDY)
    rows, copies = expand(table)
    _check_theirs(table, rows, copies, theirs, path)
    sizes = {row.ours: math.prod(row.shape) for row in rows}
    wrong = [name for name in {**sizes, **wanted} if sizes.get(name) != math.prod(wanted.get(name, (-1,)))]
    if wrong:
        raise UserError(f"the config's model is not the one in {path}: {_list(wrong)} differ. Set its fields back.")
    return {name: array.astype(np.float32) for name, array in arrange(table, theirs, wanted).items()}


def arrange(
    table: Table, theirs: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Those of our arrays whose names and shapes are wanted, as precise as theirs are; nothing is checked."""
    rows = [row for row in expand(table)[0] if row.ours in wanted]
    permuted = {row.ours: np.transpose(theirs[row.theirs], row.axes or range(len(row.shape))) for row in rows}
    return {name: array.reshape(wanted[name]) for name, array in permuted.items()}


def _check_theirs(
    table: Table, rows: list[Row], copies: Mapping[str, str], theirs: Mapping[str, np.ndarray], path: str | Path
) -> None:
    shapes = {row.theirs: row.shape for row in rows}
    faults = {
        "lacks": [name for name in shapes if name not in theirs],
        "has arrays that are not of this model": [
            name
            for name in theirs
            if name not in {**shapes, **copies} and not any(re.fullmatch(p, name) for p in table.left_over)
        ],
        "has other shapes": [
            f"{name} {theirs[name].shape} instead of {shape}"
            for name, shape in shapes.items()
            if name in theirs and theirs[name].shape != shape
        ],
        "has numbers that are not finite": [n for n in shapes if n in theirs and not np.isfinite(theirs[n]).all()],
        "has copies that differ from their originals": [
            name
            for name, original in copies.items()
            if name in theirs and original in theirs and not np.array_equal(theirs[name], theirs[original])
        ],
    }
    told = "; ".join(f"{fault}: {_list(names)}" for fault, names in faults.items() if names)
    if told:
        raise DataError(path, told, _REMEDY)


def _list(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
