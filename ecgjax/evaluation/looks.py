"""What a model makes of a few windows, for the report: where it looks, what it fills in, what it tells apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ecgjax import config
from ecgjax.config import Experiment
from ecgjax.data import pipeline
from ecgjax.data.pipeline import Gather
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows, describe_modality
from ecgjax.evaluation import apply
from ecgjax.evaluation.apply import Model
from ecgjax.evaluation.protocols import MODEL, CrossValidation
from ecgjax.evaluation.recognition import ByModality, Recognition
from ecgjax.evaluation.traces import Attention, Reconstruction, share
from ecgjax.tasks.base_versions import MakesVersions
from ecgjax.training.evaluate import evaluate
from ecgjax.training.loop import Run
from ecgjax.training.program import Compiled
from ecgjax.training.state import State

_SHOWN = 3  # windows in a figure
_SCORED = 1000  # training windows that a pre-training is scored on where none are kept aside

Told = tuple[dict[str, float], dict[str, np.ndarray]]  # what `evaluate` returns: scores, and predictions of windows


def of_run(this: Run, state: State) -> dict[str, Any]:
    """{"attention", "reconstruction", "recognised", "by_modality"} of windows kept aside, None where there is none."""
    corpus, data = this.corpus, this.experiment.data
    gather = pipeline.make_gather(corpus.stores, corpus.eval_windows, data)
    ids = corpus.validation
    if not len(ids):
        ids = spread(np.setdiff1d(np.arange(len(corpus.eval_windows)), corpus.test), _SCORED)
    note = "Windows it was not trained on, where the split keeps some aside."
    return _look(this.compiled, state, gather, ids, data.eval_batch_size, corpus.class_names, note)


def of_evaluation(model: Model, stores: Sequence[Store], windows: Windows, told: Told) -> dict[str, Any]:
    """The same, of windows of people the model has not seen.

    Args:
      told: scores and predictions of the windows; predictions of all of them if `tells_versions`.
    """
    data = model.experiment.data
    gather = pipeline.make_gather(stores, windows, data)
    ids, names = np.arange(len(windows)), tuple(model.about["class_names"])
    note = "Windows of people it was not trained on."
    return _look(model.compiled, model.state, gather, ids, data.eval_batch_size, names, note, told)


def tells_versions(compiled: Compiled) -> bool:
    return isinstance(compiled.program.task, MakesVersions)


def of_fold_0(experiment: Experiment, found: CrossValidation, folder: Path) -> dict[str, Any]:
    """{"attention", "sharing", "reconstruction"} of windows that fold 0 was tested on.

    The attention, over time or shared between modalities, is that of the fold's best checkpoint in `folder`; the
    reconstruction that of the run in `init_from`, before fine-tuning. Each is None where the model has none.
    """
    corpus, experiment = found.corpus, config.fold_of(experiment, 0)
    tested = found.predictions[MODEL].select(found.predictions[MODEL].fold_N == 0)  # in the order of corpus.test
    order = np.argsort(tested.label_N, kind="stable")  # so that the few are of several classes
    rows = spread(order, _SHOWN)
    ids, model = corpus.test[rows], apply.load(folder, experiment)
    gather = pipeline.make_gather(corpus.stores, corpus.eval_windows, experiment.data)
    titles = _titles(gather.windows.take(ids), corpus.class_names, tested.probability_NC[rows])
    return {
        **attention(model.compiled, model.state, gather, ids, titles),
        "reconstruction": _of_pretraining(experiment, gather, ids) if experiment.init_from else None,
    }


def _look(
    compiled: Compiled,
    state: State,
    gather: Gather,
    ids: np.ndarray,
    batch_size: int,
    class_names: Sequence[str],
    note: str,
    told: Told | None = None,
) -> dict[str, Any]:
    """A few of the windows `ids`; versions are told apart in all of them, or have been in `told`."""
    few = spread(ids, _SHOWN)
    _, kept = evaluate(compiled, state, gather, few, batch_size, len(few))
    titles = _titles(gather.windows.take(few), class_names, kept.get("probability"))
    versions: dict[str, Any] = {"recognised": None, "by_modality": None}
    if tells_versions(compiled):
        versions |= _versions(
            compiled, gather, ids, told or evaluate(compiled, state, gather, ids, batch_size, len(ids))
        )
    return {
        **attention(compiled, state, gather, few, titles),
        "reconstruction": _reconstruction(kept, gather, note),
        **versions,
    }


def spread(ids: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` of them, evenly from the first to the last, and so over the people."""
    return ids[np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int)]


def _of_pretraining(experiment: Experiment, gather: Gather, ids: np.ndarray) -> Reconstruction | None:
    """None where that run read other windows, or filled no hidden spans."""
    path, data = Path(experiment.init_from), experiment.data
    before = apply.read_experiment(path)
    before.mesh, before.data.eval_batch_size = experiment.mesh, data.eval_batch_size  # of the devices here
    if (before.data.modalities, before.data.window_s) != (data.modalities, data.window_s):
        return None
    model = apply.load(path, before)
    _, kept = evaluate(model.compiled, model.state, gather, ids, before.data.eval_batch_size, len(ids))
    note = f"Windows that fold 0 was tested on, filled by the pre-training in {path.name}, before fine-tuning."
    return _reconstruction(kept, gather, note)


def _titles(windows: Windows, names: Sequence[str], probability_NC: np.ndarray | None) -> list[str]:
    """Whose each window is, and, of a classifier, its class where it has one, and what it was taken for."""
    if probability_NC is None:
        return windows.subject.tolist()
    titles = []
    for who, true, probability_C in zip(windows.subject.tolist(), windows.label, probability_NC, strict=True):
        guess, known = probability_C.argmax(), f"{names[true]}, " if true >= 0 else ""
        titles.append(f"{who}: {known}taken for {names[guess]} ({100 * probability_C[guess]:.0f} % sure)")
    return titles


def _reconstruction(kept: dict[str, np.ndarray], gather: Gather, note: str) -> Reconstruction | None:
    if "reconstruction" not in kept:
        return None
    signal_KT, said_KT = kept["target"][:, :, 0], kept["reconstruction"][:, :, 0]
    return Reconstruction(signal_KT, kept["mask"], said_KT, _rate_hz(gather, next(iter(gather.samples))), note)


def _versions(compiled: Compiled, gather: Gather, ids: np.ndarray, told: Told) -> dict[str, Any]:
    """How versions of windows are told apart, and those of one window to look at."""
    task, (scores, kept) = compiled.program.task, told
    said = {name.partition("/")[2]: kept[name] for name in kept if name.startswith("version_probability")}
    there = {modality: ~np.isnan(said_NVH).any((1, 2)) for modality, said_NVH in said.items()}
    whole = int(np.argmin(sum(~there_N for there_N in there.values())))  # the first window that lacks least
    shown = jax.jit(task.every_version)(jax.random.key(0), gather(ids[whole : whole + 1])["signals"])

    def of(modality: str, channel: str) -> Recognition:
        return Recognition(
            names=task.version_names,
            version_N=kept["version"][there[modality]].ravel(),
            probability_NV=said[modality][there[modality]].reshape(-1, len(task.version_names)),
            gallery_VT=np.asarray(shown[channel])[0, :, :, 0],
            rate_hz=_rate_hz(gather, channel),
        )

    if "" in said:  # one head a version, on all modalities
        return {"recognised": of("", next(iter(gather.samples)))}
    return {
        "by_modality": ByModality({name: of(name, name) for name in said if there[name].any()}, scores["recognised"])
    }


def attention(
    compiled: Compiled, state: State, gather: Gather, ids: np.ndarray, titles: Sequence[str]
) -> dict[str, Any]:
    """In the last layer, {"attention": what CLS looks at, or "sharing": what the modalities see of each other}.

    Both are None for an encoder that sows no attention weights.
    """
    encoder, signals = compiled.program.encoder, gather(ids)["signals"]
    found: dict[str, Any] = {"attention": None, "sharing": None}

    @jax.jit
    def look(params: Any, model_state: Any, signals: Any) -> Any:
        variables = {"params": params["encoder"], **model_state["encoder"]}
        return encoder.apply(variables, signals, train=False, mutable=["intermediates"])[1]

    sown = look(state.params, state.model_state, signals)
    leaves = jax.tree_util.tree_leaves_with_path(sown)
    weights = [leaf for keys, leaf in leaves if "attention" in jax.tree_util.keystr(keys) and leaf.ndim == 4]
    if not weights or weights[-1].shape[-1] < 2:
        return found
    weight_KHLL = np.asarray(weights[-1])
    if read := [m for m in getattr(getattr(encoder, "config", None), "modalities", ()) if m in signals]:
        tokens = [sown["intermediates"][f"{m}_tokens"][0].shape[1] for m in read]
        whole_K = np.all([np.isfinite(signals[m]).all((1, 2)) for m in read], axis=0)
        return found | {"sharing": share(weight_KHLL[whole_K], read, tokens) if whole_K.any() else None}
    signal_KT = next(iter(signals.values()))[:, :, 0]
    rate_hz = _rate_hz(gather, next(iter(gather.samples)))
    return found | {"attention": Attention(signal_KT, weight_KHLL[:, :, 0, 1:], rate_hz, tuple(titles))}


def _rate_hz(gather: Gather, modality: str) -> float:
    return float(describe_modality(gather.stores, modality)["rate_hz"])
