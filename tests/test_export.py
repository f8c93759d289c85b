"""Models for other programs: the same numbers, and nothing of ecgjax needed to get them."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import test_models_contract as contract
from flax import traverse_util

from ecgjax.config import Data, Experiment
from ecgjax.errors import UserError
from ecgjax.interop import export
from ecgjax.models import base_transformer
from ecgjax.tasks import classification
from ecgjax.training import state
from ecgjax.training.state import Program

WINDOW_S, LONGER_S = 1.0, 12.0


def modalities(name: str) -> tuple[str, ...]:
    model = contract.config(name)
    return getattr(model, "modalities", ()) or (model.modality,)


def experiment(name: str) -> Experiment:
    data = Data(modalities=modalities(name), window_s=WINDOW_S)
    return Experiment(task=classification.Config(hidden=(8,), batch_norm=True), model=contract.config(name), data=data)


def told(name: str) -> dict:
    """What a checkpoint says of itself, as far as an export reads it."""
    rows = {m: {"rate_hz": float(contract.RATES_HZ[m]), "channels": ["I"]} for m in modalities(name)}
    return {"config": {}, "modalities": rows, "preprocess": {}, "class_names": ["calm", "tense"], "commits": []}


def windows(name: str, batch: int) -> dict[str, np.ndarray]:
    return {m: contract.windows(batch, round(WINDOW_S), seed=batch)[m] for m in modalities(name)}


@functools.cache
def trained(name: str):
    """(program, params, model_state), all parameters and statistics moved from where they begin."""
    task = classification.Config(hidden=(8,), batch_norm=True).make()
    program = Program(contract.config(name).make(), task.head(), task)
    variables = jax.jit(functools.partial(state.init_variables, program))(jax.random.key(0), windows(name, 1))
    rng = np.random.default_rng(0)
    return program, *jax.tree.map(
        lambda x: np.asarray(x + 0.05 * rng.standard_normal(x.shape), np.float32), jax.device_get(variables)
    )


@functools.cache
def outputs(name: str, batch: int) -> dict[str, np.ndarray]:
    return jax.device_get(jax.jit(export.forward(*trained(name)))(windows(name, batch)))


OUTSIDE = """
import sys
import jax
import numpy as np
from jax import export
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        model = export.deserialize(file.read())
    assert set(model.platforms) == {"cpu", "cuda", "tpu"}
    for batch in (1, 5):
        with np.load(f"{path}.{batch}.npz") as given:
            np.savez(f"{path}.{batch}.out.npz", **model.call({name: given[name] for name in given}))
assert not [name for name in sys.modules if name.split(".")[0] in ("ecgjax", "flax")]
"""


@pytest.fixture(scope="module")
def called_outside(tmp_path_factory):
    """The outputs of every model, for 1 and 5 windows, of a process that has no ecgjax."""
    pytest.importorskip("flatbuffers", reason="an extra: pip install -e '.[export]'")
    folder = tmp_path_factory.mktemp("stablehlo")
    for name in contract.NAMES:
        shapes = export.inputs(experiment(name), told(name), 0)
        export.write_stablehlo(folder / name, export.forward(*trained(name)), shapes, {"window_s": "1.0"})
        for batch in (1, 5):
            np.savez(folder / f"{name}.{batch}.npz", **windows(name, batch))
    command = [sys.executable, "-c", OUTSIDE, *(str(folder / name) for name in contract.NAMES)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", contract.NAMES)
def test_stablehlo_gives_the_same_outputs_elsewhere(called_outside, name, batch):
    found, expected = np.load(called_outside / f"{name}.{batch}.out.npz"), outputs(name, batch)
    assert set(found) == set(expected) == {"pooled", "probability"}
    assert found["probability"].shape == (batch, 2)
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, atol=5e-6 * np.abs(values).max())
    assert json.loads((called_outside / f"{name}.json").read_text()) == {"window_s": 1.0}


def test_the_batch_can_be_fixed(tmp_path):
    pytest.importorskip("flatbuffers", reason="an extra: pip install -e '.[export]'")
    shapes = export.inputs(experiment("conv"), told("conv"), 5)
    export.write_stablehlo(tmp_path / "model", export.forward(*trained("conv")), shapes, {})
    (signal,) = jax.export.deserialize((tmp_path / "model").read_bytes()).in_avals
    assert signal.shape == (5, 128, 1)


def convert_all(folder: Path) -> None:
    for name in contract.NAMES:
        shapes, about = export.inputs(experiment(name), told(name), 0), export.about(experiment(name), told(name))
        export.write_onnx(folder / f"{name}.onnx", export.forward(*trained(name)), shapes, about)
    for name in ("conv_transformer", "tcn_transformer"):  # more tokens than attention takes at once on a CPU
        longer = Data(modalities=modalities(name), window_s=LONGER_S)
        shapes = export.inputs(dataclasses.replace(experiment(name), data=longer), told(name), 0)
        export.write_onnx(folder / f"{name}.long.onnx", export.forward(*trained(name)), shapes, {})


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Every model in ONNX. In a process of its own: jax2onnx leaves functions of its own in JAX."""
    pytest.importorskip("onnxruntime", reason="an extra: pip install -e '.[onnx]'")
    folder = tmp_path_factory.mktemp("onnx")
    code = f"import pathlib, test_export; test_export.convert_all(pathlib.Path({str(folder)!r}))"
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(here.parent), str(here)))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", contract.NAMES)
def test_onnx_runtime_gives_the_same_outputs(converted, name):
    import onnxruntime

    session = onnxruntime.InferenceSession(converted / f"{name}.onnx")
    for batch in (1, 5):
        found = session.run(["pooled", "probability"], windows(name, batch))
        for values, output in zip(found, ("pooled", "probability"), strict=True):
            expected = outputs(name, batch)[output]
            np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == ["calm", "tense"]


@pytest.mark.parametrize("name", ["conv_transformer", "tcn_transformer"])
def test_onnx_takes_windows_of_many_tokens(converted, name):
    import onnxruntime

    session = onnxruntime.InferenceSession(converted / f"{name}.long.onnx")
    given = {m: contract.windows(2, round(LONGER_S), seed=2)[m] for m in modalities(name)}
    program, params, model_state = trained(name)
    expected = jax.device_get(jax.jit(export.forward(program, params, model_state))(given))["pooled"]
    variables = {"params": params["encoder"], **model_state["encoder"]}
    encoded = jax.eval_shape(lambda signals: program.encoder.apply(variables, signals, train=False), given)
    assert encoded.tokens_BLD.shape[1] > base_transformer._SHORT
    np.testing.assert_allclose(session.run(["pooled"], given)[0], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", contract.NAMES)
def test_safetensors_hold_every_array_under_its_name_in_the_checkpoint(tmp_path, name):
    pytest.importorskip("safetensors", reason="an extra: pip install -e '.[export]'")
    from safetensors import safe_open

    _, params, model_state = trained(name)
    about = export.about(experiment(name), told(name))
    export.write_safetensors(tmp_path / "model.safetensors", params, model_state, about)
    expected = traverse_util.flatten_dict({"params": params, "model_state": model_state}, sep="/")
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        assert set(file.keys()) == set(expected)
        for key, values in expected.items():
            np.testing.assert_array_equal(file.get_tensor(key), values)
        assert json.loads(file.metadata()["window_s"]) == WINDOW_S and file.metadata().keys() == about.keys()


def test_what_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    for module, extra in (("safetensors", "export"), ("flatbuffers", "export"), ("jax2onnx", "onnx")):
        for name in (module, "safetensors.numpy"):
            monkeypatch.setitem(sys.modules, name, None)
        shapes, call = export.inputs(experiment("conv"), told("conv"), 1), export.forward(*trained("conv"))
        with pytest.raises(UserError, match=rf"{module}.* is not installed. Run: pip install -e '.\[{extra}\]'"):
            if module == "safetensors":
                export.write_safetensors(tmp_path / "file", {}, {}, {})
            else:
                (export.write_onnx if extra == "onnx" else export.write_stablehlo)(tmp_path / "file", call, shapes, {})
        assert not list(tmp_path.iterdir())
