"""The pretext task: versions and their numbers, the heads as seven perceptrons, the loss and the scores in NumPy."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from ecgjax import config
from ecgjax.data.store import open_store
from ecgjax.errors import UserError
from ecgjax.evaluation import apply, looks, recognition, summary
from ecgjax.models.base import Encoded
from ecgjax.tasks.base_versions import Versions
from ecgjax.tasks.distortions import Distortion
from ecgjax.tasks.transform_recognition import Config
from ecgjax.training import loop, mesh
from ecgjax.training.evaluate import evaluate
from ecgjax.training.program import compile_program, count_parameters
from ecgjax.training.writer import read_metrics
from tests import tiny

NAMES = ("original", "noise", "scaling", "negation", "inversion", "permutation", "time_warp")
KEY = jax.random.key(0)


def batch(size=4, samples=256, **more) -> dict:
    rng = np.random.default_rng(0)
    signals = {"ecg": rng.standard_normal((size, samples, 1)).astype(np.float32)} | more
    return {"signals": signals, "weight": np.ones(size, np.float32)}


def encoded(rows, width=128) -> Encoded:
    rng = np.random.default_rng(0)
    return Encoded(jnp.zeros((rows, 1, width)), jnp.asarray(rng.standard_normal((rows, width)), jnp.float32))


def scored(task, windows=50, seed=0):
    """(outputs, targets, weight) of a model that is often right; a fifth of the windows is padding."""
    rng, heads = np.random.default_rng(seed), len(task.version_names)
    each = heads if task.config.versions is Versions.ALL else 1
    targets = np.tile(np.arange(heads), windows) if each > 1 else rng.integers(0, heads, windows)
    outputs = rng.normal(-1, 1.5, (len(targets), heads)) + 3 * (targets[:, None] == np.arange(heads))
    weight = (np.arange(windows) < 0.8 * windows).astype(np.float32)
    return jnp.asarray(outputs, jnp.float32), jnp.asarray(targets), jnp.asarray(weight)


# --- versions --------------------------------------------------------------------------------------------------------


def test_every_window_comes_in_seven_versions_one_after_the_other():
    task, given = Config().make(), batch()
    signals, version = jax.jit(task.view)(KEY, given)
    assert task.version_names == NAMES and signals["ecg"].shape == (28, 256, 1)
    np.testing.assert_array_equal(version, np.tile(np.arange(7), 4))
    rows = np.asarray(signals["ecg"]).reshape(4, 7, 256, 1)
    window = given["signals"]["ecg"]
    np.testing.assert_array_equal(rows[:, 0], window)
    np.testing.assert_allclose(rows[:, 2], 1.1 * window, rtol=1e-6)
    np.testing.assert_array_equal(rows[:, 3], -window)
    np.testing.assert_array_equal(rows[:, 4], window[:, ::-1])
    moved, kept = np.sort(rows[:, 5, :242], axis=1), np.sort(window[:, :242], axis=1)  # 22 pieces of 11 samples
    np.testing.assert_array_equal(moved, kept)
    assert (rows[:, 6] != window).mean() > 0.9
    ratio_db = 10 * np.log10((window**2).mean() / ((rows[:, 1] - window) ** 2).mean())
    np.testing.assert_allclose(ratio_db, 15, atol=1)


def test_the_strengths_of_the_config_are_those_that_act():
    given = batch()
    plain, other = (
        np.asarray(jax.jit(c.make().view)(KEY, given)[0]["ecg"]).reshape(4, 7, -1)
        for c in (Config(), Config(snr_db=3.0, scale=0.5, permutation_pieces=4, warp_pieces=3))
    )
    assert [bool((plain[:, v] != other[:, v]).any()) for v in range(7)] == [False, True, True, False, False, True, True]


def test_single_task_is_one_distortion_against_the_original():
    task = Config(distortions=(Distortion.NEGATION,)).make()
    signals, version = jax.jit(task.view)(KEY, batch())
    assert task.version_names == ("original", "negation") and signals["ecg"].shape == (8, 256, 1)
    np.testing.assert_array_equal(signals["ecg"][1::2], -signals["ecg"][::2])
    np.testing.assert_array_equal(version, [0, 1] * 4)


def test_modalities_of_a_window_get_the_same_version_each_its_own_draws():
    eda = batch(samples=64)["signals"]["ecg"]
    task, given = Config().make(), batch(samples=64, eda=eda)
    signals, _ = jax.jit(task.view)(KEY, given)
    ecg, eda = (np.asarray(signals[m]).reshape(4, 7, 64) for m in ("ecg", "eda"))
    assert [bool((ecg[:, v] != eda[:, v]).any()) for v in range(7)] == [False, True, False, False, False, True, True]


def test_sampled_versions_are_one_a_window_and_all_as_likely():
    task, given = Config(versions=Versions.SAMPLED).make(), batch(1400, 32)
    signals, version = map(jax.device_get, jax.jit(task.view)(KEY, given))
    assert signals["ecg"].shape == (1400, 32, 1) and version.shape == (1400,)
    np.testing.assert_allclose(np.bincount(version, minlength=7) / 1400, 1 / 7, atol=0.04)
    window = given["signals"]["ecg"]
    for number, expected in ((0, window), (3, -window), (4, window[:, ::-1])):
        np.testing.assert_array_equal(signals["ecg"][version == number], expected[version == number])
    assert (signals["ecg"] != window)[version > 0].any((1, 2)).all()


@pytest.mark.parametrize("versions", Versions)
def test_versions_are_made_where_their_window_lies(versions):
    if jax.device_count() < 8:
        pytest.skip("needs eight devices")
    devices = mesh.make_mesh(config.Mesh())
    over_batch = NamedSharding(devices, mesh.BATCH)
    view, given = Config(versions=versions).make().view, batch(16)
    sharded = jax.jit(view, out_shardings=over_batch)
    dealt = mesh.to_global(given, devices)
    program = sharded.lower(KEY, dealt).compile().as_text()
    assert not [name for name in ("all-gather", "all-to-all", "all-reduce", "collective-permute") if name in program]
    chex.assert_trees_all_close(sharded(KEY, dealt), jax.jit(view)(KEY, given), rtol=1e-6, atol=1e-6)


# --- heads -----------------------------------------------------------------------------------------------------------


def test_the_heads_are_seven_perceptrons_with_nothing_in_common():
    head, rows = Config().make().head(), encoded(5)
    variables = head.init(KEY, rows, {}, train=False)
    assert count_parameters(variables) == 232_071
    found = head.apply(variables, rows, {}, train=False)
    leaky = lambda x: np.where(x > 0, x, 0.2 * x)  # noqa: E731
    layers = [variables["params"][name] for name in ("hidden_0", "hidden_1", "out")]
    rng = np.random.default_rng(0)
    layers = [{"kernel": p["kernel"], "bias": rng.standard_normal(p["bias"].shape, np.float32)} for p in layers]
    found = head.apply(
        {"params": dict(zip(("hidden_0", "hidden_1", "out"), layers, strict=True))}, rows, {}, train=False
    )
    for h in range(7):
        x = np.asarray(rows.pooled_BD, np.float64)
        for i, layer in enumerate(layers):
            x = x @ np.asarray(layer["kernel"][h], np.float64) + layer["bias"][h]
            x = leaky(x) if i < 2 else x
        np.testing.assert_allclose(found[:, h], x[:, 0], rtol=1e-4, atol=1e-5)


def test_the_heads_begin_glorot_uniform_each_by_itself():
    layers = Config().make().head().init(KEY, encoded(2), {}, train=False)["params"]
    for name, fan_in, fan_out in (("hidden_0", 128, 128), ("hidden_1", 128, 128), ("out", 128, 1)):
        kernel, limit = np.asarray(layers[name]["kernel"]), np.sqrt(6 / (fan_in + fan_out))
        assert kernel.shape == (7, fan_in, fan_out)
        assert np.abs(kernel).max() <= limit < 1.05 * np.abs(kernel).max()
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.05)
        assert len(np.unique(kernel[:, 0, 0])) == 7
        assert not layers[name]["bias"].any()


def test_dropout_is_drawn_anew_for_every_head_and_only_in_training():
    head, rows = Config(hidden=(128,)).make().head(), encoded(64)
    params = head.init(KEY, rows, {}, train=False)["params"]
    same = jax.tree.map(lambda x: jnp.repeat(x[:1], 7, axis=0), params)  # seven times the same head
    calm = head.apply({"params": same}, rows, {}, train=False)
    noisy = head.apply({"params": same}, rows, {}, train=True, rngs={"dropout": KEY})
    assert (calm == calm[:, :1]).all() and not (noisy == noisy[:, :1]).all(0)[1:].any()
    ones = {"hidden_0": {"kernel": jnp.zeros((7, 128, 128)), "bias": jnp.ones((7, 128))}}
    ones["out"] = {"kernel": jnp.ones((7, 128, 1)), "bias": jnp.zeros((7, 1))}
    kept = 0.4 * np.asarray(head.apply({"params": ones}, rows, {}, train=True, rngs={"dropout": KEY}))
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-3)  # each unit left counts 1 / 0.4
    np.testing.assert_allclose(kept.mean() / 128, 0.4, atol=0.02)  # 0.6 is the share dropped


# --- loss and scores -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", Versions)
def test_the_loss_is_the_weighted_mean_of_the_heads_cross_entropies(versions):
    task = Config(versions=versions).make()
    outputs, targets, weight = scored(task)
    loss, metrics = task.loss(outputs, targets, weight)
    real = np.repeat(np.asarray(weight) > 0, len(targets) // len(weight))
    said = 1 / (1 + np.exp(-np.asarray(outputs, np.float64)[real]))
    truth = np.asarray(targets)[real][:, None] == np.arange(7)
    error = -np.where(truth, np.log(said), np.log(1 - said)).mean(0)
    published = [0.195, 0.195, 0.195, 0.0125, 0.0125, 0.195, 0.195]
    np.testing.assert_allclose(loss, error @ published, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"][1], real.sum())


def test_weights_of_a_part_of_the_tasks_add_up_to_one_and_others_stand_as_given():
    kinds = (Distortion.INVERSION, Distortion.NOISE)
    np.testing.assert_allclose(Config(distortions=kinds).make().weights(), np.array([0.195, 0.0125, 0.195]) / 0.4025)
    task = Config(distortions=kinds, weights=(0, 2, 0)).make()
    outputs, targets, weight = scored(task)
    loss = task.loss(outputs, targets, weight)[0]
    doubled = Config(distortions=kinds, weights=(0, 4, 0)).make().loss(outputs, targets, weight)[0]
    np.testing.assert_allclose(doubled, 2 * loss, rtol=1e-6)
    slope = jax.grad(lambda o: task.loss(o, targets, weight)[0])(outputs)
    assert slope[:, 1].any() and not slope[:, (0, 2)].any()


@pytest.mark.parametrize("versions", Versions)
def test_scores_are_those_of_scikit_learn_and_padding_has_none(versions):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    task = Config(versions=versions).make()
    outputs, targets, weight = scored(task, windows=200)
    metrics = {name: total / count for name, (total, count) in task.loss(outputs, targets, weight)[1].items()}
    real = np.repeat(np.asarray(weight) > 0, len(targets) // len(weight))
    said, version = np.asarray(outputs)[real], np.asarray(targets)[real]
    for h, name in enumerate(NAMES):
        np.testing.assert_allclose(metrics[f"accuracy/{name}"], accuracy_score(version == h, said[:, h] > 0), rtol=1e-6)
        np.testing.assert_allclose(metrics[f"f1/{name}"], f1_score(version == h, said[:, h] > 0), rtol=1e-6)
        fair = accuracy_score(version == h, said[:, h] > 0, sample_weight=np.where(version == h, 6, 1))
        np.testing.assert_allclose(metrics[f"balanced_accuracy/{name}"], fair, rtol=1e-6)
        if versions is Versions.ALL:
            assert fair == pytest.approx(balanced_accuracy_score(version == h, said[:, h] > 0), rel=1e-6)
    fair = np.mean([metrics[f"balanced_accuracy/{n}"] for n in NAMES])
    np.testing.assert_allclose(metrics["balanced_accuracy"], fair, rtol=1e-6 if versions is Versions.ALL else 0.05)
    np.testing.assert_allclose(metrics["accuracy"], np.mean([metrics[f"accuracy/{n}"] for n in NAMES]), rtol=1e-6)
    np.testing.assert_allclose(metrics["recognised"], accuracy_score(version, said.argmax(1)), rtol=1e-6)
    assert 0.3 < metrics["recognised"] < 0.95  # neither trivial


@pytest.mark.parametrize("versions", Versions)
def test_predictions_say_of_each_version_what_it_was_and_what_the_heads_said(versions):
    task = Config(versions=versions).make()
    outputs, targets, _ = scored(task, windows=6)
    predictions = task.predict(outputs, targets)
    each = 7 if versions is Versions.ALL else 1
    assert predictions["version"].shape == (6, each) and predictions["version_probability"].shape == (6, each, 7)
    np.testing.assert_array_equal(predictions["version"].ravel(), targets)
    said = 1 / (1 + np.exp(-np.asarray(outputs)))
    np.testing.assert_allclose(predictions["version_probability"].reshape(-1, 7), said, rtol=1e-5)


def pretext(store="", **task):
    experiment = tiny.pretraining(store, num_epochs=0.6, tensorboard=False)
    experiment.task = Config(**task)
    return experiment


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recognition")
    return loop.run(pretext(tiny.make_store(folder / "store", trials=2)), folder / "run")


def test_a_run_logs_every_task(run):
    scores = {f"{score}/{name}" for score in ("accuracy", "balanced_accuracy", "f1") for name in NAMES}
    scores |= {"accuracy", "balanced_accuracy", "recognised", "loss"}
    for kind in ("train", "eval"):
        rows = read_metrics(run[0].folder, kind)
        assert rows and all(scores <= row.keys() for row in rows)


def test_the_report_of_a_run_tells_the_scores_of_its_evaluation(run):
    this, state = run
    page = summary.report_run(this, state).read_text()
    found = looks.of_run(this, state)["recognised"]
    assert len(found.version_N) == 7 * len(this.corpus.validation) and found.gallery_VT.shape == (7, 1280)
    scores, _ = evaluate(this.compiled, state, this.eval_gather, this.corpus.validation, 16)
    for name, row in zip(NAMES, recognition.scores(found), strict=True):
        np.testing.assert_allclose([row.accuracy, row.f1], [scores[f"accuracy/{name}"], scores[f"f1/{name}"]])
        assert f"<td>{row.accuracy:.3f}</td>" in page
    np.testing.assert_allclose(recognition.recognised(found), scores["recognised"])
    assert 'id="recognition"' in page and 'id="reconstruction"' not in page


def test_an_evaluation_tells_the_versions_of_people_it_has_not_seen(run, tmp_path):
    model = apply.load(run[0].folder, apply.read_experiment(run[0].folder))
    stores = [open_store(tiny.make_store(tmp_path / "store", seed=5, num_subjects=2, trials=2))]
    windows, _ = apply.find_unseen(model, stores)
    summary.report_evaluation(model, stores, windows, [], tmp_path / "out")
    share = json.loads((tmp_path / "out" / "results.json").read_text())["scores"]["recognised"]
    assert f"{100 * share:.1f}" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("field", ["permutation_pieces", "warp_pieces"])
def test_a_window_too_short_for_the_pieces_is_refused_before_anything_is_compiled(field):
    given = batch() | {"label": np.zeros(4, np.int32), "window": np.zeros(4, np.int32)}
    with pytest.raises(UserError, match=f"task.{field}=300: a window has only 256 .*data.window_s"):
        compile_program(pretext(**{field: 300}), given)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"distortions": ()}, "task.distortions is empty"),
        ({"distortions": (Distortion.NOISE,) * 2}, "task.distortions names noise twice"),
        ({"weights": (1.0, 1.0)}, "task.weights has 2 entries for 7 versions"),
        ({"weights": (1.0,) * 6 + (-1.0,)}, "task.weights=.*0 or above"),
        ({"weights": (1.0,) * 6 + (float("nan"),)}, "task.weights=.*0 or above"),
        ({"weights": (1.0,) * 6 + (float("inf"),)}, "task.weights=.*0 or above"),
        ({"weights": (0.0,) * 7}, "task.weights=.*not all"),
        ({"dropout": 1.0}, "task.dropout=1.0"),
        ({"hidden": (16, 0)}, "task.hidden"),
        ({"snr_db": 1000.0}, "task.snr_db=1000.0"),
    ],
)
def test_mistakes_are_refused_by_name(fields, message):
    with pytest.raises(UserError, match=message):
        Config(**fields).make()
