"""Runs one experiment under several settings, each in its own folder, and ends with one table and figure.

    python -m launch.sweep --config=configs/demo_pretrain.py --config.data.store=DIR --workdir=DIR \\
        --sweep=task.mask_probability=0.01,0.03,0.1 --sweep=seed=0,1,2

Takes every combination, or with --zip the first values together, then the second. A cell is an ordinary run of
launch.crossval where the task learns classes, else of launch.train, in WORKDIR/<field>=<value>,... . The same command
goes on after a stop and runs what is missing; values may be added. Writes sweep.json, sweep.md, sweep.svg and
report.html.
Brackets hold a value with commas together: --sweep="data.store=(a,b),(a,c)".

--submit=slurm hands the cells to Slurm as a job array; run the same command without it for the table, when they are
done.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from absl import flags

from launch import cli, overrides

CONFIG = cli.define_config_flag()
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the sweep", required=True)
SWEEP = flags.DEFINE_multi_string("sweep", None, "FIELD=VALUE,VALUE,...; may be given again", required=True)
ZIP = flags.DEFINE_bool("zip", False, "take the values of all fields in step, instead of every combination")
CELL = flags.DEFINE_integer("cell", -1, "run this one alone, counted from 0, without the table")
SUBMIT = flags.DEFINE_enum("submit", "here", ["here", "slurm"], "where the cells run")
SLURM = flags.DEFINE_string("slurm", "", 'further options of sbatch, such as "--gres=gpu:1 --time=4:00:00"')


def main() -> None:
    from ecgjax.errors import NonFiniteLossError, Preempted, UserError
    from ecgjax.evaluation import summary, sweeps
    from ecgjax.training import mesh

    folder, experiment = Path(WORKDIR.value), CONFIG.value
    cells = sweeps.cells(experiment, [sweeps.parse(text) for text in SWEEP.value], ZIP.value, overrides.put)
    if CELL.value >= len(cells):
        raise UserError(f"--cell={CELL.value}: there are {len(cells)} cells, counted from 0.")
    if SUBMIT.value == "slurm":
        if CELL.value != -1:
            raise UserError(f"--cell={CELL.value}: --submit=slurm hands over all that are missing. Leave one out.")
        print(_submit(folder, [i for i, c in enumerate(cells) if sweeps.read_result(c, folder / c.name) is None]))
        return
    mesh.start(distributed=False)
    if any(not c.experiment.task.make().num_classes and not c.experiment.data.split.validation_fraction for c in cells):
        raise UserError(
            "data.split.validation_fraction=0: the cells of a pre-training are compared on those kept aside."
        )
    failed: dict[str, Exception] = {}
    for number, cell in enumerate(cells):
        if CELL.value in (-1, number) and sweeps.read_result(cell, folder / cell.name) is None:
            print(f"cell {number + 1} of {len(cells)}: {cell.name}", file=sys.stderr)
            try:
                _run(cell.experiment, folder / cell.name)
            except Preempted:
                raise
            except (NonFiniteLossError, UserError) as error:
                failed[cell.name] = error
                print(f"cell {cell.name} failed: {error}", file=sys.stderr)
    if CELL.value == -1:
        read = {cell.name: sweeps.read_result(cell, folder / cell.name) for cell in cells}
        done = [result for result in read.values() if result]
        if done:
            print(f"\n{summary.report_sweep(experiment, done, [n for n, r in read.items() if not r], folder)}")
    if failed:
        kind = NonFiniteLossError if any(isinstance(e, NonFiniteLossError) for e in failed.values()) else UserError
        raise kind(f"{len(failed)} of {len(cells)} cells failed: {', '.join(failed)}. {next(iter(failed.values()))}")


def _run(experiment: Any, folder: Path) -> None:
    from ecgjax.evaluation import protocols, summary
    from ecgjax.training import loop

    if experiment.task.make().num_classes:
        summary.report_cross_validation(experiment, protocols.cross_validate(experiment, folder), folder)
    else:
        summary.report_run(*loop.run(experiment, folder))


def _submit(folder: Path, numbers: list[int]) -> str:
    """Hands sbatch a job array of this command, a cell a job, and returns what it says."""
    from ecgjax.errors import UserError

    if not numbers:
        return "All cells are done. The same command without --submit gives the table."
    folder.mkdir(parents=True, exist_ok=True)
    own = [i for i, a in enumerate(sys.argv) if re.fullmatch(r"--?(submit|slurm)(=.*)?", a, re.DOTALL)]
    values = [i + 1 for i in own if "=" not in sys.argv[i]]
    again = [a for i, a in enumerate(sys.argv) if i and i not in (*own, *values)]
    # The last word, as a --flagfile may say otherwise, and each job would submit them all again.
    command = shlex.join([sys.executable, "-m", "launch.sweep", *again, "--submit=here"])
    script = folder / "sweep.sbatch"
    script.write_text(
        "#!/bin/sh\n"
        f"#SBATCH --job-name={shlex.quote(folder.name)} --array={','.join(map(str, numbers))}\n"
        f"#SBATCH --output={shlex.quote(str(folder.absolute() / 'slurm-%A_%a.out'))} --signal=B:TERM@120 --requeue\n"
        f"cd {shlex.quote(str(Path.cwd()))}\n"
        f"exec {command} --cell=$SLURM_ARRAY_TASK_ID\n"
    )
    try:
        done = subprocess.run(
            ["sbatch", *shlex.split(SLURM.value), str(script)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise UserError(f"sbatch: not found on this machine. Submit {script} where Slurm is.") from None
    if done.returncode:
        raise UserError(f"sbatch refused {script}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    cli.run(main)
