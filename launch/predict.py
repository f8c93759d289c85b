"""Class probabilities over time for one recording: a row a window as CSV, and a picture of the trace over the signal.

    python -m launch.predict --checkpoint=WORKDIR --input=FILE --out=FILE.csv
    python -m launch.predict --checkpoint=WORKDIR --input=FILE --channels=V5 --out=FILE.csv
    python -m launch.predict --checkpoint=WORKDIR --input=trace.csv --rate_hz=256 --out=FILE.csv

Opens WFDB (.hea, .dat, or a folder of them), EDF and BDF, sessions of Empatica's E4 (a folder with EDA.csv and others,
or its .zip), and tables (.csv, .tsv, .txt, .parquet; --rate_hz where they tell none). Says which channel it read, in
which unit and at which rate. The signal is prepared as the model's training signals were. Windows follow each other by
--stride_s; one more ends with each good stretch, where there is a rest. Dropped seconds are told; they have no rows.
A model of several signals does without those that a recording, or a part of it, lacks, as long as it has one.
A folder gives one CSV, and a picture a recording.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from launch import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "folder of the training run", required=True)
INPUT = flags.DEFINE_string("input", None, "the recording", required=True)
OUT = flags.DEFINE_string("out", None, "CSV to write; the picture goes beside it as PNG", required=True)
CHANNELS = flags.DEFINE_list("channels", [], "channels to read, as II, or ecg:II,eda:GSR; empty goes by their names")
RATE_HZ = flags.DEFINE_float("rate_hz", 0.0, "sampling rate of a text file without one", 0.0)
STRIDE_S = flags.DEFINE_float("stride_s", 0.0, "seconds from one window to the next; 0 takes the window's length", 0.0)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace the CSV and the pictures where they exist")

_OWN_FLAGS = {"channels": "--channels", "rate_hz": "--rate_hz", "root": "--input"}  # for fields of a reader's config


def main() -> None:
    import math
    import tempfile

    import jax

    from ecgjax.config import Mesh
    from ecgjax.errors import require
    from ecgjax.evaluation import apply
    from ecgjax.training import mesh

    require(math.isfinite(STRIDE_S.value), "--stride_s", STRIDE_S.value, "seconds")
    mesh.start(distributed=False)
    checkpoint = Path(CHECKPOINT.value)
    experiment = apply.read_experiment(checkpoint)
    if several := getattr(experiment.model, "modalities", ()):  # it does without some of them
        experiment.data.modalities = experiment.data.optional = several
    with own_flags():
        dataset = reader(Path(INPUT.value), experiment.data.modalities)
        pictures = check_out(Path(OUT.value), dataset.make().keys())
    experiment.mesh, devices = Mesh(), jax.device_count()
    experiment.data.eval_batch_size += -experiment.data.eval_batch_size % devices  # to be dealt evenly
    experiment.data.label.name, experiment.data.split.exclude_subjects = "", ()  # nothing to score, nobody to leave out
    with tempfile.TemporaryDirectory() as scratch:
        with own_flags():
            store = prepare_one(checkpoint, dataset, Path(scratch) / "store", experiment.data)
        print(tell(store, experiment.data))
        model = apply.load(checkpoint, experiment)
        predict(model, store, STRIDE_S.value or experiment.data.window_s, pictures)


@contextlib.contextmanager
def own_flags() -> Iterator[None]:
    """Readers name fields of their config, as launch.prepare takes them; here those are flags of this script."""
    from ecgjax.errors import UserError

    try:
        yield
    except UserError as error:
        fields = "|".join(_OWN_FLAGS)
        told = re.sub(rf"--config\.dataset\.({fields})(\.\w+)?", lambda match: _OWN_FLAGS[match[1]], str(error))
        raise UserError(told) from error


def check_out(out: Path, keys: Sequence[str]) -> dict[str, Path]:
    """The picture of each recording. Refuses a place that would fail after the work, or cost a file the user has."""
    from ecgjax.errors import UserError

    if out.suffix.lower() != ".csv":
        raise UserError(f"--out={out}: give a name that ends in .csv; the picture goes beside it as .png.")
    if out.is_dir() or not out.absolute().parent.is_dir():
        what = "is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise UserError(f"--out={out}: {what}. Name a file in a folder that exists.")
    if out.absolute() == Path(INPUT.value).absolute():
        raise UserError(f"--out={out}: that is the input, which would be overwritten. Choose another name.")
    pictures = {key: out.with_name(f"{out.stem}_{key.replace('/', '_')}.png") for key in keys}
    if len(keys) == 1:
        pictures = {keys[0]: out.with_suffix(".png")}
    cli.refuse_existing((out, *pictures.values()), OVERWRITE.value)
    return pictures


def prepare_one(checkpoint: Path, dataset, folder: Path, data):
    """The input as a store of one recording, prepared as the model's training data were.

    Raises:
      UserError: the run does not classify, or the input cannot be used, or is too short for a window.
    """
    from ecgjax import plain
    from ecgjax.data import prepare
    from ecgjax.data.store import open_store
    from ecgjax.errors import UserError
    from ecgjax.signals import preprocess
    from ecgjax.training.checkpoint import describe

    about = describe(checkpoint)["extra"]
    if not about["class_names"]:
        raise UserError(f"--checkpoint={checkpoint}: this run was not trained to classify. Name one that was.")
    steps = plain.from_dict(preprocess.Config, about["preprocess"])
    manifest = prepare.prepare(prepare.Preparation(dataset=dataset, preprocess=steps, workers=1), folder, strict=True)
    store = open_store(folder)
    for modality in data.modalities:
        trained, given = about["modalities"][modality], manifest["modalities"].get(modality)
        if given is None and modality in data.optional:
            continue
        given = given or {"channels": [], "rate_hz": trained["rate_hz"]}
        if len(given["channels"]) != len(trained["channels"]) or given["rate_hz"] != trained["rate_hz"]:
            fed = f"{modality} of {len(trained['channels'])} channel(s) at {trained['rate_hz']:g} Hz"
            raise UserError(
                f"--input={INPUT.value}: the model reads {fed}; this has {len(given['channels'])} at "
                f"{given['rate_hz']:g} Hz. Name as many with --channels, or give a recording like those it was "
                "trained on: python -m launch.inspect."
            )
    longest_s = {modality: longest_stretch_s(store, modality) for modality in data.modalities}
    needed = [m for m in data.modalities if m not in data.optional] or [max(longest_s, key=longest_s.get)]
    for modality in needed:
        if longest_s[modality] < data.window_s - 1e-6:
            raise UserError(
                f"--input={INPUT.value}: the model reads windows of {data.window_s:g} s, and the longest good stretch "
                f"of {modality} is {longest_s[modality]:.1f} s (dropped: {dropped(store, modality) or 'nothing'}). "
                "Give a longer recording."
            )
    return store


def longest_stretch_s(store, modality: str) -> float:
    """Of good signal; 0 where there is none."""
    if modality not in store.signals:
        return 0.0
    return float((store.index[f"{modality}/span_stop_s"] - store.index[f"{modality}/span_start_s"]).max())


def dropped(store, modality: str) -> str:
    return ", ".join(f"{s:.0f} s {why}" for why, s in store.manifest["dropped"].get(modality, {}).items())


def reader(path: Path, modalities: Sequence[str]):
    """The config of the reader for a file, by its ending, or for a folder."""
    from ecgjax.datasets import base_empatica, csv, edf, wfdb
    from ecgjax.errors import UserError

    if not path.exists() and not path.with_suffix(".hea").exists():
        raise UserError(f"--input={path}: no such file.")
    asked = {"modalities": tuple(modalities), "channels": channels(modalities)}
    if path.is_dir():  # which may have a dot in its name, as 1.0.0
        if any(path.rglob("*.hea")):
            return wfdb.Config(root=str(path), **asked)
        if any(re.fullmatch(base_empatica.FILES, file.name.lower()) for file in path.rglob("*")):
            return wristband(path, modalities)
        raise UserError(
            f"--input={path}: a folder holds WFDB records or E4 sessions, and here is neither. Name a file."
        )
    match path.suffix.lower():
        case ".edf" | ".bdf":
            return edf.Config(root=str(path), **asked)
        case ".csv" | ".tsv" | ".txt" | ".parquet":
            return csv.Config(root=str(path), rate_hz=RATE_HZ.value, **asked)
        case ".zip":
            return wristband(path, modalities)
        case ".hea" | ".dat" | "":
            return wfdb.Config(root=str(path.with_suffix("")), **asked)
        case other:
            known = ".hea, .dat, .edf, .bdf, .csv, .tsv, .txt, .parquet or .zip"
            raise UserError(f"--input={path}: no reader for {other}. Give {known}.")


def wristband(path: Path, modalities: Sequence[str]):
    """The config of the reader for E4 sessions, whose channels go without saying."""
    from ecgjax.datasets import base_empatica, empatica
    from ecgjax.errors import UserError

    there = tuple(modality for modality in modalities if modality in base_empatica.MODALITIES)
    if not there:
        told = f"the model reads {', '.join(modalities)}, and an E4 records {', '.join(base_empatica.MODALITIES)}"
        raise UserError(f"--input={path}: {told}. Give a recording of what it reads.")
    if CHANNELS.value:
        raise UserError(f"--channels={','.join(CHANNELS.value)}: an E4 session has none to choose. Leave it out.")
    return empatica.Config(root=str(path), modalities=there)


def channels(modalities: Sequence[str]):
    """--channels by modality; a name without one is of the first that the model reads."""
    from ecgjax.datasets.base_channels import MODALITIES, Channels
    from ecgjax.errors import UserError

    found: dict[str, tuple[str, ...]] = {}
    for value in CHANNELS.value:
        modality, colon, name = value.partition(":")
        if not colon or modality not in MODALITIES:
            modality, name = modalities[0], value
        if modality not in modalities:
            raise UserError(f"--channels={value}: the model reads {', '.join(modalities)}, and no {modality}.")
        found[modality] = (*found.get(modality, ()), name)
    return Channels(**found)


def tell(store, data) -> str:
    """Which channels were read, what was met on the way, and what the model has to do without."""
    lines, events = [], dict(store.manifest["events"])
    for modality, about in store.manifest["modalities"].items():
        rates_hz = sorted({rate for rate in store.index[f"{modality}/recorded_hz"].tolist() if rate})
        rates = ", ".join(f"{rate:g}" for rate in rates_hz)
        lines.append(f"{modality}: channel {', '.join(about['channels'])}, unit {about['unit']}, {rates} Hz")
    if events.pop("ecg_channel_guessed", 0):
        lines.append("The channel was guessed: its name does not say that it is an ECG. Choose it with --channels.")
    if events:
        lines.append("met: " + ", ".join(f"{event} {count}" for event, count in events.items()))
    lacking = []
    for modality in data.modalities:
        if (stretch_s := longest_stretch_s(store, modality)) < data.window_s - 1e-6:
            why = f"longest good stretch {stretch_s:.1f} s; dropped: {dropped(store, modality) or 'nothing'}"
            if not stretch_s and modality not in store.manifest["dropped"]:
                nameable = "channels" in store.manifest["dataset"]["config"]
                why = "not found; --channels names it" if nameable else "not found"
            lacking.append(f"{modality} ({why})")
    if lacking:
        lines.append(f"The model also reads {' and '.join(lacking)}: predicted without; expect less.")
    return "\n".join(lines)


def predict(model, store, stride_s: float, pictures: dict[str, Path]) -> None:
    """Writes the table and the pictures, and prints their names."""
    import csv

    from ecgjax.data.staging import whole_file
    from ecgjax.data.windows import find_windows
    from ecgjax.evaluation import apply

    data = model.experiment.data
    windows = find_windows([store], data, stride_s, reach_ends=True)
    _, kept = apply.run(model, [store], windows, keep=len(windows))
    keys = store.index["key"].tolist()
    drawn = sorted(set(windows.recording.tolist()))
    with whole_file(OUT.value) as file:  # which has no name before the pictures are there
        rows = csv.writer(file)
        rows.writerow(["recording", "start_s", "stop_s", *model.about["class_names"]])
        for recording, start_s, chances in zip(windows.recording, windows.start_s, kept["probability"], strict=True):
            times = seconds(start_s), seconds(start_s + data.window_s)
            rows.writerow([keys[recording], *times, *map("{:.6f}".format, chances)])
        for number in drawn:
            mine = windows.recording == number
            draw(pictures[keys[number]], model, store, windows.take(mine), kept["probability"][mine])
    sums_s = {m: sum(store.manifest["dropped"].get(m, {}).values()) for m in data.modalities}
    gated = ", ".join(f"{total_s:.0f} s" + f" of {m}" * (len(sums_s) > 1) for m, total_s in sums_s.items())
    print(f"{len(windows)} windows, {gated} dropped by the quality gate")
    for modality, rows_N in windows.rows.items():
        if count := int((rows_N < 0).sum()):
            print(f"{count} of {len(windows)} windows lack {modality}")
    if missing := sorted(pictures.keys() - {keys[number] for number in drawn}):
        print(f"no good stretch of {data.window_s:g} s in: {', '.join(missing)}")
    print("\n".join([OUT.value, *(str(pictures[keys[number]]) for number in drawn)]))


def seconds(time_s: float) -> str:
    """To the millisecond, without trailing zeros."""
    return f"{time_s:.3f}".rstrip("0").rstrip(".")


def draw(path: Path, model, store, windows, probability_NC) -> None:
    """The picture of one recording: the first channel of the first modality that its windows have, and the trace."""
    from ecgjax.evaluation import traces

    number = int(windows.recording[0])
    modality = next(m for m, rows_N in windows.rows.items() if (rows_N >= 0).any())
    about, index = store.manifest["modalities"][modality], store.index
    first, length = (int(index[f"{modality}/{column}"][number]) for column in ("offset", "length"))
    name = store.index["key"][number] if len(index["key"]) > 1 else Path(INPUT.value).name
    channel = "" if about["channels"][0] == "mixed" else f" {about['channels'][0]}"
    traces.trace_png(
        path,
        store.signals[modality][first : first + length, 0],
        about["rate_hz"],
        windows.start_s,
        model.experiment.data.window_s,
        probability_NC,
        model.about["class_names"],
        signal_start_s=float(index[f"{modality}/start_s"][number]),
        unit=about["unit"] if about["normalise"] == "NONE" else "z-score",
        title=f"{name}: {modality}{channel}",
    )


if __name__ == "__main__":
    cli.run(main)
