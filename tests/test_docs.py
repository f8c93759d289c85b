"""Every command that README and docs show names scripts, config files and fields that exist, with values they take."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from ecgjax.evaluation import sweeps
from launch import overrides

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHORT = {  # what docs/sarkar2020.md abbreviates
    "$P": "--config=configs/sarkar2020_pretrain.py --config.data.store=stores/a",
    "$F": "--config=configs/sarkar2020_finetune.py:binary_frozen --config.data.store=stores/b",
}


def commands(page: Path) -> list[list[str]]:
    """Words of every `python -m launch...` in the page's code blocks, lines that go on joined."""
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for short, long in SHORT.items():
        lines = [line.replace(short, long) for line in lines]
    lines = [re.sub(r"\$\(ls -d (runs/\w+/\w+=)\*.*? paste -sd,\)", r"\1a,\1b", line) for line in lines]
    return [shlex.split(line) for line in lines if line.startswith("python -m launch.")]


CALLS = [pytest.param(words, id=f"{page.stem}-{n}") for page in PAGES for n, words in enumerate(commands(page))]


@pytest.mark.parametrize("words", CALLS)
def test_a_command_s_config_file_and_fields_exist(words):
    assert importlib.util.find_spec(words[2]), words[2]
    given = dict(word.removeprefix("--").split("=", 1) for word in words if re.match(r"--config(\..+)?=", word))
    if "config" not in given:  # it is read from a checkpoint
        return
    file, _, variant = given.pop("config").partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    experiment = module.get_config(*([variant] if variant else []))
    for name, text in given.items():
        overrides.put(experiment, name.removeprefix("config."), text)
    axes = [sweeps.parse(word.removeprefix("--sweep=")) for word in words if word.startswith("--sweep=")]
    assert not axes or len(sweeps.cells(experiment, axes, False, overrides.put)) > 1


def test_the_pages_are_not_empty():
    assert len(CALLS) > 25
