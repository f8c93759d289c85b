"""The house keeps its floors: imports go down only, libraries stay in their rooms, importing touches nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    p for folder in ("ecgjax", "configs", "launch", "benchmarks", "tests") for p in (ROOT / folder).rglob("*.py")
)
NAMES = [p.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__") for p in FILES]
TREES = dict(zip(NAMES, (ast.parse(p.read_text()) for p in FILES), strict=True))
PACKAGE = [name for name in NAMES if name.startswith("ecgjax.")]

# From the ground up; the first prefix that fits says where a module lives.
FLOORS = {
    "ecgjax.errors": 0,
    "ecgjax.config": 1,
    "ecgjax.plain": 1,
    "ecgjax.pickles": 1,
    "ecgjax.signals": 1,
    "ecgjax.datasets.base": 2,
    "ecgjax.models.base": 2,
    "ecgjax.tasks.base": 2,
    "ecgjax.datasets": 3,
    "ecgjax.data": 3,
    "ecgjax.models": 3,
    "ecgjax.tasks": 3,
    "ecgjax.training.loop": 5,
    "ecgjax.evaluation.apply": 6,
    "ecgjax.evaluation.looks": 6,
    "ecgjax.evaluation.protocols": 6,
    "ecgjax.evaluation.summary": 6,
    "ecgjax.evaluation.sweeps": 6,
    "ecgjax.interop": 5,
    "ecgjax.training": 4,
    "ecgjax.evaluation": 4,
    "ecgjax": 0,
}
PLUG_INS = ("ecgjax.datasets", "ecgjax.models", "ecgjax.tasks")
NUMPY_ONLY = (
    "ecgjax.signals",
    "ecgjax.datasets",
    "ecgjax.data",
    "ecgjax.pickles",
    *(f"ecgjax.interop.{name}" for name in ("torch_zip", "mapping", "wer_ssl")),
)
# Files that may be longer than a reader likes, each with its reason.
LONG_FILES: dict[str, str] = {}


def imports(tree: ast.AST) -> set[str]:
    """Modules a file imports, anywhere in it; `from a import b` counts as a.b where that is a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & TREES.keys()) or inner | {node.module}
    return found


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == p or name.startswith(p + ".") for p in prefixes)


def floor(name: str) -> int:
    return next(level for prefix, level in FLOORS.items() if name.startswith(prefix))


def folder(name: str) -> str:
    return ".".join(name.split(".")[:2])


def is_plug_in(name: str) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == "Config" for node in TREES[name].body)


@pytest.mark.parametrize("name", PACKAGE)
def test_imports_go_down(name):
    for other in sorted(imports(TREES[name]) & TREES.keys() - {name}):
        assert other.startswith("ecgjax"), f"{name} imports {other} of the roof"
        if folder(other) != folder(name):
            assert floor(other) < floor(name), f"{name} (floor {floor(name)}) imports {other} (floor {floor(other)})"
        elif within(name, PLUG_INS):
            assert not is_plug_in(other), f"{name} imports its sibling plug-in {other}; share through base"
        else:
            assert floor(other) <= floor(name), f"{name} imports {other} of the floor above"


@pytest.mark.parametrize("name", NAMES)
def test_libraries_stay_in_their_rooms(name):
    found = imports(TREES[name])
    rules = {
        ("orbax",): name == "ecgjax.training.checkpoint" or within(name, ("tests",)),
        ("ml_collections", "absl.flags", "absl.app"): within(name, ("launch", "tests", "benchmarks")),
        ("apache_beam",): name == "ecgjax.data.prepare_beam" or within(name, ("tests",)),
        ("jax", "jaxlib", "flax", "optax"): not within(name, NUMPY_ONLY),
    }
    for libraries, allowed in rules.items():
        assert allowed or not {n for n in found if within(n, libraries)}, f"{name} must not import {libraries}"


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_everything_starts_no_device():
    code = f"import importlib\nfor n in {PACKAGE}: importlib.import_module(n)\n"
    code += "from jax._src import xla_bridge\nprint(sorted(xla_bridge._backends))"
    assert run_python(code).strip() == "[]"


def test_preparation_workers_start_without_jax():
    names = [n for n in PACKAGE if within(n, ("ecgjax.signals", "ecgjax.datasets", "ecgjax.data.prepare"))]
    code = f"import importlib, sys\nfor n in {names}: importlib.import_module(n)\nprint('jax' in sys.modules)"
    assert run_python(code).strip() == "False"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_are_readable_in_one_sitting(path):
    text = path.read_text()
    limit = 80 if path.parent.name == "configs" else 300
    lines = text.count("\n")
    assert lines <= limit or str(path.relative_to(ROOT)) in LONG_FILES, f"{path.name} has {lines} lines, over {limit}"
    # ml_collections reads the fields' types, which the future import would turn into strings
    assert "from __future__ import annotations" not in text.splitlines()
    places = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    for place in places:
        assert not re.match(r"/(home|root|Users|mnt|opt|work|farm)/", place), f"{path.name} names a place: {place}"


def test_the_lock_names_no_host():
    assert "://" not in (ROOT / "requirements.lock").read_text()
