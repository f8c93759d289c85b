"""AMIGOS, DREAMER and WESAD at their real sizes, from files in the layouts they are distributed in to a store.

    python -m benchmarks.prepare_sets [--sets=amigos,dreamer,wesad,wrist] [--share=1]

Made-up signals, written by the writers of tests/corpora, one set at a time, into a temporary folder (WESAD needs 16 GB)
and prepared by `configs/prepare_<set>.py` as it stands, all cores. `wrist` is `prepare_wesad.py:wu2023` on the same
files. `reading` is the time of the reader alone, in one process, for a few people; the rest of the preparation is gate,
resampling, filter and writing. `--share` takes that part of the people.
"""

import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from absl import app, flags

from benchmarks.prepare import cpu_s, made_ecg
from configs import prepare_amigos, prepare_dreamer, prepare_wesad
from ecgjax.data.prepare import Preparation, prepare
from tests import chest_wrist, pickle_files
from tests.corpora import amigos, dreamer

SETS = flags.DEFINE_list("sets", ["amigos", "dreamer", "wesad", "wrist"], "which")
SHARE = flags.DEFINE_float("share", 1.0, "of the people")

SHORT_S, LONG_S = 86.0, 1170.0  # mean lengths of AMIGOS's videos: 16 in 23 min, 4 in 78
CLIP_S = 199.0  # of DREAMER's clips, of 65 to 393
SESSION_S = 5780.0  # a person of WESAD's
READING_S = 60  # CPU-s, after which no more is read


def write_amigos(folder: Path, share: float) -> int:
    """40 people, three of them without long videos; 101 min each, 17 columns at 128 Hz."""
    people = round(40 * share)
    lengths_s = [5 + SHORT_S] * 16 + [5 + LONG_S] * 4
    own = [_amigos_trial(i, seconds) for i, seconds in enumerate(lengths_s)]
    for person in range(1, people + 1):
        num = 16 if person in (8, 24, 28) else 20
        rated = [amigos.answers(i) for i in range(num)]
        annotated = [amigos.segments(i, int((length - 5) // 20) + 2) for i, length in enumerate(lengths_s[:num])]
        path = folder / f"Data_Preprocessed_P{person:02d}.mat"
        amigos.write_person(path, amigos.VIDEOS[:num], own[:num], rated, annotated)
    return people


def _amigos_trial(seed: int, seconds: float) -> np.ndarray:
    found = amigos.trial(seed, seconds)
    for column in (14, 15):
        found[:, column] = 300 * made_ecg(seed, seconds, 128)
    return found


def write_dreamer(folder: Path, share: float) -> int:
    """23 people, 18 clips each with 61 s of baseline; ECG of two channels at 256 Hz, EEG of 14 at 128 Hz."""
    people, rng = round(23 * share), np.random.default_rng(0)
    found: dict[str, dict] = {"EEG": {}, "ECG": {}}
    for part, seconds in (("baseline", 61.0), ("stimuli", CLIP_S)):
        eeg = rng.integers(0, 9000, (round(128 * seconds), 14)) / 2
        ecg = [np.stack([made_ecg(seed, seconds), made_ecg(seed + 50, seconds)], axis=1) for seed in range(18)]
        found["EEG"][part] = dreamer.cells([eeg] * 18, (18, 1))
        found["ECG"][part] = dreamer.cells([np.round(2048 + 300 * clip) for clip in ecg], (18, 1))
    own = {**dreamer.person(1), **found}
    dreamer.write_file(folder / "DREAMER.mat", [own] * people)
    return people


def write_wesad(folder: Path, share: float) -> int:
    """15 people, 96 min each: the pickle, in protocol 0, with both devices."""
    people = round(15 * share)
    one = chest_wrist.person(SESSION_S)
    one.chest["ECG"] = made_ecg(0, SESSION_S, chest_wrist.CHEST_HZ)[:, None]
    conditions = [0, 1, 0, 2, 0, 3, 0, 4, 0, 4, 0]
    label = np.repeat(conditions, -(-len(one.counts) // len(conditions)))[: len(one.counts)].astype("<i4")
    tree = {"signal": {"chest": one.chest, "wrist": one.wrist}, "label": label}
    for person in range(people):
        pickle_files.write(folder / f"S{person + 2}" / f"S{person + 2}.pkl", {**tree, "subject": f"S{person + 2}"})
    return people


WRITERS = {"amigos": write_amigos, "dreamer": write_dreamer, "wesad": write_wesad}
CONFIGS: dict[str, Callable[[], Preparation]] = {
    "amigos": prepare_amigos.get_config,
    "dreamer": prepare_dreamer.get_config,
    "wesad": prepare_wesad.get_config,
    "wrist": lambda: prepare_wesad.get_config("wu2023"),
}


def measure(name: str, root: Path, store: Path, people: int) -> str:
    preparation = CONFIGS[name]()
    preparation.dataset.root = str(root)
    if name == "dreamer":
        preparation.dataset.num_people = people
    cpu, wall = cpu_s(), time.perf_counter()
    manifest = prepare(preparation, store)
    cpu, wall = cpu_s() - cpu, time.perf_counter() - wall
    gib = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 2**30
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    reader, start = preparation.dataset.make(), time.process_time()
    keys = reader.keys()
    read = sum(time.process_time() - start < READING_S and bool(reader.load(key)) for key in keys)
    reading = (time.process_time() - start) * len(keys) / read
    return (
        f"{name:8} {people} people, {gib:.1f} GiB, {manifest['num_recordings']} recordings: {wall:.0f} s,"
        f" {cpu:.0f} CPU-s ({cpu / wall:.2f} cores), of them about {reading:.0f} reading;"
        f" {peaks[1]:.0f} MiB the largest worker, {peaks[0]:.0f} MiB this process"
    )


def alone(function: Callable, *arguments: object):
    """In a fresh process, whose peak of memory is its own: a child starts with the peak of its parent."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main(argv: list[str]) -> None:
    for kind, write in WRITERS.items():
        wanted = [name for name in SETS.value if name == kind or (name, kind) == ("wrist", "wesad")]
        with tempfile.TemporaryDirectory() as scratch:
            files = Path(scratch) / "files"
            people = alone(write, files, SHARE.value) if wanted else 0
            for name in wanted:
                print(alone(measure, name, files, Path(scratch) / name, people), flush=True)
    print(f"python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")


if __name__ == "__main__":
    app.run(main)
