"""From a data set to a store: recordings are read and preprocessed in worker processes and written in order."""

import collections
import contextlib
import dataclasses
import itertools
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from ecgjax import plain
from ecgjax.data import store_writer
from ecgjax.datasets.base import Dataset
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess as preprocessing
from ecgjax.signals.preprocess import Prepared

NO_SIGNAL = "no good signal"
OFF_SCALE = "label_outside_its_scale"


@dataclasses.dataclass
class Preparation:
    """What `launch.prepare` is told.

    Attributes:
      dataset: a reader's `Config` from `ecgjax.datasets`.
      preprocess: what is done to each modality.
      workers: processes of this machine; 0 takes one a core. What they write does not depend on their number.
    """

    dataset: Any
    preprocess: preprocessing.Config = dataclasses.field(default_factory=preprocessing.Config)
    workers: int = 0


def deal_locally(
    preparation: Preparation, dataset: Dataset, groups: list[list[str]], folder: Path
) -> Iterator[Prepared | DataError]:
    """Deals groups of recordings to processes of this machine, and holds no more than a few of them at a time.

    Yields:
      What became of every key, in order.
    """
    workers = min(preparation.workers or _num_cores(), len(groups))
    if workers <= 1:
        for key in itertools.chain(*groups):
            yield prepare_one(dataset, preparation.preprocess, key)
        return
    # Spawned, since a fork would copy the locks of whatever threads the caller runs.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (preparation.dataset, preparation.preprocess))
    pending: collections.deque = collections.deque()
    try:
        for group in groups:
            pending.append((group, pool.submit(_work, group)))
            while len(pending) > (workers + 1 if group != groups[-1] else 0):
                yield from pending[0][1].result()
                pending.popleft()
    except BrokenProcessPool as error:
        suspects = ", ".join(key for group, _ in pending for key in group)
        raise UserError(
            f"A worker process died, most likely for want of memory, while it prepared one of {suspects}. "
            "Take fewer processes at a time: --config.workers=1."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def prepare(
    preparation: Preparation,
    store_path: str | Path,
    strict: bool = False,
    overwrite: bool = False,
    progress: Callable[..., Iterable] = lambda results, total: results,
    deal: Callable[..., Iterator[Prepared | DataError]] = deal_locally,
) -> dict[str, Any]:
    """Writes the store of a data set.

    A file that cannot be used is counted in the manifest's `skipped_files` and left out.

    Args:
      preparation: data set and steps.
      store_path: where the store will be.
      strict: the first file that cannot be used ends it. (A readable recording without good signal does not.)
      overwrite: an existing store is replaced, once the new one is complete.
      progress: called as `progress(results, total=number_of_recordings)`, such as `tqdm`.
      deal: who prepares the recordings, called as `deal_locally`; its `folder` is for files of its own until it ends.

    Returns:
      The manifest.

    Raises:
      DataError: a file cannot be used, and `strict` is set.
      UserError: the config, the data set or the store's place is at fault, or no recording is usable.
    """
    preprocessing.check(preparation.preprocess)
    if preparation.workers < 0:
        raise UserError(f"workers is {preparation.workers}; give a number of processes, or 0 for one a core.")
    dataset = preparation.dataset.make()
    keys = sorted(dataset.keys())
    groups = [list(group) for _, group in itertools.groupby(keys, getattr(dataset, "group", None))]
    count = _Count()
    with (
        store_writer.create(store_path, preparation.preprocess, overwrite) as writer,
        contextlib.closing(deal(preparation, dataset, groups, writer.folder)) as results,
    ):
        for result in progress(results, total=len(keys)):
            try:
                if isinstance(result, DataError):
                    raise result
                if result.signals:
                    writer.append(result)
                count.add(result)
            except DataError as error:
                if strict:
                    raise
                count.skipped[error.reason].append(str(error))
        if not writer.num_recordings:
            raise UserError(f"{dataset.name}: none of {len(keys)} recordings is usable: {count.reasons()}")
        return writer.commit(
            {
                "dataset": {"name": dataset.name, "config": plain.to_dict(preparation.dataset)},
                "labels": {name: plain.to_dict(spec) for name, spec in sorted(dataset.label_specs.items())},
                "dropped": {m: dict(sorted(seconds.items())) for m, seconds in sorted(count.dropped.items())},
                "skipped_files": dict(sorted(count.skipped.items())),
                "events": dict(sorted(count.events.items())),
            }
        )


class _Count:
    """What the manifest tells of all recordings, used or not."""

    def __init__(self):
        self.dropped: dict[str, dict[str, float]] = collections.defaultdict(lambda: collections.defaultdict(float))
        self.skipped: dict[str, list[str]] = collections.defaultdict(list)
        self.events: collections.Counter[str] = collections.Counter()
        self._owners: dict[str, str] = {}  # subject of each signal met, by its digest

    def add(self, prepared: Prepared) -> None:
        told = []
        for modality, seconds in sorted(prepared.dropped_s.items()):
            for reason, value in seconds.items():
                self.dropped[modality][reason] += value
                told.append(f"{modality}: {value:.0f} s {reason}")
        self.events.update(prepared.events)
        owners = [self._owners.setdefault(digest, prepared.subject) for digest in prepared.digests.values()]
        if any(owner != prepared.subject for owner in owners):
            self.events["same_signal_as_another_subject"] += 1
        if not prepared.signals:
            self.skipped[NO_SIGNAL].append(f"{prepared.key}: {', '.join(told) or 'no samples'}")

    def reasons(self) -> str:
        return "; ".join(f"{reason} ({len(told)}), such as {told[0]}" for reason, told in self.skipped.items())


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_one(dataset: Dataset, steps: preprocessing.Config, key: str) -> Prepared | DataError:
    """Reads and preprocesses one recording; an error of its files is returned, to be counted."""
    try:
        recording = dataset.load(key)
        unknown = {label.name for label in recording.labels} - dataset.label_specs.keys()
        if unknown or recording.key != key:
            raise ValueError(f"the reader of {dataset.name} gave {recording.key} for {key}, with labels {unknown}")
        labels = tuple(label for label in recording.labels if dataset.label_specs[label.name].holds(label.value))
        events = recording.events + (OFF_SCALE,) * (len(recording.labels) - len(labels))
        return preprocessing.prepare_recording(dataclasses.replace(recording, labels=labels, events=events), steps)
    except DataError as error:
        return error
    except OSError as error:  # of reading: the store is written elsewhere
        what = f"{error.filename or 'its file'}: {error.strerror or error}"
        return DataError(key, "unreadable", f"{what}. Check its permissions and its disk.")


_worker: tuple[Dataset, preprocessing.Config]  # of a worker process, made once by _start_worker


def _start_worker(dataset: Any, steps: preprocessing.Config) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = dataset.make(), steps


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers, which would wait for work for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(keys: list[str]) -> list[Prepared | DataError]:
    return [prepare_one(*_worker, key) for key in keys]


def summary(manifest: dict[str, Any]) -> str:
    """A manifest in a few lines for people."""
    name, subjects = manifest["dataset"]["name"], len(manifest["subjects"])
    lines = [f"{name}: {subjects} subjects, {manifest['num_recordings']} recordings"]
    for modality, said in manifest["modalities"].items():
        dropped = manifest["dropped"].get(modality, {})
        share = sum(dropped.values()) / max(sum(dropped.values()) + 3600 * said["hours"], 1e-9)
        channels = ", ".join(said["channels"])
        lines.append(f"  {modality}: {said['hours']:.2f} h kept, {said['rate_hz']:g} Hz, {channels} in {said['unit']}")
        reasons = ", ".join(f"{reason} {_duration(seconds)}" for reason, seconds in dropped.items())
        lines.append(f"    dropped {share:.1%}: {reasons}" if dropped else "    nothing dropped")
    for reason, told in manifest["skipped_files"].items():
        lines.append(f"  left out, {reason}: {len(told)}")
        lines += [f"    {line}" for line in told[:5]] + ["    ..."] * (len(told) > 5)
    if manifest["events"]:
        lines.append("  met: " + ", ".join(f"{event} {count}" for event, count in manifest["events"].items()))
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.2f} h"
