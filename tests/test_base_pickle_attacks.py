"""Pickles that would run something, or are not what they say: refused, by name, and nothing runs."""

import importlib
import os
import pickle
import types
from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import base_pickle
from ecgjax.datasets.wesad import Source
from ecgjax.errors import DataError
from tests import pickle_files
from tests.pickle_files import DTYPE, NDARRAY, RECONSTRUCT, array, code, kind, opened, whole
from tests.readers import config_of

NUMBERS = np.arange(9000.0).reshape(4500, 2) ** 2  # over 64 KiB


@pytest.fixture
def at(tmp_path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "S2.pkl"


class Touch:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def arguments(*parts: object) -> bytes:
    return b"(" + b"".join(part if isinstance(part, bytes) else code(part) for part in parts) + b"tR"


def malicious(made: Path) -> dict[str, bytes]:
    """What asks for more than numbers."""
    shell, python = f"touch {made}", f"open({str(made)!r}, 'w').close()"
    good = array((2,), kind("f8"), bytes(16))
    objects = DTYPE + arguments("O8", 0, 1)
    fields = DTYPE + arguments("f8", 0, 1) + code((3, "<", None, ("a",), {}, 8, 8, 0)) + b"b"
    empty = RECONSTRUCT + arguments(NDARRAY, (0,), "b")
    return {
        "os.system": b"cos\nsystem\n" + arguments(shell),
        "posix.system": b"cposix\nsystem\n" + arguments(shell),
        "eval": b"c__builtin__\neval\n" + arguments(python),
        "eval of Python 3": b"cbuiltins\neval\n" + arguments(python),
        "exec": b"cbuiltins\nexec\n" + arguments(python),
        "getattr": b"c__builtin__\ngetattr\n" + arguments(NDARRAY, "tofile"),
        "subprocess": b"csubprocess\ncheck_output\n" + arguments(["touch", str(made)]),
        "file": b"c__builtin__\nopen\n" + arguments(str(made), "w"),
        "numpy.load": b"cnumpy\nload\n" + arguments(str(made)),
        "numpy.save": b"cnumpy\nsave\n" + arguments(str(made), [1]),
        "numpy.memmap": b"cnumpy\nmemmap\n" + arguments(str(made), "f8", "w+", 0, (2,)),
        "numpy.fromfile": b"cnumpy.core.multiarray\nfromfile\n" + arguments(str(made)),
        "numpy.f2py": b"cnumpy.f2py\ncompile\n" + arguments(python),
        "numpy._core": b"cnumpy._core\nmultiarray\n" + arguments(),
        "a dotted name": b"cnumpy\nndarray.__class__\n",
        "a dotted name on the stack": code("numpy") + code("ndarray.__class__") + b"\x93",
        "a name on the stack": code("os") + code("system") + b"\x93" + arguments(shell),
        "a name of two lines": b"cnumpy\nndarray \n",
        "an instance": b"(" + code(shell) + b"ios\nsystem\n",
        "an object": b"(cos\nsystem\n" + code(shell) + b"o",
        "a new object": b"cnumpy\nndarray\n" + code((5,)) + b"\x81",
        "an extension": b"\x82\x01",
        "an extension of four bytes": b"\x84\x01\x00\x00\x00",
        "a persistent id": b"P1\n",
        "a persistent id on the stack": code((1, 2)) + b"Q",
        "a buffer from elsewhere": b"\x97",
        "another container": b"ccollections\nOrderedDict\n)R",
        "an extension of two bytes": b"\x83\x01\x00",
        "a new object with keywords": NDARRAY + code((5,)) + b"}\x92",
        "a class of a mark": b"(" + NDARRAY + code((5,)) + b"o",
        "a set": b"\x8f(cos\nsystem\n\x90",
        "a frozen set": b"(" + code(1) + b"\x91",
        "a buffer made read-only": code("a") + b"\x98",
        "what is taken back": b"cos\nsystem\n0" + good,
        "what is taken back to the mark": b"(cos\nsystem\n1" + good,
        "what is there twice": b"N2",
        "a name kept for later": b"cos\nsystem\np0\n0g0\n" + arguments(shell),
        "an import": b"cimportlib\nimport_module\n" + arguments("this"),
        "__import__": b"c__builtin__\n__import__\n" + arguments("this"),
        "apply": b"c__builtin__\napply\n" + arguments(b"cos\nsystem\n", [shell]),
        "partial": b"cfunctools\npartial\n" + arguments(b"cos\nsystem\n", shell),
        "a getter": b"coperator\nattrgetter\n" + arguments("tofile"),
        "a nested pickle": b"cpickle\nloads\n" + arguments(whole(b"cos\nsystem\n" + arguments(shell))),
        "pandas": b"cpandas\nread_pickle\n" + arguments(str(made)),
        "joblib": b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n" + arguments(),
        "a matrix": RECONSTRUCT + arguments(b"cnumpy\nmatrix\n", (0,), "b"),
        "a name of another case": b"cNumPy\nndarray\n",
        "a name of a longer module": b"cnumpy.core.multiarray.x\n_reconstruct\n" + arguments(NDARRAY, (0,), "b"),
        "a module as a name": b"c\nnumpy ndarray\n",
        "copy_reg": b"ccopy_reg\n_reconstructor\n" + arguments(NDARRAY, b"c__builtin__\nobject\n", None),
        "objects": array((1,), objects + code((3, "|", None, None, None, -1, -1, 63)) + b"b", b"x"),
        "objects in a list": empty + b"(" + code(1) + code((1,)) + kind("f8") + code(False) + code([None]) + b"tb",
        "a scalar of objects": b"cnumpy.core.multiarray\nscalar\n" + arguments(objects, [1]),
        "a record": array((1,), DTYPE + arguments("V8", 0, 1), bytes(8)),
        "texts": array((1,), DTYPE + arguments("S8", 0, 1), bytes(8)),
        "times": array((1,), DTYPE + arguments("M8", 0, 1), bytes(8)),
        "fields": array((1,), fields, bytes(8)),
        "attributes of an array": good + b"}" + code("shape") + code((9,)) + b"sb",
        "attributes of an array in two dicts": good + b"(N}" + code("shape") + code((9,)) + b"stb",
        "attributes of a name": NDARRAY + b"}" + code("__reduce__") + b"Nsb",
        "attributes of a dict": code({}) + b"}b",
        "a state that is an array": empty + good + b"b",
        "an array called": good + arguments(),
        "a text called": code("numpy ndarray") + arguments(),
        "ndarray called": NDARRAY + arguments((5,)),
        "another class made": RECONSTRUCT + arguments(DTYPE, (0,), "b"),
        "a class by name": RECONSTRUCT + arguments("numpy ndarray", (0,), "b"),
        "bytes by another codec": b"c_codecs\nencode\n" + arguments("nopl", "rot13"),
        "a codec": b"c_codecs\nlookup\n" + arguments("latin1"),
        "an array without a state, then read": b"cnumpy.core.numeric\n_frombuffer\n" + arguments(b"x", 5, (1,), "C"),
    }


@pytest.mark.parametrize("what", malicious(Path()))
def test_a_malicious_pickle_is_refused_and_nothing_runs(at, what):
    program = malicious(at.parent / "made")[what]
    for protocol in (0, 2):
        with pytest.raises(DataError, match=r"S2.pkl: (unsafe|damaged) pickle"):
            opened(at, whole(program, protocol))
    inside = code({"subject": "S2"})[:-1] + code("signal") + program + b"u"
    with pytest.raises(DataError, match=r"S2.pkl: (unsafe|damaged) pickle"):
        opened(at, whole(inside))
    assert os.listdir(at.parent) == ["S2.pkl"]


@pytest.mark.parametrize(
    ("name", "file", "fields"),
    [
        ("deap", "s32.dat", {}),
        ("ppg_dalia", "S15/S15.pkl", {}),
        ("wesad", "S10.pkl", {}),
        ("wesad", "S2/S2.pkl", {"source": Source.RAW}),
    ],
)
def test_no_reader_runs_a_pickle(tmp_path, name, file, fields):
    folder, made = tmp_path / "corpus", tmp_path / "made"
    folder.mkdir()
    corpus = importlib.import_module(f"tests.corpora.{name}").write(folder)
    (folder / file).write_bytes(whole(malicious(made)["os.system"]))
    dataset = config_of(name)(**{**corpus.config, **fields}).make()
    keys = [key for key in dataset.keys() if key.startswith(Path(file).stem)]
    for key in keys:
        with pytest.raises(DataError, match="unsafe pickle. It asks for os system"):
            dataset.load(key)
    assert keys and os.listdir(tmp_path) == ["corpus"]


def test_an_operation_that_makes_objects_is_named(at):
    for program, name in (
        (b"(ios\nsystem\n", "INST"),
        (b"\x82\x01", "EXT1"),
        (b"P1\n", "PERSID"),
        (b"\x97", "NEXT_BUFFER"),
    ):
        with pytest.raises(DataError, match=f"unsafe pickle. It asks for the operation {name}, which is no number"):
            opened(at, whole(program))


def test_a_class_that_makes_a_file_does_not(at):
    for protocol in range(6):
        with pytest.raises(DataError, match=r"unsafe pickle\. It asks for .*, which is no number"):
            opened(at, pickle.dumps({"signal": Touch(at.parent / "made")}, protocol))
    assert os.listdir(at.parent) == ["S2.pkl"]


def test_the_malicious_pickles_would_run(at):
    """Else the tests above show nothing."""
    for what in ("os.system", "eval", "exec", "subprocess", "numpy.memmap", "a name on the stack"):
        made = at.parent / what.replace(" ", "_")
        pickle.loads(whole(malicious(made)[what], 4 if "stack" in what else 2))
        assert made.exists(), what


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"shape": (3,)}, r"shape \(3,\) in 16 bytes"),
        ({"shape": (1,)}, r"shape \(1,\) in 16 bytes"),
        ({"raw": bytes(15)}, r"shape \(2,\) in 15 bytes"),
        ({"shape": (10**9, 10**9)}, "in 16 bytes"),
        ({"shape": (0, 10**15), "raw": b""}, "in 0 bytes"),
        ({"shape": (2,) + (1,) * 40}, "no shape"),
        ({"shape": (-1, -2)}, "no shape"),
        ({"shape": (2.0,)}, "no shape"),
        ({"shape": (True, 2)}, "no shape"),
        ({"shape": [2]}, "no shape"),
        ({"shape": None}, "no shape"),
        ({"kind": code("f8")}, "no shape, type"),
        ({"kind": DTYPE + arguments("f8", 0, 1)}, "no byte order"),
        ({"kind": DTYPE + arguments("f8", 0, 1) + code((3, "=", None, None, None, -1, -1, 0)) + b"b"}, "a state"),
        ({"kind": DTYPE + arguments("f8", 0, 1) + code((3, "", None, None, None, -1, -1, 0)) + b"b"}, "a state"),
        ({"kind": DTYPE + arguments("f8", 0, 1) + code((4, "<", None, None, None, -1, -1, 0, {})) + b"b"}, "a state"),
    ],
    ids=str,
)
def test_an_array_that_is_not_what_it_says_is_refused(at, fault, what):
    made = types.SimpleNamespace(shape=(2,), kind=kind("f8"), raw=bytes(16))
    vars(made).update(fault)
    with pytest.raises(DataError, match=f"damaged pickle.*{what}"):
        opened(at, whole(array(made.shape, made.kind, made.raw)))


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"'" + b"ab\\x00" * 20_000 + b"'", "60000 bytes for shape"),
        (b"'" + b"abcd\\x00" * 10_000 + b"\\x0'", "invalid .x escape"),
        (b"'" + b"a" * 80_000 + b"\\'", r"Trailing|trailing"),
    ],
)
def test_quoted_bytes_are_counted_where_they_are_read(at, raw, what):
    """Before, they are only known to be one to four characters each."""
    program = array((80_000,), kind("u1", 0), b"@", False, 0).replace(b"S'@'", b"S" + raw)
    with pytest.raises(DataError, match=f"S2.pkl: damaged pickle. An array in it: {what}"):
        opened(at, whole(program, 0)).read()


def test_a_file_that_has_changed_since_is_refused(at):
    for protocol in (0, 2):
        found = base_pickle.read(pickle_files.write(at, NUMBERS, protocol))
        at.write_bytes(at.read_bytes()[:70_000])
        with pytest.raises(DataError, match="damaged pickle. An array in it: it ends within a string"):
            found.read()


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_file_that_broke_off_is_truncated(at, protocol):
    whole_file = pickle_files.write(at, {"a": NUMBERS, "b": np.arange(4), "c": "text"}, protocol).read_bytes()
    rng = np.random.default_rng(protocol)
    for length in (0, 1, 2, 3, len(whole_file) - 1, *rng.integers(4, len(whole_file), 60)):
        with pytest.raises(DataError, match=r"S2.pkl: truncated. It ends within its pickle"):
            opened(at, whole_file[:length])
