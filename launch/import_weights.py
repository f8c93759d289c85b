"""Weights that others have released, as a run of ours.

    python -m launch.import_weights --format=wer_ssl --input=best_model.pth --workdir=DIR

`wer_ssl` are those of Wu et al. 2023. The file is read without PyTorch, nothing that it asks for is run, and every
name and shape in it is checked. The run has one checkpoint: `--config.init_from=DIR` starts from its encoder,
launch.evaluate scores it, launch.inspect says what it wants to be fed.
"""

from pathlib import Path

from absl import flags

from launch import cli

FORMAT = flags.DEFINE_enum("format", None, ["wer_ssl"], "whose weights they are", required=True)
INPUT = flags.DEFINE_string("input", None, "the file", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "folder for the run, which must not exist yet", required=True)
CONFIG = cli.define_config_flag(
    "the model and task of the weights, configs/wu2023_pretrain.py if not given", default="configs/wu2023_pretrain.py"
)


def main() -> None:
    import functools
    import hashlib

    from ecgjax.interop import imported, mapping, torch_zip, wer_ssl
    from ecgjax.training import mesh

    mesh.start(distributed=False)
    file, folder = Path(INPUT.value), Path(WORKDIR.value)
    arrays = wer_ssl.arrays(torch_zip.load(file), file)
    origin = {"format": FORMAT.value, "file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    wer_ssl.check(CONFIG.value)
    convert = functools.partial(mapping.convert, wer_ssl.TABLE, arrays, path=file)
    imported.write_run(folder, CONFIG.value, *wer_ssl.fed(), origin, convert)
    print(folder)


if __name__ == "__main__":
    cli.run(main)
