"""launch.inspect says of stores and runs what they hold, and of other folders what they are not."""

import json

import jax
import numpy as np
import pytest

from ecgjax.config import Data, Experiment, Label, LabelRule, Split, Train
from ecgjax.data import store_writer
from ecgjax.errors import UserError
from ecgjax.evaluation import apply
from ecgjax.models import conv_transformer
from ecgjax.signals import preprocess
from ecgjax.signals.moments import moments_of
from ecgjax.signals.preprocess import Prepared
from ecgjax.signals.recording import Label as Interval
from ecgjax.signals.recording import Signal
from ecgjax.tasks import classification
from ecgjax.training import loop
from launch import inspect
from tests.stores import memory_store

LABELS = {
    "mood": {"classes": ["calm", "wild"], "low": 0.0, "high": 0.0, "rater": "protocol"},
    "rating": {"classes": [], "low": 1.0, "high": 9.0, "rater": "self"},
}


def prepared(subject: int) -> Prepared:
    """A minute at 16 Hz, bad from 55 s on; half a minute calm, then wild for 28 s."""
    samples_TC = np.random.default_rng(subject).standard_normal((960, 1)).astype(np.float32)
    return Prepared(
        key=f"rec{subject}",
        subject=f"s{subject}",
        session="",
        trial="",
        start_time="",
        signals={"ecg": Signal(samples_TC, 16.0, "mV", ("II",))},
        moments={"ecg": moments_of(samples_TC, np.array([[0, 880]]))},
        spans_s={"ecg": np.array([[0.0, 55.0]])},
        labels=(Interval("mood", 0, 30, 0), Interval("mood", 30, 58, 1), Interval("rating", 0, 60, 1.0 + subject)),
        dropped_s={},
        events=(),
        sources=(f"rec{subject}.hea", f"rec{subject}.dat"),
        recorded_hz={"ecg": 250.0},
        digests={"ecg": f"digest{subject}"},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a store and a run on it, and the number of parameters the run trained."""
    folder = tmp_path_factory.mktemp("inspect")
    steps = preprocess.Config()
    with store_writer.create(folder / "store", steps) as writer:
        for subject in range(5):
            writer.append(prepared(subject))
        writer.commit(
            {
                "dataset": {"name": "toy", "config": {"root": "there", "channels": {"ecg": []}}},
                "labels": LABELS,
                "dropped": {"ecg": {"flat": 25.0}},
                "skipped_files": {"truncated": ["a.dat: truncated", "b.dat: truncated"]},
                "events": {},
            }
        )
    experiment = Experiment(
        task=classification.Config(hidden=(4,)),
        model=conv_transformer.Config(channels=(4,), kernels=(5,), strides=(8,), width=8, num_layers=1, hidden=8),
        data=Data(
            store=str(folder / "store"),
            window_s=5.0,
            stride_s=5.0,
            eval_stride_s=5.0,
            batch_size=8,
            eval_batch_size=8,
            label=Label(name="mood"),
            split=Split(validation_fraction=0.2),
        ),
        train=Train(num_epochs=1, checkpoint_every_steps=2, tensorboard=False),
    )
    _, state = loop.run(experiment, folder / "run")
    return folder, sum(leaf.size for leaf in jax.tree.leaves(state.params))


@pytest.fixture
def folder(made):
    return made[0]


def test_ratings_that_change_within_a_window_have_windows():
    rows = [(r, 5.0 * i, 5.0 * i + 5, 1.0 + i) for r in range(2) for i in range(6)]
    store = memory_store(subjects=2, seconds=60.0, labels={"arousal": rows})
    assert inspect.windows_of(store, "arousal", 10.0).tolist() == [1.5, 3.5, 5.5] * 2


def test_a_store(folder):
    facts = inspect.describe(folder / "store", 10.0)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["dataset"], facts["recordings"], facts["subjects"]) == ("toy", 5, [f"toy/s{i}" for i in range(5)])
    assert (facts["source_files"], facts["first_source_files"][:3]) == (10, ["rec0.hea", "rec0.dat", "rec1.hea"])
    ecg = facts["modalities"]["ecg"]
    assert (ecg["rate_hz"], ecg["unit"], ecg["channels"], ecg["normalise"]) == (16.0, "mV", ["II"], "SUBJECT")
    # 10 s windows in [0, 30), and in [30, 55) of which the last 5 s are bad
    assert facts["labels"]["mood 0 = calm"] == {
        "rater": "protocol",
        "intervals": 5,
        "subjects": 5,
        "hours": round(5 * 30 / 3600, 3),
        "windows_of_10_s": 15,
    }
    wild = facts["labels"]["mood 1 = wild"]
    assert (wild["hours"], wild["windows_of_10_s"]) == (round(5 * 28 / 3600, 3), 10)
    assert facts["labels"]["rating, 1 to 9"]["windows_of_10_s"] == 25
    assert facts["dropped_s"] == {"ecg, flat": 25.0}
    assert facts["skipped_files"] == {"truncated": 2}
    assert facts["source"] == {"root": "there", "channels.ecg": []}
    assert list(facts["preprocess"]["low_hz"]) == ["ecg"], "modalities that the store lacks are left out"


def test_windows_that_never_fit_are_counted_as_none(folder):
    assert inspect.describe(folder / "store", 31.0)["labels"]["mood 0 = calm"]["windows_of_31_s"] == 0


@pytest.mark.parametrize(("inner", "step"), [("run", 6), ("run/checkpoints", 6), ("run/checkpoints/4", 4)])
def test_a_run_its_checkpoints_and_one_step(made, inner, step):
    folder, parameters = made
    facts = inspect.describe(folder / inner, 10.0)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["step"], facts["latest"], facts["steps"]) == (step, 6, [4, 6])  # 4 people of 11 windows, 8 a batch
    assert facts["parameters"] == parameters
    assert (facts["window_s"], facts["classes"]) == (5.0, ["calm", "wild"])
    assert facts["num_subjects"] == len(facts["subjects"]) == 4
    assert len(facts["validation_subjects"]) == 1
    fed = {"rate_hz": 16.0, "unit": "mV", "channels": ["II"], "normalise": "SUBJECT", "samples_per_window": 80}
    assert facts["input"] == {"ecg": fed}
    assert list(facts["sources"]) == [str(folder / "store")]
    assert facts["config"]["model.width"] == 8 and "data.label.name" not in facts["config"]
    assert facts["label"] == {"name": "mood", "rule": "CLASS", "classes": [0, 1]} and facts["init_from"] == {}
    assert ("loss" in facts["metrics"]) == (step == 6)


def test_text_is_aligned_and_leaves_out_what_is_empty(folder):
    text = inspect.as_text(inspect.describe(folder / "store", 10.0))
    lines = text.splitlines()
    assert "subjects            toy/s0, toy/s1, toy/s2, toy/s3, toy/s4" in lines
    head = next(line for line in lines if "intervals" in line)
    row = next(line for line in lines if "mood 0 = calm" in line)
    assert head.index("intervals") == row.index("5 ")
    assert "  channels.ecg  -" in lines
    assert "events" not in text


def test_the_script_prints_text_or_json(folder, run_module):
    result = run_module("launch.inspect", folder / "store", "--json", "--window_s=5")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["labels"]["mood 1 = wild"]["windows_of_5_s"] == 25
    assert "\nmodalities\n" in run_module("launch.inspect", folder / "store").stdout


def test_a_run_that_began_with_another_and_learnt_its_threshold(made, tmp_path):
    experiment = apply.read_experiment(made[0] / "run")
    experiment.data.label = Label(name="rating", rule=LabelRule.MEAN)
    experiment.init_from = str(made[0] / "run")
    this, _ = loop.run(experiment, tmp_path / "run")
    facts = inspect.describe(tmp_path / "run", 10.0)
    told = {"name": "rating", "rule": "MEAN", "threshold": this.corpus.label.threshold, "ties": "LOW"}
    assert facts["label"] == told and told["threshold"] != Label().threshold
    origin = facts["init_from"]
    assert (origin["run"], origin["step"], origin["num_subjects"]) == (experiment.init_from, 6, 4)
    assert (origin["task"], origin["store"]) == ("classification", str(made[0] / "store"))
    (made[0] / "run").rename(made[0] / "moved")
    try:
        told = inspect.describe(tmp_path / "run", 10.0)["init_from"]
    finally:
        (made[0] / "moved").rename(made[0] / "run")
    assert told == {"run": experiment.init_from, "now": "not found from here"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nothing", "no such folder. Name the --store of launch.prepare, or the --workdir"),
        (lambda p: (p / "a.csv").write_text("x") and p / "a.csv", "a.csv: that is a file. Name the --store"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "neither a store nor a run. Name the --store"),
        (lambda p: ((p / "above/one/signals").mkdir(parents=True)) or p / "above", "those inside: one."),
        (lambda p: (p / "half.preparing").mkdir() or p / "half", "half.preparing is not complete"),
        (lambda p: (p / "torn/signals").mkdir(parents=True) or p / "torn", "there is no manifest.json"),
        (lambda p: (p / "new/checkpoints").mkdir(parents=True) or p / "new", "holds no checkpoint"),
    ],
)
def test_other_folders(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        inspect.describe(make(tmp_path), 10.0)


def test_a_store_of_another_version(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(UserError, match="format 99"):
        inspect.describe(tmp_path, 10.0)
