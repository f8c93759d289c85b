"""What a finished run was made of is asked again before its scores are taken for those of another."""

import shutil

import pytest

from ecgjax.errors import UserError
from ecgjax.evaluation import sweeps
from ecgjax.evaluation.sweeps import Cell
from ecgjax.training import about, checkpoint, loop
from tests import tiny


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(store, folder) with a pre-training in `encoder` and a fine-tuning from it in `tuned`."""
    folder = tmp_path_factory.mktemp("about")
    store = tiny.make_store(folder / "store")
    loop.run(tiny.pretraining(store, num_epochs=0.3, tensorboard=False), folder / "encoder")
    loop.run(tuning(store, folder), folder / "tuned")
    (folder / "tuned" / "report.html").touch()
    return store, folder


def tuning(store, folder):
    experiment = tiny.finetuning(store, num_epochs=0.3, tensorboard=False)
    experiment.init_from = str(folder / "encoder")
    return experiment


def cell(store, folder):
    return Cell("tuned", {"seed": "0"}, tuning(store, folder))


def test_what_is_unchanged_is_taken_as_it_is(runs):
    store, folder = runs
    assert sweeps.read_result(cell(store, folder), folder / "tuned").scores["validation"]["loss"].value > 0
    extra = checkpoint.describe(folder / "tuned")["extra"]
    assert extra["started_from"] == about.content_of(str(folder / "encoder")) != about.content_of(str(folder / "tuned"))
    assert extra["encoder_trains"] and about.content_of("") == about.content_of(str(folder / "gone")) == ""


def test_an_encoder_trained_anew_makes_another_run(runs, tmp_path):
    store, folder = runs
    for name in ("encoder", "tuned"):
        shutil.copytree(folder / name, tmp_path / name)
    experiment = tuning(store, folder)
    extra, stores = checkpoint.describe(folder / "tuned")["extra"], loop.set_up(experiment, folder).corpus.stores
    about.check_content(folder / "tuned", extra, stores, str(tmp_path / "encoder"))  # a copy is the same
    about.check_content(folder / "tuned", extra, stores, str(tmp_path / "gone"))  # no longer needed
    shutil.rmtree(folder / "encoder")
    try:
        again = tiny.pretraining(store, num_epochs=0.3, tensorboard=False)
        again.seed = 1
        loop.run(again, folder / "encoder")
        for ask in (
            lambda: sweeps.read_result(cell(store, folder), folder / "tuned"),
            lambda: loop.run(experiment, folder / "tuned"),
        ):
            with pytest.raises(UserError, match="encoder: has been trained anew since the run in .*tuned began"):
                ask()
    finally:
        shutil.rmtree(folder / "encoder")
        shutil.copytree(tmp_path / "encoder", folder / "encoder")


def test_a_sweep_does_not_show_the_scores_of_another_store(runs, tmp_path):
    store, folder = runs
    other = tiny.make_store(tmp_path / "store", seed=1)
    with pytest.raises(UserError, match="content has changed since the run in .*tuned began"):
        sweeps.read_result(cell(other, folder), folder / "tuned")
    moved = shutil.copytree(store, tmp_path / "moved")
    assert sweeps.read_result(cell(moved, folder), folder / "tuned")
