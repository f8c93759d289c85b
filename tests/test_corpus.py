"""The corpus: which windows train, choose and test, on which grid, with whose labels."""

import dataclasses

import numpy as np
import pytest

from ecgjax.config import ChooseOn, Data, Label, LabelRule, Protocol, Split, Unit
from ecgjax.data import corpus
from ecgjax.data.corpus import open_corpus, recording_keys
from ecgjax.errors import UserError
from tests.stores import alternating_labels, memory_store

SPLIT = Split(num_folds=5, fold=1, validation_fraction=0.3)


def opened(monkeypatch, data, *stores):
    monkeypatch.setattr(corpus, "open_stores", lambda data: list(stores))
    return open_corpus(data)


def labelled(subjects=10, **fields):
    """Ten people with ten trials each, calm and wild in turn."""
    rows = alternating_labels(subjects, 100)
    return memory_store(
        subjects=subjects, seconds=100, labels={"mood": rows}, classes={"mood": ("calm", "wild")}, **fields
    )


def rated(subjects=10):
    """Five trials a person, around a mean that differs between people."""
    rows = [(r, 20.0 * i, 20.0 * i + 20, 1.0 + r / 2 + i / 2) for r in range(subjects) for i in range(5)]
    return memory_store(subjects=subjects, seconds=100, labels={"arousal": rows})


def sides(found):
    tested = sorted(set(found.eval_windows.subject[found.test].tolist()))
    return found.train_subjects, found.validation_subjects, tested


def test_training_and_evaluation_windows_lie_on_their_own_grids(monkeypatch):
    store = memory_store(subjects=10)
    found = opened(monkeypatch, Data(stride_s=2.5, eval_stride_s=10.0, split=SPLIT), store)
    first = found.windows.recording == 0
    assert found.windows.start_s[first].tolist() == [2.5 * i for i in range(21)]
    first = found.eval_windows.recording == 0
    assert found.eval_windows.start_s[first].tolist() == [10.0 * i for i in range(6)]
    assert len(found.train) == 21 * len(found.train_subjects)
    assert len(found.test) == 6 * 2 and len(found.validation) == 6 * 2


@pytest.mark.parametrize("fold", range(5))
def test_the_training_stride_moves_nobody_to_another_side(monkeypatch, fold):
    store, split = memory_store(subjects=10), dataclasses.replace(SPLIT, fold=fold)
    all_sides = [sides(opened(monkeypatch, Data(stride_s=s, split=split), store)) for s in (10.0, 5.0, 1.0)]
    assert all_sides[0] == all_sides[1] == all_sides[2]
    assert sorted(sum(all_sides[0], [])) == [f"toy/s{i:02d}" for i in range(10)]


def test_a_learnt_threshold_is_that_of_the_training_people(monkeypatch):
    data = Data(label=Label("arousal", LabelRule.MEAN), split=SPLIT)
    found = opened(monkeypatch, data, rated())
    numbers = [int(subject[-2:]) for subject in found.train_subjects]
    assert found.label.threshold == pytest.approx(np.mean([2 + n / 2 for n in numbers]))
    assert found.label.threshold != pytest.approx(2 + 4.5 / 2), "the mean of all people would pass too"
    assert found.class_names == ("low", "high")
    for windows in (found.windows, found.eval_windows):
        np.testing.assert_array_equal(windows.label, windows.rating > found.label.threshold)


def test_windows_without_a_class_are_on_no_side(monkeypatch):
    store = memory_store(
        subjects=10, labels={"mood": [(r, 20.0 * i, 20.0 * i + 20, i) for r in range(10) for i in range(3)]}
    )
    found = opened(monkeypatch, Data(label=Label("mood", classes=(0, 2)), split=SPLIT), store)
    used = np.concatenate([found.validation, found.test])
    assert set(found.windows.rating[found.train]) == set(found.eval_windows.rating[used]) == {0, 2}
    assert set(found.eval_windows.rating[found.learnt]) == {0, 2}


def mostly_calm(wild=()):
    """Ten people, of whom but these few are calm throughout."""
    rows = [(r, 10.0 * i, 10.0 * i + 10, float(r in wild and i % 2)) for r in range(10) for i in range(6)]
    return memory_store(subjects=10, labels={"mood": rows}, classes={"mood": ("calm", "wild")})


def test_a_fold_that_would_train_on_one_class_is_named(monkeypatch):
    data = Data(label=Label("mood"), split=SPLIT)
    held = sides(opened(monkeypatch, data, labelled()))
    wild = [int(subject[-2:]) for subject in held[2]]  # all who are ever wild are tested
    message = 'data.split: fold 1: all windows to train on are "calm", of the classes calm, wild. Take another'
    with pytest.raises(UserError, match=message):
        opened(monkeypatch, data, mostly_calm(wild))
    opened(monkeypatch, data, mostly_calm([*wild, int(held[0][0][-2:])]))


def of_another_class(people):
    """The store of `labelled`, but that all trials of these people are neither calm nor wild."""
    gone = [int(subject[-2:]) for subject in people]
    rows = [(r, 10.0 * i, 10.0 * i + 10, 2.0 if r in gone else i % 2) for r in range(10) for i in range(10)]
    classes = {"mood": ("calm", "wild", "other")}
    return memory_store(subjects=10, seconds=100, labels={"mood": rows}, classes=classes)


def test_a_fold_whose_people_have_no_class_is_named_with_them(monkeypatch):
    held = sides(opened(monkeypatch, Data(label=Label("mood"), split=SPLIT), labelled()))[2]
    data, store = Data(label=Label("mood", classes=(0, 1)), split=SPLIT), of_another_class(held)
    with pytest.raises(UserError, match=f"fold 1 has nothing to test on: no window of {held[0]}, {held[1]} has one"):
        opened(monkeypatch, data, store)


def test_people_without_a_class_cannot_choose_the_epoch(monkeypatch):
    choosing = opened(monkeypatch, Data(label=Label("mood"), split=SPLIT), labelled()).validation_subjects
    data, store = Data(label=Label("mood", classes=(0, 1)), split=SPLIT), of_another_class(choosing)
    with pytest.raises(UserError, match=f"no window of {', '.join(choosing)}, who are to choose the epoch, has one of"):
        opened(monkeypatch, data, store)
    alone = dataclasses.replace(data, split=dataclasses.replace(SPLIT, validation_fraction=0.0))
    assert len(opened(monkeypatch, alone, store).validation) == 0


@pytest.mark.parametrize("label", ["", "mood"])
def test_a_recording_under_two_names_is_not_on_two_sides(monkeypatch, label):
    data = Data(label=Label(label), split=dataclasses.replace(SPLIT, protocol=Protocol.LEAVE_ONE_SUBJECT_OUT))
    data.split.fold, data.split.validation_fraction = 4, 0.0
    store = labelled()
    opened(monkeypatch, data, store)
    store.index["ecg/digest"][7] = store.index["ecg/digest"][4]
    with pytest.raises(UserError, match="a recording of toy/s07 is also one of toy/s04, sample by sample"):
        opened(monkeypatch, data, store)
    other = dataclasses.replace(data, split=dataclasses.replace(data.split, fold=0))
    opened(monkeypatch, other, store)  # both train
    data.split.protocol = Protocol.WINDOW
    opened(monkeypatch, data, store)


def test_what_a_baseline_learns_from_is_what_is_not_tested(monkeypatch):
    found = opened(monkeypatch, Data(label=Label("mood"), split=SPLIT), labelled())
    assert sorted([*found.learnt, *found.test]) == list(range(len(found.eval_windows)))


def test_where_an_oracle_chooses_the_epoch_nobody_learns_from_those_who_are_tested(monkeypatch):
    split = dataclasses.replace(SPLIT, choose_epoch_on=ChooseOn.TESTED)
    found = opened(monkeypatch, Data(label=Label("mood", fraction=0.5), split=split), labelled())
    assert found.validation.tolist() == found.test.tolist()
    assert len(found.test) == 2 * 10  # a share of the labels trains; all of them test
    assert len(found.train) == 8 * 10 / 2
    assert found.learnt.tolist() == found.train.tolist()


@pytest.mark.parametrize("stride_s", [10.0, 2.5])
def test_shuffled_labels_agree_on_both_grids_and_keep_each_persons_counts(monkeypatch, stride_s):
    data = Data(window_s=5.0, stride_s=stride_s, eval_stride_s=5.0, label=Label("mood"), split=SPLIT)
    true = opened(monkeypatch, data, labelled())
    found = opened(monkeypatch, dataclasses.replace(data, shuffle_labels=True), labelled())
    assert 0.3 < (found.eval_windows.label != true.eval_windows.label).mean() < 0.7
    by_trial = dict(zip(found.eval_windows.trial.tolist(), found.eval_windows.label.tolist(), strict=True))
    assert [by_trial[t] for t in found.windows.trial.tolist()] == found.windows.label.tolist()
    for subject in found.eval_windows.subjects:
        mine = found.eval_windows.subject == subject
        assert found.eval_windows.label[mine].sum() == true.eval_windows.label[mine].sum()


@pytest.mark.parametrize(
    ("classes", "named", "expected"),
    [
        ((), ("calm", "wild"), ("calm", "wild")),
        ((1, 0), ("calm", "wild"), ("wild", "calm")),
        ((), ("calm",), ("calm", "1")),
        ((), (), ("0", "1")),
    ],
)
def test_class_names_follow_the_stored_values(monkeypatch, classes, named, expected):
    store = memory_store(subjects=10, labels={"mood": alternating_labels(10, 60)}, classes={"mood": named})
    found = opened(monkeypatch, Data(label=Label("mood", classes=classes), split=SPLIT), store)
    assert found.class_names == expected


def test_classes_put_together_are_named_together(monkeypatch):
    rows = [(r, 10.0 * i, 10.0 * i + 10, float(i % 3)) for r in range(10) for i in range(6)]
    store = memory_store(subjects=10, labels={"mood": rows}, classes={"mood": ("rest", "stress", "film")})
    found = opened(monkeypatch, Data(label=Label("mood", positive=(1,)), split=SPLIT), store)
    assert found.class_names == ("rest or film", "stress")
    assert sorted(np.bincount(found.eval_windows.label).tolist()) == [20, 40]


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [((0.5,), ("low", "high")), ((0.2, 0.5), ("low", "middle", "high")), ((0.1, 0.2, 0.5), 4)],
)
def test_bins_are_named_from_low_to_high(monkeypatch, thresholds, expected):
    label = Label("mood", LabelRule.BINS, thresholds=thresholds)
    names = opened(monkeypatch, Data(label=label, split=SPLIT), labelled()).class_names
    assert names == (expected if expected != 4 else ("low", "middle 1", "middle 2", "high"))


def test_the_classes_met_are_written_down(monkeypatch):
    """A class that does not occur here must not shift the numbers of the others on other data."""
    rows = [(r, 10.0 * i, 10.0 * i + 10, 2.0 * (i % 2)) for r in range(10) for i in range(6)]
    store = memory_store(subjects=10, labels={"mood": rows}, classes={"mood": ("rest", "film", "stress")})
    found = opened(monkeypatch, Data(label=Label("mood"), split=SPLIT), store)
    assert found.label.classes == (0, 2)
    assert found.class_names == ("rest", "stress")


def test_without_labels_there_are_no_classes(monkeypatch):
    found = opened(monkeypatch, Data(split=SPLIT), labelled())
    assert found.class_names == () and (found.windows.label == -1).all()


def test_the_window_wise_protocol_deals_out_one_grid(monkeypatch):
    data = Data(split=dataclasses.replace(SPLIT, protocol=Protocol.WINDOW))
    found = opened(monkeypatch, data, memory_store(subjects=10))
    assert found.windows is found.eval_windows
    assert sorted([*found.train, *found.validation, *found.test]) == list(range(60))
    with pytest.raises(UserError, match="data.stride_s=5.0 must equal data.eval_stride_s=10.0"):
        opened(monkeypatch, dataclasses.replace(data, stride_s=5.0), memory_store(subjects=10))


def test_a_share_of_the_labels_is_one_of_what_trains_and_of_what_chooses_the_epoch(monkeypatch):
    data = Data(label=Label("mood"), split=SPLIT)
    whole = opened(monkeypatch, data, labelled())
    few = dataclasses.replace(data, label=Label("mood", fraction=0.2))
    found = opened(monkeypatch, few, labelled())
    assert set(found.train) < set(whole.train)
    assert (len(found.train), len(found.validation)) == (len(whole.train) // 5, len(whole.validation) // 5)
    np.testing.assert_array_equal(found.test, whole.test)
    assert sorted([*found.train, *found.validation]) == found.learnt.tolist()
    with pytest.raises(UserError, match="data.stride_s=2.5 must equal .* for a share of the labelled windows"):
        opened(monkeypatch, dataclasses.replace(few, stride_s=2.5), labelled())


def test_a_share_of_the_people_holds_on_both_grids(monkeypatch):
    label = Label("mood", fraction=0.5, fraction_of=Unit.SUBJECTS)
    data = Data(window_s=5.0, stride_s=2.5, eval_stride_s=5.0, label=label, split=SPLIT)
    found = opened(monkeypatch, data, labelled())
    assert (len(found.train_subjects), len(found.validation_subjects)) == (3, 1)
    assert set(found.eval_windows.subject[found.learnt]) == {*found.train_subjects, *found.validation_subjects}
    assert len(found.train) == 3 * 10 * 3  # three windows in each trial of ten seconds


@pytest.mark.parametrize("fold", range(5))
def test_a_person_of_two_stores_is_on_one_side(monkeypatch, fold):
    first, second = memory_store(subjects=10), memory_store(subjects=10, seconds=40.0)
    found = opened(monkeypatch, Data(split=dataclasses.replace(SPLIT, fold=fold)), first, second)
    train, validation, test = map(set, sides(found))
    assert not (train & validation | train & test | validation & test) and len(train | validation | test) == 10
    held = found.eval_windows.take(found.test)
    assert all(set(held.store[held.subject == subject]) == {0, 1} for subject in test)


def test_people_of_two_data_sets_are_others_though_they_share_a_number(monkeypatch):
    stores = memory_store(name="a", subjects=5), memory_store(name="b", subjects=5)
    found = opened(monkeypatch, Data(split=SPLIT), *stores)
    assert len(found.eval_windows.subjects) == 10


def test_recording_keys_are_those_of_the_windows_own_store(monkeypatch):
    first, second = memory_store(name="a", subjects=2), memory_store(name="b", subjects=3)
    second.index["key"] = np.array(["x", "why", "z"])
    found = opened(monkeypatch, Data(split=Split(validation_fraction=0.2)), first, second)
    keys = recording_keys(found.stores, found.eval_windows)
    assert keys.tolist() == ["rec0"] * 6 + ["rec1"] * 6 + ["x"] * 6 + ["why"] * 6 + ["z"] * 6
