"""One self-contained report.html of a run: what was run, on what, how well, beside what, and what to doubt."""

import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.evaluation import figures, metrics, recognition, tables, traces
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.recognition import Recognition
from ecgjax.evaluation.tables import TITLES, Row, number
from ecgjax.evaluation.traces import Attention, Reconstruction

_PACKAGES = ("ecgjax", "jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "neurokit2")
_PROTOCOLS = {  # value of config.Protocol -> (title, whether the scores hold for new people, what it means)
    "subject": (
        "Subject-disjoint folds",
        True,
        "No person is on both sides of a fold: the scores are for people the model never saw.",
    ),
    "loso": ("Leave one subject out", True, "Each person was tested by a model that never saw them."),
    "window": (
        "Optimistic: people on both sides",
        False,
        "Windows were dealt to the folds at random, so a model that recognises the person scores well. "
        "For comparison with papers that did so; expect far less on new people.",
    ),
}
_SUSPICIOUS_AUROC = 0.99
_FEW_SUBJECTS = 10


def environment() -> dict[str, str]:
    """Command, commit, versions and machine of this process, for `run`. Devices are the caller's to add."""
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:  # a checkout that was never installed
            continue
    return {
        "command": shlex.join(["python", "-m", _module(), *sys.argv[1:]]),
        "commit": _commit(),
        "date": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "versions": ", ".join(versions),
    }


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).name


def _commit() -> str:
    """`git describe` of the code that runs; "unknown" outside a checkout."""
    call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--tags"]
    try:
        return subprocess.run(call, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    run: Mapping[str, Any],
    data: Sequence[Mapping[str, Any]] = (),
    curves: Sequence[dict] = (),
    predictions: Mapping[str, Predictions] | None = None,
    reconstruction: Reconstruction | None = None,
    attention: Attention | None = None,
    sweep: tuple[str, Sequence[Sequence[str]]] | None = None,
    recognised: Recognition | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Writes the report, whole or not at all; each section appears where its inputs exist.

    Args:
      path: the .html file.
      title: of the page.
      run: facts in the order they are shown, each printable. Known keys: "command"; "config" (nested dict, shown as a
        table); "protocol" (a value of `config.Protocol`), which decides how the scores are introduced.
      data: manifests of the stores.
      curves: metrics by step, as `traces.learning_curves` wants them.
      predictions: the model's first, then what it is compared with.
      reconstruction, attention: windows to look at.
      sweep: figure and table (its head first) of the cells of a sweep.
      recognised: versions of windows, and what the model took them for.
      notes: further warnings, one sentence each.
    """
    import jinja2

    jinja = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters |= {"number": number, "thousands": "{:,}".format}
    template = jinja.from_string(resources.files(__package__).joinpath("report.html.j2").read_text("utf-8"))
    protocol = str(run.get("protocol", ""))
    scores = _scores(dict(predictions), protocol) if predictions else None
    page = template.render(
        title=title,
        scores=scores,
        warnings=[*(scores["doubts"] if scores else ()), *notes],
        training=_training(curves),
        curves=_figure(traces.learning_curves(curves), "Training and validation metrics by step."),
        reconstruction=reconstruction
        and _figure(
            traces.reconstructions(reconstruction), "Signals with hidden spans, and the model's reconstruction."
        ),
        attention=attention
        and _figure(traces.attention(attention), "Signals, and below each the attention of the CLS token over time."),
        sweep=sweep and {"plot": _figure(sweep[0], "Score by setting."), "head": sweep[1][0], "lines": sweep[1][1:]},
        recognised=recognised and _recognised(recognised),
        stores=[_store(manifest) for manifest in data],
        command=re.sub(r" (?='?--)", r" \\\n    ", run.get("command", "")),
        facts=[(key, value) for key, value in run.items() if key not in ("config", "command")],
        config=_flat(run.get("config", {})),
    )
    path = Path(path)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)


def _figure(svg: str, alt: str) -> dict[str, Any] | None:
    import markupsafe

    return {"svg": markupsafe.Markup(svg), "alt": alt} if svg else None  # drawn by us, text escaped by Matplotlib


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in config.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return rows


def _training(curves: Sequence[dict]) -> dict[str, Any] | None:
    """Last step and the validation loss, lowest and last, for runs that are not scored on labels."""
    losses = [(row["validation/loss"], row["step"]) for row in curves if "validation/loss" in row]
    if not losses:
        return None
    best, step = min(losses)
    return {"best": best, "best_step": step, "last": losses[-1][0], "last_step": losses[-1][1]}


def _store(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the data section says of one store."""
    dropped = []
    for modality, reasons in manifest["dropped"].items():
        kept_s = 3600 * manifest["modalities"][modality]["hours"] if modality in manifest["modalities"] else 0.0
        recorded_s = kept_s + sum(reasons.values())
        for reason, seconds in sorted(reasons.items(), key=lambda item: -item[1]):
            if seconds > 0:
                dropped.append((modality, reason, seconds / 60, seconds / recorded_s))
    return {
        "name": manifest["dataset"]["name"],
        "num_subjects": len(manifest["subjects"]),
        "num_recordings": manifest["num_recordings"],
        "modalities": manifest["modalities"],
        "dropped": dropped,
        "skipped": manifest["skipped_files"],
        "events": manifest["events"],
        "content_hash": manifest["content_hash"],
    }


def _recognised(found: Recognition) -> dict[str, Any]:
    told = f"{len(found.names)} versions of a window: {', '.join(found.names)}."
    return {
        "rows": recognition.scores(found),
        "share": recognition.recognised(found),
        "count": len(found.version_N),
        "chance": 1 / len(found.names),
        "confusion": _figure(recognition.confusion_figure(found), "Confusion of true version and surest head."),
        "said_yes": _figure(recognition.said_yes_figure(found), "Share of each true version each head said yes to."),
        "gallery": _figure(recognition.gallery(found), told),
    }


# --- scores ---------------------------------------------------------------------------------------------------------


def _scores(predictions: dict[str, Predictions], protocol: str) -> dict[str, Any]:
    rows = tables.compare(predictions)
    model, first = rows[0], next(iter(predictions.values()))
    score = "accuracy" if np.isnan(model.scores["auroc"]) else "auroc"
    others = [row for row in rows[1:] if not np.isnan(row.scores[score])]
    best = max(others, key=lambda row: row.scores[score], default=None)
    within = metrics.per_subject(first)
    per_person = "auroc" if np.isfinite(within["auroc"]).mean() > 0.5 else "accuracy"
    counts = np.bincount(first.label_N, minlength=len(first.classes)).tolist()
    return {
        "rows": rows,
        "model": model,
        "score": score,
        "name": TITLES[score],
        "per_person": TITLES[per_person],
        "titles": TITLES,
        "verdict": _verdict(best, score),
        "protocol": _PROTOCOLS.get(protocol),
        "counts": list(zip(first.classes, counts, strict=True)),
        "num_windows": len(first),
        "num_subjects": len(within["subject"]),
        "num_folds": len(np.unique(first.fold_N)),
        "seeds": np.unique(first.seed_N).tolist(),
        "folds": _fold_rows(first),
        "doubts": _doubts(rows, first, best, score, protocol),
    } | _score_figures(predictions, rows, best, score, per_person)


def _score_figures(predictions, rows, best, score, per_person) -> dict[str, Any]:
    first, name = next(iter(predictions.values())), TITLES[score]
    other, other_name = (predictions[best.name], best.name) if best else (None, "")
    listed = "; ".join(f"{row.name} {number(row.scores[score])}" for row in rows)
    mean = number(metrics.spread(metrics.per_subject(first)[per_person]).mean)
    return {
        "forest": _figure(figures.forest(rows, score), f"{name} with intervals: {listed}."),
        "subjects": _figure(
            figures.subjects(first, other, other_name, per_person),
            f"{TITLES[per_person]} within each subject, lowest first; the mean is {mean}.",
        ),
        "roc": _figure(figures.roc(predictions, rows), f"ROC curves. AUROC: {number(rows[0].scores['auroc'])}."),
        "confusion": _figure(figures.confusion(first), "Confusion matrix, windows by true and predicted class."),
        "calibration": _figure(
            figures.calibration(first), f"Calibration curve; calibration error {number(rows[0].scores['ece'])}."
        ),
    }


def _verdict(best: Row | None, score: str) -> str:
    """Whether the model beats the best of the others, said no stronger than the interval allows."""
    if best is None:
        return "Nothing was compared with it."
    gain, low, high = best.gains[score]
    other = f"the best of the others, {best.name} ({number(best.scores[score])})"
    if np.isnan(low):
        return f"Not compared with {other}: other subjects."
    difference = f"difference {gain:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}.".replace("-", "−")
    verdict = "Better than" if low > 0 else "Worse than" if high < 0 else "Not distinguishable from"
    return f"{verdict} {other}: {difference}"


def _fold_rows(model: Predictions) -> list[dict[str, Any]]:
    found = metrics.per_fold(model)
    rows = []
    for i, (seed, fold) in enumerate(zip(found["seed"].tolist(), found["fold"].tolist(), strict=True)):
        part = model.select((model.seed_N == seed) & (model.fold_N == fold))
        counts = {"seed": seed, "fold": fold, "windows": len(part), "subjects": len(np.unique(part.subject_N))}
        rows.append(counts | {score: found[score][i] for score in metrics.SCORES})
    return rows


def _doubts(rows: Sequence[Row], model: Predictions, best: Row | None, score: str, protocol: str) -> list[str]:
    """What a careful reader would ask first."""
    found, auroc, folds = [], rows[0].scores["auroc"], rows[0].folds["auroc"]
    num_subjects = len(np.unique(model.subject_N))
    if protocol in _PROTOCOLS and not _PROTOCOLS[protocol][1]:
        found.append("The scores are optimistic: windows of the same person were on both sides of every fold.")
    if auroc >= _SUSPICIOUS_AUROC:
        found.append(
            f"An AUROC of {number(auroc)} is nearly perfect. Suspect a leak: padding or length that differs between "
            "classes, the same window on both sides, a label inside the signal."
        )
    if best is not None and best.gains[score][1] <= 0:
        found.append(f"The gain over {best.name} may be chance: its interval over subjects includes zero.")
    if folds.undefined:
        found.append(
            f"AUROC is not defined in {folds.undefined} of {folds.count} folds, whose test windows hold one class "
            "only; the mean over folds leaves them out."
        )
    if num_subjects < _FEW_SUBJECTS:
        found.append(f"Only {num_subjects} subjects were tested; intervals from so few are too narrow.")
    return found
