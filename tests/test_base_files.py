"""Files that are kept in memory, and files that are too large for it."""

import pytest

from ecgjax.datasets import base_files
from ecgjax.errors import DataError, UserError


def test_the_last_files_are_kept_until_they_change(tmp_path):
    calls = []

    @base_files.keep(1)
    def read(path, suffix=""):
        calls.append(path.name)
        if path.read_text() == "bad":
            raise DataError(path, "truncated")
        return path.read_text() + suffix

    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("one")
    b.write_text("bad")
    assert [read(a), read(a), read(a, "!"), read(a, "!")] == ["one", "one", "one!", "one!"]
    for _ in range(3):
        with pytest.raises(DataError, match="truncated"):
            read(b)
    assert calls == ["a", "a", "b"]
    b.write_text("mended")
    assert read(b) == "mended"
    a.unlink()
    with pytest.raises(DataError, match="missing file"):
        read(a)


def test_as_many_files_are_kept_as_are_asked_for(tmp_path):
    calls = []
    for name in "abc":
        (tmp_path / name).write_text(name)

    @base_files.keep(2)
    def read(path):
        calls.append(path.name)
        return path.name

    for name in "ababcab":
        assert read(tmp_path / name) == name
    assert calls == list("abcab")


def test_of_files_of_one_name_the_first_is_taken_and_told():
    named = [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("b", "5")]
    assert base_files.first_of_each(iter(named)) == ({"b": "1", "a": "2", "c": "4"}, {"1"})
    with pytest.raises(UserError, match="^nothing here$"):
        base_files.first_of_each([], "nothing here")


def test_a_file_must_be_there_and_no_larger(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(DataError, match="a: missing file"):
        base_files.check_size(path, 5)
    path.write_text("12345")
    base_files.check_size(path, 5)
    with pytest.raises(DataError, match="a: too large. It has 5 bytes, where 4 are more than"):
        base_files.check_size(path, 4)


def test_what_an_error_quotes_stays_in_a_line_of_some_length():
    text = str(DataError("a\nb", "of\x1b[2J", "\u2028" + "9" * 9000))
    assert text.isprintable() and len(text) == 2000 and text.startswith("a b: of [2J.")
