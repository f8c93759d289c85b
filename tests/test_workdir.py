"""A run's folder: one run at a time, the same run on resume, and its config read back."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest

from ecgjax import plain
from ecgjax.config import Data, Experiment, Label, LabelRule, Optim, Train
from ecgjax.errors import UserError
from ecgjax.signals.recording import LabelSpec
from ecgjax.training import workdir


@dataclasses.dataclass
class Outside:
    """A config.json must not be able to make one of these."""

    name: str = ""


def make_experiment() -> Experiment:
    """Any dataclass of the package will do for a plug-in; these depend on no other part."""
    return Experiment(
        task=LabelSpec(classes=("rest", "stress"), high=9.0),
        model=Label(name="inner", classes=(3, 1)),
        data=Data(store="stores/a", modalities=("ecg", "eda"), label=Label("arousal", LabelRule.MEDIAN)),
        optim=Optim(multipliers=(("encoder/.*", 0.1), ("head", 1.0))),
        seed=3,
    )


def test_a_config_survives_json():
    experiment = make_experiment()
    text = json.dumps(plain.to_dict(experiment))
    assert plain.from_dict(Experiment, json.loads(text)) == experiment
    assert '"rule": "MEDIAN"' in text and '"class": "ecgjax.signals.recording:LabelSpec"' in text


def test_fields_that_an_older_run_did_not_know_get_their_default():
    stored = plain.to_dict(make_experiment())
    del stored["train"]["keep_best"]
    assert plain.from_dict(Experiment, stored).train.keep_best == Train().keep_best


@pytest.mark.parametrize(
    "path, value, message",
    [
        (("train", "keep_bets"), 1, 'config.train has no field keep_bets. Did you mean "keep_best"?'),
        (("data", "label", "rule"), "MEDIUM", 'config.data.label.rule is MEDIUM. Did you mean "MEDIAN"?'),
        (("optim", "multipliers"), [["encoder", 0.1, 0.2]], "config.optim.multipliers has 3 entries, not 2"),
        (("model", "class"), "ecgjax.config:Labels", "config.model: ecgjax.config:Labels is no config class"),
        (("model", "class"), "ecgjax.gone:Config", "config.model: ecgjax.gone:Config is no config class"),
        (("model", "class"), "ecgjax.config:to_dict", "config.model: ecgjax.config:to_dict is no config class"),
        (("model", "class"), "ecgjax_plus:Outside", "config.model: ecgjax_plus:Outside is no config class"),
        (("task", "class"), "test_workdir:Outside", "config.task: test_workdir:Outside is no config class"),
    ],
)
def test_an_unknown_field_enum_or_class_is_named(path, value, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "ecgjax_plus", sys.modules[__name__])
    stored = plain.to_dict(make_experiment())
    place = stored
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(UserError) as caught:
        plain.from_dict(Experiment, stored)
    assert str(caught.value).startswith(message)


def test_diff_names_changed_added_and_removed_fields():
    old, new = {"a": 1, "b": {"c": [1, 2], "d": 3}}, {"a": 1, "b": {"c": [1, 3], "e": 4}}
    assert plain.diff(old, new) == {"b.c": ([1, 2], [1, 3]), "b.d": (3, None), "b.e": (None, 4)}
    assert plain.diff(old, old) == {}


def occupy(folder, experiment):
    with workdir.occupy(folder, experiment):
        workdir.write_config(folder, experiment)


def test_the_config_is_on_disk_while_the_run_goes(tmp_path):
    with workdir.occupy(tmp_path / "new" / "run", make_experiment()):
        workdir.write_config(tmp_path / "new" / "run", make_experiment())
        assert workdir.read_experiment(tmp_path / "new" / "run") == make_experiment()


@pytest.mark.parametrize(
    "name, value",
    [
        ("seed", 4),
        ("init_from", "runs/other"),
        ("data.batch_size", 64),
        ("data.eval_batch_size", 8),
        ("data.label.rule", LabelRule.MEAN),
        ("data.modalities", ("ecg",)),
        ("model.threshold", 6.0),
        ("optim.learning_rate", 0.1),
        ("train.num_epochs", 20.0),
        ("train.patience_epochs", 2.0),
    ],
)
def test_what_changes_the_run_stops_it(tmp_path, name, value):
    occupy(tmp_path, make_experiment())
    changed = set_field(make_experiment(), name, value)
    for check in (occupy, workdir.check_same):
        with pytest.raises(UserError, match=rf"config\.{name} was .* and is .*: ?.*new --workdir|config\.{name} was"):
            check(tmp_path, changed)
    occupy(tmp_path, make_experiment())  # the refused run has not overwritten the config


@pytest.mark.parametrize(
    "name, value",
    [("train.log_every_steps", 1), ("train.keep_last", 5), ("train.tensorboard", False), ("mesh.data", 2)]
    + [("data.store", "moved/a"), ("train.keep_best", 3), ("train.checkpoint_every_steps", 7)],
)
def test_what_does_not_change_the_weights_may_change(tmp_path, name, value):
    occupy(tmp_path, make_experiment())
    changed = set_field(make_experiment(), name, value)
    occupy(tmp_path, changed)
    assert workdir.read_experiment(tmp_path) == changed


def test_a_run_of_an_earlier_version_goes_on_if_what_is_new_has_its_default(tmp_path):
    experiment = make_experiment()
    workdir.write_config(tmp_path, experiment)
    path = tmp_path / workdir.CONFIG
    stored = json.loads(path.read_text())
    del stored["experiment"]["optim"]["momentum"], stored["experiment"]["data"]["split"]
    path.write_text(json.dumps(stored))
    workdir.check_same(tmp_path, experiment)
    experiment.optim.momentum = 0.5
    with pytest.raises(UserError, match="config.optim.momentum was 0.9 and is 0.5"):
        workdir.check_same(tmp_path, experiment)
    stored["experiment"]["optim"]["nesterov"] = True
    path.write_text(json.dumps(stored))
    experiment.optim.momentum = 0.9
    with pytest.raises(UserError, match="config.optim.nesterov was True and is None"):
        workdir.check_same(tmp_path, experiment)


def test_the_message_names_old_and_new_value_and_every_field(tmp_path):
    occupy(tmp_path, make_experiment())
    changed = dataclasses.replace(make_experiment(), seed=9, task=Label(name="other"))
    with pytest.raises(UserError) as caught:
        occupy(tmp_path, changed)
    text = str(caught.value)
    assert "config.seed was 3 and is 9" in text
    assert "config.task.class was 'ecgjax.signals.recording:LabelSpec' and is 'ecgjax.config:Label'" in text
    assert "new --workdir" in text


def set_field(experiment, name, value):
    *path, last = name.split(".")
    place = experiment
    for part in path:
        place = getattr(place, part)
    setattr(place, last, value)
    return experiment


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    with workdir.occupy(tmp_path, make_experiment()):
        with pytest.raises(UserError, match=rf"in use by another run \(pid {os.getpid()} on .+\)"):
            occupy(tmp_path, make_experiment())
    occupy(tmp_path, make_experiment())


def test_the_lock_of_a_killed_run_blocks_nobody(tmp_path):
    code = (
        "import sys, time\n"
        "from ecgjax.training import workdir\n"
        "from test_workdir import make_experiment\n"
        "with workdir.occupy(sys.argv[1], make_experiment()):\n"
        "    print('in', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "in\n"
        with pytest.raises(UserError, match=f"pid {process.pid} on"):
            occupy(tmp_path, make_experiment())
        process.send_signal(signal.SIGKILL)
    occupy(tmp_path, make_experiment())


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/run: cannot be written .*another --workdir"):
        occupy(tmp_path / "file" / "run", make_experiment())


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"text"'])
def test_a_damaged_config_is_told(tmp_path, content):
    (tmp_path / workdir.CONFIG).write_text(content)
    with pytest.raises(UserError, match="config.json: cannot be read"):
        occupy(tmp_path, make_experiment())


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match="holds no run.*--workdir"):
        workdir.read_config(tmp_path)
