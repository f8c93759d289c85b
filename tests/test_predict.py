"""The parts of launch.predict that need no model; tests/test_launch.py runs the whole of it."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from ecgjax.config import Data, Experiment
from ecgjax.data.windows import find_windows
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import UserError
from ecgjax.evaluation import traces
from launch import predict
from tests import fixtures
from tests.stores import memory_store


@pytest.fixture(autouse=True)
def _flags():
    flags.FLAGS.mark_as_parsed()


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0.0, "0"), (10.0, "10"), (2.5, "2.5"), (10289.25, "10289.25"), (1e6 / 3, "333333.333"), (86400.0, "86400")],
)
def test_times_are_told_to_the_millisecond(time_s, text):
    assert predict.seconds(np.float64(time_s)) == text


def test_channels_go_to_their_modalities():
    with flagsaver.flagsaver(channels=["V5", "eda:GSR 1", "C3:A2"]):
        assert predict.channels(("ecg", "eda")) == Channels(ecg=("V5", "C3:A2"), eda=("GSR 1",))
        with pytest.raises(UserError, match="--channels=eda:GSR 1: the model reads ecg, and no eda"):
            predict.channels(("ecg",))


@pytest.mark.parametrize("name", ["1.0.0", "night.edf", "plain"])
def test_a_folder_is_one_whatever_its_name(tmp_path, name):
    folder = tmp_path / name
    fixtures.write_wfdb(folder / "inner", "r", [fixtures.WfdbSignal("II", fixtures.wave(50))])
    assert predict.reader(folder, ("ecg",)).make().keys() == ("inner/r",)
    (folder / "inner" / "r.hea").unlink()
    (folder / "a.edf").touch()
    with pytest.raises(
        UserError, match=f"{name}: a folder holds WFDB records or E4 sessions, and here is neither. Name a"
    ):
        predict.reader(folder, ("ecg",))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Check --config.dataset.channels.ecg.", "Check --channels."),
        ("Name one in --config.dataset.channels.", "Name one in --channels."),
        ("Give it with --config.dataset.rate_hz.", "Give it with --rate_hz."),
        ("Pass --config.dataset.root=DIR.", "Pass --input=DIR."),
    ],
)
def test_remedies_are_in_flags_of_this_script(told, expected):
    with pytest.raises(UserError) as caught, predict.own_flags():
        raise UserError(told)
    assert str(caught.value) == expected


def test_it_tells_what_was_read():
    store = memory_store(subjects=1, rates_hz={"ecg": 128.0, "eda": 4.0})
    store.index["ecg/recorded_hz"][:] = 250.0
    store.manifest["events"] = {"ecg_channel_guessed": 1, "edf_gap": 2}
    data = Data(modalities=("ecg",))
    lines = predict.tell(store, data).splitlines()
    assert lines[:2] == ["ecg: channel x, unit mV, 250 Hz", "eda: channel x, unit mV, 4 Hz"]
    assert lines[2].startswith("The channel was guessed") and "--channels" in lines[2] and lines[3] == "met: edf_gap 2"
    store.manifest["events"] = {}
    assert len(predict.tell(store, data).splitlines()) == 2


@pytest.mark.parametrize(("normalise", "unit"), [("SUBJECT", "z-score"), ("NONE", "mV")])
def test_a_picture_is_of_its_own_recording(monkeypatch, normalise, unit):
    drawn = []
    monkeypatch.setattr(traces, "trace_png", lambda *args, **told: drawn.append((args, told)))
    store = memory_store(subjects=3, seconds=60.0)
    store.index["ecg/start_s"][1] = store.index["ecg/span_start_s"][1] = 5.0
    store.manifest["modalities"]["ecg"]["normalise"] = normalise
    model = SimpleNamespace(experiment=Experiment(None, None, data=Data()), about={"class_names": ["a", "b"]})
    windows = find_windows([store], model.experiment.data, 10.0)
    predict.draw(Path("x.png"), model, store, windows.take(windows.recording == 1), np.zeros((5, 2)))
    (path, signal_T, rate_hz, start_s, *_), told = drawn[0]
    assert (path, rate_hz, signal_T[0], len(signal_T)) == (Path("x.png"), 16.0, 1.0, 960)
    assert start_s.tolist() == [5, 15, 25, 35, 45]
    assert told == {"signal_start_s": 5.0, "unit": unit, "title": "rec1: ecg x"}
    one = dataclasses.replace(store, index=store.index | {"key": store.index["key"][:1]})
    with flagsaver.flagsaver(input="there/night.edf"):
        predict.draw(Path("x.png"), model, one, windows.take(windows.recording == 0), np.zeros((6, 2)))
    assert drawn[1][1]["title"] == "night.edf: ecg x"
