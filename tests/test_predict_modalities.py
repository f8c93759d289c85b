"""Models of several signals where a sensor failed: launch.predict on a wristband, launch.evaluate on a store."""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toy
from absl import flags
from absl.testing import flagsaver
from test_launch import launch, refused

from ecgjax.config import Data, Experiment
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.errors import UserError
from ecgjax.evaluation import apply, traces
from ecgjax.signals import preprocess
from launch import predict
from tests import fixtures, modalities
from tests.stores import memory_store

SIZES = ("width=8", "num_heads=2", "hidden=8", "channels=(4,4)")
TRAIN = (
    "launch.train",
    "--config=configs/wu2023_finetune.py:stress_scratch",
    *(f"--config.model.{size}" for size in SIZES),
    "--config.data.label.name=mood",
    "--config.data.window_s=15",
    "--config.data.batch_size=8",
    "--config.data.eval_batch_size=8",
    "--config.train.num_epochs=1",
    "--config.train.tensorboard=false",
)
START = 1644226000  # Unix seconds of every session here


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a store of three sensors, and stores of other people with fewer."""
    folder = tmp_path_factory.mktemp("sensors")
    steps = preprocess.Config()
    steps.bvp = preprocess.Steps(resample_hz=4.0, low_hz=0.5)
    prepare(Preparation(modalities.Wrist(4), steps, workers=1), folder / "store")
    for name, kinds in (("no_temp", ("eda", "bvp")), ("only_temp", ("temp",))):
        prepare(Preparation(modalities.Wrist(9, kinds), steps, workers=1), folder / name)
    prepare(Preparation(toy.Config(), steps, workers=1), folder / "none")
    (done,) = launch((*TRAIN, f"--config.data.store={folder / 'store'}", f"--workdir={folder / 'run'}"))
    assert done["code"] == 0, done["err"]
    return folder


def session(folder: Path, seconds: float = 47.0, kinds: str = "EDA BVP TEMP", failing: str = "", from_s: float = 0.0):
    """An E4 session; the electrodes of a failing one come off at some second."""
    fixtures.write_e4(folder, START, seconds, kinds=kinds)
    if failing:
        rows = (folder / f"{failing}.csv").read_text().split()
        kept = 2 + round(4 * from_s)
        (folder / f"{failing}.csv").write_text("\n".join([*rows[:kept], *["0.000000"] * (len(rows) - kept), ""]))
    return folder


def write_table(path: Path):
    """30 s at 16 Hz; neither name tells of a sensor."""
    rng = np.random.default_rng(0)
    rows = [f"{1 + x:.4f},{1 + y:.4f}" for x, y in rng.random((480, 2))]
    path.write_text("\n".join(["left (uS),right (uS)", *rows]) + "\n")
    return path


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_recording_that_lacks_a_sensor_is_predicted_without_it(folder, tmp_path):
    several, bare = tmp_path / "several", session(tmp_path / "bare", kinds="EDA BVP", failing="EDA")
    session(several / "a_whole")
    session(several / "b_half", failing="EDA", from_s=25.0)
    session(several / "c_dead", failing="EDA")
    session(several / "d_absent", kinds="BVP TEMP")
    table = (write_table(tmp_path / "table.csv"), "--rate_hz=16", "--channels=eda:left,bvp:right")
    call = ("launch.predict", f"--checkpoint={folder / 'run'}")
    inputs = {"several": (several,), "bare": (bare,), "table": table}
    results = launch(
        *((*call, f"--input={i}", f"--out={tmp_path / f'o_{n}.csv'}", *more) for n, (i, *more) in inputs.items())
    )
    told = {}
    for name, result in zip(inputs, results, strict=True):
        assert result["code"] == 0, result["err"]
        told[name] = [line for line in result["out"].splitlines() if re.search("windows|also reads", line)]
    without = "The model also reads {}: predicted without; expect less."
    dead = "eda (longest good stretch 0.0 s; dropped: 0 s non finite, 46 s padding)"
    assert told == {
        "several": [
            "16 windows, 70 s of eda, 0 s of bvp, 0 s of temp dropped by the quality gate",
            "11 of 16 windows lack eda",
        ],
        "bare": [
            without.format(f"{dead} and temp (not found)"),
            "4 windows, 47 s of eda, 0 s of bvp, 0 s of temp dropped by the quality gate",
            "4 of 4 windows lack eda",
            "4 of 4 windows lack temp",
        ],
        "table": [
            without.format("temp (not found; --channels names it)"),
            "2 windows, 0 s of eda, 0 s of bvp, 0 s of temp dropped by the quality gate",
            "2 of 2 windows lack temp",
        ],
    }
    rows = rows_of(tmp_path / "o_several.csv")
    starts = ["0.5", "15.5", "30.5", "32"], ["0", "15", "30", "32"]  # where there is EDA, it begins late
    assert [row["start_s"] for row in rows] == [*starts[0], *starts[0], *starts[1], *starts[1]]
    assert [row["start_s"] for row in rows_of(tmp_path / "o_table.csv")] == ["0", "15"]
    whole, half, dead, absent = np.array([float(row["calm"]) for row in rows]).reshape(4, 4)
    assert (dead == absent).all() and (np.abs(half - whole)[1:] > 1e-4).all() and ((0 < whole) & (whole < 1)).all()
    assert np.std(absent) > 0 and [p.name for p in sorted(tmp_path.glob("*.png"))] == [
        "o_bare.png",
        *(f"o_several_{name}.png" for name in ("a_whole", "b_half", "c_dead", "d_absent")),
        "o_table.png",
    ]


def test_a_store_without_a_sensor_is_scored_where_a_flag_says_so_and_all_else_is_refused(folder, tmp_path):
    def on(source, *more):
        checkpoint = f"--checkpoint={folder / 'run'}"
        return ("launch.predict", checkpoint, f"--input={source}", f"--out={tmp_path / 'x.csv'}", *more)

    def evaluate(store):
        store = f"--config.data.store={folder / store}"
        return ("launch.evaluate", f"--checkpoint={folder / 'run'}", store, f"--out={tmp_path / 'scores'}")

    table, rate = write_table(tmp_path / "table.csv"), "--rate_hz=16"
    unheld, remedy = (
        "the model reads {}, which this store does not hold. Prepare one that does.",
        "Or let windows lack it: ",
    )
    cases = [
        ("None of BVP.csv, EDA.csv, TEMP.csv is there", on(session(tmp_path / "acc", kinds="ACC"))),
        ("the longest good stretch of bvp is 12.0 s (dropped: nothing)", on(session(tmp_path / "short", 12.0))),
        ("no eda or bvp or temp channel. Its columns are left, right. Name one in --channels", on(table, rate)),
        ("reads eda of 1 channel(s) at 4 Hz; this has 2 at 4 Hz", on(table, rate, "--channels=eda:left,eda:right")),
        (f"{unheld.format('temp')} {remedy}--config.data.optional=temp.", evaluate("no_temp")),
        (f"{unheld.format('bvp')} {remedy}--config.data.optional=bvp.", evaluate("only_temp")),
        (unheld.format("bvp"), evaluate("none")),
        ("none has none of eda, bvp, temp", (*evaluate("none"), "--config.data.optional=eda,bvp,temp")),
    ]
    lenient = (*evaluate("no_temp")[:-1], f"--out={tmp_path / 'out'}", "--config.data.optional=temp")
    done, *results = launch(lenient, *(call for _, call in cases))
    refused(results, [message for message, _ in cases], (tmp_path / "scores", tmp_path / "x.csv"))
    assert done["code"] == 0, done["err"]
    assert "30 windows of 5 people (4 people the model was trained or selected on left out)" in done["out"]
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["scores"]
    assert 0 <= scores["ecgjax"]["accuracy"] <= 1 and "class prior" in scores


@pytest.fixture
def _flags():
    flags.FLAGS.mark_as_parsed()


def test_e4_sessions_are_opened(tmp_path, _flags):
    fixtures.write_e4(tmp_path / "in" / "p1", START, 12.0)
    fixtures.write_zip(tmp_path / "in" / "B.ZIP", tmp_path / "in" / "p1")
    read = ("ecg", "eda", "temp")
    assert predict.reader(tmp_path / "in", read).make().keys() == ("B.ZIP", "p1")
    for name, key in (("p1", "p1"), ("B.ZIP", "B.ZIP")):
        dataset = predict.reader(tmp_path / "in" / name, read).make()
        assert dataset.keys() == (key,) and set(dataset.load(key).signals) == {"eda", "temp"}
    with pytest.raises(UserError, match="p1: the model reads ecg, and an E4 records acc, bvp, eda, temp. Give"):
        predict.reader(tmp_path / "in" / "p1", ("ecg",))
    with flagsaver.flagsaver(channels=["eda:GSR"]):
        with pytest.raises(UserError, match="--channels=eda:GSR: an E4 session has none to choose. Leave it out"):
            predict.reader(tmp_path / "in" / "p1", read)


def test_a_picture_is_of_the_first_signal_that_the_windows_of_its_recording_have(monkeypatch, tmp_path, _flags):
    drawn = []
    monkeypatch.setattr(
        traces, "trace_png", lambda *args, **told: drawn.append((args[2], len(args[3]), args[5][0, 0], told["title"]))
    )
    store = memory_store(subjects=2, rates_hz={"bvp": 16.0, "eda": 4.0, "temp": 2.0})
    store.index["eda/span_stop_s"][:] = 5.0, 60.0  # of the first person, too short for a window
    store.index["temp/span_start_s"][0] = 20.0
    data = Data(modalities=("eda", "temp", "bvp"), optional=("eda", "temp", "bvp"))
    model = SimpleNamespace(experiment=Experiment(None, None, data=data), about={"class_names": ["a", "b"]})
    monkeypatch.setattr(apply, "run", lambda model, stores, windows, keep: (None, {"probability": np.eye(keep, 2)}))
    with flagsaver.flagsaver(out=str(tmp_path / "x.csv")):
        predict.predict(model, store, 10.0, {key: tmp_path / f"{key}.png" for key in ("rec0", "rec1")})
    assert drawn == [(2.0, 6, 1.0, "rec0: temp x"), (4.0, 6, 0.0, "rec1: eda x")]
