"""What a run leaves behind for people: report.html, results.json and the table."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from ecgjax import config, plain
from ecgjax.config import ChooseOn, Experiment
from ecgjax.data import splits, staging
from ecgjax.data.corpus import Corpus
from ecgjax.data.staging import whole_file
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows
from ecgjax.evaluation import apply, looks, protocols, report, scoreboard, svg, sweeps, sweeps_figure, tables
from ecgjax.evaluation.apply import Model
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.protocols import MODEL, CrossValidation
from ecgjax.evaluation.sweeps import Result, Score
from ecgjax.evaluation.tables import Row
from ecgjax.training import checkpoint, provenance
from ecgjax.training import mesh as meshes
from ecgjax.training.loop import Run
from ecgjax.training.progress import tell
from ecgjax.training.state import State
from ecgjax.training.writer import read_metrics


def report_run(this: Run, state: State) -> Path:
    """Writes report.html into the run's folder: learning curves, what it made of windows, where it looks."""
    tell("report")
    path, looked = this.folder / "report.html", looks.of_run(this, state)
    caution = scoreboard.caution_of(_protocol(this.experiment)) if this.experiment.data.split.fold >= 0 else ""

    def write() -> None:
        report.write_report(
            path,
            title=f"{this.folder.name}: {type(this.compiled.program.task).__name__}",
            run=_facts(this.experiment, this.corpus) | _commits(this.commits),
            data=_manifests(this.corpus),
            curves=_curves(this.folder),
            notes=[caution] if caution else (),
            **looked,
        )

    meshes.on_first(write)
    return path


def report_cross_validation(experiment: Experiment, found: CrossValidation, folder: Path) -> tuple[str, Path]:
    """Writes predictions.npz, results.json, results.md and report.html; returns the table as text and the report."""
    tell("report: intervals, figures, a look at some windows")
    runs = sorted(folder.glob("fold_*"))
    facts, rows = _facts(experiment, found.corpus, " in fold 0"), tables.compare(found.predictions)
    facts |= _commits(dict.fromkeys(c for run in runs for c in _about(run).get("commits", ())))
    meshes.on_first(lambda: _write_scores(folder, facts, found.predictions, rows))  # whatever becomes of the pictures
    path, looked = folder / "report.html", looks.of_fold_0(experiment, found, folder / "fold_00")

    def write() -> None:
        report.write_report(
            path,
            title=f"{folder.name}: {experiment.data.label.name}",
            run=facts,
            data=_manifests(found.corpus),
            curves=[row | {"fold": i} for i, run in enumerate(runs) for row in _curves(run)],
            predictions=found.predictions,
            notes=_doubts(experiment, found, _about(folder / "fold_00")),
            **looked,
        )

    meshes.on_first(write)
    caution = scoreboard.caution_of(facts["protocol"])
    return "\n\n".join(filter(None, (tables.format_table(rows), caution))), path


def report_sweep(experiment: Experiment, results: Sequence[Result], missing: Sequence[str], folder: Path) -> str:
    """Writes sweep.json, sweep.md, sweep.svg and report.html of the cells that are done, and returns what to print."""
    lines, picture = sweeps.table(results), sweeps_figure.figure(results)
    facts = provenance.environment() | {"cells": f"{len(results)} done", "config": plain.to_dict(experiment)}
    cautions = [scoreboard.caution_of(_protocol(result.cell.experiment)) for result in results]
    notes = [*filter(None, dict.fromkeys(cautions))]
    if missing:
        notes.append(f"{len(missing)} cells are not done: {', '.join(missing[:5])}.")
    report.write_report(
        folder / "report.html",
        title=f"{folder.name}: sweep",
        run=facts,
        sweep=(picture, lines),
        notes=notes,
    )
    cells = [
        {"settings": r.cell.settings, "folder": r.cell.name} | {"scores": {n: _plain(s) for n, s in r.scores.items()}}
        for r in results
    ]
    _write_json(folder / "sweep.json", {"run": facts, "cells": cells})
    with whole_file(folder / "sweep.svg") as file:
        file.write(svg.alone(picture))
    with whole_file(folder / "sweep.md") as file:
        table = tables.markdown(lines, num_texts=len(lines[0]) - len(sweeps.columns(results)))
        file.write("\n\n".join([table, *notes]) + "\n")
    return "\n\n".join([tables.aligned(lines), *notes, f"report: {folder / 'report.html'}"])


def _plain(scores: Mapping[str, Score]) -> dict[str, list[float]]:
    return {name: [score.value, score.low, score.high] for name, score in scores.items()}


def _write_scores(
    folder: Path, facts: dict[str, Any], predictions: dict[str, Predictions], rows: Sequence[Row]
) -> None:
    next(iter(predictions.values())).save(folder / "predictions.npz")
    scores, intervals = ({row.name: getattr(row, part) for row in rows} for part in ("scores", "intervals"))
    folds = {row.name: {s: dataclasses.asdict(spread) for s, spread in row.folds.items()} for row in rows}
    _write_json(folder / "results.json", {"run": facts, "scores": scores, "intervals": intervals, "folds": folds})
    with whole_file(folder / "results.md") as file:
        caution = scoreboard.caution_of(facts.get("protocol", ""))
        file.write("\n\n".join(filter(None, (tables.markdown_table(rows), caution))) + "\n")


def _write_json(path: Path, results: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(results, default=str), parse_constant=lambda _: None)  # JSON has no word for NaN
    with whole_file(path) as file:
        file.write(json.dumps(plain, indent=2, allow_nan=False) + "\n")


def report_evaluation(
    model: Model, stores: Sequence[Store], windows: Windows, left_out: Sequence[str], folder: Path
) -> str:
    """Scores a model on windows of unseen people, writes the files of an evaluation, and returns what to print.

    The baselines are cross-validated over the people of these stores, so they know the stores and the model does not.
    """
    data = model.experiment.data
    keeps = bool(data.label.name) or looks.tells_versions(model.compiled)
    scores, kept = apply.run(model, stores, windows, keep=len(windows) if keeps else 0)
    told = f"{len(windows)} windows of {len(windows.subjects)} people"
    told += f" ({len(left_out)} people the model was trained or selected on left out)" if left_out else ""
    met = apply.met_without_labels(model, stores, windows)
    told += f"; pre-training met the signals, not the labels, of {', '.join(met)}" if met else ""
    facts = provenance.environment() | {
        "people": told,
        **_commits(model.about.get("commits", ())),
        "config": plain.to_dict(model.experiment),
    }
    predictions: dict[str, Predictions] = {}
    if "probability" in kept:
        model_predictions = apply.as_predictions(model, stores, windows, kept["probability"])
        predictions = {MODEL: model_predictions} | _baselines_within(model, stores, windows)
    rows = tables.compare(predictions) if predictions else ()
    looked = looks.of_evaluation(model, stores, windows, (scores, kept))

    def write() -> None:
        with staging.disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        report.write_report(
            folder / "report.html",
            title=f"{folder.name}: evaluation",
            run=facts | ({"protocol": "subject"} if predictions else {}),
            data=[store.manifest for store in stores],
            predictions=predictions,
            **looked,
        )
        if predictions:
            _write_scores(folder, facts, predictions, rows)
        else:
            _write_json(folder / "results.json", {"run": facts, "scores": scores})

    meshes.on_first(write)
    table = "".join(f"\n{name:20} {value:.4f}" for name, value in scores.items())
    table = f"\n\n{tables.format_table(rows)}" if predictions else table
    return f"{told}{table}\n\nreport: {folder / 'report.html'}"


def _baselines_within(model: Model, stores: Sequence[Store], windows: Windows) -> dict[str, Predictions]:
    if len(windows.subjects) < 2:
        return {}
    split = config.Split(num_folds=min(5, len(windows.subjects)), validation_fraction=0.0)
    folds = [splits.make_fold(windows, dataclasses.replace(split, fold=i)) for i in range(split.num_folds)]
    sides = [protocols.Side(windows, fold.train, fold.test) for fold in folds]
    experiment, classes = model.experiment, tuple(model.about["class_names"])
    data = experiment.data
    if data.baseline_store == model.about["config"]["data"].get("baseline_store", ""):
        data = dataclasses.replace(data, baseline_store="")  # that of the training's recordings knows nothing of these
    return protocols.baseline_predictions(stores, data, sides, classes, experiment.seed)[0]


def _doubts(experiment: Experiment, found: CrossValidation, about: dict[str, Any]) -> list[str]:
    doubts = []
    if not experiment.init_from and not about.get("encoder_trains", True):
        doubts.append("The encoder is random, as it starts from no run and is not trained: these scores are a control.")
    if found.seen_with_labels:
        doubts.append(
            f"The encoder has learnt from the labels of {len(found.seen_with_labels)} tested subjects in the run it "
            "started from: the scores are of people it knows."
        )
    if found.seen_in_pretraining:
        doubts.append(
            f"{len(found.seen_in_pretraining)} tested subjects were among the pre-training subjects (without labels): "
            "the scores are transductive."
        )
    for (side, name), folds in _folds_lacking(found).items():
        what = "it was not learnt there" if side == "training" else "their epoch was chosen without it"
        doubts.append(f'No {side} window of fold(s) {", ".join(map(str, folds))} is "{name}": {what}.')
    if found.beatless:
        doubts.append(f"The baselines found too few beats in {found.beatless} windows and filled in training medians.")
    return doubts


def _folds_lacking(found: CrossValidation) -> dict[tuple[str, str], list[int]]:
    folds = {}
    for fold, side, name in found.lacking:
        folds.setdefault((side, name), []).append(fold)
    return folds


def _facts(experiment: Experiment, corpus: Corpus, where: str = "") -> dict[str, Any]:
    devices = jax.devices()
    facts = provenance.environment() | {
        "devices": f"{len(devices)} x {devices[0].device_kind}, {jax.process_count()} process(es)",
        "seed": experiment.seed,
        "windows": f"{len(corpus.train):,} to train on{where}, {len(corpus.eval_windows):,} on the evaluation grid",
        "subjects": len(corpus.eval_windows.subjects),
        "config": plain.to_dict(experiment),
    }
    if experiment.data.label.name:
        facts |= {"protocol": _protocol(experiment), "classes": ", ".join(corpus.class_names)}
    return facts


def _protocol(experiment: Experiment) -> str:
    split = experiment.data.split
    return scoreboard.ORACLE if split.choose_epoch_on is ChooseOn.TESTED else split.protocol.value


def _commits(trained: Iterable[str]) -> dict[str, str]:
    """Of the code that trained, and of that which scores and reports, where it is another."""
    trained, here = list(trained), provenance.commit()
    return {"commit": ", ".join(trained)} | ({} if trained == [here] else {"scored and reported at commit": here})


def _about(run: Path) -> dict[str, Any]:
    return checkpoint.describe(run)["extra"]


def _manifests(corpus: Corpus) -> Sequence[dict[str, Any]]:
    return [store.manifest for store in corpus.stores]


def _curves(folder: Path) -> list[dict[str, Any]]:
    sides = {"train": "train", "eval": "validation"}
    return [
        {"step": row["step"]}
        | {f"{sides[row['kind']]}/{name}": v for name, v in row.items() if name not in ("step", "kind", "clock")}
        for row in read_metrics(folder)
    ]
