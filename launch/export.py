"""A trained model for programs without ecgjax.

    python -m launch.export --checkpoint=WORKDIR --format=safetensors --output=FILE.safetensors  # the weights
    python -m launch.export --checkpoint=WORKDIR --format=stablehlo --output=FILE.stablehlo      # for JAX
    python -m launch.export --checkpoint=WORKDIR --format=onnx --output=FILE.onnx                # for ONNX Runtime

The last two are the model in evaluation: signals, prepared as its training signals were, to "pooled" vectors and, of
classifiers, to "probability". With each goes what the model wants to be fed. docs/export.md shows how they are read.
"""

from pathlib import Path

from absl import flags

from launch import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "folder of the training run", required=True)
FORMAT = flags.DEFINE_enum("format", None, ["safetensors", "stablehlo", "onnx"], "what to write", required=True)
OUTPUT = flags.DEFINE_string("output", None, "file to write", required=True)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 0, "windows at a time, where it must be fixed; 0 for any number", 0)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace the file where it exists")


def main() -> None:
    import jax

    jax.config.update("jax_platforms", "cpu")  # what is written does not depend on the devices here
    from ecgjax.config import Mesh
    from ecgjax.evaluation import apply
    from ecgjax.interop import export
    from ecgjax.training import mesh

    output, checkpoint = Path(OUTPUT.value), Path(CHECKPOINT.value)
    files = (output, export.told_beside(output)) if FORMAT.value == "stablehlo" else (output,)
    check_output(files)
    mesh.start(distributed=False)
    experiment = apply.read_experiment(checkpoint)
    experiment.mesh, experiment.data.eval_batch_size = Mesh(), jax.device_count()
    model = apply.load(checkpoint, experiment)
    params, model_state = jax.device_get((model.state.params, model.state.model_state))
    told = export.about(experiment, model.about)
    if FORMAT.value == "safetensors":
        export.write_safetensors(output, params, model_state, told)
    else:
        write = {"stablehlo": export.write_stablehlo, "onnx": export.write_onnx}[FORMAT.value]
        function = export.forward(model.compiled.program, params, model_state)
        write(output, function, export.inputs(experiment, model.about, BATCH_SIZE.value), told)
    print("\n".join(map(str, files)))


def check_output(files: tuple[Path, ...]) -> None:
    """Refuses a place that would fail after the work, or cost a file the user has."""
    from ecgjax.errors import UserError

    parent = files[0].absolute().parent
    if files[0].is_dir() or not parent.is_dir():
        what = "is a folder" if files[0].is_dir() else f"there is no folder {parent}"
        raise UserError(f"--output={files[0]}: {what}. Name a file in a folder that exists.")
    cli.refuse_existing(files, OVERWRITE.value)


if __name__ == "__main__":
    cli.run(main)
