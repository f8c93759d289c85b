"""The examples in CONTRIBUTING.md do what it says: they are plug-ins as they stand."""

import collections
import importlib.util
import random
import re
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.config import Experiment
from ecgjax.errors import DataError
from ecgjax.tasks.base import Task
from ecgjax.training.program import compile_program
from tests import fuzzing, mutations

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(re.findall(r"`ecgjax/\w+/(\w+)\.py`:.*?```python\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture
def example(tmp_path):
    def load(name):
        path = tmp_path / f"{name}.py"
        path.write_text(EXAMPLES[name])
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_data_set_reads_its_files(example, tmp_path):
    for name, num_samples in (("rest", 500), ("stress", 1000)):
        (tmp_path / f"anna_{name}.f32").write_bytes(np.arange(num_samples, dtype="<f4").tobytes())
    (tmp_path / "ben_rest.f32").write_bytes(b"torn!")
    dataset = example("one_array_each").Config(root=str(tmp_path)).make()
    assert dataset.keys() == ("anna_rest.f32", "anna_stress.f32", "ben_rest.f32")
    recording = dataset.load("anna_stress.f32")
    assert (recording.subject, recording.signals["ecg"].duration_s, recording.labels[0].value) == ("anna", 4.0, 1.0)
    with pytest.raises(DataError, match="ben_rest.f32: truncated"):
        dataset.load("ben_rest.f32")


def test_the_data_set_survives_damage(example, tmp_path):
    (folder := tmp_path / "corpus").mkdir()
    files = {"anna_rest.f32": np.arange(500, dtype="<f4").tobytes(), "ben_stress.f32": b"1234", "cora_rest.f32": b""}
    fuzzing._put(folder, files, 0)
    outcomes = collections.Counter()
    dataset = example("one_array_each").Config(root=str(folder)).make()
    fuzzing.read(dataset, folder, {}, outcomes)
    assert outcomes == {"good": 2, "truncated": 1}
    for number in range(50):
        changes, told = mutations.mutate(files, files, random.Random(number))
        print(told)  # pytest shows it where this fails
        fuzzing._put(folder, changes, number)
        fuzzing.read(dataset, folder, {}, outcomes)
        fuzzing._undo(folder, changes, files)
    assert outcomes["good"] > 50 and outcomes["truncated"] > 50, outcomes


def test_the_model_learns_the_task(example):
    experiment = Experiment(task=example("arrow_of_time").Config(), model=example("two_convs").Config(width=8))
    ramps_BTC = np.tile(np.linspace(-1, 1, 64, dtype=np.float32)[None, :, None], (32, 1, 1))
    batch = {"signals": {"ecg": ramps_BTC}, "weight": np.ones(32, np.float32), "label": -np.ones(32, np.int32)}
    missing = [name for name in typing.get_type_hints(Task) if not hasattr(experiment.task.make(), name)]
    assert not missing, "the loop reads these too"
    compiled = compile_program(experiment, batch)
    state = compiled.init(jax.random.key(0))
    for _ in range(40):
        state, metrics = compiled.train_step(state, batch, jnp.float32(0.03))
    right, count = metrics["accuracy"]
    assert right / count == 1, "a ramp played backwards is easily told"


def test_what_the_readme_downloads_and_makes_is_not_committed():
    readme, ignored = (ROOT / "README.md").read_text(), (ROOT / ".gitignore").read_text().splitlines()
    folders = set(re.findall(r"(?:-P |root=|store=|workdir=|out=)([a-z]+)(?=[/\s])", readme))
    assert folders == {"data", "stores", "runs"} and {f"/{name}" for name in folders} <= set(ignored)
