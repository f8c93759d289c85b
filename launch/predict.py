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
RATE_HZ = flags.DEFINE_float("rate_hz", 0.0, "sampling rate of a text file without one", 0.0)
STRIDE_S = flags.DEFINE_float("stride_s", 0.0, "seconds from one window to the next; 0 takes the window's length", 0.0)


def main() -> None:
    import tempfile

    from ecgjax.config import Mesh
    from ecgjax.evaluation import apply
    from ecgjax.training import mesh

    mesh.start(distributed=False)
    checkpoint = Path(CHECKPOINT.value)
    experiment = apply.read_experiment(checkpoint)
    check_out(Path(OUT.value))
    experiment.mesh = Mesh()
    experiment.data.label.name, experiment.data.split.exclude_subjects = "", ()  # nothing to score, nobody to leave out
    with tempfile.TemporaryDirectory() as scratch:
        store = prepare_one(checkpoint, Path(scratch) / "store", experiment.data)
        model = apply.load(checkpoint, experiment)
        predict(model, store, STRIDE_S.value or experiment.data.window_s)


def check_out(out: Path) -> None:
    """Refuses a place that would fail after the work, or cost a file the user has."""
    from ecgjax.errors import UserError

    if out.suffix.lower() != ".csv":
        raise UserError(f"--out={out}: give a name that ends in .csv; the picture goes beside it as .png.")
    if out.is_dir() or not out.absolute().parent.is_dir():
        what = "is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise UserError(f"--out={out}: {what}. Name a file in a folder that exists.")
    if out.absolute() == Path(INPUT.value).absolute():
        raise UserError(f"--out={out}: that is the input, which would be overwritten. Choose another name.")


def prepare_one(checkpoint: Path, folder: Path, data):
    """The input as a store of one recording, prepared as the model's training data were.

    Raises:
      UserError: the run does not classify, or the input cannot be used, or is too short for a window.
    """
    from ecgjax import config
    from ecgjax.data import prepare
    from ecgjax.data.store import open_store
    from ecgjax.errors import UserError
    from ecgjax.signals import preprocess
    from ecgjax.training.checkpoint import describe

    about = describe(checkpoint)["extra"]
    if not about["class_names"]:
        raise UserError(f"--checkpoint={checkpoint}: this run was not trained to classify. Name one that was.")
    steps = config.from_dict(preprocess.Config, about["preprocess"])
    dataset = reader(Path(INPUT.value), RATE_HZ.value)
    dataset.modalities = data.modalities
    manifest = prepare.prepare(prepare.Preparation(dataset=dataset, preprocess=steps, workers=1), folder, strict=True)
    store = open_store(folder)
    for modality, trained in about["modalities"].items():
        given = manifest["modalities"].get(modality, {"channels": [], "rate_hz": trained["rate_hz"]})
        if len(given["channels"]) != len(trained["channels"]) or given["rate_hz"] != trained["rate_hz"]:
            fed = f"{modality} of {len(trained['channels'])} channel(s) at {trained['rate_hz']:g} Hz"
            raise UserError(
                f"--input={INPUT.value}: the model reads {fed}; this has {len(given['channels'])} at "
                f"{given['rate_hz']:g} Hz. Give a recording like those it was trained on: python -m launch.inspect."
            )
        longest_s = float((store.index[f"{modality}/span_stop_s"] - store.index[f"{modality}/span_start_s"]).max())
        if longest_s < data.window_s - 1e-6:
            dropped = ", ".join(f"{s:.0f} s {why}" for why, s in manifest["dropped"].get(modality, {}).items())
            raise UserError(
                f"--input={INPUT.value}: the model reads windows of {data.window_s:g} s, and the longest good stretch "
                f"of {modality} is {longest_s:.1f} s (dropped: {dropped or 'nothing'}). Give a longer recording."
            )
    return store


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

    from ecgjax.data.staging import whole_file
    from ecgjax.data.windows import find_windows
    from ecgjax.evaluation import apply, traces

    data = model.experiment.data
    windows = find_windows([store], data, stride_s)
    _, kept = apply.run(model, [store], windows, keep=len(windows))
    classes, modality = model.about["class_names"], data.modalities[0]
    picture = Path(OUT.value).with_suffix(".png")
    with whole_file(OUT.value) as file:  # which has no name before the picture is there
        rows = csv.writer(file)
        rows.writerow(["recording", "start_s", "stop_s", *classes])
        for i, start_s in enumerate(windows.start_s):
            key = store.index["key"][windows.recording[i]]
            rows.writerow(
                [key, f"{start_s:g}", f"{start_s + data.window_s:g}", *map("{:.6f}".format, kept["probability"][i])]
            )
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
