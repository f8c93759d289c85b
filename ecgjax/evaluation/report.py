"""One self-contained report.html of a run: what was run, on what, how well, beside what, and what to doubt."""

import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ecgjax.data.staging import whole_file
from ecgjax.evaluation import figures, recognition, scoreboard, svg, traces
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.recognition import ByModality, Recognition
from ecgjax.evaluation.svg import labelled
from ecgjax.evaluation.tables import number
from ecgjax.evaluation.traces import Attention, Reconstruction, Sharing

_HEADLINES = (  # (metric, what it is called, which of its values is best, how it is written), the most telling first
    (
        "validation/explained",
        "of the hidden samples' power explained",
        max,
        lambda x: f"{100 * x:.1f} %".replace("-", "−"),
    ),
    ("validation/recognised", "of the versions of unseen windows recognised", max, lambda x: f"{100 * x:.1f} %"),
    ("validation/loss", "lowest validation loss", min, "{:.4g}".format),
)


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
    sharing: Sharing | None = None,
    sweep: tuple[str, Sequence[Sequence[str]]] | None = None,
    recognised: Recognition | None = None,
    by_modality: ByModality | None = None,
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
      sharing: what modalities see of each other.
      sweep: figure and table (its head first) of the cells of a sweep.
      recognised, by_modality: versions of windows, and what the model took them for, or each of its modalities did.
      notes: further warnings, one sentence each.
    """
    import jinja2

    jinja = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters |= {"number": number, "thousands": "{:,}".format}
    template = jinja.from_string(resources.files(__package__).joinpath("report.html.j2").read_text("utf-8"))
    protocol = str(run.get("protocol", ""))
    scores = scoreboard.section(dict(predictions), protocol) if predictions else None
    page = template.render(
        title=title,
        light=svg.LIGHT,
        scores=scores,
        warnings=[*(scores["doubts"] if scores else ()), *notes],
        training=_training(curves),
        sides={side for side, *_ in traces.series(curves)},
        curves=labelled(traces.learning_curves(curves), "Training and validation metrics by step."),
        reconstruction=reconstruction
        and labelled(
            traces.reconstructions(reconstruction), "Signals with hidden spans, and the model's reconstruction."
        )
        | {"note": reconstruction.note},
        attention=attention
        and labelled(traces.attention(attention), "Signals, and below each the attention of the CLS token over time."),
        sharing=sharing
        and labelled(
            figures.matrix(sharing.share_MM, sharing.names, "sharing", "looked at", "by"),
            "Share of attention from the tokens of each modality to those of each.",
        )
        | {"even": ", ".join(f"{n} {100 * x:.0f} %" for n, x in zip(sharing.names, sharing.even_M, strict=True))},
        sweep=sweep and {"plot": labelled(sweep[0], "Score by setting."), "head": sweep[1][0], "lines": sweep[1][1:]},
        recognised=recognised and _recognised(recognised),
        by_modality=by_modality and _by_modality(by_modality),
        stores=[_store(manifest) for manifest in data],
        command=re.sub(r" (?='?--)", r" \\\n    ", run.get("command", "")),
        facts=[(key, value) for key, value in run.items() if key not in ("config", "command")],
        config=_flat(run.get("config", {})),
    )
    with whole_file(path) as file:
        file.write(page)


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in config.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return rows


def _training(curves: Sequence[dict]) -> dict[str, Any] | None:
    """Best and last of the validation metric that says most, for runs that are not scored on labels."""
    for name, title, best, show in _HEADLINES:
        values = [(row[name], row["step"]) for row in curves if name in row]
        if values:
            value, step = best(values, key=lambda v: v[0])
            last = {"last": show(values[-1][0]), "last_step": values[-1][1]}
            return {"title": title, "best": show(value), "best_step": step} | last
    return None


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
        "confusion": labelled(recognition.confusion_figure(found), "Confusion of true version and surest head."),
        "said_yes": labelled(recognition.said_yes_figure(found), "Share of each true version each head said yes to."),
        "gallery": labelled(recognition.gallery(found), told),
    }


def _by_modality(found: ByModality) -> dict[str, Any]:
    heads = found.heads
    names = next(iter(heads.values())).names
    told = f"{len(names)} versions of a window in {', '.join(heads)}: {', '.join(names)}."
    return {
        "together": found.together,
        "chance": 1 / len(names),
        "rows": [(name, len(head.version_N), recognition.recognised(head)) for name, head in heads.items()],
        "confusions": [
            (
                name,
                labelled(recognition.confusion_figure(head, f"recognised_{name}", "taken for"), f"Confusion: {name}."),
            )
            for name, head in heads.items()
        ],
        "gallery": labelled(recognition.gallery(*heads.values(), titles=tuple(heads)), told),
    }
