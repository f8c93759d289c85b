"""Which data sets there are readers for, and what a download of one holds and lacks.

    python -m launch.datasets                                     # all of them: people, hours, signals, labels, licence
    python -m launch.datasets --dataset=eegmat                    # one: where to ask for it, what to cite
    python -m launch.datasets --dataset=eegmat --check=DIR        # reads DIR, says what is there; writes nothing

--check reads 200 recordings, spread over all, and every one with --most=0.
"""

import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from launch import cli

if TYPE_CHECKING:
    from ecgjax.datasets.base import About

DATASET = flags.DEFINE_string("dataset", "", "one of those listed without it")
CHECK = flags.DEFINE_string("check", "", "folder of a download of it")
MOST = flags.DEFINE_integer("most", 200, "recordings that --check reads; 0 for all", 0)


def main() -> None:
    from ecgjax.errors import UserError, did_you_mean

    sets = abouts()
    if not DATASET.value:
        if CHECK.value:
            raise UserError(f"--check={CHECK.value}: of which data set? Name it with --dataset.")
        print(table(sets))
        return
    if DATASET.value not in sets:
        raise UserError(f"--dataset={DATASET.value}: not known.{did_you_mean(DATASET.value, sets)}")
    print(describe(DATASET.value, sets[DATASET.value]))
    if CHECK.value:
        print(check(DATASET.value, sets[DATASET.value], CHECK.value, MOST.value))


def abouts() -> "dict[str, About]":
    """What every config of a data set says of it, by the set's name."""
    folder = Path(__file__).parents[1] / "configs"
    names = sorted(path.stem.removeprefix("prepare_") for path in folder.glob("prepare_*.py"))
    found = {name: getattr(importlib.import_module(f"configs.prepare_{name}"), "ABOUT", None) for name in names}
    return {name: about for name, about in found.items() if about}


def table(sets: "dict[str, About]") -> str:
    from ecgjax.evaluation import tables

    head = ["", "signals", "labels", "licence", "reader tried on", "people", "hours"]
    lines = [
        [name, " ".join(a.modalities), few(a.labels), a.licence, a.verified.value] + [number(a.people), number(a.hours)]
        for name, a in sets.items()
    ]
    general = "Files of a general format (WFDB, EDF, text, sessions of an Empatica E4, ...) have configs of their own."
    return f"{tables.aligned([head, *lines], num_texts=5)}\n\n{general}"


def few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return " ".join(names[:3]) + more or "–"


def number(value: float) -> str:
    return f"{value:,.0f}" if value else "?"


def describe(name: str, about: "About") -> str:
    people = f"{number(about.people)} people, {number(about.hours)} h"
    return "\n".join(
        [
            f"{about.title}: {people}",
            f"  signals: {', '.join(about.modalities)}; labels: {', '.join(about.labels) or 'none'}",
            f"  licence: {about.licence}; {about.access}",
            f"  cite {about.cite}",
            f"  reader tried on {about.verified.value}",
            f"  python -m launch.prepare --config=configs/prepare_{name}.py --config.dataset.root=DIR --store=DIR",
        ]
    )


def check(name: str, about: "About", folder: str, at_most: int) -> str:
    from tqdm import tqdm

    from ecgjax.data import download

    dataset = importlib.import_module(f"configs.prepare_{name}").get_config().dataset
    dataset.root = folder
    progress = functools.partial(tqdm, unit=" recordings", leave=False, disable=None)  # on a terminal alone
    return download.told(download.look(dataset.make(), at_most, progress), about)


if __name__ == "__main__":
    cli.run(main)
