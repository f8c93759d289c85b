"""A pre-training that leaves out the windows a fold tests: `data.label.deals_only`."""

import dataclasses

import numpy as np
import pytest

from ecgjax.config import Data, Label, Protocol, Split
from ecgjax.data import corpus
from ecgjax.errors import UserError
from tests.stores import memory_store

LABEL = Label("condition", classes=(1, 2))


def labelled(name):
    """Three people of 120 s each, of which 7 to 107 s have a label that changes every 20 s; class 0 is not kept."""
    rows = [(r, 7.0 + 20 * i, 27.0 + 20 * i, float(i % 3)) for r in range(3) for i in range(5)]
    classes = {"condition": ("none", "calm", "tense")}
    return memory_store(name=name, subjects=3, seconds=120.0, labels={"condition": rows}, classes=classes)


@pytest.fixture
def stores(monkeypatch):
    """One without labels, one with, and one with them of the same recordings' numbers."""
    opened = [memory_store(name="bare", subjects=3, seconds=120.0), labelled("b"), labelled("c")]
    monkeypatch.setattr(corpus, "open_stores", lambda data: [opened["abc".index(s)] for s in data.store.split(",")])
    return opened


def data(store, label=LABEL, fold=1):
    split = Split(protocol=Protocol.WINDOW, num_folds=4, fold=fold, validation_fraction=0.25)
    return Data(store=store, window_s=10.0, stride_s=10.0, eval_stride_s=10.0, label=label, split=split)


def spans(windows, ids):
    taken = windows.take(ids)
    return list(zip(taken.subject.tolist(), taken.start_s.tolist(), strict=True))


@pytest.mark.parametrize("fold", range(4))
def test_no_second_of_a_tested_window_is_met_and_all_others_are(stores, fold):
    tested = []
    for store in "bc":  # each tuned by itself, as stage two is
        tuned = corpus.open_corpus(data(store, fold=fold))
        tested += spans(tuned.eval_windows, tuned.test)
    dealing = dataclasses.replace(LABEL, deals_only=True)
    found = corpus.open_corpus(data("a,b,c", dealing, fold))
    met = spans(found.windows, found.train) + spans(found.eval_windows, found.validation)
    everyone = spans(found.windows, np.arange(len(found.windows)))

    def meets(one):
        return any(one[0] == other[0] and abs(one[1] - other[1]) < 10 for other in tested)

    assert len(tested) >= 6 and len(set(met)) == len(met) and len(found.validation) > 5
    assert set(met) == {one for one in everyone if not meets(one)} and len(met) < len(everyone)
    assert sum(name.startswith("bare/") for name, _ in met) == 36
    assert not len(found.test) and found.class_names == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": Split(fold=0)}, "data.label.deals_only: .*data.split.protocol=window"),
        ({"split": Split(protocol=Protocol.WINDOW)}, "data.label.deals_only"),
        ({"label": Label(deals_only=True)}, "data.label.deals_only: .*data.label.name"),
        ({"store": "a"}, '"condition"'),
    ],
)
def test_what_does_not_go_with_it_is_refused(stores, changes, message):
    asked = dataclasses.replace(data("a,b", dataclasses.replace(LABEL, deals_only=True)), **changes)
    with pytest.raises(UserError, match=message):
        corpus.open_corpus(asked)
