"""Scores against scikit-learn, intervals against resampling by hand, and the files that keep predictions."""

import dataclasses
import time

import numpy as np
import pytest

from ecgjax.errors import DataError
from ecgjax.evaluation import metrics
from ecgjax.evaluation.predictions import Predictions, concatenate


def made_up(num=400, num_classes=2, num_subjects=12, seed=0, **columns) -> Predictions:
    """Predictions with some skill, ties among them, and unequal subjects."""
    rng = np.random.default_rng(seed)
    label_N = rng.choice(num_classes, num, p=np.arange(1, num_classes + 1) / np.arange(1, num_classes + 1).sum())
    logit_NC = rng.normal(size=(num, num_classes)).round(1) + np.eye(num_classes)[label_N]
    probability_NC = np.exp(logit_NC) / np.exp(logit_NC).sum(1, keepdims=True)
    columns = {"subject_N": rng.geometric(0.2, num).clip(max=num_subjects).astype(str)} | columns
    return Predictions(label_N, probability_NC, **columns)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_scores_equal_scikit_learn(num_classes):
    from sklearn import metrics as sk

    p = made_up(num_classes=num_classes)
    y, said, guess = p.label_N, p.probability_NC, p.probability_NC.argmax(1)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(y, guess, average="macro")
    ranked = {"y_score": said[:, 1]} if num_classes == 2 else {"y_score": said, "multi_class": "ovr"}
    expected = {
        "accuracy": sk.accuracy_score(y, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess),
        "macro_f1": f1,
        "harmonic_f1": 2 * precision * recall / (precision + recall),
        "auroc": sk.roc_auc_score(y, **ranked),
        "log_loss": sk.log_loss(y, said),
        "brier": sk.brier_score_loss(y, said[:, 1] if num_classes == 2 else said),
    }
    found = metrics.scores(y, said)
    assert found.keys() == set(metrics.SCORES)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name
    assert abs(found["macro_f1"] - found["harmonic_f1"]) > 1e-4  # two definitions, not one under two names


def test_class_that_never_occurs_is_left_out_as_scikit_learn_does():
    from sklearn.metrics import f1_score

    label_N, guess_N = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])  # of three classes
    found = metrics.scores(label_N, np.eye(3)[guess_N])
    assert found["macro_f1"] == pytest.approx(f1_score(label_N, guess_N, average="macro"), rel=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert np.isnan(found["auroc"])


def test_expected_calibration_error_and_curve_by_hand():
    said = np.array([0.05, 0.05, 0.95, 0.95, 1.0])
    label = np.array([0, 1, 1, 1, 0])
    p = Predictions(label, np.c_[1 - said, said], "a")
    # lowest bin: said .05, came .5, 2 windows; highest (1.0 is in it): said 2.9 / 3, came 2 / 3, 3 windows
    assert metrics.scores(label, p.probability_NC)["ece"] == pytest.approx((2 * 0.45 + 3 * 0.3) / 5)
    curve = metrics.calibration_curve(p)
    np.testing.assert_allclose(curve["said"], [0.05, 2.9 / 3])
    np.testing.assert_allclose(curve["came"], [0.5, 2 / 3])
    assert curve["count"].tolist() == [2, 3]


def test_one_class_gives_nan_auroc_that_is_counted():
    p = made_up(fold_N=np.repeat([0, 1, 2, 3], 100))
    label_N = p.label_N.copy()
    label_N[p.fold_N == 2] = 1
    folds = metrics.per_fold(dataclasses.replace(p, label_N=label_N))
    assert np.flatnonzero(np.isnan(folds["auroc"])).tolist() == [2]
    found = metrics.spread(folds["auroc"])
    assert (found.count, found.undefined) == (4, 1)
    assert found.mean == pytest.approx(np.delete(folds["auroc"], 2).mean())


def test_t_interval_equals_scipy():
    from scipy import stats

    values = np.array([0.6, 0.7, 0.55, 0.8])
    found = metrics.spread(values)
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)


def test_bootstrap_equals_scores_of_the_resampled_subjects():
    p = made_up(num_classes=3, num=150, num_subjects=6)
    subjects = np.unique(p.subject_N)
    draws = metrics.bootstrap(p, num_resamples=20, seed=3)
    counts = np.random.default_rng(3).multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), 20)
    for r, count_S in enumerate(counts):
        rows = np.concatenate(
            [np.flatnonzero(p.subject_N == s) for s, n in zip(subjects, count_S, strict=True) for _ in range(n)]
        )
        by_hand = metrics.scores(p.label_N[rows], p.probability_NC[rows])
        for name in metrics.SCORES:
            assert draws[name][r] == pytest.approx(by_hand[name], rel=1e-9, nan_ok=True), name


def test_bootstrap_is_seeded_and_fast():
    p = made_up(num=4000, num_subjects=40)
    before = time.process_time()
    first = metrics.bootstrap(p)["auroc"]
    assert time.process_time() - before < 2  # 0.05 s here
    np.testing.assert_array_equal(first, metrics.bootstrap(p)["auroc"])
    low, high = metrics.interval(first)
    assert low < metrics.pooled(p)["auroc"] < high
    assert not np.array_equal(first, metrics.bootstrap(p, seed=1)["auroc"])


def test_interval_leaves_out_draws_that_are_not_defined():
    assert metrics.interval(np.array([0.1, np.nan, 0.9])) == pytest.approx((0.12, 0.88))
    assert np.isnan(metrics.interval(np.array([0.1, np.nan]))).all()


def test_scores_are_averaged_over_seeds_not_ranked_across_them():
    one, two = made_up(seed=0), made_up(seed=1)
    two = dataclasses.replace(two, seed_N=1)
    expected = np.mean([metrics.pooled(one)["auroc"], metrics.pooled(two)["auroc"]])
    assert metrics.pooled(concatenate([one, two]))["auroc"] == pytest.approx(expected, rel=1e-12)


def test_per_subject_scores_are_those_of_the_subject():
    p = made_up()
    found = metrics.per_subject(p)
    assert found["subject"].tolist() == sorted(set(p.subject_N.tolist()))
    mine = p.select(p.subject_N == "3")
    assert found["accuracy"][found["subject"] == "3"] == (mine.label_N == mine.probability_NC.argmax(1)).mean()


def test_curves_equal_scikit_learn():
    from sklearn import metrics as sk

    p = made_up(num_classes=3)
    false, true = metrics.roc_curve(p, positive=2)
    expected = sk.roc_curve(p.label_N == 2, p.probability_NC[:, 2], drop_intermediate=False)
    np.testing.assert_allclose(false, expected[0], atol=1e-15)
    np.testing.assert_allclose(true, expected[1], atol=1e-15)
    np.testing.assert_array_equal(metrics.confusion(p), sk.confusion_matrix(p.label_N, p.probability_NC.argmax(1)))


def test_predictions_come_back_from_the_disk(tmp_path):
    p = made_up(
        num=20, recording_N=np.arange(20).astype(str), start_s_N=np.arange(20) * 0.1, classes=("rest", "stress")
    )
    p.save(tmp_path / "predictions.npz")
    back = Predictions.load(tmp_path / "predictions.npz")
    for field in dataclasses.fields(Predictions):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(p, field.name))
    assert [f.name for f in tmp_path.iterdir()] == ["predictions.npz"]


@pytest.mark.parametrize("content", [b"", b"not a zip", "truncated", "other arrays", "pickle"])
def test_a_file_that_is_no_predictions_is_named(tmp_path, content):
    path = tmp_path / "predictions.npz"
    if content == "truncated":
        made_up(num=20).save(path)
        path.write_bytes(path.read_bytes()[:-100])
    elif content == "other arrays":
        np.savez(path, x=np.zeros(3))
    elif content == "pickle":
        np.savez(path, label_N=np.array([{}], dtype=object))
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"predictions\.npz: not a predictions file"):
        Predictions.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="absent.npz: no such file"):
        Predictions.load(tmp_path / "absent.npz")


@pytest.mark.parametrize(
    ("label", "probability"), [([2], [[0.5, 0.5]]), ([-1], [[0.5, 0.5]]), ([0], [[np.nan, 0.5]]), ([0], [[0.2, 0.2]])]
)
def test_predictions_that_cannot_be_are_refused(label, probability):
    with pytest.raises(ValueError, match="labels|probabilities"):
        Predictions(np.array(label), np.array(probability), "a")
