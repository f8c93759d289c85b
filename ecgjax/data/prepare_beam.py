"""Preparation on Apache Beam, for corpora beyond one machine.

    prepare.prepare(preparation, store_path, deal=prepare_beam.deal_by(["--runner=FlinkRunner", ...]))

Beam's workers call what the local processes call, `prepare.prepare_one`, and leave the results in files, a part each,
in a folder of the unfinished store. Once all are done, this process reads the parts in the order of their keys and
writes the store of them, as it would of local results: the store is the same to the last byte, in whatever order, how
often and where Beam ran its bundles. Libraries that compute otherwise would change that, so their versions must agree.

Data set and store are on a file system that this process and all workers see under the same absolute paths (NFS,
Lustre, or a local disk where all run on one machine). Readers open files by their paths, so that a bucket cannot take
its place. Until the end it also holds the parts, which take about as much room as the store.
"""

import contextlib
import functools
import importlib.metadata
import itertools
import os
import pickle
import re
import shutil
import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ecgjax
from ecgjax.data import prepare, staging
from ecgjax.data.prepare import Preparation
from ecgjax.datasets.base import Dataset
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from ecgjax.signals.preprocess import Prepared

_KEYS = "keys"  # the file that lists the keys of every part
_MAX_PARTS = 10_000  # files in one folder
_REMEDY = "The data set and --store must be absolute paths on a file system that every worker of Beam mounts."
# A reader keeps its last file open and filters warnings, both for the whole process; and one recording at a time is
# what its memory was made for. So the threads of a worker take turns.
_turn = threading.Lock()


def deal_by(flags: Sequence[str]) -> Callable[..., Iterator[Prepared | DataError]]:
    """A `deal` for `prepare.prepare`, by way of Beam.

    Args:
      flags: Beam's own, such as "--runner=DirectRunner". A runner is not told `Preparation.workers`.

    Raises:
      UserError: Beam is not installed, or does not take the flags.
    """
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError("apache-beam is not installed. Run: pip install -e '.[beam]'") from error
    try:
        return functools.partial(_deal, apache_beam.Pipeline(options=PipelineOptions(list(flags))))
    except (ValueError, ImportError) as error:
        raise UserError(f"--beam: {error}") from error


def _deal(
    pipeline: Any, preparation: Preparation, dataset: Dataset, groups: list[list[str]], folder: Path
) -> Iterator[Prepared | DataError]:
    import apache_beam

    # A name of its own, where no worker that outlived an earlier, killed run can write to.
    parts = folder.absolute() / f"parts-{uuid.uuid4().hex}"
    parts.mkdir()
    try:
        task = pickle.dumps((preparation.dataset, preparation.preprocess, _versions()))
        firsts = _write_keys(parts / _KEYS, groups)
        work = functools.partial(write_part, task, str(parts))
        dealt = pipeline | "parts" >> apache_beam.Create(firsts) | "deal" >> apache_beam.Reshuffle()
        _ = dealt | "prepare" >> apache_beam.Map(work)
        _run(pipeline)
        for first in firsts:
            yield from _read_part(parts, first)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _write_keys(path: Path, groups: list[list[str]]) -> list[int]:
    """Where in the file the keys of each part begin; the elements that Beam deals. A graph has no room for all keys."""
    size, firsts = -(-len(groups) // _MAX_PARTS), []
    with staging.whole_file(path, "wb") as file:
        for start in range(0, len(groups), size):
            firsts.append(file.tell())
            pickle.dump(list(itertools.chain(*groups[start : start + size])), file)
    return firsts


def _run(pipeline: Any) -> None:
    try:
        running = pipeline.run()
        try:
            state = running.wait_until_finish()
        except BaseException:  # of the runner, or a signal to this process
            with contextlib.suppress(Exception):  # it may have ended, or know no cancelling
                running.cancel()
            raise
    except Exception as error:
        # What a worker raised is in the text of what a runner raises, and marked by Beam with the step's name.
        text = "".join(traceback.format_exception_only(error))
        if told := re.findall(r"^ecgjax\.errors\.UserError: (.*?)(?: \[while running .*)?$", text, re.MULTILINE):
            raise UserError(told[-1]) from error
        raise
    if state != "DONE":
        raise UserError(f"Beam's pipeline ended as {state}. Its runner's log tells why.")


def write_part(task: bytes, parts: str, first: int) -> None:
    """In a worker: prepares the recordings of a part. A bundle may be run twice, even at once: the file appears whole.

    Args:
      task: the pickled data set's `Config`, steps and versions.
      parts: the folder.
      first: where the part's keys begin in the list of keys; its file's name.

    Raises:
      UserError: this worker does not see the files, or is another than the launcher; or the data set's config is wrong.
    """
    folder, part = Path(parts), Path(parts, str(first))
    with _turn:
        if part.exists():
            return
        if not (folder / _KEYS).is_file():
            raise UserError(f"{folder}: not found by a worker on {socket.gethostname()}. {_REMEDY}")
        dataset, steps = _unpack(task)
        with open(folder / _KEYS, "rb") as file:
            file.seek(first)
            keys = pickle.load(file)
        with staging.whole_file(part, "wb") as file:
            for key in keys:
                pickle.dump(prepare.prepare_one(dataset, steps, key), file, pickle.HIGHEST_PROTOCOL)


@functools.lru_cache(maxsize=1)  # once a process
def _unpack(task: bytes) -> tuple[Dataset, preprocess.Config]:
    dataset, steps, versions = pickle.loads(task)
    if versions != _versions():
        host, theirs = socket.gethostname(), _versions()
        raise UserError(f"a worker on {host} has {theirs}, the launcher {versions}. Install the same on all machines.")
    for folder in (dataset.root, getattr(dataset, "tables", "")):
        if folder and not os.path.exists(os.path.expanduser(folder)):
            raise UserError(f"{folder}: not found by a worker on {socket.gethostname()}. {_REMEDY}")
    return dataset.make(), steps


def _versions() -> str:
    """Of what computes, and of what decodes files."""
    found = [f"ecgjax {ecgjax.__version__}"]
    for library in ("numpy", "scipy", "edfio", "h5py", "openpyxl", "pandas", "pyarrow", "wfdb"):
        try:
            found.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {library}")
    return ", ".join(found)


def _read_part(parts: Path, first: int) -> Iterator[Prepared | DataError]:
    part = parts / str(first)
    if not part.exists():
        raise UserError(f"{part}: no worker of Beam wrote it. {_REMEDY}")
    with open(part, "rb") as file, open(parts / _KEYS, "rb") as listed:
        listed.seek(first)
        for _ in pickle.load(listed):
            yield pickle.load(file)
    part.unlink()
