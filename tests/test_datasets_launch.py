"""launch.datasets: what it says of every set, and what it finds and misses in a download."""

import dataclasses
import importlib
from pathlib import Path

import pytest

from ecgjax.data import download
from ecgjax.errors import DataError, UserError
from launch import datasets
from tests import toy

SETS = datasets.abouts()
DOCS = Path(__file__).parents[1] / "docs" / "datasets.md"


def test_all_are_listed_and_each_tells_where_to_get_it(run_module):
    run = run_module("launch.datasets")
    assert run.returncode == 0, run.stderr
    what, where, _ = run.stdout.split("\n\n")
    what, where = ({line.split()[0]: line for line in table.splitlines()[2:]} for table in (what, where))
    assert SETS.keys() == what.keys() == where.keys() and "stress_predict" in SETS
    assert " condition arousal valence and 19 more " in what["kemocon"] and " stress task " in what["stress_predict"]
    for name, about in SETS.items():
        assert about.licence in where[name] and about.access in where[name] and about.verified.value in what[name]
        assert what[name].split()[-2:] == [datasets.number(about.people), datasets.number(about.hours)]
    run = run_module("launch.datasets", "--dataset=eegmat")
    assert "physionet.org/content/eegmat" in run.stdout and "Zyma" in run.stdout and "36 people" in run.stdout


@pytest.mark.parametrize("name", list(SETS))
def test_the_docs_have_a_row_of_it(name):
    (row,) = [line for line in DOCS.read_text().splitlines() if f"(`{name}`) |" in line]
    about = SETS[name]
    assert about.title in row and about.licence in row and about.access in row and about.verified.value in row
    assert f"| {datasets.number(about.people)} | {datasets.number(about.hours)} |" in row


@pytest.mark.parametrize("name", list(SETS))
def test_what_is_said_of_a_set_is_what_its_reader_gives(name):
    made, about = importlib.import_module(f"configs.prepare_{name}").get_config().dataset.make(), SETS[name]
    assert set(about.labels) == set(made.label_specs) and len(set(about.labels)) == len(about.labels)
    assert about.people >= len(about.subjects) and about.access and about.cite and about.modalities
    assert len(set(about.subjects)) == len(about.subjects)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check=x"], "--check=x: of which data set? Name it with --dataset."),
        (["--config=configs/vazquez2022_pretrain.py", "--check=x"], "--check=x: of which data set?"),
        (["--dataset=eggmat"], '--dataset=eggmat: not known. Did you mean "eegmat"?'),
        (["--dataset=zzz"], "--dataset=zzz: not known. Known: "),
        (
            ["--dataset=amigos:orginal", "--check=x"],
            'prepare_amigos.py has no variant "orginal". Did you mean "original"?',
        ),
        (
            ["--dataset=wesad", "--config.dataset.devise=WRIST"],
            'no field "devise" in dataset (wesad.Config). Did you mean',
        ),
        (["--check=x", "--config.dataset.device=WRIST"], "--config.dataset.device needs --dataset before it."),
        (["--dataset=eegmat", "--check=nowhere"], "nowhere: no such file or folder."),
        (["--dataset=eegmat", "--check=x", "--most=-1"], "--most"),
    ],
)
def test_mistakes_are_told(run_module, arguments, message):
    run = run_module("launch.datasets", *arguments)
    assert run.returncode == 2 and message in run.stderr and run.stderr.count("\n") <= 2


def test_a_download_is_checked_and_left_as_it_was(tmp_path, run_module):
    from tests.corpora import stress_predict

    stress_predict.write(tmp_path)
    (tmp_path / "Raw_data" / "S03" / "BVP.csv").write_text("1644496000.00\n64.0")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    run = run_module("launch.datasets", "--dataset=stress_predict", f"--check={tmp_path}")
    assert run.returncode == 0, run.stderr
    told = run.stdout.split("--store=DIR\n")[1]
    assert "4 recordings listed, all of them opened; 3 usable, of 3 people" in told
    assert "bvp: 0.03 h" in told and "stress: calm 8, stress 6" in told, told
    assert "cannot be used, no samples: 1" in told and "S03/BVP.csv" in told
    assert "missing people: S03, S05, S06" in told and "(32)" in told and "missing signals" not in told
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_some_recordings_stand_for_all_and_then_nobody_is_missing():
    about = dataclasses.replace(
        SETS["eegmat"], subjects=("s0", "s9"), modalities=("ecg", "eda"), labels=("mood", "joy")
    )
    made = toy.Config(num_recordings=9, faults=("r8:truncated",)).make()
    found = download.look(made, 3)
    assert (found.listed, found.read, found.people) == (9, 2, {"s0", "s2"})
    told = download.told(found, about)
    assert "9 recordings listed, a part of them opened; 2 usable" in told and "missing people" not in told
    assert "missing signals: eda (1)" in told and "missing labels: joy (1)" in told and "truncated: 1" in told
    told = download.told(download.look(made, 0), about)
    assert "all of them opened; 8 usable" in told and "missing people: s9 (1)" in told
    assert "mood: calm 4, tense 4" in told and "arousal: rated 8" in told


def test_a_file_that_cannot_be_opened_is_counted_and_a_mistake_ends_it():
    found = download.look(toy.Config(num_recordings=2, faults=("r0:no permission",)).make(), 0)
    assert found.unusable == {"unreadable": ["r0: Permission denied"]} and found.read == 1
    with pytest.raises(UserError, match="the pattern is wrong"):
        download.look(toy.Config(num_recordings=2, faults=("r0:mistake",)).make(), 0)
    assert issubclass(DataError, Exception)


def test_where_nobody_is_known_by_name_people_are_counted():
    about = dataclasses.replace(SETS["chapman"], people=7, modalities=("ecg",))
    made = toy.Config(num_recordings=9).make()  # of five people
    assert "missing people: 2 of 7" in download.told(download.look(made, 0), about)
    assert "missing" not in download.told(download.look(made, 3), about), "others may be in those not opened"
    assert "missing" not in download.told(download.look(made, 0), dataclasses.replace(about, people=5))


def test_files_of_a_general_format_are_checked_too_and_its_fields_are_set(tmp_path, run_module):
    for name, column in (("a", "ecg_lead"), ("b", "eda")):
        (tmp_path / f"{name}.txt").write_text("\n".join([column, *map(str, range(20))]))
    run = run_module(
        "launch.datasets", "--config.dataset.rate_hz=10", "--dataset=csv", f"--check={tmp_path}",
        "--config.dataset.modalities=ecg,eda",
    )  # fmt: skip
    assert "A store from text tables" in run.stdout and "missing" not in run.stdout, run.stderr
    assert "2 recordings listed, all of them opened; 2 usable" in run.stdout


def test_a_variant_is_checked_and_its_fields_are_set(tmp_path, run_module):
    from tests.corpora import amigos_original

    amigos_original.write(tmp_path)
    arguments = ["--dataset=amigos:original", f"--check={tmp_path}", "--config.dataset.modalities=acc"]
    run = run_module("launch.datasets", *arguments)
    assert "AMIGOS" in run.stdout and "variants: original, sarkar2020" in run.stdout, run.stderr
    told = run.stdout.split("recordings listed")[1]
    assert "\n  acc: " in told and "\n  ecg: " not in told and "missing people: P01, P02, P04, " in told
    assert "missing signals" not in told and "missing labels" not in told, "of those that this variant reads"
