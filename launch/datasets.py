"""Which data sets there are readers for, and what a download of one holds and lacks.

    python -m launch.datasets                                     # all of them: people, hours, signals, labels; where
    python -m launch.datasets --dataset=eegmat                    # one: where to ask for it, what to cite
    python -m launch.datasets --dataset=eegmat --check=DIR        # reads DIR, says what is there; writes nothing
    python -m launch.datasets --dataset=amigos:original --check=DIR    # a variant of configs/prepare_amigos.py
    python -m launch.datasets --dataset=wesad --check=DIR --config.dataset.device=WRIST --config.dataset.source=RAW

--check reads 200 recordings, spread over all, and every one with --most=0. General formats have names too, by their
configs: --dataset=wfdb, edf, csv, empatica, npz. Instead of --dataset, --config=FILE.py may name a config of your own.
"""

import dataclasses
import functools
import importlib
import types
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from launch import cli

if TYPE_CHECKING:
    from ecgjax.data.prepare import Preparation
    from ecgjax.datasets.base import About

FOLDER = Path(__file__).parents[1] / "configs"


def config_file(dataset: str) -> str:
    """Of NAME or NAME:VARIANT, as --config takes it."""
    from ecgjax.errors import UserError, did_you_mean

    name, colon, variant = dataset.partition(":")
    if name not in names():
        raise UserError(f"--dataset={dataset}: not known.{did_you_mean(name, names())}")
    return f"{FOLDER / f'prepare_{name}.py'}{colon}{variant}"


DATASET = flags.DEFINE_string("dataset", "", "one of those listed without it, NAME or NAME:VARIANT")
CONFIG = cli.define_config_flag("config file of another data set", from_flag="dataset", find=config_file)
CHECK = flags.DEFINE_string("check", "", "folder of a download of it")
MOST = flags.DEFINE_integer("most", 200, "recordings that --check reads; 0 for all", 0)


def main() -> None:
    from ecgjax.errors import UserError

    sets, name = abouts(), DATASET.value.partition(":")[0]
    if CHECK.value and not hasattr(CONFIG.value, "dataset"):
        raise UserError(f"--check={CHECK.value}: of which data set? Name it with --dataset.")
    if name:
        print(describe(name, sets[name]) if name in sets else config(name).__doc__)
    if CHECK.value:
        print(check(name, sets.get(name), CONFIG.value, CHECK.value, MOST.value))
    elif not name:
        print(table(sets))


def names() -> list[str]:
    return sorted(path.stem.removeprefix("prepare_") for path in FOLDER.glob("prepare_*.py"))


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
            f"  variants: {', '.join(getattr(config(name), 'VARIANTS', ())) or 'none'}",
            f"  python -m launch.prepare --config=configs/prepare_{name}.py --config.dataset.root=DIR --store=DIR",
        ]
    )


def check(name: str, about: "About | None", preparation: "Preparation", folder: str, at_most: int) -> str:
    from tqdm import tqdm

    from ecgjax.data import download

    dataset = preparation.dataset
    if about and dataset != config(name).get_config().dataset:  # it may leave out some of what the set has
        labels = tuple(label for label in about.labels if label in dataset.make().label_specs)
        about = dataclasses.replace(about, modalities=getattr(dataset, "modalities", ()), labels=labels)
    dataset.root = folder
    progress = functools.partial(tqdm, unit=" recordings", leave=False, disable=None)  # on a terminal alone
    return download.told(download.look(dataset.make(), at_most, progress), about)


if __name__ == "__main__":
    cli.run(main)
