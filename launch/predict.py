"""Class probabilities over time for one recording: a row a window as CSV, and a picture of the trace over the signal.

    python -m launch.predict --checkpoint=WORKDIR --input=FILE --out=FILE.csv
    python -m launch.predict --checkpoint=WORKDIR --input=trace.csv --rate_hz=256 --out=FILE.csv

Opens WFDB (.hea, .dat), EDF and BDF, and text (.csv, .tsv, .txt; --rate_hz unless the file tells its rate). The
signal is prepared as the model's training signals were. Dropped seconds are told; they have no rows.
"""

from pathlib import Path

from absl import flags

from launch import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "folder of the training run", required=True)
INPUT = flags.DEFINE_string("input", None, "the recording", required=True)
OUT = flags.DEFINE_string("out", None, "CSV to write; the picture goes beside it as PNG", required=True)
RATE_HZ = flags.DEFINE_float("rate_hz", 0.0, "sampling rate of a text file without one")
STRIDE_S = flags.DEFINE_float("stride_s", 0.0, "seconds from one window to the next; 0 takes the window's length")


def main() -> None:
    import tempfile

    from ecgjax.config import Mesh
    from ecgjax.evaluation import apply
    from ecgjax.training import mesh

    mesh.start(distributed=False)
    checkpoint = Path(CHECKPOINT.value)
    experiment = apply.read_experiment(checkpoint)
    experiment.mesh = Mesh()
    with tempfile.TemporaryDirectory() as scratch:
        store = prepare_one(checkpoint, Path(scratch) / "store")
        experiment.data.store = str(store.path)
        model = apply.load(checkpoint, experiment)
        predict(model, store, STRIDE_S.value or experiment.data.window_s)


def prepare_one(checkpoint: Path, folder: Path):
    """The input as a store of one recording, prepared as the model's training data were."""
    from ecgjax import config
    from ecgjax.data import prepare
    from ecgjax.data.store import open_store
    from ecgjax.signals import preprocess
    from ecgjax.training.checkpoint import describe

    steps = config.from_dict(preprocess.Config, describe(checkpoint)["extra"]["preprocess"])
    preparation = prepare.Preparation(dataset=reader(Path(INPUT.value), RATE_HZ.value), preprocess=steps, workers=1)
    prepare.prepare(preparation, folder, strict=True)
    return open_store(folder)


def reader(path: Path, rate_hz: float):
    """The reader for a file, by its ending."""
    from ecgjax.datasets import csv, edf, wfdb
    from ecgjax.errors import UserError

    if not path.exists() and not path.with_suffix(".hea").exists():
        raise UserError(f"--input={path}: no such file.")
    match path.suffix.lower():
        case ".edf" | ".bdf":
            return edf.Config(root=str(path))
        case ".csv" | ".tsv" | ".txt":
            return csv.Config(root=str(path), rate_hz=rate_hz)
        case ".hea" | ".dat" | "":
            return wfdb.Config(root=str(path.with_suffix("")))
        case other:
            raise UserError(f"--input={path}: no reader for {other}. Give .hea, .dat, .edf, .bdf, .csv, .tsv or .txt.")


def predict(model, store, stride_s: float) -> None:
    import csv

    from ecgjax.data.windows import find_windows
    from ecgjax.errors import UserError
    from ecgjax.evaluation import apply, traces

    data = model.experiment.data
    data.label.name = ""  # there is nothing to score
    windows = find_windows([store], data, stride_s)
    _, kept = apply.run(model, [store], windows, keep=len(windows))
    if "probability" not in kept:
        raise UserError(f"--checkpoint={CHECKPOINT.value}: this run was not trained to classify. Name one that was.")
    classes, modality = model.about["class_names"], data.modalities[0]
    with open(OUT.value, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["recording", "start_s", "stop_s", *classes])
        for i, start_s in enumerate(windows.start_s):
            key = store.index["key"][windows.recording[i]]
            rows.writerow(
                [key, f"{start_s:g}", f"{start_s + data.window_s:g}", *map("{:.6f}".format, kept["probability"][i])]
            )
    picture = Path(OUT.value).with_suffix(".png")
    traces.trace_png(
        picture,
        store.signals[modality][: store.index[f"{modality}/length"][0], 0],
        store.manifest["modalities"][modality]["rate_hz"],
        windows.start_s[windows.recording == 0],
        data.window_s,
        kept["probability"][windows.recording == 0],
        classes,
    )
    dropped = sum(store.manifest["dropped"].get(modality, {}).values())
    print(f"{len(windows)} windows, {dropped:.0f} s dropped by the quality gate\n{OUT.value}\n{picture}")


if __name__ == "__main__":
    cli.run(main)
