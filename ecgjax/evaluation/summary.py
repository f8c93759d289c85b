"""What a run leaves behind for people: report.html, results.json and the table."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ecgjax import config
from ecgjax.config import Experiment
from ecgjax.data import pipeline, splits, staging
from ecgjax.data.corpus import Corpus
from ecgjax.data.staging import whole_file
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows
from ecgjax.evaluation import apply, protocols, report, sweeps, tables
from ecgjax.evaluation.apply import Model
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.protocols import MODEL, CrossValidation
from ecgjax.evaluation.recognition import Recognition
from ecgjax.evaluation.sweeps import Result, Score
from ecgjax.evaluation.tables import Row
from ecgjax.evaluation.traces import Attention, Reconstruction
from ecgjax.training.evaluate import evaluate
from ecgjax.training.loop import Run
from ecgjax.training.state import State
from ecgjax.training.writer import read_metrics

_SHOWN = 3  # windows in a figure
_SCORED = 1000  # training windows that a pre-training is scored on where none are kept aside


def report_run(this: Run, state: State) -> Path:
    """Writes report.html into the run's folder: learning curves, what it made of windows, where it looks."""
    path, ids = this.folder / "report.html", _some_windows(this, _SHOWN)
    attention, kept = _attention(this, state, ids), _predict(this, state, ids)
    recognised = _recognised(this, state) if "version" in kept else None
    if jax.process_index() == 0:
        report.write_report(
            path,
            title=f"{this.folder.name}: {type(this.compiled.program.task).__name__}",
            run=_facts(this.experiment, this.corpus),
            data=_manifests(this.corpus),
            curves=_curves(this.folder),
            reconstruction=_reconstruction(this, kept) if "reconstruction" in kept else None,
            attention=attention,
            recognised=recognised,
        )
    return path


def report_cross_validation(experiment: Experiment, found: CrossValidation, folder: Path) -> tuple[str, Path]:
    """Writes predictions.npz, results.json, results.md and report.html; returns the table as text and the report."""
    facts, rows = _facts(experiment, found.corpus), tables.compare(found.predictions)
    curves = [row | {"fold": i} for i, run in enumerate(sorted(folder.glob("fold_*"))) for row in _curves(run)]
    path = folder / "report.html"
    report.write_report(
        path,
        title=f"{folder.name}: {experiment.data.label.name}",
        run=facts,
        data=_manifests(found.corpus),
        curves=curves,
        predictions=found.predictions,
        notes=_doubts(found),
    )
    _write_scores(folder, facts, found.predictions, rows)
    return tables.format_table(rows), path


def report_sweep(experiment: Experiment, results: Sequence[Result], missing: Sequence[str], folder: Path) -> str:
    """Writes sweep.json, sweep.md and report.html of the cells that are done, and returns what to print."""
    lines = sweeps.table(results)
    facts = report.environment() | {"cells": f"{len(results)} done", "config": config.to_dict(experiment)}
    report.write_report(
        folder / "report.html",
        title=f"{folder.name}: sweep",
        run=facts,
        sweep=(sweeps.figure(results), lines),
        notes=[f"{len(missing)} cells are not done: {', '.join(missing[:5])}."] if missing else (),
    )
    cells = [
        {"settings": r.cell.settings, "folder": r.cell.name} | {"scores": {n: _plain(s) for n, s in r.scores.items()}}
        for r in results
    ]
    _write_json(folder / "sweep.json", {"run": facts, "cells": cells})
    with whole_file(folder / "sweep.md") as file:
        file.write(tables.markdown(lines, num_texts=len(lines[0]) - len(sweeps.columns(results))) + "\n")
    return f"{tables.aligned(lines)}\n\nreport: {folder / 'report.html'}"


def _plain(scores: Mapping[str, Score]) -> dict[str, list[float]]:
    return {name: [score.value, score.low, score.high] for name, score in scores.items()}


def _write_scores(
    folder: Path, facts: dict[str, Any], predictions: dict[str, Predictions], rows: Sequence[Row]
) -> None:
    next(iter(predictions.values())).save(folder / "predictions.npz")
    scores, intervals = ({row.name: getattr(row, part) for row in rows} for part in ("scores", "intervals"))
    _write_json(folder / "results.json", {"run": facts, "scores": scores, "intervals": intervals})
    with whole_file(folder / "results.md") as file:
        file.write(tables.markdown_table(rows) + "\n")


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
    scores, kept = apply.run(model, stores, windows, keep=len(windows) if data.label.name else 0)
    told = f"{len(windows)} windows of {len(windows.subjects)} people"
    told += f" ({len(left_out)} people the model was trained or selected on left out)" if left_out else ""
    met = apply.met_without_labels(model, windows)
    told += f"; pre-training met the signals, not the labels, of {', '.join(met)}" if met else ""
    facts = report.environment() | {"people": told, "config": config.to_dict(model.experiment)}
    predictions: dict[str, Predictions] = {}
    if "probability" in kept:
        model_predictions = apply.as_predictions(model, stores, windows, kept["probability"])
        predictions = {MODEL: model_predictions} | _baselines_within(model, stores, windows)
    rows = tables.compare(predictions) if predictions else ()
    with staging.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        report.write_report(
            folder / "report.html",
            title=f"{folder.name}: evaluation",
            run=facts | ({"protocol": "subject"} if predictions else {}),
            data=[store.manifest for store in stores],
            predictions=predictions,
        )
        if predictions:
            _write_scores(folder, facts, predictions, rows)
            told += f"\n\n{tables.format_table(rows)}"
        else:
            _write_json(folder / "results.json", {"run": facts, "scores": scores})
            told += "".join(f"\n{name:20} {value:.4f}" for name, value in scores.items())
    return f"{told}\n\nreport: {folder / 'report.html'}"


def _baselines_within(model: Model, stores: Sequence[Store], windows: Windows) -> dict[str, Predictions]:
    if len(windows.subjects) < 2:
        return {}
    split = config.Split(num_folds=min(5, len(windows.subjects)), validation_fraction=0.0)
    folds = [splits.make_fold(windows, dataclasses.replace(split, fold=i)) for i in range(split.num_folds)]
    sides = [protocols.Side(windows, fold.train, fold.test) for fold in folds]
    experiment, classes = model.experiment, tuple(model.about["class_names"])
    return protocols.baseline_predictions(stores, experiment.data, sides, classes, experiment.seed)[0]


def _doubts(found: CrossValidation) -> list[str]:
    doubts = []
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
    if found.one_sided:
        doubts.append(
            f"The validation windows of fold(s) {', '.join(map(str, found.one_sided))} are all of one class: their "
            "epoch was chosen without the other."
        )
    if found.beatless:
        doubts.append(f"The baselines found too few beats in {found.beatless} windows and filled in training medians.")
    return doubts


def _facts(experiment: Experiment, corpus: Corpus) -> dict[str, Any]:
    devices = jax.devices()
    facts = report.environment() | {
        "devices": f"{len(devices)} x {devices[0].device_kind}, {jax.process_count()} process(es)",
        "seed": experiment.seed,
        "windows": f"{len(corpus.train):,} to train on, {len(corpus.eval_windows):,} on the evaluation grid",
        "subjects": len(corpus.eval_windows.subjects),
        "config": config.to_dict(experiment),
    }
    if experiment.data.label.name:
        facts |= {"protocol": experiment.data.split.protocol.value, "classes": ", ".join(corpus.class_names)}
    return facts


def _manifests(corpus: Corpus) -> Sequence[dict[str, Any]]:
    return [store.manifest for store in corpus.stores]


def _curves(folder: Path) -> list[dict[str, Any]]:
    sides = {"train": "train", "eval": "validation"}
    return [
        {"step": row["step"]}
        | {f"{sides[row['kind']]}/{name}": v for name, v in row.items() if name not in ("step", "kind", "clock")}
        for row in read_metrics(folder)
    ]


def _some_windows(this: Run, count: int) -> np.ndarray:
    """Up to `count` validation windows (training ones where none are kept aside), spread over the people."""
    ids = this.corpus.validation
    if not len(ids):
        ids = np.arange(len(this.corpus.eval_windows))
    return ids[np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int)]


def _predict(this: Run, state: State, ids: np.ndarray) -> dict[str, np.ndarray]:
    return evaluate(this.compiled, state, this.eval_gather, ids, this.experiment.data.eval_batch_size, len(ids))[1]


def _reconstruction(this: Run, kept: dict[str, np.ndarray]) -> Reconstruction:
    signal_KT, said_KT = kept["target"][:, :, 0], kept["reconstruction"][:, :, 0]
    return Reconstruction(signal_KT, kept["mask"], said_KT, _rate_hz(this))


def _recognised(this: Run, state: State) -> Recognition:
    """How versions of all validation windows are told apart, and those of one window to look at."""
    task, modality = this.compiled.program.task, this.experiment.data.modalities[0]
    kept = _predict(this, state, _some_windows(this, len(this.corpus.validation) or _SCORED))
    shown = jax.jit(task.every_version)(jax.random.key(0), _signals(this, _some_windows(this, 1)))[modality]
    return Recognition(
        names=task.version_names,
        version_N=kept["version"].ravel(),
        probability_NV=kept["version_probability"].reshape(-1, len(task.version_names)),
        gallery_VT=np.asarray(shown)[0, :, :, 0],
        rate_hz=_rate_hz(this),
    )


def _attention(this: Run, state: State, ids: np.ndarray) -> Attention | None:
    """What CLS looks at in the last layer; None for an encoder that sows no attention weights."""
    encoder, signals = this.compiled.program.encoder, _signals(this, ids)

    @jax.jit
    def look(params: Any, model_state: Any, signals: Any) -> Any:
        variables = {"params": params["encoder"], **model_state["encoder"]}
        return encoder.apply(variables, signals, train=False, mutable=["intermediates"])[1]

    sown = jax.tree_util.tree_leaves_with_path(look(state.params, state.model_state, signals))
    weights = [leaf for keys, leaf in sown if "attention" in jax.tree_util.keystr(keys) and leaf.ndim == 4]
    if not weights or weights[-1].shape[-1] < 2:
        return None
    signal_KT = next(iter(signals.values()))[:, :, 0]
    windows = this.corpus.eval_windows.take(ids)
    return Attention(signal_KT, np.asarray(weights[-1])[:, :, 0, 1:], _rate_hz(this), tuple(windows.subject.tolist()))


def _signals(this: Run, ids: np.ndarray) -> dict[str, np.ndarray]:
    corpus = this.corpus
    return pipeline.make_gather(corpus.stores, corpus.eval_windows, this.experiment.data)(ids)["signals"]


def _rate_hz(this: Run) -> float:
    return float(this.corpus.stores[0].manifest["modalities"][this.experiment.data.modalities[0]]["rate_hz"])
