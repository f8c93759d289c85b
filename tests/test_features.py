"""Vectors of a frozen encoder: the same training as on signals, kept with the encoder and found again."""

import dataclasses
import shutil
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.config import Experiment
from ecgjax.errors import UserError
from ecgjax.evaluation import protocols
from ecgjax.models.base import POOLED
from ecgjax.tasks import classification
from ecgjax.training import features, loop
from tests import tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tiny.make_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "pretrain"
    loop.run(tiny.pretraining(store), folder)
    return folder


@pytest.fixture
def pretrained(trained, tmp_path) -> Path:
    """A run's folder of one's own, without features."""
    return Path(shutil.copytree(trained, tmp_path / "pretrain", ignore=shutil.ignore_patterns(features.FOLDER)))


def frozen(store: Path, init_from: Path | str = "", **train: float) -> Experiment:
    experiment = tiny.finetuning(store, **train)
    experiment.model.dropout = 0.3  # which a frozen encoder has no part in
    experiment.optim.multipliers = (("^encoder/", 0.0),)
    experiment.init_from = str(init_from)
    experiment.data.split.fold = 0
    return experiment


@pytest.mark.parametrize("from_pretraining", [True, False])
def test_training_on_the_vectors_is_training_on_the_signals(store, pretrained, tmp_path, monkeypatch, from_pretraining):
    experiment = frozen(store, pretrained if from_pretraining else "")
    fed, on_vectors = loop.run(experiment, tmp_path / "vectors")
    assert set(fed.source[0]["signals"]) == {POOLED}
    monkeypatch.setattr(classification.Classification, "reads_pooled", False)
    whole, on_signals = loop.run(experiment, tmp_path / "signals")
    assert set(whole.source[0]["signals"]) == {"ecg"}
    chex.assert_trees_all_equal(on_vectors.params["encoder"], on_signals.params["encoder"])
    chex.assert_trees_all_close(on_vectors.params["head"], on_signals.params["head"], atol=2e-5)
    tested = [protocols.test(run, state, run.corpus.test) for run, state in ((fed, on_vectors), (whole, on_signals))]
    np.testing.assert_allclose(tested[0].probability_NC, tested[1].probability_NC, atol=2e-5)


def test_vectors_are_those_of_the_encoder_in_the_order_of_the_windows(store, pretrained, tmp_path):
    run, state = loop.run(frozen(store, pretrained), tmp_path / "run")
    ids = np.array([3, 0, 7])
    signals = jax.tree.map(jnp.asarray, run.eval_gather.gather(ids)["signals"])
    encoded = run.compiled.program.encoder.apply({"params": state.params["encoder"]}, signals, train=False)
    np.testing.assert_allclose(run.eval_gather(ids)["signals"][POOLED], encoded.pooled_BD, atol=1e-5)
    assert len(run.eval_gather.pooled_ND) == len(run.corpus.eval_windows)


def test_they_are_kept_with_the_encoder_and_found_again(store, pretrained, tmp_path, monkeypatch):
    first, _ = loop.run(frozen(store, pretrained), tmp_path / "first")
    kept = sorted((pretrained / features.FOLDER).iterdir())
    assert len(kept) == 1  # training and evaluation windows are the same ones here

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "stream", refuse)
    again, _ = loop.run(frozen(store, pretrained, num_epochs=1), tmp_path / "again")
    chex.assert_trees_all_equal(first.source.gather.pooled_ND, again.source.gather.pooled_ND)
    assert sorted((pretrained / features.FOLDER).iterdir()) == kept


def change(name: str):
    def edit(run: loop.Run, state):
        gather = run.source.gather.gather
        match name:
            case "weights":
                params = jax.tree.map(lambda x: x, state.params)
                params["encoder"]["cls"] = params["encoder"]["cls"] + 1e-3
                return run.compiled, state.replace(params=params), gather
            case "windows":
                return run.compiled, state, dataclasses.replace(gather, windows=gather.windows.take(np.arange(9)))
            case "window length":
                return run.compiled, state, dataclasses.replace(gather, samples={"ecg": 640})
            case "model":
                other = run.compiled.program.encoder.clone(config=dataclasses.replace(tiny.model(), num_heads=4))
                program = dataclasses.replace(run.compiled.program, encoder=other)
                return dataclasses.replace(run.compiled, program=program), state, gather
            case "store":
                (old,) = gather.stores
                new = dataclasses.replace(old, manifest=old.manifest | {"content_hash": "other"})
                return run.compiled, state, dataclasses.replace(gather, stores=[new])
            case "nothing":
                return run.compiled, state, gather

    return edit


def test_what_they_depend_on_is_in_their_name(store, pretrained, tmp_path):
    run, state = loop.run(frozen(store, pretrained), tmp_path / "run")
    names = [
        features._hash(*change(name)(run, state))
        for name in ("nothing", "weights", "windows", "window length", "model", "store")
    ]
    (kept,) = (pretrained / features.FOLDER).iterdir()
    assert kept.stem == names[0]
    assert len(set(names)) == len(names)


def test_a_damaged_file_is_named_with_the_remedy(store, pretrained, tmp_path):
    loop.run(frozen(store, pretrained), tmp_path / "first")
    (kept,) = (pretrained / features.FOLDER).iterdir()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 4
    kept.write_bytes(content)
    with pytest.raises(UserError, match=rf"{kept.name}: damaged .*Delete it"):
        loop.run(frozen(store, pretrained), tmp_path / "second")


def test_a_folder_that_cannot_hold_them_does_not_stop_the_run(store, pretrained, tmp_path, caplog):
    (pretrained / features.FOLDER).write_text("a file stands in the way")
    run, _ = loop.run(frozen(store, pretrained), tmp_path / "run")
    assert POOLED in run.source[0]["signals"]
    assert "could not be kept" in caplog.text
