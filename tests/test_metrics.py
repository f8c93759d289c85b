"""Scores against scikit-learn, intervals against resampling by hand, and the files that keep predictions."""

import dataclasses
import math
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


def copies_of(p, count_S):
    """(windows, person, copy) of a draw that holds subject s count_S[s] times."""
    drawn = [(s, copy) for s, n in zip(np.unique(p.subject_N), count_S, strict=True) for copy in range(n)]
    rows = [np.flatnonzero(p.subject_N == s) for s, _ in drawn]
    owner = np.concatenate([[number] * len(r) for number, r in enumerate(rows)])
    return np.concatenate(rows), np.array([s for s, _ in drawn])[owner], np.array([c for _, c in drawn])[owner]


def auroc_by_hand(label_N, score_N, person_N, copy_N):
    """Share of pairs in the right order, without pairs of two copies of one person."""
    pairs = [
        (score_N[i] > score_N[j]) + 0.5 * (score_N[i] == score_N[j])
        for i in np.flatnonzero(label_N)
        for j in np.flatnonzero(~label_N)
        if person_N[i] != person_N[j] or copy_N[i] == copy_N[j]
    ]
    return np.mean(pairs)


def test_bootstrap_equals_scores_of_the_resampled_subjects():
    p = made_up(num_classes=3, num=90, num_subjects=6)
    draws = metrics.bootstrap(p, num_resamples=20, seed=3)
    for r, count_S in enumerate(np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), 20)):
        rows, person_N, copy_N = copies_of(p, count_S)
        label_N, said_NC = p.label_N[rows], p.probability_NC[rows]
        by_hand = metrics.scores(label_N, said_NC)
        lacks = len(np.unique(label_N)) < 3
        auroc = lacks or [auroc_by_hand(label_N == k, said_NC[:, k], person_N, copy_N) for k in range(3)]
        by_hand |= {"auroc": np.nan if lacks else np.mean(auroc)}
        by_hand |= dict.fromkeys(("balanced_accuracy", "macro_f1", "harmonic_f1"), np.nan) if lacks else {}
        for name in metrics.SCORES:
            assert draws[name][r] == pytest.approx(by_hand[name], rel=1e-9, nan_ok=True), name


def test_draws_that_lack_a_class_are_not_defined():
    """Else the class prior of people with one class each would have an interval up to 1."""
    label_N = np.repeat([0, 0, 0, 1], 10)
    p = Predictions(label_N, np.tile([0.6, 0.4], (40, 1)), np.repeat(list("abcd"), 10))
    draws, all_calm = metrics.bootstrap(p, 200), np.isnan(metrics.bootstrap(p, 200)["auroc"])
    assert 0.2 < all_calm.mean() < 0.5  # (3 / 4) ** 4, and 1 in 256 holds the other class alone
    for name in ("balanced_accuracy", "macro_f1", "harmonic_f1"):
        np.testing.assert_array_equal(np.isnan(draws[name]), all_calm, err_msg=name)
    assert not np.isnan(draws["accuracy"]).any()
    assert metrics.interval(0.5, draws["balanced_accuracy"], 4, "balanced_accuracy") == (0.5, 0.5)


def test_interval_of_a_mean_is_students():
    from scipy import stats

    values = np.array([0.6, 0.7, 0.55, 0.8, np.nan, 0.2])
    mean, *ends = metrics.mean_over_subjects(values, num_resamples=200_000)
    kept = values[np.isfinite(values)]
    assert mean == pytest.approx(kept.mean())
    assert ends == pytest.approx(stats.t.interval(0.95, 4, loc=kept.mean(), scale=stats.sem(kept)), rel=0.01)


@pytest.mark.parametrize(("score", "there", "back"), [
    ("auroc", lambda x: np.log(x / (1 - x)), lambda x: 1 / (1 + np.exp(-x))),
    ("log_loss", np.log, np.exp),
])  # fmt: skip
def test_interval_of_a_score_is_students_on_its_scale(score, there, back):
    from scipy import stats

    draws_R, value, num = np.random.default_rng(0).normal(0.9, 0.03, 500), 0.91, 8
    slope = (there(value + 1e-6) - there(value - 1e-6)) / 2e-6
    half = stats.t.ppf(0.975, num - 1) * draws_R.std(ddof=1) * np.sqrt(num / (num - 1)) * slope
    expected = back(there(value) - half), back(there(value) + half)
    found = metrics.interval(value, np.append(draws_R, np.nan), num, score)
    assert found == pytest.approx(expected, rel=1e-6)


def test_interval_of_auroc_holds_the_truth_and_errs_on_both_sides():
    """With percentiles and pairs between copies of one person, every sixth of these is too high."""
    people, windows, effect, offset = 18, 20, 3.0, 4.0
    label_N, subject_N = np.tile(np.arange(windows) % 2, people), np.repeat(np.arange(people), windows).astype(str)
    truth = 0.5 * (1 + math.erf(effect / math.sqrt(1 + offset**2) / 2))  # of windows of two people
    rng, too_high, too_low, studies = np.random.default_rng(0), 0, 0, 120
    for _ in range(studies):
        score_N = effect * label_N + np.repeat(rng.normal(0, offset, people), windows) + rng.normal(size=len(label_N))
        said_N = 1 / (1 + np.exp(-score_N))
        p = Predictions(label_N, np.c_[1 - said_N, said_N], subject_N)
        draws_R = metrics.bootstrap(p, num_resamples=100)["auroc"]
        low, high = metrics.interval(metrics.pooled(p)["auroc"], draws_R, people, "auroc")
        too_high, too_low = too_high + (low > truth), too_low + (high < truth)
    assert too_high <= 0.04 * studies and too_low <= 0.04 * studies
    assert 0.93 <= 1 - (too_high + too_low) / studies <= 0.995


@pytest.mark.parametrize(
    ("value", "draws", "score"),
    [(1e-4, [0.02, 0.05, 0.03], "ece"), (1.0, [0.9, 1.0, 0.95], "auroc"), (0.0, [0, 0.1], "ece")],
)
def test_the_interval_of_a_score_at_the_end_of_its_range_stays_in_it(value, draws, score):
    low, high = metrics.interval(value, np.array(draws), 9, score)
    assert 0 <= low <= value <= high <= 1 and high - low < 0.2


def test_bootstrap_is_seeded_and_fast():
    p = made_up(num=4000, num_subjects=40)
    before = time.process_time()
    first = metrics.bootstrap(p)["auroc"]
    assert time.process_time() - before < 2  # 0.05 s here
    np.testing.assert_array_equal(first, metrics.bootstrap(p)["auroc"])
    value = metrics.pooled(p)["auroc"]
    low, high = metrics.interval(value, first, 40, "auroc")
    assert low < value < high
    assert not np.array_equal(first, metrics.bootstrap(p, seed=1)["auroc"])


@pytest.mark.parametrize(("draws", "num_subjects"), [([0.1, np.nan], 9), ([0.1, 0.2], 1)])
def test_interval_needs_two_draws_and_two_subjects(draws, num_subjects):
    assert np.isnan(metrics.interval(0.1, np.array(draws), num_subjects)).all()


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
