"""The launch scripts, end to end on tiny data; and every mistake a user can make: one line, exit code 2, no debris."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy

from tests import fixtures, tiny

ROOT = Path(__file__).parents[1]
SHORT = ("--config.train.num_epochs=0.6", "--config.train.tensorboard=false")
SIZE = ("--config.data.batch_size=8", "--config.data.eval_batch_size=16")
FLAGS = (*tiny.FLAGS, *SHORT, *SIZE)
FOLDS = ("--config.data.split.num_folds=3", "--config.data.split.validation_fraction=0.3")
CROSSVAL = ("launch.crossval", "--config=configs/demo_crossval.py", *FLAGS, *FOLDS, "--config.task.hidden=(8,)")
TRAIN = ("launch.train", "--config=configs/demo_pretrain.py", *FLAGS, "--config.data.split.validation_fraction=0.3")


def launch(*calls):
    """[{code, out, err}] of calls (module, arguments ...), one after the other."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.launching"], cwd=ROOT, env=environment, text=True, timeout=500,
        input=json.dumps([[str(word) for word in words] for words in calls]), stdout=subprocess.PIPE,
    )  # fmt: skip
    return json.loads(done.stdout)


def write_recordings(folder):
    """The same 30 s of ECG as WFDB, EDF, BDF and CSV."""
    folder.mkdir()
    ecg_T = toy.ecg(30.0, 250.0)
    fixtures.write_wfdb(
        folder, "w", [fixtures.WfdbSignal("II", np.round(200 * ecg_T + 12).astype(int), gain="200(12)/mV")]
    )
    digital_RN = np.round(ecg_T * 6553.6).astype(int).reshape(30, 250)
    fixtures.write_edf(folder / "e.edf", [fixtures.EdfChannel("ECG II", digital_RN)])
    wide = fixtures.EdfChannel("ECG II", 256 * digital_RN, digital=(-(2**23), 2**23 - 1))
    fixtures.write_edf(folder / "b.bdf", [wide], "24BIT", bits=24)
    write_csv(folder / "c.csv", ecg_T)
    return folder


def write_two(path):
    """33 s of two leads, whose names do not say so."""
    leads = [toy.ecg(33.0, 250.0, seed=i) * 6553.6 for i in (0, 1)]
    signals = zip("XY", leads, strict=True)
    fixtures.write_edf(
        path, [fixtures.EdfChannel(n, np.round(ecg_T).astype(int).reshape(33, 250)) for n, ecg_T in signals]
    )
    return path


def write_csv(path, ecg_T):
    path.write_text("ECG (mV)\n" + "\n".join(f"{v:.4f}" for v in ecg_T) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Stores and runs made by the scripts themselves, and recordings to predict."""
    folder = tmp_path_factory.mktemp("launch")
    store = f"--config.data.store={folder / 'store'}"
    people = ("--config.dataset.num_subjects=6", "--config.dataset.trials_per_subject=4", "--config.dataset.trial_s=30")
    other_steps = "--config.preprocess.ecg.resample_hz=120"  # than the default: predict must take the run's own
    prepare = ("launch.prepare", "--config=configs/prepare_synthetic.py", "--config.workers=1", other_steps, *people)
    results = launch(
        (*prepare, f"--store={folder / 'store'}"),
        (*prepare, "--config.dataset.seed=5", f"--store={folder / 'other'}"),
        (*TRAIN, store, f"--workdir={folder / 'pretrain'}"),
        (*CROSSVAL, store, f"--config.init_from={folder / 'pretrain'}", f"--workdir={folder / 'cross'}"),
    )
    for result in results:
        assert result["code"] == 0, result["err"]
    write_recordings(folder / "recordings")
    return folder, results


@pytest.fixture(scope="module")
def folder(made):
    return made[0]


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_from_prepare_to_predict(made):
    folder, (prepared, _, trained, crossed) = made
    assert "6 subjects, 24 recordings" in prepared["out"] and f"report: {folder}/pretrain/report.html" in trained["out"]
    assert "HRV, forest" in crossed["out"] and f"report: {folder}/cross/report.html" in crossed["out"]
    checkpoint = f"--checkpoint={folder / 'cross' / 'fold_00'}"
    inputs = {"w.hea": (), "e.edf": (), "b.bdf": (), "c.csv": ("--rate_hz=250",)}
    predict = [
        ("launch.predict", checkpoint, f"--input={folder / 'recordings' / name}", f"--out={folder / name}.csv", *rate)
        for name, rate in inputs.items()
    ]
    predict += [(*predict[0][:3], f"--out={folder / 'dense.csv'}", "--stride_s=2.5")]
    evaluate = ("launch.evaluate", checkpoint, f"--config.data.store={folder / 'other'}", f"--out={folder / 'scores'}")
    inspect = [("launch.inspect", folder / name, "--json") for name in ("store", "cross/fold_00")]
    (folder / "scores").mkdir()
    (folder / "scores" / "report.html").write_text("of another day")
    evaluated, *results = launch((*evaluate, "--overwrite"), *predict, *inspect)
    assert (folder / "scores" / "report.html").read_text() != "of another day"
    assert evaluated["code"] == 0, evaluated["err"]
    assert "of 6 people" in evaluated["out"] and "HRV, forest" in evaluated["out"]
    for result in results:
        assert result["code"] == 0, result["err"]
    tables = [rows_of(f"{folder / name}.csv") for name in inputs]
    for name, rows in zip(inputs, tables, strict=True):
        assert [(row["start_s"], row["stop_s"]) for row in rows] == [("0", "10"), ("10", "20"), ("20", "30")], name
        assert all(float(r["calm"]) + float(r["aroused"]) == pytest.approx(1, abs=2e-6) for r in rows)
    for rows in tables[1:]:  # the same signal whatever the format, but for rounding
        assert [float(r["calm"]) for r in rows] == pytest.approx([float(r["calm"]) for r in tables[0]], abs=0.02)
    dense = rows_of(folder / "dense.csv")
    spans = [(f"{2.5 * i:g}", f"{2.5 * i + 10:g}") for i in range(9)]
    assert [(row["start_s"], row["stop_s"]) for row in dense] == spans
    calm = [float(row["calm"]) for row in dense]
    assert calm[::4] == pytest.approx([float(r["calm"]) for r in tables[0]], abs=1e-5) and len(set(calm)) > 6
    from matplotlib import image

    assert image.imread(folder / "e.edf.png").shape[:2] == (600, 1650)
    store, run = (json.loads(result["out"]) for result in results[-2:])
    assert store["num_subjects"] == 6 and run["classes"] == ["calm", "aroused"] and run["num_subjects"] == 3


def test_predict_says_what_it_read_and_reaches_the_end(folder, tmp_path):
    call = ("launch.predict", f"--checkpoint={folder / 'cross' / 'fold_00'}")
    two, out, several = write_two(tmp_path / "two.edf"), tmp_path / "a.csv", tmp_path / "several"
    for name in ("p", "q"):
        ecg_T = np.round(200 * toy.ecg(20.0, 250.0)).astype(int)
        fixtures.write_wfdb(several / "in", name, [fixtures.WfdbSignal("V5", ecg_T)])
    guessed, chosen, many = launch(
        (*call, f"--input={two}", f"--out={out}"),
        (*call, f"--input={two}", f"--out={out}", "--channels=Y", "--overwrite"),
        (*call, f"--input={several}", f"--out={tmp_path / 'b.csv'}"),
    )
    assert "ecg: channel X, unit mV, 250 Hz" in guessed["out"] and "was guessed" in guessed["out"], guessed
    assert "ecg: channel Y, unit mV, 250 Hz" in chosen["out"] and "guessed" not in chosen["out"], chosen
    assert [row["start_s"] for row in rows_of(out)] == ["0", "10", "20", "23"]
    assert many["code"] == 0 and len(rows_of(tmp_path / "b.csv")) == 4, many
    assert [p.name for p in sorted(tmp_path.glob("*.png"))] == ["a.png", "b_in_p.png", "b_in_q.png"]


def refused(results, messages, untouched=()):
    told = [(m, r["err"][-300:]) for r, m in zip(results, messages, strict=True) if m not in r["err"]]
    assert not told, "\n".join(f"WANTED {wanted}\nGOT {got}" for wanted, got in told)
    for result, message in zip(results, messages, strict=True):
        lines = result["err"].splitlines()
        assert result["code"] == 2 and lines and lines[-1].startswith("error: "), (message, result)
        assert message in lines[-1], (message, lines[-1])
        assert "Traceback" not in result["err"] and sum(line.startswith("error:") for line in lines) == 1
    for path in untouched:
        assert not list(path.parent.glob(path.name + "*")), f"{path} was left behind"


def test_what_cannot_be_prepared(tmp_path):
    """Each case is a folder or file made here, the reader, further flags, and what the one line must say."""
    good_T, cases = toy.ecg(20.0, 250.0), []

    def case(message, name, kind, *flags, root=""):
        root = root or tmp_path / name
        call = ("launch.prepare", f"--config=configs/prepare_{kind}.py", f"--config.dataset.root={root}", *flags)
        cases.append((message, (*call, "--config.workers=1", f"--store={tmp_path / 'out' / name}")))

    case("nowhere: no such file or folder. Check --config.dataset.root", "nowhere", "wfdb")
    (tmp_path / "empty").mkdir()
    for kind in ("wfdb", "edf", "csv"):
        case("Check --config.dataset.root", "empty", kind)
    for name, record in (("cut", "a"), ("cut", "b")):
        fixtures.write_wfdb(tmp_path / name, record, [fixtures.WfdbSignal("II", np.round(200 * good_T).astype(int))])
    (tmp_path / "cut" / "b.dat").write_bytes((tmp_path / "cut" / "b.dat").read_bytes()[:1001])
    case("truncated. b.dat holds 500 of 5000 samples", "cut", "wfdb", "--strict")
    unknown = ("--strict", "--config.dataset.channels.ecg=('V9',)")
    case("unknown channel. 'V9' is not among its channels: II", "cut", "wfdb", *unknown)
    case("half of preprocess.ecg.resample_hz", "cut", "wfdb", "--config.preprocess.ecg.resample_hz=80")
    (tmp_path / "headless").mkdir()
    (tmp_path / "headless" / "h.hea").write_text("h 0 250 1000\n")
    case("header without signal", "headless", "wfdb")
    for name, samples_T in (("nan", np.full(5000, np.nan)), ("flat", np.zeros(5000))):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "x.csv", samples_T)
        case("no good signal (1)", name, "csv", "--config.dataset.rate_hz=250")
    (tmp_path / "rate").mkdir()
    rows = "\n".join(f"{i / 250},{v:.3f}" for i, v in enumerate(good_T))
    (tmp_path / "rate" / "x.csv").write_text(f"time (s),ECG (mV)\n{rows}\n")
    case("The time stamps say 250 Hz, 500 Hz is stated", "rate", "csv", "--config.dataset.rate_hz=500")
    case('no field "rot" in dataset (wfdb.Config). Did you mean "root"?', "cut", "wfdb", "--config.dataset.rot=x")
    case('"two" is not a whole number (int)', "cut", "wfdb", "--config.workers=two")
    refused(launch(*(call for _, call in cases)), [message for message, _ in cases])
    assert not list((tmp_path / "out").glob("*")), "a store, or part of one, was left behind"
    (kept,) = launch(("launch.prepare", *cases[4][1][1:3], f"--store={tmp_path / 'ok'}"))
    assert kept["code"] == 0 and "1 recordings" in kept["out"] and "left out, truncated: 1" in kept["out"]


def test_what_cannot_be_trained(folder, tmp_path):
    store = f"--config.data.store={folder / 'store'}"
    half, older, people = tmp_path / "half", tmp_path / "older", tmp_path / "people"
    shutil.copytree(folder / "store", half)
    (half / "manifest.json").unlink()
    shutil.copytree(folder / "store", older)
    manifest = json.loads((older / "manifest.json").read_text())
    (older / "manifest.json").write_text(json.dumps(manifest | {"format_version": 0}))
    people.write_text("a file")
    workdir = f"--workdir={tmp_path / 'run'}"
    cases = [
        ("not a store, there is no manifest.json", (*TRAIN, f"--config.data.store={half}", workdir)),
        ("a store of format 0", (*TRAIN, f"--config.data.store={older}", workdir)),
        ("no such store", (*TRAIN, f"--config.data.store={tmp_path / 'none'}", workdir)),
        ("fits into its good spans", (*TRAIN, store, workdir, "--config.data.window_s=40")),
        ("model.width is 16 in the checkpoint and 32 here",
         (*TRAIN, store, workdir, "--config.model.width=32", f"--config.init_from={folder / 'pretrain'}")),
        ("no such folder", (*TRAIN, store, workdir, f"--config.init_from={tmp_path / 'none'}")),
        ("only 6 subjects. Take 6 or fewer", (*CROSSVAL, store, workdir, "--config.data.split.num_folds=7")),
        ("leaves 1 class(es)", (*CROSSVAL, store, workdir, "--config.data.label.classes=(1,)")),
        ("data.eval_stride_s=0.0: give a number above 0", (*CROSSVAL, store, workdir, "--config.data.eval_stride_s=0")),
        ('Did you mean "learning_rate"?', (*TRAIN, store, workdir, "--config.optim.lerning_rate=1")),
        ('"many" is not a whole number (int)', (*TRAIN, store, workdir, "--config.data.batch_size=many")),
        ("cannot be written (File exists)", (*TRAIN, store, f"--workdir={people}")),
        ("cannot be written (Not a directory)", (*CROSSVAL, store, f"--workdir={people / 'x'}")),
        ("config.seed was 0 and is 9", (*TRAIN, store, f"--workdir={folder / 'pretrain'}", "--config.seed=9")),
        ("--workdir is missing", (*TRAIN, store)),
    ]  # fmt: skip
    refused(launch(*(call for _, call in cases)), [message for message, _ in cases])
    left = [path.name for path in (tmp_path / "run").rglob("*")] if (tmp_path / "run").exists() else []
    assert set(left) <= {"lock", "fold_00", "checkpoints"}, left


def test_what_cannot_be_evaluated_or_predicted(folder, tmp_path):
    recordings, out = folder / "recordings", tmp_path / "x.csv"
    flat, short = tmp_path / "flat.csv", tmp_path / "short.csv"
    write_csv(flat, np.zeros(5000))
    write_csv(short, toy.ecg(6.0, 250.0))
    two = write_two(tmp_path / "two.edf")
    for name in ("x.abc", "file", "old.csv", "seen.png"):
        (tmp_path / name).write_text("?")
    checkpoint = f"--checkpoint={folder / 'cross' / 'fold_00'}"

    def predict(source, *flags, run=checkpoint, out=out):
        return ("launch.predict", run, f"--input={source}", f"--out={out}", *flags)

    def evaluate(*flags, out=tmp_path / "scores", store=folder / "other"):
        return ("launch.evaluate", checkpoint, f"--config.data.store={store}", f"--out={out}", *flags)

    cases = [
        ("was not trained to classify", predict(recordings / "e.edf", run=f"--checkpoint={folder / 'pretrain'}")),
        ("no reader for .abc. Give .hea", predict(tmp_path / "x.abc")),
        ("none.edf: no such file", predict(tmp_path / "none.edf")),
        ("no sampling rate. Neither a column of times nor a '#' line tells it. Give it with --rate_hz.",
         predict(recordings / "c.csv")),
        ("'V9' is not among its channels: ECG II. Check --channels.", predict(recordings / "e.edf", "--channels=V9")),
        ("this has 2 at 120 Hz. Name as many with --channels", predict(two, "--channels=X,Y")),
        ("old.csv: exists. Choose another place, or pass --overwrite", predict(two, out=tmp_path / "old.csv")),
        ("seen.png: exists.", predict(two, out=tmp_path / "seen.csv")),
        ("--rate_hz", predict(recordings / "c.csv", "--rate_hz=-1")),
        ("--stride_s", predict(recordings / "e.edf", "--stride_s=-1")),
        ("--stride_s=nan: give seconds", predict(recordings / "e.edf", "--stride_s=nan")),
        ("flat.csv: none of 1 recordings is usable: no good signal", predict(flat, "--rate_hz=250")),
        ("short.csv: the model reads windows of 10 s, and the longest good stretch of ecg is 6.0 s",
         predict(short, "--rate_hz=250")),
        ("give a name that ends in .csv", predict(recordings / "e.edf", out=tmp_path / "x.png")),
        ("there is no folder", predict(recordings / "e.edf", out=tmp_path / "none" / "x.csv")),
        ("that is the input", predict(recordings / "c.csv", "--rate_hz=250", out=recordings / "c.csv")),
        ("holds no checkpoint", predict(recordings / "e.edf", run=f"--checkpoint={tmp_path}")),
        ("that is a file", evaluate(out=tmp_path / "file")),
        ("report.html: exists. Choose another place, or pass --overwrite", evaluate(out=folder / "pretrain")),
        ("no such store", evaluate("--overwrite", store=tmp_path / "none", out=folder / "pretrain")),
        ("model.num_layers is 1 in the checkpoint and 3 here", evaluate("--config.model.num_layers=3")),
        ("data.eval_stride_s=0.0: give a number above 0", evaluate("--config.data.eval_stride_s=0")),
    ]  # fmt: skip
    refused(launch(*(call for _, call in cases)), [message for message, _ in cases])
    left = ["file", "flat.csv", "old.csv", "seen.png", "short.csv", "two.edf", "x.abc"]
    assert sorted(p.name for p in tmp_path.iterdir()) == left and (tmp_path / "seen.png").read_text() == "?"


@pytest.mark.slow
def test_a_second_run_waits_its_turn_and_the_command_itself_works(folder, run_module):
    """In processes of their own, as a user starts them; the first finished long ago, so nothing is trained."""
    call = (*TRAIN, f"--config.data.store={folder / 'store'}", f"--workdir={folder / 'pretrain'}")
    before = (folder / "pretrain" / "metrics.jsonl").read_text()
    done = run_module(*call)
    assert done.returncode == 0, done.stderr
    assert (folder / "pretrain" / "metrics.jsonl").read_text() == before
    import fcntl

    with (folder / "pretrain" / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = run_module(*call)
    assert busy.returncode == 2 and "in use by another run" in busy.stderr.splitlines()[-1]
