"""Sarkar & Etemad's preparation, and the second stage's configs on labels as its four data sets have them."""

import dataclasses

import pytest

from configs import sarkar2020_finetune, sarkar2020_pretrain
from ecgjax.config import Optimizer, Schedule
from ecgjax.data import corpus
from ecgjax.signals import preprocess, published
from ecgjax.signals.moments import Normalise
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


SWELL = ("neutral", "interruption", "time pressure", "relax")
LABELS = {
    "binary": ("condition", (0, 1), ("calm", "stress")),
    "wesad": ("condition", range(8), PROTOCOL),
    "wesad4": ("condition", range(8), PROTOCOL),
    "swell": ("condition", range(4), SWELL),
    "swell3": ("condition", range(4), SWELL),
    "swell9": ("arousal", (1.9, 2, 3.5, 4.999, 5, 6.1, 7.7, 8, 9), ()),
    "dreamer": ("arousal", range(1, 6), ()),
    "dreamer5": ("arousal", range(1, 6), ()),
    "amigos": ("arousal", (1.5, 2.6, 5.1, 9), ()),
    "amigos9": ("arousal", (1.2, 2, 2.6, 4.4, 5.3, 6, 7, 8, 8.9), ()),
}
FOUND = {
    "binary": {0: 0, 1: 1},
    "wesad": {0: -1, 1: 0, 2: 1, 3: 0, 4: -1, 5: -1, 6: -1, 7: -1},
    "wesad4": {0: -1, 1: 0, 2: 1, 3: 2, 4: 3, 5: -1, 6: -1, 7: -1},
    "swell": {0: 0, 1: 1, 2: 1, 3: -1},
    "swell3": {0: 0, 1: 1, 2: 2, 3: -1},
    "swell9": {1.9: 0, 2: 1, 3.5: 2, 4.999: 3, 5: 4, 6.1: 5, 7.7: 6, 8: 7, 9: 8},
    "dreamer": {1: 0, 2: 0, 3: 0, 4: 1, 5: 1},
    "dreamer5": {1: 0, 2: 1, 3: 2, 4: 3, 5: 4},
    "amigos": {1.5: 0, 2.6: 0, 5.1: 1, 9: 1},
    "amigos9": {1.2: 0, 2: 1, 2.6: 2, 4.4: 3, 5.3: 4, 6: 5, 7: 6, 8: 7, 8.9: 8},
}


@pytest.mark.parametrize("variant", list(LABELS))
def test_every_rating_and_condition_gets_its_class(variant, monkeypatch):
    name, values, classes = LABELS[variant]
    monkeypatch.setattr(corpus, "open_stores", lambda data: [stored(name, list(values), classes)])
    experiment = sarkar2020_finetune.get_config(f"{variant}_frozen")
    experiment.data.split.fold, experiment.data.split.num_folds = 0, 3
    found = corpus.open_corpus(experiment.data)
    assert experiment.task.make().num_classes == len(found.class_names) == max(FOUND[variant].values()) + 1
    windows = found.eval_windows
    given = dict(zip(windows.rating.round(4).tolist(), windows.label.tolist(), strict=True))
    assert given == pytest.approx(FOUND[variant]) and len(set(windows.label[found.test])) >= len(found.class_names)


ADAM = (Optimizer.ADAM, 1e-3, Schedule.CONSTANT)
# Layers of 512, dropout and Keras's L2 of each set's head, read off the released code
HEADS = {"wesad": (2, 0, 0), "swell": (2, 0, 0), "dreamer": (3, 0.2, 1e-4), "amigos": (3, 0.4, 0)}


@pytest.mark.parametrize("name", list(LABELS))
def test_the_second_stage_has_the_figures_of_the_released_code(name):
    made = sarkar2020_finetune.get_config(f"{name}_frozen")
    layers, dropout, l2 = HEADS.get(name.rstrip("3459"), HEADS["wesad"])
    assert made.task.hidden == (512,) * layers and made.task.dropout == dropout
    assert made.optim.weight_decay == 2 * l2  # Keras adds l2 x squares to the loss, without the half
    assert (made.optim.optimizer, made.optim.learning_rate, made.optim.schedule) == ADAM
    assert (made.data.batch_size, made.train.num_epochs) == (128, 200)
    assert (made.data.split.num_folds, made.data.split.seed, made.data.window_s) == (10, 1, 10.0)
    assert made.optim.multipliers == (("^encoder/", 0.0),)
    for mode, hidden in (("linear", ()), ("scratch", made.task.hidden), ("random", made.task.hidden)):
        other = sarkar2020_finetune.get_config(f"{name}_{mode}")
        assert other.task.hidden == hidden and other.data.label == made.data.label
        assert bool(other.optim.multipliers) == (mode != "scratch")
        assert bool(other.init_from) == (mode == "linear")  # the controls start from nothing, all others must be told


def test_the_first_stage_has_the_figures_of_the_released_code():
    made = sarkar2020_pretrain.get_config()
    assert (made.data.batch_size, made.data.window_s, made.data.stride_s) == (128, 10.0, 10.0)
    assert (made.optim.optimizer, made.optim.learning_rate, made.optim.weight_decay) == (Optimizer.ADAM, 1e-3, 1e-4)
    steps = (made.optim.schedule, made.optim.decay_steps, made.optim.decay_factor)
    assert steps == (Schedule.STEP, 10_000, 0.9)
    assert (made.train.num_epochs, made.data.split.num_folds, made.data.split.seed) == (100, 10, 1)
    task = made.task
    assert (task.snr_db, task.scale, task.permutation_pieces, task.warp_pieces) == (15.0, 1.1, 20, 9)
    assert (task.warp_stretch, task.hidden, task.dropout) == (1.05, (128, 128), 0.6)


def test_a_published_preparation_differs_from_ours_where_it_says_so():
    default, sarkar2020 = preprocess.Config(), published.sarkar2020()
    fields = {"resample_hz": 256.0, "high_hz": 0.0, "filter_order": 4, "normalise": Normalise.SUBJECT_CENTRAL}
    assert dataclasses.replace(default.ecg, **fields) == sarkar2020.ecg
    assert default.eda == sarkar2020.eda
