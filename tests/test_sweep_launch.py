"""launch.sweep from the command line: cells are ordinary runs, only missing ones are run, Slurm gets an array."""

import json
import os
import shutil
from xml.etree import ElementTree

import pytest

from tests import tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.make_store(tmp_path_factory.mktemp("sweep") / "store")


def arguments(store, folder, *more):
    base = ("--config=configs/demo_pretrain.py", f"--config.data.store={store}", f"--workdir={folder}", *tiny.FLAGS)
    return (*base, "--config.data.batch_size=8", "--config.train.num_epochs=1", *more)


def test_missing_cells_alone_are_run_and_all_are_in_the_table(store, tmp_path, run_module):
    folder = tmp_path / "sweep"
    labelled = "--config.data.label.name=condition"  # a pre-training on the windows that a fine-tuning would have
    run = run_module("launch.sweep", *arguments(store, folder, "--sweep=task.mask_span=5,20", "--cell=1", labelled))
    assert run.returncode == 0, run.stderr
    assert (folder / "mask_span=20" / "checkpoints").is_dir()
    shutil.rmtree(folder)
    run = run_module("launch.sweep", *arguments(store, folder, "--sweep=task.mask_span=5,20", "--cell=1"))
    assert run.returncode == 0, run.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["mask_span=20"]
    assert json.loads((folder / "mask_span=20" / "config.json").read_text())["experiment"]["task"]["mask_span"] == 20

    three = arguments(store, folder, "--sweep=task.mask_span=5,20,40")
    run = run_module("launch.sweep", *three, "--submit=slurm")
    assert run.returncode == 2 and "sbatch" in run.stderr
    assert "--array=0,2\n" in (folder / "sweep.sbatch").read_text()  # what is done is not handed over
    run = run_module("launch.sweep", *three)
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stderr.splitlines() if line.startswith("cell ")] == [
        "cell 1 of 3: mask_span=5",
        "cell 3 of 3: mask_span=40",
    ]
    found = json.loads((folder / "sweep.json").read_text())
    picture = ElementTree.parse(folder / "sweep.svg").getroot()
    assert picture.tag.endswith("svg") and "--model: #" in picture[0].text
    assert [cell["settings"] for cell in found["cells"]] == [{"task.mask_span": span} for span in ("5", "20", "40")]
    assert all(cell["scores"]["validation"]["loss"][0] > 0 for cell in found["cells"])
    page = (folder / "report.html").read_text()
    assert "<svg" in page and ">mask_span<" in page
    assert run.stdout.count("validation") == 3

    none_aside = "--config.data.split.validation_fraction=0"
    run = run_module("launch.sweep", *arguments(store, folder, "--sweep=seed=0", none_aside))
    assert run.returncode == 2 and "data.split.validation_fraction=0: the cells of a pre-training" in run.stderr
    run = run_module("launch.sweep", *arguments(store, folder, "--sweep=task.mask_span=5,20,40", "--config.seed=1"))
    assert run.returncode == 2
    assert "mask_span=5: holds another run" in run.stderr and "config.seed was 0 and is 1" in run.stderr


def test_a_cell_that_fails_leaves_the_others_their_run_and_the_table(store, tmp_path, run_module):
    sweep = ("--sweep=optim.learning_rate=1e30,1e-3", "--config.optim.clip_norm=1e30")
    run = run_module("launch.sweep", *arguments(store, tmp_path / "sweep", *sweep))
    assert run.returncode == 3 and "1 of 2 cells failed: learning_rate=1e30. " in run.stderr.splitlines()[-1]
    assert run.stdout.count("validation") == 1
    assert "1 cells are not done: learning_rate=1e30." in (tmp_path / "sweep" / "report.html").read_text()
    found = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [cell["settings"] for cell in found["cells"]] == [{"optim.learning_rate": "1e-3"}]

    run = run_module("launch.sweep", *arguments(store, tmp_path / "other", "--sweep=data.split.fold=99,0"))
    assert run.returncode == 2 and "1 of 2 cells failed: fold=99. data.split.fold=99, but there are" in run.stderr
    assert (tmp_path / "other" / "fold=0" / "report.html").is_file() and run.stdout.count("validation") == 1


def test_slurm_gets_an_array_of_the_cells(store, tmp_path, run_module, monkeypatch):
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho Submitted batch job 7\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    more = ("--sweep=seed=0,1,2", "--submit=slurm", "--slurm=--gres=gpu:1 --time=1:00:00")
    run = run_module("launch.sweep", *arguments(store, tmp_path / "sweep", *more))
    assert (run.returncode, run.stdout.strip()) == (0, "Submitted batch job 7"), run.stderr
    script = tmp_path / "sweep" / "sweep.sbatch"
    assert (tmp_path / "called").read_text().split() == ["--gres=gpu:1", "--time=1:00:00", str(script)]
    text = script.read_text()
    assert "--array=0,1,2\n" in text.replace(" --", "\n--")
    # the last word on --submit, whatever a --flagfile says: a job must not submit the array again
    assert "--sweep=seed=0,1,2" in text and text.rstrip().endswith(" --submit=here --cell=$SLURM_ARRAY_TASK_ID")
    assert text.count("submit") == 1 and "--slurm" not in text
    assert "--signal=B:TERM@120" in text  # to the shell that became the run, not to steps it does not have
    apart = ("--sweep=seed=0,1,2", "--submit", "slurm", "--slurm", "--gres=gpu:2")
    run = run_module("launch.sweep", *arguments(store, tmp_path / "slurm_runs", *apart))
    assert (tmp_path / "called").read_text().split()[0] == "--gres=gpu:2", run.stderr
    text = (tmp_path / "slurm_runs" / "sweep.sbatch").read_text()
    assert f"--workdir={tmp_path / 'slurm_runs'}" in text and "gres" not in text and text.count("submit") == 1
    (tmp_path / "flags").write_text("--submit=slurm\n")
    flagged = ("--sweep=seed=0,1,2", f"--flagfile={tmp_path / 'flags'}")
    run = run_module("launch.sweep", *arguments(store, tmp_path / "flagged", *flagged))
    text = (tmp_path / "flagged" / "sweep.sbatch").read_text()
    assert text.rstrip().endswith(" --submit=here --cell=$SLURM_ARRAY_TASK_ID"), run.stderr
    monkeypatch.setenv("PATH", "/nowhere")
    run = run_module("launch.sweep", *arguments(store, tmp_path / "sweep", *more))
    assert run.returncode == 2 and "sbatch: not found" in run.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--sweep=seed=0,1", "--cell=2"), "--cell=2: there are 2 cells"),
        (("--sweep=seed=0,1", "--cell=1", "--submit=slurm"), "--cell=1: --submit=slurm hands over all"),
        (("--sweep=data.split.validation_fraction=0.2,0",), "data.split.validation_fraction=0: the cells"),
        (("--sweep=task.mask_spam=1",), 'no field "mask_spam"'),
        ((), "--sweep is missing"),
    ],
)
def test_mistakes_are_told_before_anything_runs(store, tmp_path, run_module, more, message):
    run = run_module("launch.sweep", *arguments(store, tmp_path / "sweep", *more))
    assert run.returncode == 2 and message in run.stderr
    assert not (tmp_path / "sweep").exists()
