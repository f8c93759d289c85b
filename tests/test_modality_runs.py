"""Wu's pretext task in training: statistics and gradients over devices and missing signals, and the report."""

import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax import config
from ecgjax.data.pipeline import Gather
from ecgjax.data.store import open_store
from ecgjax.evaluation import apply, looks, recognition, report, summary
from ecgjax.models import tcn_transformer
from ecgjax.tasks.modality_recognition import Config
from ecgjax.training import loop, mesh, optim
from ecgjax.training.evaluate import evaluate
from ecgjax.training.program import compile_program
from ecgjax.training.state import train_step
from tests import modalities
from tests.modalities import batch

KEY = jax.random.key(0)


def test_a_missing_modality_moves_no_weight_and_no_statistic_of_its_head():
    experiment = modalities.experiment("", Config())
    compiled = compile_program(experiment, batch(8))
    before = jax.device_get(compiled.init(KEY))
    lacking = batch(8, lacking=[("temp", i) for i in range(8)] + [("bvp", 3)])
    after, metrics = compiled.train_step(compiled.init(KEY), lacking, np.float32(0.1))
    after = jax.device_get(after)
    assert float(metrics["finite"][0]) == 1 and metrics["accuracy/temp"][1] == 0 and metrics["accuracy/bvp"][1] == 42

    def moved(name):
        heads = [(s.params["head"][name], s.model_state["head"]["batch_stats"][name]) for s in (before, after)]
        return [bool((x != y).any()) for x, y in zip(*map(jax.tree.leaves, heads), strict=True)]

    assert sum(moved("bvp")) >= 7 and not any(moved("temp"))  # BatchNorm takes the hidden bias out again


@pytest.mark.skipif(jax.device_count() != 8, reason="needs eight devices")
def test_eight_devices_norm_by_the_whole_batch_and_follow_the_same_slope():
    experiment = modalities.experiment("", Config(dropout=0.0))
    experiment.optim.optimizer, experiment.optim.momentum = config.Optimizer.SGD, 0.0  # a step moves by the gradient
    given = batch(16, lacking=[("eda", 0), ("eda", 1), ("temp", 9)])  # the first device has no EDA at all
    compiled = compile_program(experiment, given)
    now, dealt = compiled.init(KEY), mesh.to_global(given, compiled.mesh)
    assert dealt["weight"].addressable_shards[0].data.shape == (2,)
    optimizer = optim.make_optimizer(experiment.optim, now.params)
    alone = jax.device_put(jax.tree.map(jnp.copy, (now, dealt)), jax.devices()[0])
    one = jax.jit(functools.partial(train_step, compiled.program, optimizer))(*alone, np.float32(1.0))
    before = jax.device_get(now.params)
    eight = compiled.train_step(now, dealt, np.float32(1.0))
    one, eight = (jax.device_get((after.params, after.model_state, metrics)) for after, metrics in (one, eight))
    chex.assert_trees_all_close(one, eight, rtol=1e-4, atol=2e-6)
    slopes = jax.tree.map(lambda x, y: np.abs(x - y).max(), before["head"]["eda"], eight[0]["head"]["eda"])
    assert slopes["out"]["kernel"] > 1e-3 and slopes["norm"]["scale"] > 1e-3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modalities")
    return loop.run(modalities.experiment(modalities.make_store(folder / "store"), Config()), folder / "run")


def test_the_report_of_a_run_tells_the_scores_of_each_modality(run):
    this, state = run
    page = summary.report_run(this, state).read_text()
    looked = looks.of_run(this, state)
    found, ids = looked["by_modality"], this.corpus.validation
    assert looked["recognised"] is None and list(found.heads) == list(modalities.NAMES)
    scores, _ = evaluate(this.compiled, state, this.eval_gather, ids, 8)
    np.testing.assert_allclose(found.together, scores["recognised"])
    for name, head in found.heads.items():
        assert len(head.version_N) == 6 * len(ids)
        assert head.gallery_VT.shape == (6, {"bvp": 960}.get(name, 60)) and head.rate_hz == {"bvp": 64}.get(name, 4)
        np.testing.assert_allclose(recognition.recognised(head), scores[f"accuracy/{name}"])
        row = f'<th scope="row">{name}</th><td>{len(head.version_N):,}</td><td>{scores[f"accuracy/{name}"]:.3f}</td>'
        assert row in page and f"{name}: share of each version" in page and f"{name}: original" in page
    assert f"{100 * scores['recognised']:.1f} %</b> of the versions" in page


def test_windows_that_lack_a_modality_are_left_out_of_its_matrix_and_of_the_gallery(run):
    this, state = run
    gather, ids = this.eval_gather, this.corpus.validation

    class Lacking(Gather):
        def __call__(self, batch_ids):
            made = super().__call__(batch_ids)
            made["signals"]["temp"] = np.full_like(made["signals"]["temp"], np.nan)
            made["signals"]["bvp"][batch_ids == ids[0]] = np.nan
            return made

    lacking = Lacking(gather.stores, gather.windows, gather.samples)
    told = evaluate(this.compiled, state, lacking, ids, 8, len(ids))
    found = looks._versions(this.compiled, lacking, ids, told)["by_modality"]
    assert {name: len(head.version_N) for name, head in found.heads.items()} == {
        "bvp": 6 * (len(ids) - 1), "eda": 6 * len(ids)
    }  # fmt: skip
    np.testing.assert_array_equal(found.heads["bvp"].gallery_VT[0], gather(ids[1:2])["signals"]["bvp"][0, :, 0])
    assert np.isfinite(found.heads["bvp"].gallery_VT).all()


def test_an_evaluation_goes_through_the_windows_once(run, tmp_path, monkeypatch):
    model = apply.load(run[0].folder, run[0].experiment)
    stores = [open_store(modalities.make_store(tmp_path / "store", num_people=9))]
    windows, _ = apply.find_unseen(model, stores)
    seen = []

    def counted(compiled, state, gather, ids, *rest):
        seen.append(len(ids))
        return evaluate(compiled, state, gather, ids, *rest)

    monkeypatch.setattr(looks, "evaluate", counted)
    summary.report_evaluation(model, stores, windows, [], tmp_path / "out")
    assert len(windows) > 3 and seen == [3]
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["scores"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{100 * scores['recognised']:.1f} %</b>" in page and f"<td>{scores['accuracy/bvp']:.3f}</td>" in page


def test_the_report_shows_what_modalities_see_of_each_other(tmp_path):
    small = tcn_transformer.Config(channels=(4, 4), width=8, num_heads=2, hidden=8)
    experiment = modalities.experiment(modalities.make_store(tmp_path / "store"), Config())
    experiment.model, experiment.data.window_s = small, 4.0
    this = loop.set_up(experiment, tmp_path / "run")
    found = looks.attention(this.compiled, this.compiled.init(KEY), this.eval_gather, np.arange(3), "abc")
    assert found["attention"] is None
    assert found["sharing"].names == ("eda", "bvp", "temp")
    np.testing.assert_allclose(found["sharing"].even_M, np.array([16, 256, 16]) / 288)
    np.testing.assert_allclose(found["sharing"].share_MM.sum(1), 1, rtol=1e-5)
    report.write_report(tmp_path / "report.html", title="shared", run={}, sharing=found["sharing"])
    page = (tmp_path / "report.html").read_text()
    assert "What the modalities see of each other" in page and "eda 6 %, bvp 89 %, temp 6 %" in page
