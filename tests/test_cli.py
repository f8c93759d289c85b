"""The command line: overrides land in the config, a user's mistake is one line and exit code 2, --help is instant."""

import dataclasses
import enum
import functools
import importlib
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from ecgjax.config import Experiment
from ecgjax.errors import UserError
from launch.overrides import load_config, put

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(p.stem for p in (ROOT / "launch").glob("*.py") if "cli.run(" in p.read_text() and p.stem != "cli")
CONFIGS = sorted(p for p in (ROOT / "configs").glob("*.py") if p.name != "__init__.py")

SCRIPT = '''"""Counts sheep.

    python -m launch.sheep --config=configs/night.py
"""
import errno
from absl import flags, logging
from launch import cli
from ecgjax.errors import DataError, NonFiniteLossError, Preempted
CONFIG = cli.define_config_flag()
OUT = flags.DEFINE_string("out", "fold", "where to write")
def main():
    match OUT.value:
        case "bug": raise ZeroDivisionError("nobody's mistake but ours")
        case "lost": raise OSError(errno.EBADF, "Bad file descriptor")
        case "full": raise OSError(errno.ENOSPC, "No space left on device", "sheep.npy")
        case "data": raise DataError("sheep.dat", "truncated", "Fetch it\\nagain.")
        case "nan": raise NonFiniteLossError("step 3")
        case "preempted": raise Preempted("saved")
        case "pipe": raise BrokenPipeError(errno.EPIPE, "a pipe of the script's own")
        case "much": print("sheep " * 100_000)
        case "log": logging.info("chatter"); logging.warning("careful")
    c = CONFIG.value
    print(c.model, c.optim.optimizer.name, c.optim.learning_rate, c.optim.multipliers, c.data.modalities)
    print("tensorboard", c.train.tensorboard)
if __name__ == "__main__":
    cli.run(main)
'''
OTHER = '''"""Counts sheep of another run."""
from absl import flags
from launch import cli
RUN = flags.DEFINE_string("run", None, "which", required=True)
CONFIG = cli.define_config_flag(from_flag="run")
if __name__ == "__main__":
    cli.run(lambda: print(CONFIG.value.seed))
'''
CONFIG = """
import dataclasses
from ecgjax.config import Experiment
VARIANTS = ("full", "small")
@dataclasses.dataclass
class Config:
    num_layers: int = 2
    widths: tuple[int, ...] = (64, 128)
def get_config(variant="full"):
    return Experiment(task=Config(), model=Config(num_layers=2 if variant == "full" else 1))
"""


@pytest.fixture(scope="module")
def sheep(tmp_path_factory):
    """Runs the script above in a folder with config files, some of them broken."""
    folder = tmp_path_factory.mktemp("sheep")
    texts = {
        "sheep.py": SCRIPT,
        "other.py": OTHER,
        "night.py": CONFIG,
        "broken.py": "x = 1\ny = x.nothing\n",
        "bare.py": "x = 1\n",
    }
    texts |= {"torn.py": "def get_config(:\n", "empty.py": "def get_config():\n    pass\n"}
    for name, text in texts.items():
        (folder / name).write_text(text)

    def run(*arguments: str, script: str = "sheep.py", stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, script, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)

    return run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Config(num_layers=2, widths=(64, 128)) ADAM 0.001 () ('ecg',)\ntensorboard True"),
        (["--config.model.num_layers=4", "--config.model.widths=8,16"], "Config(num_layers=4, widths=(8, 16)) ADAM"),
        (["--config.model.widths", "(32,)"], "widths=(32,)"),
        (["--config.optim.optimizer=AdamW", "--config.optim.learning_rate=1"], "ADAMW 1.0"),
        (["--config.optim.multipliers=(('enc/.*', 0),)"], "(('enc/.*', 0.0),)"),
        (["--config.data.modalities=ecg,eda", "--noconfig.train.tensorboard"], "('ecg', 'eda')\ntensorboard False"),
    ],
)
def test_overrides_reach_the_config_with_their_types(sheep, arguments, expected):
    result = sheep("--config=night.py", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert expected in result.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", ("0",)), ("1,0", ("1", "0")), ("(0, 007)", ("0", "007")), ("007", ("007",)), (" 1_0 ", ("1_0",)),
        ("1e3,0x1F", ("1e3", "0x1F")), ("[-1,'II']", ("-1", "II")), ("('0',1.50)", ("0", "1.50")),
        ("(V5,aVR)", ("V5", "aVR")),
        ("µV1, 2", ("µV1", "2")), ("'1,2'", ("1,2",)), ("None", ("None",)), ("()", ()), ("II", ("II",)),
    ],
)  # fmt: skip
def test_names_that_look_like_numbers_stay_as_typed(text, expected):
    made = Experiment(None, None)
    put(made, "data.modalities", text)
    assert made.data.modalities == expected


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("optim.multipliers", "((0,0.10),('b',1e-1))", (("0", 0.1), ("b", 0.1))),
        ("mesh.rules", "((1e1,('fsdp',)),)", (("1e1", ("fsdp",)),)),
        ("data.weights", "2,1e1", (2.0, 10.0)),
        ("data.label.classes", "[2, 1]", (2, 1)),
        ("data.label.classes", "('1',)", None),
        ("data.modalities", "((1,),)", None),
        ("optim.multipliers", "1,2", None),
    ],
)
def test_numbers_among_names(path, text, expected):
    made, (group, *rest) = Experiment(None, None), path.split(".")
    if expected is None:
        with pytest.raises(UserError, match=f"{path}: "):
            put(made, path, text)
    else:
        put(made, path, text)
        assert functools.reduce(getattr, rest, getattr(made, group)) == expected


def test_a_variant_reaches_get_config(sheep):
    assert "num_layers=1" in sheep("--config=night.py:small").stdout


NIGHT = "--config=night.py"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing"),
        (["--config.seed=1"], "--config.seed needs --config before it"),
        (["--config.seed=1", "--config=night.py"], "Found --config.seed=1 in argv before a value for --config"),
        (["--config=night.py", "--config.seed"], "Missing value for flag --config.seed"),
        (["--config=nihgt.py"], 'no config file and no run "nihgt.py". Did you mean "night.py"?'),
        (["--config=night.py:smal"], 'config file night.py has no variant "smal". Did you mean "small"?'),
        (["--config=bare.py:small"], "config file bare.py has no function get_config()"),
        (["--config=empty.py:small"], 'config file empty.py has no variants, so "small" means nothing'),
        (["--config=empty.py"], "get_config() must return a dataclass, not NoneType"),
        (["--config=broken.py"], "config file broken.py, line 2: AttributeError: 'int' object has no attribute"),
        (["--config=torn.py"], "config file torn.py, line 1: SyntaxError"),
        ([NIGHT, "--config.modle.num_layers=4"], 'no field "modle" in Experiment. Did you mean "model"?'),
        ([NIGHT, "--config.model.nm_layers=4"], 'in model (config_file.Config). Did you mean "num_layers"?'),
        ([NIGHT, "--noconfig.train.tensorbord"], 'no field "tensorbord" in train (Train). Did you mean "tensorboard"?'),
        ([NIGHT, "--config.seed.x=4"], 'seed is a single value and has no field "x"'),
        ([NIGHT, "--config.model=4"], "model is a group of fields; set one of them: num_layers, widths"),
        ([NIGHT, "--config.model.num_layers=1.5"], '--config.model.num_layers: "1.5" is not a whole number (int)'),
        ([NIGHT, "--config.model.widths=8,x"], '--config.model.widths: "8,x" is not a tuple[int, ...]'),
        ([NIGHT, "--config.optim.optimizer=lion"], '"lion" is not one of adam, adamw, sgd'),
        ([NIGHT, "--config.train.tensorboard=perhaps"], '"perhaps" is not true or false'),
        ([NIGHT, "--oot=x"], "Did you mean: out"),
        ([NIGHT, "stray"], "this script takes flags only, but got: stray"),
        ([NIGHT, "--out=data"], "sheep.dat: truncated. Fetch it again."),
        ([NIGHT, "--out=full"], "sheep.npy: No space left on device. Free some space"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(sheep, arguments, message):
    result = sheep(*arguments)
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr
    assert (result.returncode, result.stdout) == (2, "")


@pytest.mark.parametrize(("what", "exit_code"), [("nan", 3), ("preempted", 75)])
def test_errors_with_an_exit_code_of_their_own(sheep, what, exit_code):
    result = sheep(NIGHT, f"--out={what}")
    assert (result.returncode, result.stderr.count("\n")) == (exit_code, 1)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("what", ["little", "much"])  # met when the script ends, and while it prints
def test_a_reader_that_has_gone_is_no_traceback(sheep, what, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    os.close(read)
    result = sheep(NIGHT, f"--out={what}", stdout=write)
    os.close(write)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("what", ["bug", "lost", "pipe"])
def test_a_bug_keeps_its_traceback(sheep, what):
    result = sheep(NIGHT, f"--out={what}")
    assert result.returncode == 1 and "Traceback" in result.stderr


def test_libraries_may_warn_but_not_chat(sheep):
    quiet, asked = sheep(NIGHT, "--out=log"), sheep(NIGHT, "--out=log", "--verbosity=0")
    assert "careful" in quiet.stderr and "chatter" not in quiet.stderr
    assert "chatter" in asked.stderr


@pytest.mark.parametrize("arguments", [["--run=night.py"], ["--run", "night.py", "--config.seed=3"]])
def test_another_flag_may_stand_for_config(sheep, arguments):
    assert sheep(*arguments, script="other.py").stdout == f"{3 if len(arguments) > 2 else 0}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--run=nowhere", "--config=night.py"], "0\n"),
        (["--run=night.py", "--config"], "Missing value for flag --config"),
        ([], "--run is missing"),
        (["--run"], "Missing value for flag --run"),
        (["--config.seed=3"], "--config.seed needs --run before it"),
        (["--run=night.py", "--config.sed=3"], 'no field "sed" in Experiment. Did you mean "seed"?'),
        (["--run=nowhere"], 'no config file and no run "nowhere".'),
        (["--run=."], ": holds no checkpoint"),
    ],
)
def test_with_another_flag_the_mistakes_are_told_the_same_way(sheep, arguments, expected):
    result = sheep(*arguments, script="other.py")
    assert expected in result.stdout + result.stderr
    assert result.stderr.count("\n") <= 1


def test_help_shows_the_docstring_and_the_scripts_own_flags(sheep):
    result = sheep("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "python -m launch.sheep --config=configs/night.py" in result.stdout
    names = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  --")]
    assert names == ["--config=...", "--config.FIELD=VALUE", "--out=fold"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_of_every_script_is_instant_and_loads_no_jax(name):
    code = f"""
import runpy, sys, time
sys.argv = ["{name}", "--help"]
try: runpy.run_module("launch.{name}", run_name="__main__", alter_sys=True)
except SystemExit as e: print(e.code, "jax" in sys.modules, time.process_time() < 2)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1:] == ["0 False True"], result.stdout + result.stderr
    assert f"python -m launch.{name}" in result.stdout, "the docstring shows no example command"


def leaves(config: object, path: str = "config") -> typing.Iterator[tuple[str, object]]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{path}.{field.name}")
        else:
            yield f"{path}.{field.name}", field.type


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_and_variant_loads_and_every_field_is_a_flag(path):
    variants = getattr(importlib.import_module(f"configs.{path.stem}"), "VARIANTS", ())
    for variant in ("", *(f":{v}" for v in variants)):
        for name, kind in leaves(load_config(f"{path}{variant}")):
            simple = kind in (bool, int, float, str) or typing.get_origin(kind) is tuple
            assert simple or (isinstance(kind, type) and issubclass(kind, enum.Enum)), f"{name}: {kind} is no flag"


def parts(config: object) -> set[int]:
    inner = (getattr(config, field.name) for field in dataclasses.fields(config))
    return {id(config)}.union(*(parts(part) for part in inner if dataclasses.is_dataclass(part)))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_what_is_changed_in_a_config_is_not_changed_in_the_next(path):
    module = importlib.import_module(f"configs.{path.stem}")
    for variant in getattr(module, "VARIANTS", ()):
        one, other = module.get_config(variant), module.get_config(variant)
        assert not parts(one) & parts(other), variant
