"""The baselines find a known effect, learn nothing from the test windows, and survive windows without beats."""

import numpy as np

from ecgjax.evaluation import baselines, metrics
from ecgjax.evaluation.physiology import Features
from tests.test_physiology import ecg, of_ecg


def folds_of(subject_N: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.flatnonzero(subject_N != s), np.flatnonzero(subject_N == s)) for s in np.unique(subject_N)]


def study(num_subjects: int = 4, num_windows: int = 20, shift: float = 3.0):
    """Features of which only the heart rate differs between two classes, by `shift` standard deviations."""
    rng = np.random.default_rng(0)
    num = num_subjects * num_windows
    label_N, subject_N = rng.integers(0, 2, num), np.repeat(np.arange(num_subjects), num_windows).astype(str)
    table_NF = np.c_[70 + 5 * rng.normal(size=num) + 5 * shift * label_N, rng.normal(size=(num, 3))]
    return Features(table_NF, ("heart_rate", "a", "b", "c")), label_N, subject_N


def test_windows_without_beats_are_counted_and_still_predicted():
    windows = [ecg(60 + 30 * (i % 2), i) for i in range(16)]
    windows[2], windows[5], windows[7] = np.zeros(1280), np.full(1280, np.nan), np.full(1280, 3.0)
    found = of_ecg(np.stack(windows))
    assert np.flatnonzero(np.isnan(found.table_NF[:, 0])).tolist() == [2, 5, 7]
    assert found.num_beatless == 3
    subject_N = np.repeat(["a", "b", "c", "d"], 4)
    results = baselines.run(found, np.tile([0, 1], 8), subject_N, folds_of(subject_N), ("low", "high"))
    assert all(len(each) == 16 for each in results.values())
    # a gap is filled with the median of the training windows, which lies between the classes
    filled = results["heart rate"].probability_NC[2, 1]
    assert results["heart rate"].probability_NC[0, 1] < filled < results["heart rate"].probability_NC[1, 1]


def test_a_known_effect_is_found_and_a_missing_one_is_not():
    found, label_N, subject_N = study()
    results = baselines.run(found, label_N, subject_N, folds_of(subject_N), ("low", "high"))
    assert list(results) == ["class prior", "heart rate", "HRV, logistic", "HRV, forest"]
    scores = {name: metrics.pooled(each)["auroc"] for name, each in results.items()}
    assert metrics.per_fold(results["class prior"])["auroc"].tolist() == [0.5] * 4
    assert min(scores["heart rate"], scores["HRV, logistic"], scores["HRV, forest"]) > 0.9  # 0.98 in theory
    found, label_N, subject_N = study(shift=0.0)
    results = baselines.run(found, label_N, subject_N, folds_of(subject_N)[:2], ("low", "high"))
    assert metrics.pooled(results["heart rate"])["auroc"] < 0.65


def test_heart_rate_baseline_sees_the_heart_rate_only():
    found, label_N, subject_N = study(shift=0.0)
    found.table_NF[:, 1] = label_N  # a second feature that tells everything
    results = baselines.run(found, label_N, subject_N, folds_of(subject_N)[:2], ("low", "high"))
    assert metrics.pooled(results["heart rate"])["auroc"] < 0.65
    assert metrics.pooled(results["HRV, logistic"])["auroc"] == 1.0


def test_nothing_is_learnt_from_the_test_windows():
    found, label_N, subject_N = study()
    folds = folds_of(subject_N)[:1]
    test = folds[0][1]
    found.table_NF[test[:3]] = np.nan
    before = baselines.run(found, label_N, subject_N, folds, ("low", "high"))
    changed = found.table_NF.copy()
    changed[test[-1]] = 1e6  # would move a scale or a median that were fitted on it
    flipped_N = np.where(np.isin(np.arange(len(label_N)), test), 1 - label_N, label_N)
    after = baselines.run(Features(changed, found.names), flipped_N, subject_N, folds, ("low", "high"))
    for name in before:
        np.testing.assert_array_equal(after[name].probability_NC[:-1], before[name].probability_NC[:-1])


def test_training_windows_of_one_class_give_the_prior():
    found, label_N, subject_N = study()
    label_N[20:] = 2
    results = baselines.run(found, label_N, subject_N, folds_of(subject_N)[:1], ("a", "b", "c"))
    for each in results.values():
        np.testing.assert_array_equal(each.probability_NC, np.tile([0.0, 0.0, 1.0], (20, 1)))


def test_a_class_the_training_windows_lack_gets_zero():
    found, label_N, subject_N = study()
    label_N += 1
    label_N[:2] = 0  # only subject "0" has it
    each = baselines.run(found, label_N, subject_N, folds_of(subject_N)[:2], ("a", "b", "c"))["heart rate"]
    np.testing.assert_array_equal(each.probability_NC[:20, 0], 0.0)
    assert (each.probability_NC[20:, 0] > 0).all()


def test_predictions_carry_fold_seed_and_place():
    found, label_N, subject_N = study(num_subjects=3)
    folds = folds_of(subject_N)[::-1]
    each = baselines.run(
        found, label_N, subject_N, folds, ("low", "high"), seed=4, start_s_N=np.arange(60.0), recording_N=subject_N
    )["class prior"]
    np.testing.assert_array_equal(each.start_s_N, np.concatenate([test for _, test in folds]))
    assert each.fold_N.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert each.seed_N[0] == 4
    assert each.recording_N[0] == "2"
