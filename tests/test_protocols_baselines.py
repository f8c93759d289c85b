"""Baselines measured in a finer store of the same recordings."""

import numpy as np
import pytest

from ecgjax.config import Data
from ecgjax.data.windows import find_windows
from ecgjax.errors import UserError
from ecgjax.evaluation import physiology, protocols
from tests.stores import alternating_labels, memory_store

CLASSES = ("calm", "tense")


def store(name: str, rate_hz: float):
    labels = {"mood": alternating_labels(4, 60)}
    return memory_store(name=name, rates_hz={"bvp": rate_hz}, labels=labels, classes={"mood": CLASSES})


def predicted(monkeypatch, finer):
    data = Data(modalities=("bvp",), baseline_store="finer" if finer else "")
    monkeypatch.setattr(protocols, "open_stores", lambda data: [finer])
    coarse = store("toy", 4.0)
    windows = find_windows([coarse], data, 10.0)
    side = protocols.Side(windows, np.arange(12), np.arange(12, 24))
    return protocols.baseline_predictions([coarse], data, [side], CLASSES, 0)


def test_beats_are_sought_where_they_can_be_seen(monkeypatch):
    names, beatless = predicted(monkeypatch, None)
    assert list(names) == ["class prior"] and beatless == 0
    names, beatless = predicted(monkeypatch, store("toy", 64.0))
    assert list(names) == ["class prior", "heart rate", "HRV, logistic", "HRV, forest"]
    assert beatless == 24  # ramps have none, and every window was found


def test_a_store_of_other_recordings_is_refused(monkeypatch):
    with pytest.raises(UserError, match="data.baseline_store=finer: it holds 0% of the windows"):
        predicted(monkeypatch, store("another", 64.0))


def test_the_same_windows_are_measured_once_and_others_again(monkeypatch):
    protocols._measured.clear()
    measure, calls = physiology.features, []
    monkeypatch.setattr(physiology, "features", lambda *given: calls.append(1) or measure(*given))
    first = predicted(monkeypatch, store("toy", 64.0))[0]
    again = predicted(monkeypatch, store("toy", 64.0))[0]
    assert len(calls) == 1
    np.testing.assert_array_equal(first["HRV, forest"].probability_NC, again["HRV, forest"].probability_NC)
    predicted(monkeypatch, None)
    predicted(monkeypatch, memory_store(rates_hz={"bvp": 64.0}, seed=1))
    assert len(calls) == 3
