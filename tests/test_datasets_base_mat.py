"""MATLAB files: what MATLAB and SciPy write is read, what is damaged is named, and memory has a bound."""

import re
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from ecgjax.datasets import base_mat, base_mat_elements
from ecgjax.datasets.base_mat import read_mat
from ecgjax.errors import DataError

# Files that MATLAB 5 to 8 wrote on several machines, which SciPy is tested with.
_NAMES = r"test.*_(5|6|7|8)[._W].*|.*_endian|miu.*|one_by_zero_char|single_empty_string|broken_utf8"
FOLDER = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
MATLAB = sorted(path for path in FOLDER.glob("*.mat") if re.fullmatch(_NAMES, path.stem) and "hdf5" not in path.stem)
needs_matlab = pytest.mark.skipif(not MATLAB, reason="SciPy is installed without its test data")
UNREAD = re.compile("func|object|sparse|complex")  # None


def cells(*values, shape=None):
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape or (1, -1))


def same(ours, theirs) -> bool:
    """Whether SciPy's value, with its arrays of objects and its structured ones, is ours."""
    flat = theirs.ravel(order="F")
    if theirs.dtype.kind == "c":
        return ours is None
    if theirs.dtype.names:
        ours = [ours] if isinstance(ours, dict) else ours
        return len(ours) == len(flat) and all(
            list(a) == list(b.dtype.names) and all(same(a[n], b[n]) for n in a) for a, b in zip(ours, flat, strict=True)
        )
    if theirs.dtype == object:
        return len(ours) == len(flat) and all(same(a, b) for a, b in zip(ours, flat, strict=True))
    if theirs.dtype.kind == "U":
        return "".join(ours.split()) == "".join("".join(flat).split())
    return ours.shape == theirs.shape and np.array_equal(ours, theirs) if theirs.size else not ours.size


@needs_matlab
@pytest.mark.parametrize("path", MATLAB, ids=[path.stem for path in MATLAB])
def test_files_of_matlab_are_read_as_scipy_reads_them(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    ours = read_mat(path, tuple(theirs))
    assert ours.keys() == theirs.keys() and ours
    for name, value in ours.items():
        assert value is None if UNREAD.search(name) else same(value, theirs[name]), name


@needs_matlab
def test_files_of_matlab_4_and_a_struct_without_fields():
    for path in FOLDER.glob("test*_4*.mat"):
        assert refused(path) in ("not a MAT file", "truncated")
    assert read_mat(FOLDER / "test_empty_struct.mat", ("a",)) == {"a": {}}
    assert refused(FOLDER / "testhdf5_7.4_GLNX86.mat") == "of MATLAB 7.3 (HDF5)"


NESTED = {
    "DREAMER": {
        "Data": cells({"ECG": {"stimuli": cells(np.ones((4, 2)), np.zeros((3, 2)), shape=(2, 1))}, "Age": "22"}),
        "EEG": {"huge": np.zeros((1000, 14))},
        "Rate": 256,
    },
    "ids": cells("4", "N1", cells("138")),
    "empty": cells(np.zeros((0, 0)), np.zeros((1, 0)), shape=(2, 1)),
    "counts": np.arange(6, dtype=np.int16).reshape(2, 3),
    "flag": np.array([[True, False]]),
    "text": np.array(["two", "row"]),
}


@pytest.mark.parametrize("packed", [False, True])
def test_nested_values(tmp_path, packed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, NESTED, do_compression=packed)
    found = read_mat(path, tuple(NESTED), skip=("EEG",))
    person = found["DREAMER"]["Data"][0]
    assert list(found["DREAMER"]) == ["Data", "Rate"] and person["Age"] == "22"
    np.testing.assert_array_equal(person["ECG"]["stimuli"][0], np.ones((4, 2)))
    assert person["ECG"]["stimuli"][1].shape == (3, 2)
    assert found["ids"] == ["4", "N1", ["138"]]
    assert [value.size for value in found["empty"]] == [0, 0]
    assert found["counts"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["counts"].dtype == np.int16
    assert found["flag"].tolist() == [[1, 0]]
    assert found["text"] == "two\nrow"
    assert read_mat(path, ("counts", "absent")).keys() == {"counts"}
    assert read_mat(tmp_path / "elsewhere", ("ids",), content=path.read_bytes())["ids"][0] == "4"


def test_numbers_of_every_kind(tmp_path):
    kinds = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
    values = {kind: np.array([[1, 2, 100]], kind) for kind in kinds}
    scipy.io.savemat(tmp_path / "a.mat", values)
    found = read_mat(tmp_path / "a.mat", kinds)
    assert {kind: (found[kind].dtype, found[kind].tolist()) for kind in kinds} == {
        kind: (np.dtype(kind), [[1, 2, 100]]) for kind in kinds
    }


def test_what_is_kept_is_decided_array_by_array_and_cannot_be_written(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, NESTED)
    found = read_mat(path, ("counts",), keep=lambda values: base_mat.single(values[:, 1:]))
    assert found["counts"].dtype == np.float32 and found["counts"].tolist() == [[1, 2], [4, 5]]
    with pytest.raises(ValueError, match="read-only"):
        found["counts"][0, 0] = 9
    assert base_mat.single(np.array([1e300, np.nan])).tolist()[0] == np.inf


def refused(path, *names, **kwargs) -> str:
    with pytest.raises(DataError) as error:
        read_mat(path, names or tuple(NESTED), **kwargs)
    assert str(path) in str(error.value)
    return error.value.reason


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_broke_off_is_truncated_wherever_it_did(tmp_path, packed):
    whole, path = tmp_path / "a.mat", tmp_path / "b.mat"
    scipy.io.savemat(whole, NESTED, do_compression=packed)
    content, borders = whole.read_bytes(), {128}
    while max(borders) < len(content):
        borders.add(max(borders) + 8 + struct.unpack("<I", content[max(borders) + 4 : max(borders) + 8])[0])
    for length in range(0, len(content), 61 if packed else 1999):
        path.write_bytes(content[:length])
        if length not in borders:
            assert refused(path) == "truncated", length
    assert refused(tmp_path / "gone.mat") == "missing file"


def test_files_of_other_kinds_are_told_apart(tmp_path):
    import h5py

    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(3)
    assert refused(path) == "of MATLAB 7.3 (HDF5)"
    inner = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + inner)
    assert refused(path) == "of MATLAB 7.3 (HDF5)"
    path.write_bytes(b"<html>an error page</html>" * 10)
    assert refused(path) == "not a MAT file"


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(flags: int, dims: tuple[int, ...], *rest: bytes, name: bytes = b"") -> bytes:
    head = element(6, struct.pack("<II", flags, 0)) + element(5, struct.pack(f"<{len(dims)}i", *dims))
    return element(14, head + element(1, name) + b"".join(rest))


def write(path: Path, *variables: bytes) -> Path:
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(variables))
    return path


DOUBLES = element(9, struct.pack("<3d", 1, 2, 3))


def test_a_file_made_by_hand_is_read(tmp_path):
    path = write(tmp_path / "a.mat", element(14, b""), matrix(6, (1, 3), DOUBLES, name=b"x"))
    assert read_mat(path, ("x",))["x"].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    "variable",
    [
        matrix(6, (1, 4), DOUBLES, name=b"x"),
        matrix(6, (1 << 15, 1 << 15), DOUBLES, name=b"x"),
        matrix(6, (-1, -3), DOUBLES, name=b"x"),
        matrix(6, (3,), DOUBLES, name=b"x"),
        matrix(6, (1,) * 31 + (1, 3), DOUBLES, name=b"x"),
        matrix(6, (1, 3), element(99, bytes(24)), name=b"x"),
        matrix(6, (1, 3), element(9, bytes(23)), name=b"x"),
        matrix(6, (1, 3), struct.pack("<II", 9, 4096), name=b"x"),
        matrix(6, (1, 1), struct.pack("<II", 2 | 5 << 16, 0), name=b"x"),
        matrix(6, (1, 3), name=b"x"),
        matrix(1, (1, 2), matrix(6, (1, 3), DOUBLES), name=b"x"),
        matrix(1, (1 << 30, 1), matrix(6, (1, 3), DOUBLES), name=b"x"),
        matrix(1, (1, 1), struct.pack("<II", 14, 1 << 31), name=b"x"),
        matrix(1, (1, 1), DOUBLES, name=b"x"),
        matrix(2, (1, 1), element(5, struct.pack("<i", 0)), element(1, b"one\0"), name=b"x"),
        matrix(2, (1, 1), element(5, struct.pack("<i", 3)), element(1, b"one\0"), name=b"x"),
        matrix(2, (1 << 30, 1), element(5, struct.pack("<i", 4)), element(1, b"one\0"), name=b"x"),
        matrix(4, (1, 3), element(9, b"abc"), name=b"x"),
        element(15, zlib.compress(matrix(6, (1, 3), DOUBLES, name=b"x") + b"more")),
        element(15, zlib.compress(matrix(6, (1, 3), DOUBLES, name=b"x"))[:-1]),
        element(15, zlib.compress(matrix(6, (1, 3), DOUBLES, name=b"x")[:-8])),
        element(15, zlib.compress(DOUBLES)),
        element(15, b"no zlib stream"),
        element(9, bytes(24)),
    ],
)
def test_lengths_and_kinds_that_cannot_be_are_damage(tmp_path, variable):
    assert refused(write(tmp_path / "a.mat", variable), "x") == "damaged"


HUGE = bytes(1 << 26)


@pytest.mark.parametrize(
    "variable",
    [
        matrix(6, (1, 3), element(9, HUGE), name=b"x"),
        matrix(6, (1, 3), DOUBLES, name=HUGE),
        matrix(2, (1, 1), element(5, struct.pack("<i", 4)), element(1, HUGE), name=b"x"),
        matrix(2, (1, 1), element(5, HUGE), element(1, b"one\0"), name=b"x"),
    ],
    ids=["numbers", "name", "names of fields", "length of names"],
)
def test_a_small_file_cannot_take_much_memory(tmp_path, variable):
    """64 KiB that inflate to 64 MiB, for one element that its dimensions give three numbers."""
    path = write(tmp_path / "a.mat", element(15, zlib.compress(variable)))
    tracemalloc.start()
    assert refused(path, "x") == "damaged" and tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_matrices_within_each_other_without_end_are_damage(tmp_path):
    value = matrix(6, (1, 3), DOUBLES)
    for _ in range(2000):
        value = matrix(1, (1, 1), value)
    assert refused(write(tmp_path / "a.mat", matrix(1, (1, 1), value, name=b"x")), "x") == "damaged"


def test_a_wrong_byte_in_a_compressed_variable_is_found(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (2000, 2)).astype(np.float64)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": values}, do_compression=True)
    content = bytearray(path.read_bytes())
    for at in range(200, len(content), 211):
        damaged = content.copy()
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        assert refused(path, "x") == "damaged", at


def test_memory_is_bounded_by_what_is_wanted(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"s": {"big": np.zeros((1 << 19, 4)), "small": np.ones((9, 1))}}, do_compression=True)
    tracemalloc.start()
    found = read_mat(path, ("s",), skip=("big",))
    assert list(found["s"]) == ["small"] and tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()
    monkeypatch.setattr(base_mat_elements, "_MAX_KEPT", 1 << 23)
    assert refused(path, "s") == "too large"
    monkeypatch.undo()
    monkeypatch.setattr(base_mat, "_MAX_FILE", 1000)
    assert refused(path, "s") == "too large"


def test_cells_and_structs_without_end_are_too_large(tmp_path, monkeypatch):
    """A mebibyte of empty ones takes 2 KiB in the file, and 16 MiB in memory."""
    monkeypatch.setattr(base_mat_elements, "_MAX_KEPT", 1 << 23)
    num, names = 1 << 17, element(5, struct.pack("<i", 4)) + element(1, b"one\0")
    for kind, head in ((1, b""), (2, names)):
        variable = matrix(kind, (num, 1), head, element(14, b"") * num, name=b"x")
        assert refused(write(tmp_path / "a.mat", element(15, zlib.compress(variable))), "x") == "too large"


def test_values_of_another_kind_are_named(tmp_path):
    path = tmp_path / "a.mat"
    for call in (base_mat.fields, base_mat.items, base_mat.numbers):
        with pytest.raises(DataError, match="a.mat: unlike its documentation. Data is no"):
            call("text", "Data", path)
    with pytest.raises(DataError, match="missing variable. There is no 'x'"):
        base_mat.variable({}, "x", path)
    assert base_mat.items(np.zeros((0, 0)), "Data", path) == [] and base_mat.items({"a": 1}, "", path) == [{"a": 1}]
    assert base_mat.numbers(np.ones(2), "Data", path).tolist() == [1, 1]
    assert base_mat.number(np.array([[4]])) == 4.0
    assert np.isnan([base_mat.number(value) for value in ("4", None, np.zeros((2, 1)), np.zeros((0, 0)))]).all()


def test_columns_are_picked_and_what_is_missing_is_told():
    values_TC = np.arange(12.0).reshape(4, 3)
    values_TC[1, 2], values_TC[2, 0], values_TC[:, 1] = 1e300, np.nan, np.nan
    picked_TC, events = base_mat.pick_columns(values_TC, [2, 0], "set_ecg")
    np.testing.assert_array_equal(picked_TC, [[2, 0], [np.inf, 3], [8, np.nan], [11, 9]])
    assert picked_TC.dtype == np.float32 and events == ["set_ecg_some_nan"]
    assert base_mat.pick_columns(values_TC, [2, 1], "set_ecg") == (None, ["set_ecg_all_nan"])
    assert base_mat.pick_columns(values_TC[[1, 3]], [2], "set_ecg")[1] == []  # preparation tells what is infinite
