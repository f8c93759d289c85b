"""What a model makes of a few windows, for the report: where it looks, what it fills in, what it tells apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ecgjax import config
from ecgjax.config import Data, Experiment
from ecgjax.data import pipeline
from ecgjax.data.corpus import Corpus
from ecgjax.evaluation import apply
from ecgjax.evaluation.protocols import MODEL, CrossValidation
from ecgjax.evaluation.recognition import Recognition
from ecgjax.evaluation.traces import Attention, Reconstruction
from ecgjax.training.evaluate import evaluate
from ecgjax.training.loop import Run
from ecgjax.training.program import Compiled
from ecgjax.training.state import State

_SHOWN = 3  # windows in a figure
_SCORED = 1000  # training windows that a pre-training is scored on where none are kept aside


def of_run(this: Run, state: State) -> dict[str, Any]:
    """{"attention", "reconstruction", "recognised"} of windows kept aside, each None where the model has none."""
    ids, corpus, data = some_windows(this, _SHOWN), this.corpus, this.experiment.data
    kept = _predict(this, state, ids)
    note = "Windows it was not trained on, where the split keeps some aside."
    return {
        "attention": attention(this.compiled, state, corpus, data, ids, _titles(corpus, ids, kept.get("probability"))),
        "reconstruction": _reconstruction(kept, corpus, data, note),
        "recognised": recognised(this, state) if "version" in kept else None,
    }


def of_fold_0(experiment: Experiment, found: CrossValidation, folder: Path) -> dict[str, Any]:
    """{"attention", "reconstruction"} of windows that fold 0 was tested on.

    The attention is that of the fold's best checkpoint in `folder`; the reconstruction that of the run in `init_from`,
    before fine-tuning. Each is None where the model has none.
    """
    corpus, data, experiment = found.corpus, experiment.data, config.fold_of(experiment, 0)
    tested = found.predictions[MODEL].select(found.predictions[MODEL].fold_N == 0)  # in the order of corpus.test
    order = np.argsort(tested.label_N, kind="stable")  # so that the few are of several classes
    rows = order[np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(int)]
    ids, model = corpus.test[rows], apply.load(folder, experiment)
    titles = _titles(corpus, ids, tested.probability_NC[rows])
    return {
        "attention": attention(model.compiled, model.state, corpus, data, ids, titles),
        "reconstruction": _of_pretraining(experiment, corpus, ids) if experiment.init_from else None,
    }


def _of_pretraining(experiment: Experiment, corpus: Corpus, ids: np.ndarray) -> Reconstruction | None:
    """None where that run read other windows, or filled no hidden spans."""
    path, data = Path(experiment.init_from), experiment.data
    before = apply.read_experiment(path)
    before.mesh, before.data.eval_batch_size = experiment.mesh, data.eval_batch_size  # of the devices here
    if (before.data.modalities, before.data.window_s) != (data.modalities, data.window_s):
        return None
    model, gather = apply.load(path, before), pipeline.make_gather(corpus.stores, corpus.eval_windows, data)
    _, kept = evaluate(model.compiled, model.state, gather, ids, before.data.eval_batch_size, len(ids))
    note = f"Windows that fold 0 was tested on, filled by the pre-training in {path.name}, before fine-tuning."
    return _reconstruction(kept, corpus, data, note)


def some_windows(this: Run, count: int) -> np.ndarray:
    """Up to `count` validation windows (training ones where none are kept aside), spread over the people."""
    ids = this.corpus.validation
    if not len(ids):
        ids = np.arange(len(this.corpus.eval_windows))
    return ids[np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int)]


def _predict(this: Run, state: State, ids: np.ndarray) -> dict[str, np.ndarray]:
    return evaluate(this.compiled, state, this.eval_gather, ids, this.experiment.data.eval_batch_size, len(ids))[1]


def _titles(corpus: Corpus, ids: np.ndarray, probability_NC: np.ndarray | None) -> list[str]:
    """Whose each window is, and, of a classifier, its class where it has one, and what it was taken for."""
    windows, names = corpus.eval_windows.take(ids), corpus.class_names
    if probability_NC is None:
        return windows.subject.tolist()
    titles = []
    for who, true, probability_C in zip(windows.subject.tolist(), windows.label, probability_NC, strict=True):
        guess, known = probability_C.argmax(), f"{names[true]}, " if true >= 0 else ""
        titles.append(f"{who}: {known}taken for {names[guess]} ({100 * probability_C[guess]:.0f} % sure)")
    return titles


def _reconstruction(kept: dict[str, np.ndarray], corpus: Corpus, data: Data, note: str) -> Reconstruction | None:
    if "reconstruction" not in kept:
        return None
    signal_KT, said_KT = kept["target"][:, :, 0], kept["reconstruction"][:, :, 0]
    return Reconstruction(signal_KT, kept["mask"], said_KT, _rate_hz(corpus, data), note)


def recognised(this: Run, state: State) -> Recognition:
    """How versions of all validation windows are told apart, and those of one window to look at."""
    task, data = this.compiled.program.task, this.experiment.data
    kept = _predict(this, state, some_windows(this, len(this.corpus.validation) or _SCORED))
    one = _signals(this.corpus, data, some_windows(this, 1))
    shown = jax.jit(task.every_version)(jax.random.key(0), one)[data.modalities[0]]
    return Recognition(
        names=task.version_names,
        version_N=kept["version"].ravel(),
        probability_NV=kept["version_probability"].reshape(-1, len(task.version_names)),
        gallery_VT=np.asarray(shown)[0, :, :, 0],
        rate_hz=_rate_hz(this.corpus, data),
    )


def attention(
    compiled: Compiled, state: State, corpus: Corpus, data: Data, ids: np.ndarray, titles: Sequence[str]
) -> Attention | None:
    """What CLS looks at in the last layer; None for an encoder that sows no attention weights."""
    encoder, signals = compiled.program.encoder, _signals(corpus, data, ids)

    @jax.jit
    def look(params: Any, model_state: Any, signals: Any) -> Any:
        variables = {"params": params["encoder"], **model_state["encoder"]}
        return encoder.apply(variables, signals, train=False, mutable=["intermediates"])[1]

    sown = jax.tree_util.tree_leaves_with_path(look(state.params, state.model_state, signals))
    weights = [leaf for keys, leaf in sown if "attention" in jax.tree_util.keystr(keys) and leaf.ndim == 4]
    if not weights or weights[-1].shape[-1] < 2:
        return None
    signal_KT = next(iter(signals.values()))[:, :, 0]
    return Attention(signal_KT, np.asarray(weights[-1])[:, :, 0, 1:], _rate_hz(corpus, data), tuple(titles))


def _signals(corpus: Corpus, data: Data, ids: np.ndarray) -> dict[str, np.ndarray]:
    return pipeline.make_gather(corpus.stores, corpus.eval_windows, data)(ids)["signals"]


def _rate_hz(corpus: Corpus, data: Data) -> float:
    return float(corpus.stores[0].manifest["modalities"][data.modalities[0]]["rate_hz"])
