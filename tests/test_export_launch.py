"""launch.export from a run to files, and the programs of docs/export.md that read them."""

import importlib.util
import re
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from ecgjax.config import Data, Experiment
from ecgjax.evaluation import apply
from ecgjax.interop import export, imported
from ecgjax.models import conv
from ecgjax.signals.preprocess import Config as Preprocess
from ecgjax.tasks import classification

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
NEEDS = {"safetensors": "safetensors", "stablehlo": "flatbuffers", "onnx": "jax2onnx"}
FORMATS = [
    pytest.param(name, marks=pytest.mark.skipif(not importlib.util.find_spec(needs), reason=f"{needs} is an extra"))
    for name, needs in NEEDS.items()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of random weights, a signal, and the model's outputs for it."""
    folder = tmp_path_factory.mktemp("export")
    model = conv.Config(channels=(4, 8), kernels=(9, 4), negative_slope=0.3)
    experiment = Experiment(task=classification.Config(hidden=(16, 8)), model=model, data=Data(window_s=1.0))
    rng = np.random.default_rng(0)
    ecg = {"rate_hz": 128.0, "unit": "mV", "channels": ["II"], "normalise": "SUBJECT"}
    imported.write_run(
        folder / "run",
        experiment,
        {"ecg": ecg},
        {"ecg": Preprocess().ecg},
        {},
        lambda wanted: {name: rng.standard_normal(shape, np.float32) for name, shape in wanted.items()},
    )
    np.save(folder / "ecg.npy", rng.standard_normal((3, 128, 1), np.float32))
    loaded = apply.load(folder / "run", experiment_on_all_devices(folder / "run"))
    state = jax.device_get(loaded.state)
    call = export.forward(loaded.compiled.program, state.params, state.model_state)
    return folder, jax.device_get(jax.jit(call)({"ecg": np.load(folder / "ecg.npy")}))


def experiment_on_all_devices(run: Path) -> Experiment:
    experiment = apply.read_experiment(run)
    experiment.data.eval_batch_size = jax.device_count()
    return experiment


def program(format_name: str) -> str:
    """The block of the page that reads this file."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = (block for block in blocks if f"model.{format_name}" in block)
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_the_programs_of_the_page_get_the_model_s_outputs(folder, name, run_module, tmp_path, monkeypatch):
    folder, expected = folder
    target = folder / f"model.{name}"
    done = run_module("launch.export", f"--checkpoint={folder / 'run'}", f"--format={name}", f"--output={target}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == str(target)
    monkeypatch.chdir(folder)
    (tmp_path / "reader.py").write_text(program(name))
    found = runpy.run_path(str(tmp_path / "reader.py"))
    outputs = found.get("outputs") or {"pooled": found["pooled_BD"], "probability": found["probability_BN"]}
    for output, values in expected.items():
        np.testing.assert_allclose(outputs[output], values, atol=1e-5 * np.abs(values).max())
    assert expected["probability"].std() > 0.01, "else this shows little"


def test_slips_are_told_before_the_work(folder, run_module, tmp_path):
    (tmp_path / "old").write_text("kept")
    for output, message in (
        (tmp_path / "old", "old: exists. Choose another place, or pass --overwrite"),
        (tmp_path / "none" / "model", "there is no folder"),
        (tmp_path, "is a folder"),
    ):
        done = run_module("launch.export", "--checkpoint=nowhere", "--format=stablehlo", f"--output={output}")
        assert done.returncode == 2 and message in done.stderr
    assert (tmp_path / "old").read_text() == "kept"
