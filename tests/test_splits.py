import dataclasses

import numpy as np
import pytest
from sklearn.model_selection import KFold

from ecgjax.config import ChooseOn, Data, Protocol, Split
from ecgjax.data.splits import Fold, make_fold, num_folds, refuse_overlap
from ecgjax.data.windows import find_windows
from ecgjax.errors import UserError
from tests.stores import memory_store


@pytest.fixture
def windows():
    return find_windows([memory_store(subjects=10)], Data(), 10.0)


def people(windows, ids):
    return set(windows.subject[ids].tolist())


@pytest.mark.parametrize("protocol", [Protocol.SUBJECT, Protocol.LEAVE_ONE_SUBJECT_OUT])
def test_every_person_is_tested_once_and_never_trained_on(windows, protocol):
    split, tested = Split(protocol=protocol, num_folds=5), []
    for number in range(num_folds(windows, split)):
        fold = make_fold(windows, dataclasses.replace(split, fold=number))
        sides = [people(windows, ids) for ids in (fold.train, fold.validation, fold.test)]
        assert all(sides) and not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
        assert sum(map(len, (fold.train, fold.validation, fold.test))) == len(windows)
        tested += sorted(sides[2])
    assert sorted(tested) == windows.subjects


def test_one_of_each_data_set_is_left_out_together_as_when_it_is_alone():
    stores = [memory_store(name="b", subjects=3), memory_store(name="a", subjects=5)]
    split = Split(protocol=Protocol.LEAVE_ONE_SUBJECT_OUT)
    mixed, alone = find_windows(stores, Data(), 10.0), find_windows(stores[:1], Data(), 10.0)
    assert (num_folds(mixed, split), num_folds(alone, split)) == (5, 3)
    for number in range(5):
        tested = people(mixed, make_fold(mixed, dataclasses.replace(split, fold=number)).test)
        assert tested == {f"a/s{number:02d}"} | ({f"b/s{number:02d}"} if number < 3 else set())
        if number < 3:
            fold = make_fold(alone, dataclasses.replace(split, fold=number))
            assert people(alone, fold.test) == {f"b/s{number:02d}"}


def test_an_oracle_chooses_the_epoch_on_those_who_are_tested(windows):
    split = Split(num_folds=5, fold=2, choose_epoch_on=ChooseOn.TESTED)
    fold, honest = make_fold(windows, split), make_fold(windows, dataclasses.replace(split, validation_fraction=0.0))
    assert fold.validation.tolist() == fold.test.tolist() == honest.test.tolist()
    assert len(people(windows, fold.train)) == 8 and not people(windows, fold.train) & people(windows, fold.test)
    nobody = make_fold(windows, dataclasses.replace(split, fold=-1))  # in a run that is no fold
    assert len(nobody.test) == 0 and len(people(windows, nobody.validation)) == 2


def test_without_a_fold_nobody_is_tested(windows):
    fold = make_fold(windows, Split(validation_fraction=0.2))
    assert len(fold.test) == 0 and len(people(windows, fold.validation)) == 2


def test_window_wise_folds_deal_one_person_to_both_sides(windows):
    fold = make_fold(windows, Split(protocol=Protocol.WINDOW, num_folds=10, fold=0))
    assert people(windows, fold.test) <= people(windows, np.concatenate([fold.train, fold.validation]))
    assert not set(fold.test) & set(np.concatenate([fold.train, fold.validation]))


@pytest.mark.parametrize("protocol", [Protocol.SUBJECT, Protocol.WINDOW])
def test_folds_are_those_of_scikit_learn(windows, protocol):
    """And so of papers that used it: Sarkar & Etemad's are KFold(10, shuffle=True, random_state=1) over windows."""
    names = np.array(windows.subjects)
    units = np.arange(len(windows)) if protocol is Protocol.WINDOW else names
    for number, (_, held) in enumerate(KFold(5, shuffle=True, random_state=1).split(units)):
        test = make_fold(windows, Split(protocol=protocol, num_folds=5, fold=number, seed=1)).test
        expected = held if protocol is Protocol.WINDOW else np.flatnonzero(np.isin(windows.subject, names[held]))
        np.testing.assert_array_equal(test, expected)


@pytest.mark.parametrize("protocol", [Protocol.SUBJECT, Protocol.WINDOW])
def test_a_data_set_has_the_same_folds_alone_and_among_others(protocol):
    """So what a fine-tuning on one set tests, a pre-training on several can leave out."""
    stores = [memory_store(name=name, subjects=count) for name, count in (("a", 12), ("b", 7), ("c", 2))]
    both, alone = (find_windows(some, Data(), 10.0) for some in (stores, stores[1:2]))
    held = []
    for number in range(5):
        split = Split(protocol=protocol, num_folds=5, fold=number, validation_fraction=0.0)
        test = both.take(make_fold(both, split).test)
        mine = test.take(np.flatnonzero(test.store == 1))
        expected = alone.take(make_fold(alone, split).test)
        assert (mine.subject.tolist(), mine.start_s.tolist()) == (expected.subject.tolist(), expected.start_s.tolist())
        held.append({name: sum(s.startswith(name) for s in test.subjects) for name in "abc"})
    if protocol is Protocol.SUBJECT:
        assert [h["a"] for h in held] == [3, 3, 2, 2, 2] and [h["c"] for h in held] == [1, 1, 0, 0, 0]


def test_folds_without_anybody_are_refused():
    windows = find_windows([memory_store(name=name, subjects=3) for name in "ab"], Data(), 10.0)
    with pytest.raises(UserError, match="only 3 subjects in the largest data set. Take 3 or fewer"):
        make_fold(windows, Split(num_folds=4, fold=0))


def test_the_seed_deals_other_folds(windows):
    folds = [people(windows, make_fold(windows, Split(fold=0, seed=seed)).test) for seed in range(4)]
    assert len({tuple(sorted(f)) for f in folds}) > 1


def test_overlap_is_refused(windows):
    ids = np.arange(len(windows))
    with pytest.raises(UserError, match="in both train and test"):
        refuse_overlap(windows, Fold(ids[:30], ids[:0], ids[29:]))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(num_folds=11, fold=0), "only 10 subjects. Take 10 or fewer"),
        (Split(num_folds=5, fold=5), "there are 5 folds, numbered from 0"),
        (Split(num_folds=1, fold=0), "two folds or more"),
        (Split(validation_fraction=1.0), r"not in \[0, 1\)"),
        (Split(protocol=Protocol.WINDOW, num_folds=61, fold=0), "only 60 windows"),
    ],
)
def test_what_does_not_fit_is_named(windows, split, message):
    with pytest.raises(UserError, match=message):
        make_fold(windows, split)


def test_one_person_cannot_be_validated_on(windows):
    alone = windows.take(np.flatnonzero(windows.subject == "toy/s00"))
    with pytest.raises(UserError, match="only one subject is left"):
        make_fold(alone, Split())
