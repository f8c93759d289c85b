"""Pickles of arrays, read without an unpickler: the same numbers, little memory, and nothing run that they ask for."""

import contextlib
import io
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import base_pickle
from ecgjax.datasets.base_pickle import entry
from ecgjax.errors import DataError
from ecgjax.pickles import Stored
from tests import pickle_files
from tests.pickle_files import DTYPE, RECONSTRUCT, array, code, kind, opened, whole

# What Python 2.7.18 with NumPy 1.16.6 wrote (cPickle) of one dict, in its three protocols.
PYTHON2 = {
    0: b"(dp1\nS'signal'\np2\n(dp3\nS'chest'\np4\n(dp5\nS'ECG'\np6\ncnumpy.core.multiarray\n_reconstruct\np7\n(cnumpy\n"
    b"ndarray\np8\n(I0\ntS'b'\ntRp9\n(I1\n(I2\nI1\ntcnumpy\ndtype\np10\n(S'f8'\nI0\nI1\ntRp11\n(I3\nS'<'\nNNNI-1\nI-1\n"
    b"I0\ntbI00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\xe0?\\x00\\x00\\x00\\x00\\x00\\x00\\xf4\\xbf'\ntbsS'Temp'\np12\ng7\n"
    b"(g8\n(I0\ntS'b'\ntRp13\n(I1\n(I1\nI1\ntg10\n(S'f4'\nI0\nI1\ntRp14\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x"
    b"00\\xf4A'\ntbsssS'label'\np15\ng7\n(g8\n(I0\ntS'b'\ntRp16\n(I1\n(I2\ntg10\n(S'i4'\nI0\nI1\ntRp17\n(I3\nS'<'\nNNN"
    b"I-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x00\\x00\\x07\\x00\\x00\\x00'\ntbsS'f'\ng7\n(g8\n(I0\ntS'b'\ntRp18\n(I1\n(I2\n"
    b"I3\ntg10\n(S'i2'\nI0\nI1\ntRp19\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI01\nS'\\x01\\x00\\x04\\x00\\x02\\x00\\x05\\x00\\x"
    b"03\\x00\\x06\\x00'\ntbsS'HEIGHT'\np20\ncnumpy.core.multiarray\nscalar\np21\n(g11\nS'\\x00\\x00\\x00\\x00\\x00@f@'"
    b"\ntRp22\nsS'subject'\np23\nS'S2'\np24\ns.",
    1: b"}q\x01(U\x06signalq\x02}q\x03U\x05chestq\x04}q\x05(U\x03ECGq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07(cn"
    b"umpy\nndarray\nq\x08(K\x00tU\x01btRq\t(K\x01(K\x02K\x01tcnumpy\ndtype\nq\n(U\x02f8K\x00K\x01tRq\x0b(K\x03U\x01<N"
    b"NNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\nU\x10\x00\x00\x00\x00\x00\x00\xe0?\x00\x00\x00\x00\x00\x00\xf4\xbf"
    b"tbU\x04Tempq\x0ch\x07(h\x08(K\x00tU\x01btRq\r(K\x01(K\x01K\x01th\n(U\x02f4K\x00K\x01tRq\x0e(K\x03U\x01<NNNJ\xff"
    b"\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\nU\x04\x00\x00\xf4AtbusU\x05labelq\x0fh\x07(h\x08(K\x00tU\x01btRq\x10(K"
    b"\x01(K\x02th\n(U\x02i4K\x00K\x01tRq\x11(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\nU\x08\x00\x00"
    b"\x00\x00\x07\x00\x00\x00tbU\x01fh\x07(h\x08(K\x00tU\x01btRq\x12(K\x01(K\x02K\x03th\n(U\x02i2K\x00K\x01tRq\x13(K"
    b"\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI01\nU\x0c\x01\x00\x04\x00\x02\x00\x05\x00\x03\x00\x06\x00tb"
    b"U\x06HEIGHTq\x14cnumpy.core.multiarray\nscalar\nq\x15(h\x0bU\x08\x00\x00\x00\x00\x00@f@tRq\x16U\x07subjectq\x17U"
    b"\x02S2q\x18u.",
    2: b"\x80\x02}q\x01(U\x06signalq\x02}q\x03U\x05chestq\x04}q\x05(U\x03ECGq\x06cnumpy.core.multiarray\n_reconstruct\n"
    b"q\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t(K\x01K\x02K\x01\x86cnumpy\ndtype\nq\nU\x02f8K\x00K\x01\x87Rq"
    b"\x0b(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10\x00\x00\x00\x00\x00\x00\xe0?\x00\x00\x00\x00"
    b"\x00\x00\xf4\xbftbU\x04Tempq\x0ch\x07h\x08K\x00\x85U\x01b\x87Rq\r(K\x01K\x01K\x01\x86h\nU\x02f4K\x00K\x01\x87Rq"
    b"\x0e(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x00\xf4AtbusU\x05labelq\x0fh\x07h\x08K"
    b"\x00\x85U\x01b\x87Rq\x10(K\x01K\x02\x85h\nU\x02i4K\x00K\x01\x87Rq\x11(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff"
    b"\xffK\x00tb\x89U\x08\x00\x00\x00\x00\x07\x00\x00\x00tbU\x01fh\x07h\x08K\x00\x85U\x01b\x87Rq\x12(K\x01K\x02K\x03\x86"
    b"h\nU\x02i2K\x00K\x01\x87Rq\x13(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x88U\x0c\x01\x00\x04\x00"
    b"\x02\x00\x05\x00\x03\x00\x06\x00tbU\x06HEIGHTq\x14cnumpy.core.multiarray\nscalar\nq\x15h\x0bU\x08\x00\x00\x00\x00"
    b"\x00@f@\x86Rq\x16U\x07subjectq\x17U\x02S2q\x18u.",
}  # fmt: skip
NUMBERS = np.random.default_rng(0).standard_normal((9000, 2))  # over 64 KiB


@pytest.fixture
def at(tmp_path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "S2.pkl"


@pytest.mark.parametrize("protocol", PYTHON2)
def test_what_python_2_wrote(at, protocol):
    found = opened(at, PYTHON2[protocol])
    assert list(found) == ["signal", "label", "f", "HEIGHT", "subject"]
    assert (found["subject"], found["HEIGHT"]) == ("S2", 178.0) and type(found["HEIGHT"]) is float
    for part, expected, dtype in (
        (found["signal"]["chest"]["ECG"], [[0.5], [-1.25]], "<f8"),
        (found["signal"]["chest"]["Temp"], [[30.5]], "<f4"),
        (found["label"], [0, 7], "<i4"),
        (found["f"], [[1, 2, 3], [4, 5, 6]], "<i2"),
    ):
        np.testing.assert_array_equal(part.read(), expected)
        assert part.read().dtype == part.dtype == dtype and part.shape == np.shape(expected)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<i4", "<u2", "|i1", "<i8"])
def test_what_python_3_writes(at, protocol, dtype):
    value = {"é": (NUMBERS[:40] * 30).astype(dtype), b"y": [np.arange(3), np.float32(0.5), 2**40, -3, None, True, ""]}
    found = opened(at, pickle.dumps(value, protocol))
    np.testing.assert_array_equal(found["é"].read(), value["é"])
    first, *others = found["y"]
    assert first.read().tolist() == [0, 1, 2] and others == [0.5, 2**40, -3, None, True, ""]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_long_arrays_of_python_3(at, protocol):
    value = {"a": np.asfortranarray(NUMBERS), "b": NUMBERS}
    found = opened(at, pickle.dumps(value, protocol))
    np.testing.assert_array_equal(found["a"].read(), NUMBERS)
    np.testing.assert_array_equal(found["b"].read(), NUMBERS)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_the_writer_of_the_fixtures_writes_pickles(protocol):
    value = {"a": NUMBERS, "f": np.asfortranarray(NUMBERS[:9]), "b": np.arange(3, dtype=">i2"), "c": [1, -2, 2.5, None]}
    value |= {"d": (True, "é'\n\\", np.zeros((0, 3), np.float32))}
    found = pickle.loads(whole(code(value, protocol), protocol), encoding="latin1")
    for name in "afb":
        np.testing.assert_array_equal(found[name], value[name])
    assert found["a"].dtype == value["a"].dtype
    assert found["c"] == value["c"] and found["d"][:2] == value["d"][:2] and found["d"][2].shape == (0, 3)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_long_arrays_of_python_2(at, protocol, monkeypatch):
    everything = np.arange(1 << 16, dtype="u2").view("u1")
    backslashes = np.full(99_999, ord("\\"), "u1")
    mixed = np.resize(np.frombuffer(b"\\\\x4'\n\\", "u1"), 99_000)
    plain = np.full(99_999, ord("a"), "u1")
    value = {"n": NUMBERS, "e": everything, "b": backslashes, "m": mixed, "p": plain, "z": np.zeros((0, 3))}
    pickle_files.write(at, value, protocol)
    for block in (1 << 20, 4096, 997):  # escapes lie on the borders of blocks
        monkeypatch.setattr("ecgjax.pickles._BLOCK", block)
        found = base_pickle.read(at)
        for name in value:
            np.testing.assert_array_equal(found[name].read(), value[name])


def test_escapes_on_the_borders_of_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    for size in range(4, 12):
        monkeypatch.setattr("ecgjax.pickles._BLOCK", size)
        for _ in range(40):
            raw = bytes(rng.choice(np.frombuffer(b"\\\\'x4\n\0a", "u1"), rng.integers(1, 40)))
            text = b"??" + repr(raw)[1:].encode()
            stored = Stored(3, len(text) - 4, True)
            assert b"".join(stored.blocks(io.BytesIO(text))) == raw, text
    text = b"\\\\" * 100
    assert max(map(len, Stored(0, 200, True).blocks(io.BytesIO(text)))) < 10, "none waits for what comes"


@pytest.mark.parametrize("protocol", [0, 2])
def test_no_more_memory_is_taken_than_by_the_array_that_is_read(at, protocol):
    pickle_files.write(at, {str(n): np.full(500_000, n / 3) for n in range(4)}, protocol)
    tracemalloc.start()
    found = base_pickle.read(at)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.reset_peak()
    assert found["2"].read().nbytes == 4_000_000
    assert tracemalloc.get_traced_memory()[1] < 4_000_000 + (5 << 20)
    tracemalloc.stop()


def test_entries_are_found_in_any_case():
    tree = {"Signal": {"chest": {"Temp": 3, "RESP": 4}}, 5: 6, "label": None}
    assert entry(tree, "signal", "CHEST", "temp") == 3 and entry(tree, "signal", "chest", "Resp") == 4
    assert (
        entry(tree, "signal", "wrist", "temp") is None and entry([], "a") is None and entry(tree, "label", "a") is None
    )


DEEP = b")" + b"\x85" * 3000  # beyond what Python compares, hashes or prints


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (b"T\xff\xff\xff\x7f", "a huge string"),
        (b"T\xff\xff\xff\xff", "a string of negative length"),
        (b"B\xff\xff\xff\xff", "huge bytes"),
        (b"\x8e" + b"\xff" * 7 + b"\x7f", "bytes of an exabyte"),
        (b"\x96" + b"\xff" * 8, "a bytearray of more"),
        (b"X\xff\xff\xff\xff", "a huge text"),
        (b"\x8d" + b"\xff" * 8, "a text of more"),
        (b"\x8b\xff\xff\xff\x7f", "a huge number"),
        (b"L" + b"9" * 60_000 + b"L\n", "a number of many digits"),
        (b"I" + b"9" * 200_000 + b"\n", "a number on a long line"),
        (b"X" + (400_000).to_bytes(4, "little") + b"a" * 399_996 + "\U0001f600".encode(), "a wide text"),
        (b"V" + b"a" * 100_000 + b"\n", "a long line of text"),
        (b"S" + b"a" * 100 + b"\n", "a string without quotes"),
        (b"S'\n", "one quote"),
        (b"S'aaa\"\n", "two different ones"),
        (b"S'\\x4'\n", "half an escape"),
        (
            b"}(" + b"".join(b"\x8a\x09" + (n * (2**61 - 1)).to_bytes(9, "little") + b"N" for n in range(9)) + b"u",
            "hash",
        ),
        (b"}" + DEEP + b"Ns", "a deep tuple as a key"),
        (DTYPE + b"(" + DEEP + b"K\x00K\x01tR", "a deep tuple as a type"),
        (array((2,), b"%s", bytes(16)).replace(b"%s", DEEP), "a deep tuple as the type of an array"),
        (RECONSTRUCT + b"(" + DEEP + b"K\x00\x85U\x01btR", "a deep tuple as a class"),
        (kind("f8") + DEEP + b"b", "a deep tuple as a state"),
        (b"]q\x00" + b"h\x00a" * 300, "too many operations"),
        (b"(((((", "marks without an end"),
        (b"u", "items without a dict"),
        (b"h\x05", "nothing remembered"),
        (b"", "nothing on the stack"),
        (b"\xff", "no operation"),
        (b"NNR", "a call of nothing"),
        (b"cnumpy\n\\ndarray\n", "a name with an escape that no Python writes"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_pickle_without_sense_is_refused(at, program, what, monkeypatch):
    if what == "too many operations":
        monkeypatch.setattr("ecgjax.pickles._MAX_OPERATIONS", 600)
    with pytest.raises(DataError, match=r"S2.pkl: (truncated|(unsafe|damaged) pickle)"):
        opened(at, whole(program))


@pytest.mark.parametrize(
    "huge", [b"T\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f", b"X\xff\xff\xff\x7f", b"S'", b"I", b"cnumpy"]
)
def test_what_is_huge_takes_no_memory(at, huge):
    """A number of bytes that are not there, or a line without end; nor does an array before it is read."""
    good = code(NUMBERS.repeat(20))
    for program in (huge, huge + b"a" * 30_000_000, good * 20 + b"."):
        at.write_bytes(program)
        tracemalloc.start()
        with contextlib.suppress(DataError):
            base_pickle.read(at)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


@pytest.mark.parametrize(
    "text",
    [b"T" + (50_000).to_bytes(4, "little") + b"a" * 50_000, code("a" * 50_000, 0), b"X\xa0\x86\x01\0" + b"a" * 100_000],
)
def test_texts_have_a_bound_together(at, text, monkeypatch):
    monkeypatch.setattr("ecgjax.pickles._MAX_TAKEN", 1 << 20)
    assert len(opened(at, whole(b"(" + text * 9 + b"l"))) == 9
    with pytest.raises(DataError, match="unsafe pickle. It asks for more than 1 MiB of texts"):
        opened(at, whole(b"(" + text * 22 + b"l"))


def test_a_list_within_itself_is_a_value_like_others(at):
    found = opened(at, whole(b"]q\x00h\x00a"))
    assert found[0] is found and entry(found, "signal") is None


def test_an_escape_that_no_python_writes_stays(at):
    assert opened(at, whole(b"S'\\q\\x41'\n", 0)) == "\\qA"


def test_what_is_no_file_is_named(at, tmp_path):
    with pytest.raises(DataError, match="missing file"):
        base_pickle.read(at)
    at.write_bytes(b"")
    os.truncate(at, (1 << 31) + 1)  # without a byte on the disk
    with pytest.raises(DataError, match="too large. It has 2048 MiB, over 2048"):
        base_pickle.read(at)


def test_an_array_that_no_person_has_is_not_read(at):
    num = (1 << 25) + 1  # of 8 bytes
    before, after = array((num,), kind("f8"), b"@").split(code(b"@"))
    at.write_bytes(b"\x80\x02" + before + b"T" + (8 * num).to_bytes(4, "little"))
    with at.open("r+b") as file:  # without its bytes on the disk
        file.seek(8 * num, os.SEEK_END)
        file.write(after + b".")
    with pytest.raises(DataError, match="S2.pkl: too large. An array in it has 256 MiB, over 256"):
        base_pickle.read(at)


def test_no_damage_gets_through(at):
    """Some bytes changed: an error of ours, or what it says now."""
    value = {"signal": {"chest": {"ECG": np.arange(40.0)[:, None]}}, "label": np.arange(5), "subject": "S2"}
    rng, causes = np.random.default_rng(0), set()
    for number in range(600):
        bad = bytearray(pickle_files.write(at, value, number % 3).read_bytes())
        for place in rng.integers(len(bad), size=2):
            bad[place] = rng.integers(256)
        try:
            found = opened(at, bytes(bad))
            for array in (entry(found, "signal", "chest", "ecg"), entry(found, "label")):
                if isinstance(array, base_pickle.Array):
                    array.read()
        except DataError as error:
            assert str(error).startswith(str(at))
            causes.add(error.reason)
    assert causes == {"truncated", "unsafe pickle", "damaged pickle"}
    assert os.listdir(at.parent) == ["S2.pkl"]
