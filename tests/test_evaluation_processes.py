"""Cross-validation and evaluation by two processes say what one says, and one of them writes it down."""

import json

import numpy as np
import pytest

from ecgjax.evaluation.predictions import Predictions
from tests import processes, tiny

FLAGS = (
    *tiny.FLAGS,
    "--config.data.batch_size=8",
    "--config.data.eval_batch_size=16",
    "--config.data.split.num_folds=2",
    "--config.data.split.validation_fraction=0.3",
    "--config.task.hidden=(8,)",
    "--config.train.num_epochs=1",
    "--config.train.tensorboard=False",
)


def crossval(store, workdir, *more):
    flags = (f"--config.data.store={store}", f"--workdir={workdir}", *FLAGS, *more)
    return ("-m", "launch.crossval", "--config=configs/demo_crossval.py", *flags)


def run_two(*call):
    """[(stdout, stderr)] of both, with one device each; without what the CPU's network library says."""
    results = processes.finish(processes.start_two(*call, "--distributed", JAX_NUM_CPU_DEVICES="1"))
    assert [code for code, *_ in results] == [0, 0], results
    return [("".join(line for line in out.splitlines(True) if "Gloo" not in line), err) for _, out, err in results]


def run_one(*call):
    [(code, said, complaints)] = processes.finish([processes.start(*call, JAX_NUM_CPU_DEVICES="1")])
    assert code == 0, complaints
    return said


def scores_of(folder):
    return json.loads((folder / "results.json").read_text())["scores"]


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ('--config.optim.multipliers=(("^encoder/",0.0),)',)], ids=["tuned", "frozen"])
def test_two_processes_cross_validate_and_evaluate_like_one(tmp_path, more):
    store, other = (tiny.make_store(tmp_path / f"store{seed}", seed) for seed in range(2))
    alone, together = tmp_path / "alone", tmp_path / "together"
    table = run_one(*crossval(store, alone, *more))
    (said, _), (silence, told) = run_two(*crossval(store, together, *more))
    assert "AUROC" in table and "AUROC" in said and silence == "" and "fold" not in told
    ours, theirs = (Predictions.load(folder / "predictions.npz") for folder in (together, alone))
    np.testing.assert_array_equal(ours.start_s_N, theirs.start_s_N)
    np.testing.assert_array_equal(ours.recording_N, theirs.recording_N)
    np.testing.assert_allclose(ours.probability_NC, theirs.probability_NC, atol=1e-3)  # sums in another order
    heart_rate = scores_of(together)["heart rate"]
    assert heart_rate == scores_of(alone)["heart rate"] and (together / "report.html").is_file()
    (again, _), _ = run_two(*crossval(store, together, *more))  # all folds are tested: they are read
    assert again == said
    evaluate = ("-m", "launch.evaluate", f"--checkpoint={together / 'fold_00'}", f"--config.data.store={other}")
    scores = run_one(*evaluate, f"--out={tmp_path / 'one'}")
    (said, _), (silence, _) = run_two(*evaluate, f"--out={tmp_path / 'two'}")
    assert said.replace("/two/", "/one/") == scores and silence == ""
