"""Which data sets there are readers for, and what a download of one holds and lacks.

    python -m launch.datasets                                     # all of them: people, hours, signals, labels; where
    python -m launch.datasets --dataset=eegmat                    # one: where to ask for it, what to cite
    python -m launch.datasets --dataset=eegmat --check=DIR        # reads DIR, says what is there; writes nothing

--check reads 200 recordings, spread over all, and every one with --most=0. General formats have names too, by their
configs: --dataset=wfdb, edf, csv, empatica, npz.
"""

import functools
import importlib
import types
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
    if DATASET.value not in names():
        raise UserError(f"--dataset={DATASET.value}: not known.{did_you_mean(DATASET.value, names())}")
    about = sets.get(DATASET.value)
    print(describe(DATASET.value, about) if about else config(DATASET.value).__doc__)
    if CHECK.value:
        print(check(DATASET.value, about, CHECK.value, MOST.value))


def names() -> list[str]:
    folder = Path(__file__).parents[1] / "configs"
    return sorted(path.stem.removeprefix("prepare_") for path in folder.glob("prepare_*.py"))


def config(name: str) -> types.ModuleType:
    return importlib.import_module(f"configs.prepare_{name}")


def abouts() -> "dict[str, About]":
    """What every config of a data set says of it, by the set's name."""
    found = {name: getattr(config(name), "ABOUT", None) for name in names()}
    return {name: about for name, about in found.items() if about}


def table(sets: "dict[str, About]") -> str:
    from ecgjax.evaluation import tables

    what = [["", "signals", "labels", "reader tried on", "people", "hours"]]
    where = [["", "licence", "where to ask"]]
    for name, a in sets.items():
        signals, counts = " ".join(a.modalities), [number(a.people), number(a.hours)]
        what.append([name, signals, few(a.labels), a.verified.value, *counts])
        where.append([name, a.licence, a.access])
    general = "Files of a general format (WFDB, EDF, text, sessions of an Empatica E4, ...) have configs of their own."
    return "\n\n".join([tables.aligned(what, num_texts=4), tables.aligned(where, num_texts=3), general])


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


def check(name: str, about: "About | None", folder: str, at_most: int) -> str:
    from tqdm import tqdm

    from ecgjax.data import download

    dataset = config(name).get_config().dataset
    dataset.root = folder
    progress = functools.partial(tqdm, unit=" recordings", leave=False, disable=None)  # on a terminal alone
    return download.told(download.look(dataset.make(), at_most, progress), about)


if __name__ == "__main__":
    cli.run(main)
