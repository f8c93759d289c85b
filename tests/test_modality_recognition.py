"""Wu's pretext task: a head a modality, signals that are lacking, scores in scikit-learn, mistakes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from ecgjax import config
from ecgjax.errors import UserError
from ecgjax.models.base import Encoded
from ecgjax.tasks.base_versions import Versions
from ecgjax.tasks.distortions import Distortion
from ecgjax.tasks.modality_recognition import Config, Targets
from ecgjax.training import mesh
from ecgjax.training.program import count_parameters
from tests import modalities
from tests.modalities import batch

VERSIONS = ("original", "noise", "permutation", "time_warp", "crop", "magnitude_warp")
KEY = jax.random.key(0)


def signals_of(size, lacking=()) -> dict:
    return jax.tree.map(jnp.asarray, batch(size, lacking)["signals"])


def encoded(rows, width=128, names=modalities.NAMES) -> Encoded:
    rng = np.random.default_rng(0)
    each = {name: jnp.asarray(rng.standard_normal((rows, width)), jnp.float32) for name in names}
    return Encoded(jnp.zeros((rows, 1, width)), jnp.zeros((rows, width)), each)


def scored(task, windows=50, lacking=0.0):
    """(outputs, targets, weight) of a model that is often right; a fifth of the windows is padding."""
    rng, count = np.random.default_rng(0), len(task.version_names)
    version = np.tile(np.arange(count), windows) if task.versions_each > 1 else rng.integers(0, count, windows)
    outputs = {
        name: jnp.asarray(rng.normal(-1, 1.5, (len(version), count)) + 2 * np.eye(count)[version], jnp.float32)
        for name in modalities.NAMES
    }
    known = {name: jnp.asarray(np.repeat(rng.random(windows) >= lacking, task.versions_each)) for name in outputs}
    return outputs, Targets(jnp.asarray(version), known), jnp.asarray(np.arange(windows) < 0.8 * windows, jnp.float32)


# --- versions --------------------------------------------------------------------------------------------------------


def test_every_window_comes_in_six_versions_in_each_of_its_modalities():
    task, given = Config().make(), batch(lacking=[("bvp", 1)])
    signals, targets = jax.jit(task.view)(KEY, given)
    assert task.version_names == VERSIONS
    np.testing.assert_array_equal(targets.version_N, np.tile(np.arange(6), 4))
    for name, window in given["signals"].items():
        rows = np.asarray(signals[name]).reshape(4, 6, *window.shape[1:])
        np.testing.assert_array_equal(rows[:, 0], window)
        changed = [bool((rows[0, v] != window[0]).any()) for v in range(6)]
        assert changed == [False] + [True] * 5
    assert np.isnan(signals["bvp"]).reshape(4, -1).all(1).tolist() == [False, True, False, False]
    assert not np.isnan(signals["eda"]).any() and not np.isnan(np.asarray(signals["bvp"])[12:]).any()
    known = {name: np.asarray(known).reshape(4, 6) for name, known in targets.known.items()}
    assert known["eda"].all() and known["bvp"].all(1).tolist() == known["bvp"].any(1).tolist() == [
        True,
        False,
        True,
        True,
    ]


def test_modalities_of_a_window_get_the_same_version_each_its_own_draws():
    given = batch()
    given["signals"]["temp"] = given["signals"]["eda"]
    signals, _ = jax.jit(Config(crop_pieces=60).make().view)(KEY, given)
    eda, temp = (np.asarray(signals[m]).reshape(4, 6, 240) for m in ("eda", "temp"))
    assert [bool((eda[:, v] != temp[:, v]).any()) for v in range(6)] == [False] + [True] * 5


@pytest.mark.parametrize("versions", Versions)
def test_versions_are_made_where_their_window_lies(versions):
    if jax.device_count() < 8:
        pytest.skip("needs eight devices")
    devices = mesh.make_mesh(config.Mesh())
    view, given = Config(versions=versions).make().view, batch(16)
    sharded = jax.jit(view, out_shardings=NamedSharding(devices, mesh.BATCH))
    dealt = mesh.to_global(given, devices)
    program = sharded.lower(KEY, dealt).compile().as_text()
    assert not [name for name in ("all-gather", "all-to-all", "all-reduce", "collective-permute") if name in program]
    chex.assert_trees_all_close(sharded(KEY, dealt), jax.jit(view)(KEY, given), rtol=1e-5, atol=1e-5)


# --- heads -----------------------------------------------------------------------------------------------------------


def test_a_head_has_the_published_parameters_under_names_that_say_whose_they_are():
    head = Config().make().head()
    variables = head.init(KEY, encoded(5), signals_of(5), train=False)
    shapes = jax.tree.map(np.shape, variables)
    assert list(variables["params"]) == ["bvp", "eda", "temp"]
    assert count_parameters(variables["params"]) == 3 * 8_774
    hidden, out = {"kernel": (128, 64), "bias": (64,)}, {"kernel": (64, 6), "bias": (6,)}
    assert shapes["params"]["eda"] == {"hidden": hidden, "norm": {"scale": (64,), "bias": (64,)}, "out": out}
    assert shapes["batch_stats"]["temp"] == {"norm": {"mean": (64,), "var": (64,)}}


@pytest.mark.parametrize("train", [False, True])
def test_a_head_is_two_layers_with_batch_norm_between(train):
    head, rows, rng = Config(dropout=0.0).make().head(), encoded(40), np.random.default_rng(1)
    signals = signals_of(40, [("eda", i) for i in range(7)])
    variables = head.init(KEY, rows, signals, train=False)
    variables = jax.tree.map(
        lambda x: rng.uniform(0.1, 1.0, x.shape).astype(np.float32) - 0.3 * (x.ndim > 1), variables
    )
    found = head.apply(variables, rows, signals, train=train, mutable=["batch_stats"] if train else [])[0]
    for name in modalities.NAMES:
        there = slice(7, None) if name == "eda" else slice(None)
        p, running = variables["params"][name], variables["batch_stats"][name]["norm"]
        x = np.asarray(rows.by_modality[name], np.float64) @ p["hidden"]["kernel"] + p["hidden"]["bias"]
        mean, var = (x[there].mean(0), x[there].var(0)) if train else (running["mean"], running["var"])
        x = np.maximum((x - mean) / np.sqrt(var + 1e-5) * p["norm"]["scale"] + p["norm"]["bias"], 0)
        x = x @ p["out"]["kernel"] + p["out"]["bias"]
        np.testing.assert_allclose(found[name][there], x[there], rtol=2e-4, atol=2e-4)


def test_vectors_that_the_encoder_dropped_are_not_normed_by():
    head, rows, signals = Config(dropout=0.0).make().head(), encoded(20), signals_of(20)
    variables = head.init(KEY, rows, signals, train=False)
    dropped = jax.tree.map(lambda x_ND: x_ND.at[15:].set(0), rows)
    fewer = (jax.tree.map(lambda x: x[:15], tree) for tree in (rows, signals))
    found, expected = (
        head.apply(variables, *fed, train=True, mutable=["batch_stats"]) for fed in ((dropped, signals), fewer)
    )
    chex.assert_trees_all_close(jax.tree.map(lambda x_NV: x_NV[:15], found[0]), expected[0], rtol=1e-5, atol=1e-5)
    chex.assert_trees_all_close(found[1], expected[1], rtol=1e-5, atol=1e-6)


def test_of_vectors_that_the_encoder_dropped_nothing_is_said_or_learnt():
    """Normed by windows that are nearly alike, a vector of zeros would be far from all and outweigh them."""
    head, rows, signals = Config(dropout=0.0).make().head(), encoded(12), signals_of(12)
    rows = rows.replace(by_modality={name: 3 + 1e-3 * x_ND for name, x_ND in rows.by_modality.items()})
    dropped = rows.replace(by_modality=rows.by_modality | {"eda": rows.by_modality["eda"].at[9:].set(0)})
    variables = head.init(KEY, rows, signals, train=False)

    @jax.jit
    def logits_and_slope(params, rows):
        def largest(params):
            given = {"params": params, "batch_stats": variables["batch_stats"]}
            outputs, _ = head.apply(given, rows, signals, train=True, mutable=["batch_stats"])
            return jnp.abs(outputs["eda"][9:]).max(), outputs

        return jax.value_and_grad(largest, has_aux=True)(params)

    (_, outputs), slope = logits_and_slope(variables["params"], dropped)
    assert (outputs["eda"][9:] == 0).all() and (outputs["eda"][:9] != 0).all() and (outputs["bvp"] != 0).all()
    assert not any(jnp.any(x != 0) for x in jax.tree.leaves(slope))
    (most, outputs), slope = logits_and_slope(variables["params"], rows)
    assert most > 0 and (outputs["eda"] != 0).all() and any(jnp.any(x != 0) for x in jax.tree.leaves(slope))


def test_dropout_acts_in_training_only():
    head, rows, signals = Config(dropout=0.5).make().head(), encoded(6), signals_of(6)
    variables = head.init(KEY, rows, signals, train=False)
    say = [
        head.apply(variables, rows, signals, train=True, rngs={"dropout": jax.random.key(k)}, mutable=["batch_stats"])[
            0
        ]
        for k in (0, 1)
    ]
    assert all((say[0][name] != say[1][name]).any() for name in modalities.NAMES)


def test_a_model_without_vectors_of_modalities_is_refused():
    head, rows = Config().make().head(), encoded(5)
    with pytest.raises(UserError, match="modality_recognition: the model gives no vector of each modality"):
        head.init(KEY, rows.replace(by_modality={}), signals_of(5), train=False)


# --- loss and scores -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", Versions)
def test_the_loss_is_the_sum_of_the_modalities_mean_cross_entropies(versions):
    from sklearn.metrics import accuracy_score, log_loss

    task = Config(versions=versions).make()
    outputs, targets, weight = scored(task)
    loss, metrics = task.loss(outputs, targets, weight)
    real = np.repeat(np.asarray(weight) > 0, task.versions_each)
    version, said = (
        np.asarray(targets.version_N)[real],
        {n: np.asarray(o, np.float64)[real] for n, o in outputs.items()},
    )
    log = {name: o - np.log(np.exp(o).sum(1, keepdims=True)) for name, o in said.items()}
    expected = sum(log_loss(version, np.exp(o), labels=range(6)) for o in log.values())
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    scores = {name: total / count for name, (total, count) in metrics.items()}
    each = {f"accuracy/{name}": accuracy_score(version, o.argmax(1)) for name, o in said.items()}
    for name, share in each.items():
        np.testing.assert_allclose(scores[name], share, rtol=1e-6)
    np.testing.assert_allclose(scores["accuracy"], np.mean(list(each.values())), rtol=1e-6)
    together = accuracy_score(version, sum(log.values()).argmax(1))
    np.testing.assert_allclose(scores["recognised"], together, rtol=1e-6)
    assert 0.3 < scores["accuracy"] < scores["recognised"] < 1
    np.testing.assert_allclose(metrics["recognised"][1], real.sum())


def test_a_signal_that_is_lacking_counts_for_nothing():
    task = Config().make()
    outputs, targets, weight = scored(task, lacking=0.3)
    real = {name: np.asarray(known) & np.repeat(np.asarray(weight) > 0, 6) for name, known in targets.known.items()}
    scoring = jax.value_and_grad(lambda o: task.loss(o, targets, weight), has_aux=True)
    (loss, metrics), slope = scoring(outputs)
    spoilt = {name: jnp.where(real[name][:, None], o, 50 * o[::-1]) for name, o in outputs.items()}
    (other_loss, other_metrics), _ = scoring(spoilt)
    chex.assert_trees_all_equal((loss, metrics), (other_loss, other_metrics))
    there = sum(known.sum() for known in real.values())
    error = 0.0
    for name, o in outputs.items():
        log = np.asarray(jax.nn.log_softmax(o))
        error -= log[np.arange(len(log)), np.asarray(targets.version_N)][real[name]].sum()
        right = (np.asarray(o).argmax(1) == targets.version_N)[real[name]]
        np.testing.assert_allclose(metrics[f"accuracy/{name}"], (right.sum(), real[name].sum()))
        assert slope[name][real[name]].any() and not slope[name][~real[name]].any()
    np.testing.assert_allclose(loss, 3 * error / there, rtol=1e-5)  # three times the mean over what is there
    any_known = np.any(list(real.values()), axis=0)
    assert metrics["recognised"][1] == any_known.sum() < 240
    assert metrics["accuracy"][1] == there


def test_a_signal_that_the_encoder_dropped_is_as_one_that_is_lacking():
    task = Config().make()
    outputs, targets, weight = scored(task, lacking=0.3)
    lacking = task.loss(outputs, targets, weight)
    silent = {name: jnp.where(targets.known[name][:, None], o, 0.0) for name, o in outputs.items()}
    everything = Targets(targets.version_N, {name: jnp.ones_like(known) for name, known in targets.known.items()})
    chex.assert_trees_all_close(task.loss(silent, everything, weight), lacking, rtol=1e-6)


def test_predictions_are_of_each_modality_and_nan_where_it_is_lacking():
    task = Config().make()
    outputs, targets, _ = scored(task, windows=20, lacking=0.4)
    predictions = task.predict(outputs, targets)
    assert sorted(predictions) == ["version", *(f"version_probability/{name}" for name in modalities.NAMES)]
    np.testing.assert_array_equal(predictions["version"], np.tile(np.arange(6), (20, 1)))
    for name, o in outputs.items():
        said, known = predictions[f"version_probability/{name}"], np.asarray(targets.known[name]).reshape(20, 6)[:, 0]
        assert said.shape == (20, 6, 6) and 0 < known.sum() < 20
        np.testing.assert_allclose(said[known], jax.nn.softmax(o).reshape(20, 6, 6)[known], rtol=1e-6)
        assert np.isnan(said[~known]).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"distortions": ()}, "task.distortions is empty"),
        ({"distortions": (Distortion.CROP,) * 2}, "task.distortions names crop twice"),
        ({"dropout": 1.0}, "task.dropout=1.0"),
        ({"hidden": 0}, "task.hidden=0"),
        ({"crop_pieces": 1}, "task.crop_pieces=1"),
    ],
)
def test_mistakes_are_refused_by_name(fields, message):
    with pytest.raises(UserError, match=message):
        Config(**fields).make()


def test_a_modality_that_no_window_has_may_be_left_out():
    task, given = Config().make(), jax.tree.map(jnp.asarray, batch(4))
    del given["signals"]["temp"]
    signals, targets = task.view(KEY, given)
    variables = task.head().init(KEY, encoded(24), signals, train=False)
    vectors = encoded(24)
    vectors.by_modality["temp"] = jnp.zeros_like(vectors.by_modality["temp"])
    outputs = task.head().apply(variables, vectors, signals, train=False)
    loss, metrics = task.loss(outputs, targets, given["weight"])
    assert np.isfinite(loss) and metrics["accuracy/temp"][1] == 0 and metrics["accuracy/eda"][1] == 24
    assert np.isnan(task.predict(outputs, targets)["version_probability/temp"]).all()
