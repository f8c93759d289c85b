"""Scores and predictions of a state over windows, each seen exactly once."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ecgjax.data.pipeline import EvalSource, Gather, stream
from ecgjax.training import mesh as meshes
from ecgjax.training.features import Features
from ecgjax.training.program import Compiled
from ecgjax.training.state import State


def evaluate(
    compiled: Compiled, now: State, gather: Gather | Features, ids: np.ndarray, batch_size: int, keep: int = 0
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """(metrics over all windows, predictions of the first `keep` of them).

    Predictions come in the order of `ids`; what a task predicts is its own affair (`Task.predict`).
    """
    source = EvalSource(gather, ids, batch_size, meshes.rows_here(batch_size, compiled.mesh))
    totals: dict[str, np.ndarray] = {}
    kept: list[Any] = []
    for number, (metrics, predictions) in enumerate(_steps(compiled, now, source)):
        # float64 sums on the host: a mean over a million windows must not depend on the order of batches.
        for name, pair in jax.device_get(metrics).items():
            totals[name] = totals.get(name, 0.0) + np.asarray(pair, np.float64)
        if number * batch_size < keep:
            kept.append(meshes.to_host(predictions))
    means = {name: float(total / count) if count else np.nan for name, (total, count) in totals.items()}
    keep = min(keep, len(ids))
    return means, {name: np.concatenate([k[name] for k in kept])[:keep] for name in (kept[0] if kept else {})}


def _steps(compiled: Compiled, now: State, source: EvalSource) -> Iterator[Any]:
    for number, batch in enumerate(stream(source)):
        yield compiled.eval_step(now, meshes.to_global(batch, compiled.mesh), np.int32(number))
