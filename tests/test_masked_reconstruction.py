import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.errors import UserError
from ecgjax.models.base import Encoded
from ecgjax.tasks import masked_reconstruction as mr


def mask_of(shape=(200, 1280), probability=0.0325, span=20, seed=0) -> np.ndarray:
    return np.asarray(mr.span_mask(jax.random.key(seed), shape, probability, span))


def batch(batch_size=4, samples=640, channels=1) -> dict:
    signal = np.random.default_rng(0).standard_normal((batch_size, samples, channels), np.float32)
    return {"signals": {"ecg": jnp.asarray(signal)}}


def test_a_sample_is_hidden_as_often_as_the_spans_that_reach_it_start():
    mask = mask_of()
    reach = np.minimum(np.arange(1280) + 1, 20)  # starts that can hide a sample: fewer at the beginning
    expected = 1 - (1 - 0.0325) ** reach
    np.testing.assert_allclose(mask.mean(), expected.mean(), atol=0.01)  # 0.48; the paper says about 47.5 %
    np.testing.assert_allclose(mask[:, :20].mean(0), expected[:20], atol=0.12)
    np.testing.assert_allclose(mask[:, 0].mean(), 0.0325, atol=0.04)


def test_hidden_runs_are_a_span_or_longer_except_at_the_end():
    lengths, at_end = [], []
    for row in mask_of(span=20):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        lengths += list(edges[1::2] - edges[::2])
        at_end += list(edges[1::2] == len(row))
    lengths, at_end = np.array(lengths), np.array(at_end)
    assert lengths[~at_end].min() == 20
    assert (lengths > 20).any()  # overlaps


def test_every_window_has_something_hidden():
    rare = mask_of((500, 50), probability=1e-9, span=3)
    assert rare.any(1).all()
    assert rare.sum(1).max() == 3
    assert len(np.unique(rare.argmax(1))) > 20  # not always at the same place


def test_the_mask_follows_the_key():
    assert (mask_of(seed=1) == mask_of(seed=1)).all()
    assert (mask_of(seed=1) != mask_of(seed=2)).any()
    assert (mask_of()[0] != mask_of()[1]).any()  # windows are masked each in its own way


@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_samples_are_zero_in_all_channels_and_the_rest_is_as_it_was(channels):
    original = batch(channels=channels)
    signals, targets = mr.Config().make().view(jax.random.key(0), original)
    mask, hidden = np.asarray(targets.mask_BT), np.asarray(signals["ecg"])
    assert (hidden[mask] == 0).all()
    np.testing.assert_array_equal(hidden[~mask], np.asarray(original["signals"]["ecg"])[~mask])
    np.testing.assert_array_equal(targets.signal_BTC, original["signals"]["ecg"])


def test_noise_replaces_by_standard_normal_draws():
    original = batch(64)
    signals, targets = mr.Config(replacement=mr.Replacement.NOISE).make().view(jax.random.key(0), original)
    hidden = np.asarray(signals["ecg"])[np.asarray(targets.mask_BT)]
    np.testing.assert_allclose([hidden.mean(), hidden.std()], [0, 1], atol=0.02)
    assert (hidden != np.asarray(original["signals"]["ecg"])[np.asarray(targets.mask_BT)]).all()


def test_other_modalities_pass_untouched():
    original = batch()
    original["signals"]["eda"] = jnp.ones((4, 20, 1))
    signals, _ = mr.Config().make().view(jax.random.key(0), original)
    assert (signals["eda"] == 1).all()
    assert (signals["ecg"] == 0).any()


def test_the_loss_is_the_mean_square_over_hidden_samples_alone():
    task, original = mr.Config().make(), batch(channels=2)
    _, targets = task.view(jax.random.key(0), original)
    outputs = jnp.asarray(np.random.default_rng(1).standard_normal((4, 640, 2), np.float32))
    weight = jnp.asarray([1.0, 1.0, 1.0, 0.0])
    (loss, metrics), slope = jax.value_and_grad(lambda o: task.loss(o, targets, weight), has_aux=True)(outputs)
    mask = np.asarray(targets.mask_BT)[:3]
    error = (np.asarray(outputs) - np.asarray(original["signals"]["ecg"]))[:3][mask]
    target = np.asarray(original["signals"]["ecg"])[:3][mask]
    np.testing.assert_allclose(loss, np.mean(error**2), rtol=1e-5)
    np.testing.assert_allclose(metrics["masked_fraction"][0] / metrics["masked_fraction"][1], mask.mean(), rtol=1e-5)
    explained = 1 - np.sum(error**2) / np.sum(target**2)
    np.testing.assert_allclose(metrics["explained"][0] / metrics["explained"][1], explained, rtol=1e-4)
    assert not np.asarray(slope)[:3][~mask].any()
    assert np.asarray(slope)[:3][mask].all()


def test_explained_is_one_for_the_truth_and_zero_for_silence():
    task, original = mr.Config().make(), batch()
    _, targets = task.view(jax.random.key(0), original)
    for outputs, expected in ((targets.signal_BTC, 1.0), (jnp.zeros_like(targets.signal_BTC), 0.0)):
        total, count = task.loss(outputs, targets, jnp.ones(4))[1]["explained"]
        np.testing.assert_allclose(total / count, expected, atol=1e-6)


@pytest.mark.parametrize(("samples", "tokens"), [(96, 96), (96, 12), (100, 13)])
def test_each_token_says_the_samples_it_stands_for(samples, tokens):
    head = mr.Config().make().head()
    signals = {"ecg": jnp.zeros((2, samples, 2))}
    rng = np.random.default_rng(0)
    encoded = Encoded(jnp.asarray(rng.standard_normal((2, tokens, 16), np.float32)), jnp.zeros((2, 16)))
    said, variables = head.init_with_output(jax.random.key(0), encoded, signals, train=False)
    assert said.shape == (2, samples, 2)
    moved = encoded.replace(tokens_BLD=encoded.tokens_BLD.at[:, 2].add(1))
    changed = np.flatnonzero((head.apply(variables, moved, signals, train=False) != said).any((0, 2)))
    per_token = -(-samples // tokens)
    np.testing.assert_array_equal(changed, np.arange(2 * per_token, 3 * per_token))


@pytest.mark.parametrize(
    ("field", "value"), [("mask_probability", 0.0), ("mask_probability", 1.5), ("mask_span", 0), ("head_hidden", 0)]
)
def test_impossible_masks_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=f"task.{field}"):
        mr.Config(**{field: value}).make()
