"""Sarkar & Etemad's preparation, and the second stage's configs on labels as its four data sets have them."""

import dataclasses

import pytest

from configs import sarkar2020_finetune
from ecgjax.data import corpus
from ecgjax.signals import preprocess, published
from tests.stores import memory_store

PROTOCOL = ("transient", "baseline", "stress", "amusement", "meditation", "ignored 5", "ignored 6", "ignored 7")


def stored(name, values, classes=()):
    """Six people with intervals of 20 s that have these values in turn."""
    rows = [(r, 20.0 * i, 20.0 * i + 20, float(values[(i + r) % len(values)])) for r in range(6) for i in range(12)]
    return memory_store(
        subjects=6,
        seconds=240.0,
        rates_hz={"ecg": 4.0},
        labels={name: rows},
        classes={name: classes} if classes else {},
    )


LABELS = {
    "wesad": ("condition", (0, 1), ("calm", "stress")),
    "wesad4": ("condition", range(8), PROTOCOL),
    "swell": ("condition", (0, 1), ("neutral", "stress")),
    "swell3": ("condition", range(3), ("neutral", "interruption", "time pressure")),
    "dreamer": ("arousal", range(1, 6), ()),
    "dreamer5": ("arousal", range(1, 6), ()),
    "amigos": ("arousal", (1.5, 2.6, 5.1, 9), ()),
    "amigos9": ("arousal", (1.2, 2, 2.6, 4.4, 5.3, 6, 7, 8, 8.9), ()),
}
FOUND = {
    "wesad": {0: 0, 1: 1},
    "wesad4": {0: -1, 1: 0, 2: 1, 3: 2, 4: 3, 5: -1, 6: -1, 7: -1},
    "swell": {0: 0, 1: 1},
    "swell3": {0: 0, 1: 1, 2: 2},
    "dreamer": {1: 0, 2: 0, 3: 0, 4: 1, 5: 1},
    "dreamer5": {1: 0, 2: 1, 3: 2, 4: 3, 5: 4},
    "amigos": {1.5: 0, 2.6: 0, 5.1: 1, 9: 1},
    "amigos9": {1.2: 0, 2: 1, 2.6: 2, 4.4: 3, 5.3: 4, 6: 5, 7: 6, 8: 7, 8.9: 8},
}


@pytest.mark.parametrize("variant", list(LABELS))
def test_every_rating_and_condition_gets_its_class(variant, monkeypatch):
    name, values, classes = LABELS[variant]
    monkeypatch.setattr(corpus, "open_stores", lambda data: [stored(name, list(values), classes)])
    experiment = sarkar2020_finetune.get_config(variant)
    experiment.data.split.fold, experiment.data.split.num_folds = 0, 3
    found = corpus.open_corpus(experiment.data)
    assert experiment.task.make().num_classes == len(found.class_names) == max(FOUND[variant].values()) + 1
    windows = found.eval_windows
    given = dict(zip(windows.rating.round(4).tolist(), windows.label.tolist(), strict=True))
    assert given == pytest.approx(FOUND[variant]) and len(set(windows.label[found.test])) >= len(found.class_names)


def test_a_published_preparation_differs_from_ours_where_it_says_so():
    default, sarkar2020 = preprocess.Config(), published.sarkar2020()
    assert dataclasses.replace(default.ecg, resample_hz=256.0, high_hz=0.0, filter_order=4) == sarkar2020.ecg
    assert default.eda == sarkar2020.eda
