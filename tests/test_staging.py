"""A file appears whole or not at all, whatever goes wrong; and what had its name stays."""

import contextlib
import resource

import matplotlib.figure
import numpy as np
import pytest

from ecgjax.data.staging import whole_file
from ecgjax.errors import UserError
from ecgjax.evaluation.predictions import Predictions


@contextlib.contextmanager
def full_disk(room=4096):
    """No file may grow beyond `room` bytes: what a write meets is an OSError, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_text(path):
    with whole_file(path) as file:
        file.write("x" * 100_000)


def write_arrays(path):
    rng = np.random.default_rng(0)
    label_N, said_N = rng.integers(0, 2, 5000), rng.random(5000)
    Predictions(label_N, np.c_[1 - said_N, said_N], "a").save(path)


def write_picture(path):
    figure = matplotlib.figure.Figure()
    figure.subplots().imshow(np.random.default_rng(0).random((100, 100)))
    with whole_file(path, "wb") as file:
        figure.savefig(file, format="png")


def test_a_file_has_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as file:
        file.write("é\r\n")
        assert not path.exists()
    assert path.read_bytes() == "é\r\n".encode()
    with whole_file(path, "wb") as file:
        file.write(b"\x00")
        assert path.stat().st_size == 4
    assert path.read_bytes() == b"\x00" and list(tmp_path.iterdir()) == [path]


def test_two_who_write_the_same_file_at_once_do_not_mix(tmp_path):
    with whole_file(tmp_path / "a.txt") as first:
        first.write("first")
        with whole_file(tmp_path / "a.txt") as second:
            second.write("second of them")
        assert (tmp_path / "a.txt").read_text() == "second of them"
    assert (tmp_path / "a.txt").read_text() == "first" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("write", [write_text, write_arrays, write_picture])
def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path, write):
    path = tmp_path / "out"
    for before in (None, "old"):
        if before:
            path.write_text(before)
        with full_disk(), pytest.raises(UserError, match=r"/out: the disk is full. Free some space"):
            write(path)
        assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == ([("out", before)] if before else [])
    write(path)
    assert path.stat().st_size > 4096 and list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_caller_s_is_passed_on_and_leaves_nothing(tmp_path):
    with pytest.raises(KeyError, match="mine"), whole_file(tmp_path / "out") as file:
        file.write("half")
        raise KeyError("mine")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent/out: cannot be written \(No such file"):
        write_text(tmp_path / "absent" / "out")
