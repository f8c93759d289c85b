"""A trained model for others: its weights as safetensors, its evaluation as StableHLO or ONNX.

What goes out is `forward`: signals in, as `launch.prepare` stores them, pooled vectors and a classifier's probabilities
out. With it goes `about`, which says what the model wants to be fed.
"""

import contextlib
import importlib
import io
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ecgjax import __version__
from ecgjax.config import Experiment
from ecgjax.data.staging import whole_file
from ecgjax.errors import UserError
from ecgjax.models import base_transformer
from ecgjax.training import mesh
from ecgjax.training.state import Program

PLATFORMS = ("cpu", "cuda", "tpu")
TOLERANCE = 1e-4  # of a converted model's outputs, relative to the greatest of them where that is above 1
_TOLD = ("config", "modalities", "preprocess", "class_names", "commits")  # of what a checkpoint says of itself
Signals = dict[str, jax.Array]


def forward(program: Program, params: Any, model_state: Any) -> Callable[[Signals], dict[str, jax.Array]]:
    """Signals {modality: (B, T, C)} to "pooled" (B, D) and, where the task has classes, their "probability" (B, N)."""

    variables = {root: jax.tree.map(jnp.asarray, {"params": params[root], **model_state[root]}) for root in params}

    def apply(root: str, module: nn.Module, *arguments: Any) -> Any:
        return module.apply(variables[root], *arguments, train=False)

    def call(signals: Signals) -> dict[str, jax.Array]:
        encoded = apply("encoder", program.encoder, signals)
        outputs = {"pooled": encoded.pooled_BD}
        if program.task.num_classes:
            logits = apply("head", program.head, encoded, signals)
            unlabelled_B = jnp.zeros_like(encoded.pooled_BD[:, 0], jnp.int32)
            outputs["probability"] = program.task.predict(logits, unlabelled_B)["probability"]
        return outputs

    return call


def about(experiment: Experiment, extra: Mapping[str, Any]) -> dict[str, str]:
    """What the model is and wants to be fed, each value as JSON.

    Args:
      extra: what its checkpoint says of itself.
    """
    told = {"ecgjax_version": __version__, "window_s": experiment.data.window_s}
    return {name: json.dumps(value) for name, value in (told | {name: extra[name] for name in _TOLD}).items()}


def inputs(experiment: Experiment, extra: Mapping[str, Any], batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the signals; a batch_size of 0 leaves it open."""
    batch = batch_size or jax.export.symbolic_shape("B")[0]
    samples = {name: round(experiment.data.window_s * m["rate_hz"]) for name, m in extra["modalities"].items()}
    return {
        name: jax.ShapeDtypeStruct((batch, samples[name], len(m["channels"])), jnp.float32)
        for name, m in extra["modalities"].items()
    }


def write_safetensors(path: Path, params: Any, model_state: Any, told: Mapping[str, str]) -> None:
    """All arrays, under the names that a checkpoint's leaves have, as "params/encoder/conv_0/kernel".

    Raises:
      UserError: safetensors is not installed, or the file cannot be written.
    """
    save = _needs("safetensors.numpy", "export").save
    leaves = jax.tree_util.tree_leaves_with_path({"params": params, "model_state": model_state})
    arrays = {mesh.path_of(keys): np.ascontiguousarray(leaf) for keys, leaf in leaves}
    with whole_file(path, "wb") as file:
        file.write(save(arrays, dict(told)))


def write_stablehlo(
    path: Path, function: Callable[[Signals], Any], shapes: Mapping[str, jax.ShapeDtypeStruct], told: Mapping[str, str]
) -> None:
    """`function` with its weights, as `jax.export.deserialize` reads it; what it wants to be fed goes into PATH.json.

    Raises:
      UserError: flatbuffers is not installed, or a file cannot be written.
    """
    _needs("flatbuffers", "export")
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(dict(shapes))
    with whole_file(path, "wb") as file:
        file.write(exported.serialize())
    with whole_file(told_beside(path)) as file:
        json.dump({name: json.loads(value) for name, value in told.items()}, file, indent=1)


def told_beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def write_onnx(
    path: Path, function: Callable[[Signals], Any], shapes: Mapping[str, jax.ShapeDtypeStruct], told: Mapping[str, str]
) -> None:
    """`function` with its weights, run once by ONNX Runtime and compared before the file gets its name.

    Call it last in a process: jax2onnx leaves functions of its own in JAX, and some of them can do less.

    Raises:
      UserError: jax2onnx is not installed, its file gives other outputs, or it cannot be written.
    """
    converter = _needs("jax2onnx", "onnx")
    import onnx

    names, sizes = sorted(shapes), {name: shape.shape for name, shape in shapes.items()}
    rng = np.random.default_rng(0)
    noise = {m: rng.standard_normal([n if isinstance(n, int) else 3 for n in sizes[m]], np.float32) for m in names}
    expected = jax.device_get(jax.jit(function)(noise))

    def in_order(*signals: jax.Array) -> tuple[jax.Array, ...]:
        outputs = function(dict(zip(names, signals, strict=True)))
        return tuple(outputs[name] for name in sorted(outputs))

    specs = [tuple(n if isinstance(n, int) else "B" for n in sizes[m]) for m in names]
    with (
        base_transformer.all_at_once(),
        contextlib.redirect_stdout(io.StringIO()),  # it tells what it does
        jax.numpy_rank_promotion("allow"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        model = converter.to_onnx(
            in_order, specs, model_name="ecgjax", input_names=names, output_names=sorted(expected)
        )
    onnx.helper.set_model_props(model, dict(told))
    _compare(model.SerializeToString(), noise, expected)
    with whole_file(path, "wb") as file:
        file.write(model.SerializeToString())


def _compare(model: bytes, signals: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = dict(zip(sorted(expected), session.run(sorted(expected), dict(signals)), strict=True))
    for name, values in expected.items():
        apart = float(np.abs(found[name] - values).max() / max(np.abs(values).max(), 1.0))
        if not apart < TOLERANCE:
            raise UserError(
                f"--format=onnx: {name} of the converted model differs by {apart:.2g} from the model's own, so it was "
                "not written. Export it as stablehlo, or try another version of jax2onnx."
            )


def _needs(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{error.name} is not installed. Run: pip install -e '.[{extra}]'") from error
