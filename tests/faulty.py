"""python -m tests.faulty: a reader that does, after its first load, one thing after another of what no reader may.

Each must be told by tests/fuzzing.py.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from ecgjax.datasets import csv
from ecgjax.errors import DataError
from tests import fuzzing, readers


def hang(recording, path: Path):
    signal.setitimer(signal.ITIMER_PROF, 0.3)  # for the test not to wait CPU_S
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


def two_lines(recording, path: Path):
    raise type("Loud", (DataError,), {"__str__": lambda self: "a\nb"})("a", "b")


def folder_of_like_name(recording, path: Path):
    with contextlib.suppress(FileNotFoundError):
        open(f"{path.parent}2/x.csv").close()


def signals(**changes) -> Callable:
    def changed(recording, path: Path):
        return dataclasses.replace(recording, signals={"ecg": dataclasses.replace(recording.signals["ecg"], **changes)})

    return changed


FAULTS: dict[str, Callable] = {
    "another exception": lambda recording, path: {}["missing"],
    "a warning": lambda recording, path: warnings.warn("of something", stacklevel=1),
    "two lines": two_lines,
    "a hang": hang,
    "a file made beside": lambda recording, path: (path.parent / "made").write_text(""),
    "a file made by a library in C": lambda recording, path: h5py.File(path.with_suffix(".h5"), "w").close(),
    "a program run": lambda recording, path: subprocess.run(["true"], check=True) and None,
    "a folder made where it is": lambda recording, path: os.mkdir("made"),
    "a file read elsewhere": lambda recording, path: Path("/etc/hostname").exists() and open("/etc/hostname").close(),
    "a folder of like name read": folder_of_like_name,
    "no subject": lambda recording, path: dataclasses.replace(recording, subject=""),
    "another key": lambda recording, path: dataclasses.replace(recording, key="x"),
    "no signal": lambda recording, path: dataclasses.replace(recording, signals={}),
    "no samples": signals(samples_TC=np.zeros((0, 1), np.float32)),
    "no numbers": signals(samples_TC=np.zeros((9, 1), object)),
    "no rate": signals(rate_hz=float("inf")),
    "too much memory": lambda recording, path: np.ones(140_000_000) is None,  # last: a peak stays
}


class Faulty(csv.Csv):
    loads = 0

    def load(self, key: str):
        recording = super().load(key)
        Faulty.loads += 1
        fault = list(FAULTS.values())[Faulty.loads - 2] if Faulty.loads > 1 else lambda *_: None
        return fault(recording, Path(self.config.root) / key) or recording

    def keys(self) -> tuple[str, ...]:
        return ("x.csv",)


class Config(csv.Config):
    def make(self) -> Faulty:
        return Faulty(self)


if __name__ == "__main__":
    fuzzing.mutations.mutate = lambda files, among, rng: ({}, "nothing")
    readers.config_of = lambda name: Config
    sys.addaudithook(fuzzing._audit)
    sys.exit(fuzzing.main("csv", "0", str(len(FAULTS))) != len(FAULTS))
