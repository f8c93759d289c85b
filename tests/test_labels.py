import dataclasses

import numpy as np
import pytest

from ecgjax.config import Data, Label, LabelRule, Rounding, Ties, Unit
from ecgjax.data.labels import classify, learn, limit, shuffle_trials
from ecgjax.data.windows import find_windows
from ecgjax.errors import UserError
from tests.stores import alternating_labels, memory_store


@pytest.fixture
def rated():
    """Two people, three trials each of 20, 20 and 10 s: ratings 2, 5, 8 and 1, 5, 3."""
    rows = [
        (r, 20.0 * i, 20.0 * i + (20 if i < 2 else 10), v[i])
        for r, v in enumerate([(2, 5, 8), (1, 5, 3)])
        for i in range(3)
    ]
    data = Data(label=Label(name="arousal"))
    return find_windows([memory_store(subjects=2, labels={"arousal": rows})], data, 10.0)


@pytest.mark.parametrize(("ties", "expected"), [(Ties.LOW, 0), (Ties.HIGH, 1), (Ties.DROP, -1)])
def test_ties_at_the_threshold(rated, ties, expected):
    label = classify(rated, Label("arousal", LabelRule.THRESHOLD, 5.0, ties)).label
    assert label[rated.rating == 5].tolist() == [expected] * 4
    assert label[rated.rating == 8].tolist() == [1]
    assert label[rated.rating < 5].tolist() == [0] * 5


@pytest.mark.parametrize(
    ("ties", "expected"), [(Ties.LOW, [0, 0, 1, 2]), (Ties.HIGH, [0, 1, 2, 2]), (Ties.DROP, [0, -1, -1, 2])]
)
def test_bins_between_thresholds(rated, ties, expected):
    rating = np.array([1.0, 3.0, 5.0, 8.0, np.nan])
    five = dataclasses.replace(rated.take(np.arange(5)), rating=rating)
    label = Label("arousal", LabelRule.BINS, ties=ties, thresholds=(3.0, 5.0))
    assert classify(five, label).label.tolist() == [*expected, -1]


def test_classes_put_together(rated):
    label = Label("arousal", classes=(1, 2, 5, 8), positive=(5,))
    together = classify(rated, label).label
    assert (together == np.where(rated.rating == 5, 1, np.where(rated.rating == 3, -1, 0))).all()


def test_mean_counts_trials_not_windows(rated):
    learnt = learn(rated, Label("arousal", LabelRule.MEAN), rated.subjects)
    assert learnt.threshold == pytest.approx(np.mean([2, 5, 8, 1, 5, 3]))
    assert learn(rated, Label("arousal", LabelRule.MEDIAN), rated.subjects).threshold == 4


def test_mean_is_learnt_from_training_people_alone(rated):
    assert learn(rated, Label("arousal", LabelRule.MEAN), ["toy/s01"]).threshold == 3


def test_subjects_own_mean(rated):
    label = classify(rated, Label("arousal", LabelRule.SUBJECT_MEAN)).label
    means = {"toy/s00": 5, "toy/s01": 3}
    assert label.tolist() == [int(r > means[s]) for r, s in zip(rated.rating, rated.subject, strict=True)]


def test_classes_kept_and_renumbered(rated):
    label = classify(rated, Label("arousal", classes=(5, 1))).label
    assert label.tolist() == [{5: 0, 1: 1}.get(r, -1) for r in rated.rating]


@pytest.mark.parametrize(
    ("rounding", "expected"), [(Rounding.NEAREST, [2, 4, 4, 6, 6]), (Rounding.DOWN, [2, 3, 4, 5, 6])]
)
def test_ratings_between_whole_numbers(rated, rounding, expected):
    rated.rating[:] = np.nan
    rated.rating[:5] = [2.0, 3.5, 4.5, 5.6, 6.4]  # NumPy's round half to even, and a cut
    label = learn(rated, Label("arousal", rounding=rounding), rated.subjects)
    assert label.classes == tuple(sorted(set(expected)))
    classes = classify(rated, label).label
    assert [label.classes[c] for c in classes[:5]] == expected and (classes[5:] == -1).all()
    for use in (lambda wrong: learn(rated, wrong, rated.subjects), lambda wrong: classify(rated, wrong)):
        with pytest.raises(UserError, match='"arousal" is 3.5 in some windows, which is no class'):
            use(Label("arousal"))


@pytest.fixture
def many():
    """Ten people, ten windows each, every fifth of class 1; the last person has no class."""
    rows = [(r, 10.0 * i, 10.0 * i + 10, float(i % 5 == 0)) for r in range(10) for i in range(10)]
    store = memory_store(subjects=10, seconds=100, labels={"mood": rows})
    windows = classify(find_windows([store], Data(label=Label("mood")), 10.0), Label("mood"))
    windows.label[windows.subject == "toy/s09"] = -1
    return windows


@pytest.mark.parametrize(("fraction", "counts"), [(0.001, (1, 1)), (0.1, (7, 2)), (0.5, (36, 9)), (0.999, (72, 18))])
def test_a_share_of_the_windows_is_one_of_every_class(many, fraction, counts):
    ids = np.arange(len(many))
    kept = limit(many, ids, Label("mood", fraction=fraction), seed=0)
    assert np.bincount(many.label[kept]).tolist() == list(counts)
    assert len(np.unique(many.subject[kept])) > 1 and np.all(np.diff(kept) > 0)
    assert set(kept) <= set(limit(many, ids, Label("mood", fraction=min(1.2 * fraction, 1)), seed=0).tolist())
    assert fraction > 0.9 or kept.tolist() != limit(many, ids, Label("mood", fraction=fraction), seed=1).tolist()


@pytest.mark.parametrize(("fraction", "count"), [(0.001, 1), (0.34, 3), (0.5, 4)])
def test_a_share_of_the_subjects_keeps_them_whole(many, fraction, count):
    label = Label("mood", fraction=fraction, fraction_of=Unit.SUBJECTS)
    kept = limit(many, np.arange(len(many)), label, seed=0)
    people = np.unique(many.subject[kept])
    assert len(people) == count and "toy/s09" not in people and len(kept) == 10 * count
    more = limit(many, np.arange(len(many)), Label("mood", fraction=0.8, fraction_of=Unit.SUBJECTS), seed=0)
    assert set(kept) < set(more.tolist())


def test_rating_that_is_missing_has_no_class(rated):
    rated.rating[0] = np.nan
    assert classify(rated, Label("arousal", LabelRule.THRESHOLD, 4.0)).label[0] == -1


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (Label("arousal", LabelRule.THRESHOLD, 9.0), r"leaves 1 class\(es\)"),
        (Label("arousal", LabelRule.THRESHOLD, classes=(1, 2)), "data.label.classes goes with rule CLASS"),
        (Label("arousal", LabelRule.THRESHOLD, positive=(1,)), "data.label.positive goes with rule CLASS"),
        (Label("arousal", classes=(1, 5), positive=(2,)), "data.label.positive: 2 is none of the classes"),
    ],
)
def test_what_leaves_nothing_to_tell_apart_is_refused(rated, label, message):
    with pytest.raises(UserError, match=message):
        classify(rated, label)


def test_shuffled_trials_stay_with_their_person_and_whole(rated):
    store = memory_store(subjects=6, seconds=200, labels={"mood": alternating_labels(6, 200)})
    windows = find_windows([store], Data(window_s=5.0, label=Label(name="mood")), 5.0)
    shuffled = shuffle_trials(windows, seed=0)
    assert (shuffled.rating != windows.rating).mean() > 0.3
    for subject in windows.subjects:
        mine = windows.subject == subject
        assert sorted(shuffled.rating[mine]) == sorted(windows.rating[mine])
    pairs = shuffled.rating.reshape(-1, 2)  # both windows of a trial of ten seconds
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])


@pytest.mark.parametrize(("classes", "wrong"), [((1, 7), 7), ((-1, 1, 2), -1), ((1, 2, 2), 2)])
def test_classes_that_nobody_has_or_named_twice_are_refused(rated, classes, wrong):
    with pytest.raises(UserError, match=f"data.label.classes: {wrong} is named twice, or no window"):
        learn(rated, Label("arousal", classes=classes), rated.subjects)
