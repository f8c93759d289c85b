"""Seconds from the start of `launch.train` to the end of its first step, with an empty and a full compilation cache.

    python -m benchmarks.first_step

The full-size encoder of configs/vazquez2022_pretrain.py (1,281 tokens, batch 8) and its small variant, on a small
generated store. The time includes the interpreter, every import, the store, compilation and the step itself.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax

from ecgjax.data.prepare import Preparation, prepare
from ecgjax.datasets import synthetic

ROOT = Path(__file__).parents[1]


def seconds_to_first_step(variant: str, store: Path, workdir: Path, cache: Path) -> float:
    flags = [
        f"--config=configs/vazquez2022_pretrain.py{variant}",
        f"--config.data.store={store}",
        f"--workdir={workdir}",
        "--config.data.batch_size=8",
        "--config.data.split.validation_fraction=0",
        "--config.train.num_epochs=0.01",  # one step
        "--config.train.log_every_steps=1",
    ]
    begin = time.time()
    command = [sys.executable, "-m", "launch.train", *flags]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    first = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[0])
    return first["clock"]["time"] - begin


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        people = synthetic.Config(num_subjects=4, trials_per_subject=2, trial_s=60.0)
        prepare(Preparation(people, workers=1), folder / "store")
        print(f"jax {jax.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for variant in ("", ":small"):
            for state in ("empty", "full"):
                place = folder / f"run{variant.strip(':')}_{state}"
                cache = folder / f"cache{variant.strip(':')}"
                seconds = seconds_to_first_step(variant, folder / "store", place, cache)
                print(f"{variant or ':full size':12} cache {state:6} {seconds:6.1f} s")


if __name__ == "__main__":
    main()
