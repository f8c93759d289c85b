"""What a run writes down while it runs: metrics.jsonl and TensorBoard; the progress line is fed from here."""

import contextlib
import json
import math
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from ecgjax.data.staging import whole_file
from ecgjax.errors import UserError
from ecgjax.training.progress import ALONE, Line, Part, short

METRICS = "metrics.jsonl"


class Writer:
    """Logs of one run; silent on all processes but the first.

    A row of metrics.jsonl is `{"step", "kind": "train" or "eval", <metric>..., "clock": {...}}`. All that depends on
    the machine's speed is in `clock`; the rest is equal, bit by bit, in two runs that compute the same. Numbers that
    JSON has no word for are the strings "nan", "inf" and "-inf".

    Args:
      workdir: the run's folder.
      tensorboard: also write event files into `workdir`/tensorboard.
      total_steps: of the whole run.
      start_step: where it resumes; later rows, of the run that was cut off, are removed.
      show_progress: whether to write the progress line to stderr.
      part: which part of a whole this run is.

    Raises:
      UserError: the folder cannot be written. With several processes, of which the others know nothing of it, only
        `sync` raises it, which is called where they can hear of it.
    """

    def __init__(
        self,
        workdir: Path,
        tensorboard: bool,
        total_steps: int,
        start_step: int = 0,
        show_progress: bool = True,
        part: Part = ALONE,
    ) -> None:
        self._path, self._total_steps, self._part = Path(workdir) / METRICS, total_steps, part
        self._file, self._board, self._line = None, None, None
        self._error: UserError | None = None
        if jax.process_index() == 0:
            with self._writing():
                _drop_rows_after(self._path, start_step)
                self._file = self._path.open("a", encoding="utf-8")
                self._board = _Board(Path(workdir) / "tensorboard", start_step) if tensorboard else None
            self._line = Line(sys.stderr, start_step, total_steps, part.name) if show_progress else None
        self._first: tuple[float, int] | None = None  # when the first log was, after compilation
        self._mark(start_step)
        self._started = self._marked

    def waited(self, seconds: float) -> None:
        """Once a step: how long taking its batch kept the loop from going on."""
        self._waited_s += seconds
        if self._line:
            self._line.advance()

    def train(self, step: int, metrics: Mapping[str, Any], batch_size: int, window_s: float) -> None:
        """Logs the step's metrics, with the speed since the last call or evaluation.

        Args:
          batch_size: windows in a (global) batch.
          window_s: seconds of signal in a window.
        """
        elapsed_s = max(time.perf_counter() - self._marked, 1e-9)
        windows_per_s = (step - self._marked_step) * batch_size / elapsed_s
        clock = {
            "windows_per_s": windows_per_s,
            "signal_hours_per_s": windows_per_s * window_s / 3600,
            "waits_for_data": min(self._waited_s / elapsed_s, 1.0),
        }
        self._write(step, "train", metrics, clock)
        if self._line:
            left_s = self._left_s(step)
            whole_left_s = self._part.whole_left_s(time.perf_counter() - self._started, left_s)
            self._line.show(step, metrics, {**clock, "left_s": left_s, "whole_left_s": whole_left_s})
        self._mark(step)

    def evaluation(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Logs an evaluation; its duration does not count into the speed of the training steps."""
        self._write(step, "eval", metrics, {})
        if self._line:
            whole = {name: value for name, value in metrics.items() if "/" not in name}
            self._line.note(f"step {step}: " + ", ".join(f"{k} {short(v)}" for k, v in whole.items()))
        self._mark(step)

    def sync(self) -> None:
        """Puts the rows on the disk; call before saving a checkpoint, so that it never is ahead of its rows."""
        if self._file and not self._error:
            with self._writing():
                self._file.flush()
                os.fsync(self._file.fileno())
                if self._board:
                    self._board.flush()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Closes all of it, also where the disk is full, and then says so."""
        parts = (self._file, self._board, self._line)
        self._file, self._board, self._line = None, None, None
        with self._writing(), contextlib.ExitStack() as stack:
            for part in filter(None, parts):
                stack.callback(part.close)
            if parts[0]:
                stack.callback(os.fsync, parts[0].fileno())
                stack.callback(parts[0].flush)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(UserError) if kind else contextlib.nullcontext():  # the first error is the one to tell
            self.close()

    def _write(self, step: int, kind: str, metrics: Mapping[str, Any], clock: Mapping[str, float]) -> None:
        if not self._file:
            return
        values = {name: float(value) for name, value in metrics.items()}
        row = {"step": step, "kind": kind, **values, "clock": {"time": time.time(), **clock}}
        with self._writing():
            self._file.write(json.dumps({k: _json_number(v) for k, v in row.items()}, allow_nan=False) + "\n")
            self._file.flush()  # a kill of the process loses nothing; `sync` is for a kill of the machine
            if self._board:
                self._board.add({f"{kind}/{name}": value for name, value in {**values, **clock}.items()}, step)

    def _mark(self, step: int) -> None:
        self._marked, self._marked_step, self._waited_s = time.perf_counter(), step, 0.0

    def _left_s(self, step: int) -> float:
        """From the steps since the first log, evaluations included, compilation not; NaN at the first log."""
        now = time.perf_counter()
        if self._first is None:
            self._first = now, step
            return math.nan
        then, first = self._first
        return (now - then) / (step - first) * (self._total_steps - step)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, UserError) as error:
            told = (
                error
                if isinstance(error, UserError)
                else UserError(
                    f"{self._path}: cannot be written ({error.strerror}). Free disk space, or give another "
                    "--workdir, and start again."
                )
            )
            if jax.process_count() == 1:
                raise told from None
            self._error = self._error or told


class _Board:
    """TensorBoard's event file, written in this thread: in tensorboardX's own, a full disk would be a traceback."""

    def __init__(self, folder: Path, start_step: int) -> None:
        from tensorboardX import record_writer, summary  # slow to import
        from tensorboardX.proto import event_pb2

        folder.mkdir(exist_ok=True)
        self._event, self._scalar = event_pb2.Event, summary.scalar
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
        self._file = record_writer.RecordWriter(str(folder / name))
        self._write(file_version="brain.Event:2")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)  # hides later steps of a run that was cut off
        self._write(step=start_step + 1, session_log=start)

    def add(self, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._write(step=step, summary=self._scalar(name, value))

    def _write(self, **content: Any) -> None:
        self._file.write(self._event(wall_time=time.time(), **content).SerializeToString())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(workdir: Path, kind: str = "") -> list[dict[str, Any]]:
    """Rows of a run's metrics.jsonl, non-finite numbers restored; only of one kind ("train", "eval") if given.

    Raises:
      UserError: the folder holds no metrics.
    """
    path = Path(workdir) / METRICS
    if not path.is_file():
        raise UserError(f"{workdir}: holds no {METRICS}. Name the --workdir of a training run.")
    rows = (row for row, _ in _rows(path))
    return [
        {name: float(value) if name not in ("step", "kind", "clock") else value for name, value in row.items()}
        for row in rows
        if kind in ("", row["kind"])
    ]


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """(row, its line); what a kill left half written is passed over."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "clock" in row and line.endswith("\n"):  # the last entry, and the line's end
                yield row, line


def _drop_rows_after(path: Path, step: int) -> None:
    if path.exists():
        with whole_file(path) as kept:
            kept.writelines(line for row, line in _rows(path) if row["step"] <= step)


def _json_number(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
