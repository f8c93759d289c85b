"""Says what a store or a checkpoint is, and what it wants to be fed.

    python -m launch.inspect STORE              # rates, units, channels, subjects, labels, what was dropped and why
    python -m launch.inspect WORKDIR            # a run: step, metrics, parameters, input, classes, config
    python -m launch.inspect WORKDIR --json     # the same for programs

For a run it describes the best checkpoint, or the latest where none was evaluated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from launch import cli

JSON = flags.DEFINE_bool("json", False, "print JSON")
WINDOW_S = flags.DEFINE_float("window_s", 10.0, "length of the windows counted for each label, in seconds", 0.1)


def main(folder: str) -> None:
    facts = describe(Path(folder), WINDOW_S.value)
    print(json.dumps(facts, indent=2) if JSON.value else as_text(facts))


def describe(folder: Path, window_s: float) -> dict[str, Any]:
    """Facts as JSON-ready nested dicts.

    Raises:
      UserError: the folder is missing, or neither a store, a run, nor a checkpoint.
    """
    from ecgjax.errors import UserError

    if is_run(folder):
        return describe_run(folder)
    if is_store(folder):
        return describe_store(folder, window_s)
    if not folder.is_dir():
        what = "that is a file" if folder.exists() else "no such folder"
        raise UserError(
            f"{folder}: {what}. Name the --store of launch.prepare, or the --workdir of a run (or of its checkpoint)."
        )
    inner = [p.name for p in sorted(folder.iterdir()) if is_run(p) or is_store(p)]
    remedy = f"Inspect one of those inside: {', '.join(inner)}." if inner else "Name the --store or --workdir of a run."
    raise UserError(f"{folder}: neither a store nor a run. {remedy}")


def is_run(folder: Path) -> bool:
    """A run's folder, its folder of checkpoints, or one step's."""
    names = ("config.json", "checkpoints", "ecgjax.json")
    return any((folder / name).exists() for name in names) or any(folder.glob("*/ecgjax.json"))


def is_store(folder: Path) -> bool:
    """A store, or what is left of one: opening it then tells what is wrong."""
    from ecgjax.data import staging, store

    half = folder.with_name(folder.name + staging.SUFFIX)
    return half.exists() or any((folder / name).exists() for name in (store.MANIFEST, "signals"))


def describe_store(folder: Path, window_s: float) -> dict[str, Any]:
    from ecgjax.data.store import open_store

    store = open_store(folder)
    manifest, files = store.manifest, list(dict.fromkeys(store.index["source/file"].tolist()))
    return {
        "store": str(folder),
        "dataset": manifest["dataset"]["name"],
        "format": f"{manifest['format_version']}, by ecgjax {manifest['ecgjax_version']}",
        "content_hash": manifest["content_hash"],
        "recordings": manifest["num_recordings"],
        "num_subjects": len(manifest["subjects"]),
        "subjects": [f"{manifest['dataset']['name']}/{subject}" for subject in manifest["subjects"]],
        "source_files": len(files),
        "first_source_files": files[:5],
        "window": "any length: windows are cut when they are read",
        "modalities": manifest["modalities"],
        "labels": {name: row for label in manifest["labels"] for name, row in count_label(store, label, window_s)},
        "dropped_s": {f"{m}, {why}": s for m, reasons in manifest["dropped"].items() for why, s in reasons.items()},
        "skipped_files": {reason: len(messages) for reason, messages in manifest["skipped_files"].items()},
        "events": manifest["events"],
        "source": flatten(manifest["dataset"]["config"]),
        "preprocess": across({m: manifest["preprocess"][m] for m in manifest["modalities"]}),
    }


def count_label(store: Any, label: str, window_s: float) -> list[tuple[str, dict[str, Any]]]:
    """A row a class, or one for a rating: intervals, subjects, hours, and windows in the good spans of any signal."""
    import numpy as np

    spec, index = store.manifest["labels"][label], store.index
    mine = np.flatnonzero(index["label/name"] == list(store.manifest["labels"]).index(label))
    values, windows = index["label/value"][mine], windows_of(store, label, window_s)
    if spec["classes"]:
        kinds = [(f"{label} {k} = {name}", values == k, windows == k) for k, name in enumerate(spec["classes"])]
    else:
        told = f"{label}, {spec['low']:g} to {spec['high']:g}"
        kinds = [(told, np.ones(len(values), bool), np.ones(len(windows), bool))]
    rows = []
    for name, chosen, fitting in kinds:
        at = mine[chosen]
        row = {
            "rater": spec["rater"],
            "intervals": len(at),
            "subjects": len(np.unique(index["subject"][index["label/recording"][at]])),
            "hours": round(float((index["label/stop_s"][at] - index["label/start_s"][at]).sum()) / 3600, 3),
            f"windows_of_{window_s:g}_s": int(fitting.sum()),
        }
        rows.append((name, row))
    return rows


def windows_of(store: Any, label: str, window_s: float) -> Any:
    """The label's value for every window of the store's first modality, side by side; none where none fits."""
    import numpy as np

    from ecgjax import config
    from ecgjax.data.windows import find_windows
    from ecgjax.errors import UserError

    first = "ecg" if "ecg" in store.signals else next(iter(store.signals))
    rated = not store.manifest["labels"][label]["classes"]  # a rating may change within a window
    asked = config.Label(label, borders=config.Borders.MEAN if rated else config.Borders.WITHIN)
    data = config.Data(modalities=(first,), window_s=window_s, label=asked)
    try:
        return find_windows([store], data, window_s).rating
    except UserError:
        return np.zeros(0)


def describe_run(folder: Path) -> dict[str, Any]:
    from ecgjax.training import checkpoint

    found = checkpoint.describe(folder)
    extra = found["extra"]
    experiment = extra["config"]
    stores = filter(None, map(str.strip, experiment["data"]["store"].split(",")))
    return {
        "checkpoints": found["folder"],
        "step": found["step"],
        "steps": found["steps"],
        "best": found["best"],
        "latest": found["latest"],
        "damaged": found["damaged"],
        "parameters": extra["num_parameters"],
        "megabytes": round(found["bytes"] / 1e6, 1),
        "window_s": experiment["data"]["window_s"],
        "classes": extra["class_names"],
        "num_subjects": len(extra["train_subjects"]),
        "subjects": extra["train_subjects"],
        "validation_subjects": extra["validation_subjects"],
        "input": {m: wants(about, experiment["data"]["window_s"]) for m, about in extra["modalities"].items()},
        "metrics": found["metrics"],
        "sources": dict(zip(stores, extra["stores"].values(), strict=True)),
        "label": describe_label(experiment["data"].pop("label"), extra["label"]),
        "init_from": describe_origin(experiment["init_from"]),
        "imported": extra.get("origin", {}),
        "preprocess": across(extra["preprocess"]),
        "config": flatten(experiment),
    }


def describe_label(asked: Mapping[str, Any], learnt: Mapping[str, Any]) -> dict[str, Any]:
    """The rule as it was asked for, with what it found in the training people; nothing without labels."""
    if not asked["name"]:
        return {}
    fields = {"CLASS": ("classes",), "SUBJECT_MEAN": ("ties",)}.get(asked["rule"], ("threshold", "ties"))
    return {"name": asked["name"], "rule": asked["rule"]} | {field: learnt[field] for field in fields}


def describe_origin(run: str) -> dict[str, Any]:
    """What the run is, by its folder as it is now, whose encoder training began with; nothing where it began anew."""
    from ecgjax.errors import UserError
    from ecgjax.training import checkpoint

    if not run:
        return {}
    try:
        found = checkpoint.describe(Path(run))
    except UserError:
        return {"run": run, "now": "not found from here"}
    extra = found["extra"]
    facts = {"run": run, "step": found["step"], "task": task_of(extra["config"])}
    return facts | {"store": extra["config"]["data"]["store"], "num_subjects": len(extra["train_subjects"])}


def task_of(experiment: Mapping[str, Any]) -> str:
    """ "classification" of "ecgjax.tasks.classification:Config"."""
    return experiment["task"]["class"].partition(":")[0].rpartition(".")[2]


def wants(about: Mapping[str, Any], window_s: float) -> dict[str, Any]:
    """What a model wants to be fed of one modality."""
    fed = {name: about[name] for name in ("rate_hz", "unit", "channels", "normalise")}
    return fed | {"samples_per_window": round(window_s * about["rate_hz"])}


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    flat = {}
    for name, part in value.items():
        inner = isinstance(part, Mapping) and part
        flat |= flatten(part, f"{prefix}{name}.") if inner else {f"{prefix}{name}": part}
    return flat


def across(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """{"ecg": {"low_hz": 1}} as {"low_hz": {"ecg": 1}}: a row a field, a column a modality."""
    flat = {name: flatten(column) for name, column in columns.items()}
    fields = dict.fromkeys(field for column in flat.values() for field in column)
    return {field: {name: column.get(field) for name, column in flat.items()} for field in fields}


def as_text(facts: Mapping[str, Any]) -> str:
    """Single facts first, then a block for each group of facts; empty ones are left out."""
    single = {name: value for name, value in facts.items() if not isinstance(value, Mapping)}
    blocks = [_table([[name, _word(value)] for name, value in single.items() if value not in ([], None)])]
    for title, group in facts.items():
        if isinstance(group, Mapping) and group:
            blocks.append(f"{title}\n" + _table(_rows(group), indent="  "))
    return "\n\n".join(blocks)


def _rows(group: Mapping[str, Any]) -> list[list[str]]:
    if not all(isinstance(value, Mapping) for value in group.values()):
        return [[name, _word(value)] for name, value in group.items()]
    head = list(next(iter(group.values())))
    return [["", *head], *([name, *(_word(row[column]) for column in head)] for name, row in group.items())]


def _table(rows: list[list[str]], indent: str = "") -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join((indent + line).rstrip() for line in lines)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 100_000 else str(value)
    if isinstance(value, list) and value:
        shown = ", ".join(_word(part) for part in value[:12])
        return shown + (f", ... ({len(value)} in all)" if len(value) > 12 else "")
    return str(value) if value not in ("", []) else "-"


if __name__ == "__main__":
    cli.run(main, ["DIR"])
