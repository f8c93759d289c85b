"""What there is to be tested: the readers of ecgjax/datasets, and the writers of tests/corpora for each of them."""

import dataclasses
import functools
import importlib
from collections.abc import Callable
from pathlib import Path

import ecgjax.datasets

FOLDER = Path(ecgjax.datasets.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith(("_", "base")))
CORPORA = sorted(p.stem for p in (Path(__file__).parent / "corpora").glob("*.py") if p.stem != "__init__")


def config_class(name: str) -> type:
    return importlib.import_module(f"ecgjax.datasets.{name}").Config


def config_of(name: str) -> Callable:
    """Makes a Config of given fields: the reader's, or of the config file's data set."""
    if name in NAMES:
        return config_class(name)
    return functools.partial(
        dataclasses.replace, importlib.import_module(f"configs.prepare_{name}").get_config().dataset
    )
