"""The logs of a run: strict JSON, bitwise comparable, no step twice or missing after a resume, a useful line."""

import gc
import io
import json
import math
import os
import re
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from test_staging import full_disk

from ecgjax.errors import UserError
from ecgjax.training.progress import ALONE, Part
from ecgjax.training.writer import METRICS, Writer, read_metrics


def log(folder, steps, start_step=0, total_steps=10, **options):
    with Writer(folder, False, total_steps, start_step, **{"show_progress": False, **options}) as writer:
        for step in steps:
            writer.waited(0.0)
            writer.train(step, {"loss": np.float32(1 / step), "rate": 0.1}, batch_size=4, window_s=10.0)
            if step % 2 == 0:
                writer.evaluation(step, {"accuracy": step / 10})


def test_rows_are_json_with_the_speed_apart(tmp_path):
    log(tmp_path, [1, 2])
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [(row["step"], row["kind"]) for row in rows] == [(1, "train"), (2, "train"), (2, "eval")]
    assert rows[0]["loss"] == float(np.float32(1)) and rows[1]["loss"] == 0.5 and rows[2]["accuracy"] == 0.2
    assert rows[0].keys() == {"step", "kind", "loss", "rate", "clock"}
    assert rows[0]["clock"].keys() == {"time", "windows_per_s", "signal_hours_per_s", "waits_for_data"}


def test_without_the_clock_two_runs_are_equal_byte_by_byte(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        log(tmp_path / name, range(1, 7))
    a, b = ([{**row, "clock": None} for row in read_metrics(tmp_path / name)] for name in ("a", "b"))
    assert a == b and len(a) == 9
    assert read_metrics(tmp_path / "a") != read_metrics(tmp_path / "b")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_json_has_no_word_for_survive(tmp_path, value):
    with Writer(tmp_path, False, 10, show_progress=False) as writer:
        writer.train(1, {"loss": value}, 4, 10.0)

    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    json.loads((tmp_path / METRICS).read_text(), parse_constant=refuse)
    assert repr(read_metrics(tmp_path, "train")[0]["loss"]) == repr(value)


def test_a_resumed_run_logs_no_step_twice_and_misses_none(tmp_path):
    log(tmp_path, range(1, 8))
    log(tmp_path, range(5, 11), start_step=4)
    assert [row["step"] for row in read_metrics(tmp_path, "train")] == list(range(1, 11))
    assert [row["step"] for row in read_metrics(tmp_path, "eval")] == [2, 4, 6, 8, 10]


def test_a_fresh_start_in_an_old_folder_begins_anew(tmp_path):
    log(tmp_path, range(1, 4))
    log(tmp_path, [1])
    assert [row["step"] for row in read_metrics(tmp_path)] == [1]


NO_NEWLINE = '{"step": 4, "kind": "train", "loss": 0.25, "clock": {"time": 1.0}}'


@pytest.mark.parametrize("tail", ['{"step": 4, "ki', "\x00\x00\x00", '{"step": 4}\n', "7\n", NO_NEWLINE])
def test_a_row_cut_short_by_a_kill_is_dropped(tmp_path, tail):
    log(tmp_path, [1, 3])
    with (tmp_path / METRICS).open("a") as file:
        file.write(tail)
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 3]
    log(tmp_path, [5], start_step=4)
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 3, 5]


def test_rows_are_on_the_disk_while_the_run_goes(tmp_path):
    with Writer(tmp_path, False, 10, show_progress=False) as writer:
        writer.train(1, {"loss": 1.0}, 4, 10.0)
        assert [row["step"] for row in read_metrics(tmp_path)] == [1]


def test_speed_counts_training_only_and_says_who_waits(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with Writer(tmp_path, False, 100, show_progress=False) as writer:
        for _ in range(10):
            writer.waited(0.05)
            now[0] += 0.2
        writer.train(10, {"loss": 1.0}, batch_size=32, window_s=10.0)
        now[0] += 1000.0
        writer.evaluation(10, {"loss": 1.0})
        now[0] += 0.5
        writer.train(11, {"loss": 1.0}, batch_size=32, window_s=10.0)
    first, second = (row["clock"] for row in read_metrics(tmp_path, "train"))
    assert first["windows_per_s"] == pytest.approx(10 * 32 / 2.0)
    assert first["signal_hours_per_s"] == pytest.approx(160 * 10 / 3600)
    assert first["waits_for_data"] == pytest.approx(0.25)
    assert second["windows_per_s"] == pytest.approx(32 / 0.5) and second["waits_for_data"] == 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drive(tmp_path, monkeypatch, stream, part=ALONE):
    """Ten logged steps of one and a half seconds each, of twenty."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", stream)
    with Writer(tmp_path, False, 20, part=part) as writer:
        for step in range(1, 11):
            now[0] += 1.5
            writer.waited(0.3)
            writer.train(step, {"loss": 0.25}, batch_size=6, window_s=10.0)
        writer.evaluation(10, {"accuracy": 0.75, "accuracy/noise": 0.5})
    return stream.getvalue()


def test_without_a_terminal_a_plain_line_every_ten_seconds(tmp_path, monkeypatch):
    text = drive(tmp_path, monkeypatch, io.StringIO())
    assert "\r" not in text and "\x1b" not in text
    first, *lines = text.splitlines()
    assert first == "20 steps to do, compiling"
    assert [line.split(":")[0] for line in lines] == ["step 1/20 (5%)", "step 8/20 (40%)", "step 10"]
    assert lines[1].endswith(
        "loss 0.25, 4 windows/s, 0.01111 h of signal/s, 0:18 left, waits 20% for data, 80% for compute"
    )
    assert lines[2] == "step 10: accuracy 0.75"


@pytest.mark.parametrize(
    ("each_s", "in_all"),
    [(100.0, "3:38"), (math.nan, "1:18")],  # 18 + 2 * 100 s, 18 + 2 * (12 + 18) s
)
def test_a_part_says_which_it_is_and_how_long_the_whole_takes(tmp_path, monkeypatch, each_s, in_all):
    part = Part("fold 1 of 3", 2, each_s)
    lines = drive(tmp_path, monkeypatch, io.StringIO(), part).splitlines()
    assert all(line.startswith("fold 1 of 3, ") for line in lines)
    assert "? left, waits" in lines[1] and "step 8/20 (40%)" in lines[2]
    assert f"0:18 left (about {in_all} in all), waits" in lines[2]
    text = drive(tmp_path, monkeypatch, Terminal(), part)
    assert "fold 1 of 3, compiling" in text
    assert re.search(r"10/20 .*fold 1 of 3, loss 0.25, .* in all\)", text.split("\r")[-1])


def test_the_last_step_is_always_shown(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log(tmp_path, [1, 2, 3], total_steps=3, show_progress=True)
    assert "step 3/3 (100%)" in stream.getvalue()


def test_on_a_terminal_one_line_that_is_redrawn(tmp_path, monkeypatch):
    text = drive(tmp_path, monkeypatch, Terminal())
    last = text.split("\r")[-1]
    assert re.search(r"10/20 .*loss 0.25, 4 windows/s", last)
    assert "step 10: accuracy 0.75\n" in text


def test_tensorboard_gets_the_same_numbers_if_wanted(tmp_path):
    log(tmp_path, [1])
    assert not (tmp_path / "tensorboard").exists()
    with Writer(tmp_path, True, 10, show_progress=False) as writer:
        writer.train(1, {"loss": 0.5}, 4, 10.0)
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"train/loss" in events.read_bytes() and b"train/windows_per_s" in events.read_bytes()


def test_tensorboard_hides_the_steps_of_a_run_that_was_cut_off(tmp_path):
    from tensorboardX.proto import event_pb2

    for start in (0, 4):
        with Writer(tmp_path, True, 10, start, show_progress=False) as writer:
            writer.train(start + 1, {"loss": 0.5}, 4, 10.0)
        (events,) = (tmp_path / "tensorboard").iterdir()
        data, found = events.read_bytes(), []
        while data:  # length, its checksum, the event, its checksum
            size = int.from_bytes(data[:8], "little")
            found.append(event_pb2.Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
        starts = [e.step for e in found if e.session_log.status == event_pb2.SessionLog.START]
        assert starts == [start + 1]
        assert {e.step for e in found if e.summary.value} == {start + 1}
        events.unlink()


@pytest.mark.parametrize("tensorboard", [False, True])
def test_a_full_disk_is_one_error(tmp_path, tensorboard, capfd):
    with full_disk(), pytest.raises(UserError, match=r"metrics.jsonl: cannot be written \(File too large\)"):
        with Writer(tmp_path, tensorboard, 10**6, show_progress=False) as writer:
            for step in range(1, 10**6):
                writer.train(step, {"loss": 0.5}, 4, 10.0)
    gc.collect()
    assert capfd.readouterr().err == ""


def test_what_went_wrong_first_is_told(tmp_path):
    with full_disk(room=0), pytest.raises(KeyError, match="first"), Writer(tmp_path, True, 10, show_progress=False):
        raise KeyError("first")  # and then the event file cannot be closed


def test_among_several_processes_a_full_disk_is_told_where_all_hear_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with full_disk(room=300), Writer(tmp_path, True, 10, show_progress=False) as writer:
        for step in range(1, 6):
            writer.train(step, {"loss": 1.0}, 8, 10.0)
            writer.evaluation(step, {"loss": 1.0})
        with pytest.raises(UserError, match="metrics.jsonl: cannot be written"):
            writer.sync()


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_among_several_processes_what_fails_at_the_start_or_in_sync_is_told_there_too(tmp_path, monkeypatch, broken):
    log(tmp_path, [1, 2])
    monkeypatch.setattr(jax, "process_count", lambda: 2)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    if broken == "replace":  # of the file from which the rows of a run that was cut off are dropped
        monkeypatch.setattr(Path, "replace", fail)
    with Writer(tmp_path, False, 10, start_step=1, show_progress=False) as writer:
        writer.train(2, {"loss": 1.0}, 8, 10.0)
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(UserError, match="disk is full|No space left"):
            writer.sync()


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    log(tmp_path, [1, 2], show_progress=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        Writer(tmp_path / "absent", False, 10)
    with pytest.raises(UserError, match="holds no metrics.jsonl"):
        read_metrics(tmp_path)
