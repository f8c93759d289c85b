"""Damages the fixture of a data set again and again, and reads what is left as `launch.prepare` would.

    python -m tests.fuzzing case/raw 0 500     # damages 0 to 499
    python -m tests.fuzzing case/raw 137       # number 137 again: the name and the number are the seed
    python -m tests.fuzzing all 0 2            # of every fixture, read in the usual way

What may come of it: a sound recording, a DataError, or another UserError, each in a line. Not another exception or a
warning, no more than CPU_S and MAX_BYTES, nothing written, and nothing read from elsewhere as far as Python opens it:
what HDF5 and Parquet's library open is not seen. A process of its own, because a reader may take it down.
"""

import collections
import contextlib
import datetime
import faulthandler
import importlib
import math
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests import fuzz_cases, mutations, readers

CPU_S, WALL_S = 20.0, 300.0  # that reading all of a fixture may take; others use the machine, too
MAX_BYTES = 1 << 30


class NotAllowed(BaseException):
    """Passes what catches every Exception."""

    @classmethod
    def too_long(cls, *_) -> None:
        raise cls("more time than it may take")


def main(name: str, first: str = "0", stop: str = "") -> int:
    """Prints a line a failure and how to repeat it. Returns how many there were."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * MAX_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    signal.signal(signal.SIGPROF, NotAllowed.too_long)
    sys.dont_write_bytecode = True
    numbers = range(int(first), int(stop or int(first) + 1))
    names = [one for one in fuzz_cases.CASES if "/" not in one] if name == "all" else [name]
    return sum(_fuzz(one, numbers) for one in names)


def _fuzz(name: str, numbers: range) -> int:
    failures, hit, outcomes = 0, 0, collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch).resolve()
        for inner in ("corpus", "elsewhere"):
            (top / inner).mkdir()
        os.chdir(top / "elsewhere")  # where a file would be made whose name is no path
        dataset, files = _written(fuzz_cases.CASES[name], top / "corpus")
        _watch.update(top=str(top), seen=[], opened=set())  # what is imported now may do what readers may not
        sound = read(dataset, top / "corpus", {}, outcomes)
        assert sound and outcomes.keys() == {"good"}, (name, outcomes)
        told = (source for sources, _ in sound.values() for source in sources)  # some are opened by a library in C
        opened = _watch.pop("opened").union(told) & files.keys()
        outcomes.clear()
        for number in numbers:
            among = files if number % 10 == 9 else opened
            changes, told = mutations.mutate(files, among, random.Random(f"{name} {number}"))
            hit += not opened.isdisjoint(changes)
            faulthandler.dump_traceback_later(WALL_S, exit=True)
            print(f"{name} {number}: {told}", flush=True)
            _put(top / "corpus", changes, number)
            before = _state(top)
            try:
                with _watched(top):
                    read(dataset, top / "corpus", sound, outcomes)
                if _state(top) != before:
                    raise NotAllowed(f"made or changed {sorted(set(_state(top).items()) ^ set(before.items()))}")
            except (Exception, NotAllowed):
                failures += 1
                print(f"NOT ALLOWED: {told}\n{traceback.format_exc()}repeat: python -m tests.fuzzing {name} {number}")
                outcomes["not allowed"] += 1
            faulthandler.cancel_dump_traceback_later()
            _undo(top / "corpus", changes, files)
        os.chdir("/")
    told = f"{hit} of a file that is read, {dict(sorted(outcomes.items()))}, {_peak_bytes() >> 20} MiB"
    print(f"{name}: {len(numbers)} times, {told}", flush=True)
    assert hit >= 0.8 * len(numbers) or len(numbers) < 50, "it damages what no reader opens"
    return failures


def _written(what: fuzz_cases.Case, folder: Path) -> tuple[object, mutations.Files]:
    with _stopped_clock():
        corpus = importlib.import_module(f"tests.corpora.{what.corpus}").write(folder)
        what.alter(folder)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return readers.config_of(what.corpus)(**{**corpus.config, **what.fields}).make(), files


@contextlib.contextmanager
def _stopped_clock() -> Iterator[None]:
    """For what is written to be the same at another time: of MAT files, zips and workbooks."""
    import openpyxl

    class Then(datetime.datetime):
        now = classmethod(lambda cls, tz=None: cls(2020, 1, 1, tzinfo=tz))

    then = types.SimpleNamespace(datetime=Then, timezone=datetime.timezone)
    with (
        mock.patch.object(time, "localtime", lambda *_: time.gmtime(1577836800)),
        mock.patch.object(time, "asctime", lambda *_: "Wed Jan  1 00:00:00 2020"),
        mock.patch.object(openpyxl.writer.excel, "datetime", then),
        mock.patch.object(openpyxl.packaging.core, "datetime", then),
    ):
        yield


def read(dataset, folder: Path, sound: dict[str, tuple], outcomes: collections.Counter) -> dict[str, tuple]:
    """Reads everything, and prepares what is not `sound`: known to be as it was. Returns (sources, digest) by key."""
    digests = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            keys = dataset.keys()
            assert keys == tuple(sorted(set(keys)))
            for key in keys:
                getattr(dataset, "group", str)(key)
        except UserError as error:
            _check_error(error)
            outcomes["all: UserError"] += 1
            return {}
        for key in keys:
            try:
                recording = dataset.load(key)
                _check_recording(recording, key, dataset, folder)
                digest = repr([(m, s.digest(), s.rate_hz, s.unit) for m, s in recording.signals.items()])
                digests[key] = recording.sources, digest
                outcomes["good"] += 1
                if sound and digests[key] != sound.get(key):
                    preprocess.prepare_recording(recording, preprocess.Config())
            except UserError as error:
                _check_error(error)
                outcomes[error.reason if isinstance(error, DataError) else "UserError"] += 1
    return digests


def _check_error(error: UserError) -> None:
    text = str(error)
    assert text and len(text.splitlines()) == 1 and len(text) <= 2000, text


def _check_recording(recording, key: str, dataset, folder: Path) -> None:
    assert recording.key == key and recording.subject and recording.signals and all(recording.events)
    for modality, one in recording.signals.items():
        assert modality in preprocess.Config().steps() and one.unit and one.channels and all(one.channels)
        assert one.samples_TC.dtype in (np.float32, np.float64) and one.samples_TC.ndim == 2 and len(one.samples_TC)
        assert math.isfinite(one.rate_hz) and one.rate_hz > 0 and math.isfinite(one.start_s)
        assert one.samples_TC.shape == (round(one.duration_s * one.rate_hz), len(one.channels))
    longest_s = max(one.start_s + one.duration_s for one in recording.signals.values())
    for label in recording.labels:
        assert 0 <= label.start_s < label.stop_s <= longest_s + 1e-6, (label, longest_s)
        assert isinstance(label.value, float) and label.name in dataset.label_specs, label
    for source in recording.sources:
        assert (folder / source).resolve().is_relative_to(folder), source


def _put(folder: Path, changes: dict[str, object], number: int) -> None:
    """Each time at another second, as files kept in memory are told apart by the time of their change."""
    for name, data in changes.items():
        path = folder / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is mutations.FOLDER:
            path.mkdir()
        elif data is not None:
            path.write_bytes(data)
            os.utime(path, (number, number))


def _undo(folder: Path, changes: dict[str, object], files: mutations.Files) -> None:
    for name, data in changes.items():
        path = folder / name
        if data is mutations.FOLDER:
            shutil.rmtree(path)
        elif data is not None:
            path.unlink(missing_ok=True)
        if name in files:
            path.write_bytes(files[name])
        elif not any(path.parent.iterdir()) and path.parent != folder:
            path.parent.rmdir()


def _state(top: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in top.rglob("*")}


@contextlib.contextmanager
def _watched(top: Path) -> Iterator[None]:
    _watch.update(top=str(top), seen=[])
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        seen = _watch.pop("seen")
    if seen:
        raise NotAllowed(f"it asked for {seen}")
    if _peak_bytes() > MAX_BYTES:
        raise NotAllowed(f"{_peak_bytes()} bytes of memory, of which any later one in this process would be blamed too")


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says begins with the peak of the process that started this one
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


_watch: dict = {}
_READABLE = {*map(os.path.realpath, (sys.prefix, sys.base_prefix, readers.FOLDER.parents[1]))}
_READABLE |= {"/proc", "/sys", "/usr/share/zoneinfo", "/etc/mime.types"}  # asked by NumPy, pandas and mimetypes
_ASKED = ("os.", "shutil.", "subprocess.", "socket.", "ctypes.dlopen", "urllib.", "webbrowser.", "pty.", "tempfile.")
_HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.putenv", "os.unsetenv")


def _audit(event: str, arguments: tuple) -> None:
    """Every file opened, made or removed by Python itself; what libraries in C write is found in `_state`."""
    if "seen" not in _watch:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, int):
            return
        place = os.path.realpath(os.fsdecode(path))
        if "opened" in _watch:
            _watch["opened"].add(os.path.relpath(place, os.path.join(_watch["top"], "corpus")))
        readable = {os.path.join(_watch["top"], "corpus"), *_READABLE}
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes or not any((place + os.sep).startswith(folder + os.sep) for folder in readable):
            _watch["seen"].append((event, path, mode, flags))
    elif event.startswith(_ASKED) and event not in _HARMLESS:
        _watch["seen"].append((event, arguments))


if __name__ == "__main__":
    sys.addaudithook(_audit)
    failed = main(*sys.argv[1:])
    print(f"{failed} not allowed")
    sys.exit(bool(failed))
