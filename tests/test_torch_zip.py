"""Files of torch.save, read without PyTorch: the same numbers, and nothing run that a file asks for."""

import collections
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch_files

from ecgjax.errors import DataError
from ecgjax.interop import torch_zip

NUMBERS = np.arange(6, dtype=np.float32)


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"  # the beginning of a persistent id


def one_tensor(path: Path, storage="FloatStorage", length=6, offset=0, shape=(2, 3), strides=(3, 1), raw=None) -> Path:
    program = torch_files.whole(torch_files.tensor("0", storage, length, offset, shape, strides))
    return torch_files.write(path, program, {"0": NUMBERS.tobytes() if raw is None else raw})


def test_a_tensor_is_a_view_of_its_storage(tmp_path):
    np.testing.assert_array_equal(torch_zip.load(one_tensor(tmp_path / "a")), NUMBERS.reshape(2, 3))
    turned = one_tensor(tmp_path / "b", offset=1, shape=(2, 2), strides=(1, 2))
    np.testing.assert_array_equal(torch_zip.load(turned), [[1, 3], [2, 4]])
    assert torch_zip.load(one_tensor(tmp_path / "c", shape=(), strides=(), offset=5)) == 5
    assert torch_zip.load(one_tensor(tmp_path / "d", shape=(0, 3), strides=(3, 1))).shape == (0, 3)
    with pytest.raises(ValueError, match="read-only"):
        torch_zip.load(tmp_path / "a")[0, 0] = 1


def test_any_byte_but_zero_is_true(tmp_path):
    found = torch_zip.load(one_tensor(tmp_path / "a", "BoolStorage", raw=bytes([0, 1, 2, 3, 0, 255])))
    np.testing.assert_array_equal(found.view("u1"), [[0, 1, 1], [1, 0, 1]])


def test_what_is_written_by_hand_is_what_was_meant(tmp_path):
    value = {"epoch": 3, "w": {"a": NUMBERS, "b": np.arange(3)}, "rest": [True, None, 0.5, (1, "x"), -(2**40)]}
    found = torch_zip.load(torch_files.save(tmp_path / "file", value))
    assert list(found) == list(value) and found["epoch"] == 3 and found["rest"] == value["rest"]
    np.testing.assert_array_equal(found["w"]["a"], NUMBERS)
    assert found["w"]["b"].dtype == np.int64


class TestAgainstPyTorch:
    @pytest.fixture(autouse=True)
    def torch(self):
        self.torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install -e '.[torch]'")

    def same(self, tmp_path, value, **how):
        self.torch.save(value, tmp_path / "file", **how)
        return torch_zip.load(tmp_path / "file")

    @pytest.mark.parametrize(
        "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    )
    def test_every_type_of_number(self, tmp_path, dtype):
        tensor = self.torch.tensor([[0, 1, 3], [-2, 100, 0]]).to(getattr(self.torch, dtype))
        found = self.same(tmp_path, tensor)
        wide = tensor.float() if dtype == "bfloat16" else tensor
        assert found.dtype == wide.numpy().dtype and not found.flags.writeable
        np.testing.assert_array_equal(found, wide.numpy())

    @pytest.mark.parametrize("protocol", [2, 4])
    def test_a_training_checkpoint(self, tmp_path, protocol):
        torch = self.torch
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        model(torch.randn(5, 4)).sum().backward()
        optimizer.step()
        saved = {"epoch": 7, "optimizer": optimizer.state_dict(), "state": model.state_dict(), "p": model[0].weight}
        found = self.same(tmp_path, saved, pickle_protocol=protocol)
        assert list(found["state"]) == list(model.state_dict()) and found["epoch"] == 7
        for name, tensor in model.state_dict().items():
            np.testing.assert_array_equal(found["state"][name], tensor.numpy())
        np.testing.assert_array_equal(found["p"], model[0].weight.detach().numpy())
        assert found["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
        momentum = found["optimizer"]["state"][0]["momentum_buffer"]
        np.testing.assert_array_equal(momentum, optimizer.state_dict()["state"][0]["momentum_buffer"].numpy())

    def test_views_of_one_storage(self, tmp_path):
        base = self.torch.arange(12.0).reshape(3, 4)
        views = collections.OrderedDict(all=base, turned=base.t(), part=base[1:, ::2], number=base[2, 3])
        found = self.same(tmp_path, views)
        for name, view in views.items():
            np.testing.assert_array_equal(found[name], view.numpy())
        assert np.shares_memory(found["all"], found["turned"])

    def test_the_old_format_is_refused_with_the_remedy(self, tmp_path):
        self.torch.save({"a": self.torch.ones(2)}, tmp_path / "old", _use_new_zipfile_serialization=False)
        with pytest.raises(DataError, match=r"old: in the format of PyTorch before 1.6.*torch.save\(torch.load"):
            torch_zip.load(tmp_path / "old")

    def test_a_whole_model_is_refused_and_its_weights_are_asked_for(self, tmp_path):
        self.torch.save(self.torch.nn.Linear(2, 2), tmp_path / "model")
        with pytest.raises(
            DataError, match=r"torch.nn.modules.linear Linear.*torch.save\(model.state_dict\(\), FILE\)"
        ):
            torch_zip.load(tmp_path / "model")


class Touch:
    """A pickle that makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def malicious(marker: Path) -> dict[str, bytes]:
    made = str(marker)
    text = torch_files.text
    shell = text(f"touch {made}")
    return {
        "os.system": b"cos\nsystem\n(" + shell + b"tR",
        "posix.system": b"cposix\nsystem\n(" + shell + b"tR",
        "eval": b"cbuiltins\neval\n(" + text(f"open({made!r}, 'w').close()") + b"tR",
        "exec of Python 2": b"c__builtin__\nexec\n(" + text(f"open({made!r}, 'w').close()") + b"tR",
        "subprocess": b"csubprocess\ncheck_output\n((" + text("touch") + text(made) + b"ltR",
        "a name from the stack": text("os") + text("system") + b"\x93(" + shell + b"tR",
        "a dotted name": b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
        "an instance": b"(ios\nsystem\n",
        "an object": b"(cos\nsystem\n" + shell + b"o",
        "a new object": b"cos\nsystem\n(" + shell + b"t\x81",
        "an extension": b"\x82\x01",
        "numpy": b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85c_codecs\nencode\nN\x85RtR",
        "numpy.load": b"cnumpy\nload\n(" + text(made) + b"tR",
        "torch.load": b"ctorch\nload\n(" + text(made) + b"tR",
        "a newer rebuilder": b"ctorch._utils\n_rebuild_wrapper_subclass\n)R",
        "pickled by Python": pickle.dumps(Touch(marker), 2)[2:-1],
        "attributes of a function": b"ctorch._utils\n_rebuild_tensor_v2\n}(" + text("__code__") + b"Nub",
        "attributes of an array": torch_files.tensor("0", "FloatStorage", 6, 0, (6,), (1,)) + b"}b",
        "a function called with nothing": b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        "a storage called": b"ctorch\nFloatStorage\n)R",
    }


@pytest.mark.parametrize("kind", malicious(Path()))
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, kind):
    marker = tmp_path / "made"
    path = torch_files.write(tmp_path / "bad.pth", torch_files.whole(malicious(marker)[kind]), {"0": NUMBERS.tobytes()})
    with pytest.raises(DataError, match=r"bad.pth: (asks for .*not run|damaged \(its pickle makes no sense)"):
        torch_zip.load(path)
    assert not marker.exists()


def test_the_malicious_pickles_would_run(tmp_path):
    """Else the test above shows nothing."""
    for kind in ("os.system", "eval", "a name from the stack", "pickled by Python"):
        marker = tmp_path / kind.replace(" ", "_")
        pickle.loads(torch_files.whole(malicious(marker)[kind]))
        assert marker.exists(), kind


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (b"r\xff\xff\xff\xff", "a huge place in the memo"),
        (b"\x96" + b"\xff" * 7 + b"\x7f", "a huge bytearray"),
        (b"\x8d" + b"\xff" * 7 + b"\x7f", "a huge text"),
        (b"\x8b\xff\xff\xff\x7f", "a huge number"),
        (b"\x95" + b"\xff" * 7 + b"\x7f", "a huge frame"),
        (b"}q\x00h\x00h\x00s", "a dict as a key"),
        (b"}" + b")" + b"\x85" * 200_000 + b"Ns", "a deep tuple as a key, whose hash would overflow the stack"),
        (b"(((((", "marks without an end"),
        (b"u", "items without a dict"),
        (b"h\x05", "nothing remembered"),
        (b"Q", "no persistent id"),
        (b"(NNNNNtQ", "a persistent id of nothing"),
        (b"]}NNsa)R", "a call of a list"),
        (STORAGE + b")" + b"\x85" * 200_000 + b"X\x03\x00\x00\x00cpuK\x01tQ", "a storage named by a deep tuple"),
        (STORAGE + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu)tQ", "a storage whose length is a tuple"),
        (b"ccollections\nOrderedDict\n(]tR", "an OrderedDict of something"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_pickle_without_sense_is_refused(tmp_path, program, what):
    path = torch_files.write(tmp_path / "bad.pth", b"\x80\x02" + program + b".", {})
    with pytest.raises(DataError, match=r"bad.pth: (asks for|damaged)"):
        torch_zip.load(path)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"offset": 1}, "shape .2, 3. in a storage of 6"),
        ({"strides": (4, 1)}, "shape .2, 3. in a storage of 6"),
        ({"strides": (-3, 1)}, "no shape"),
        ({"strides": (3,)}, "no shape"),
        ({"shape": (10**12,), "strides": (0,)}, "in a storage of 6"),  # a terabyte, once it is copied
        ({"shape": (2.0, 3)}, "no shape"),
        ({"shape": (True, 3)}, "no shape"),
        ({"shape": (1,) * 40, "strides": (1,) * 40}, "no shape"),
        ({"shape": (0, 10**30), "strides": (1, 1)}, "its pickle makes no sense"),
        ({"raw": NUMBERS.tobytes()[:-1]}, "data/0 has 23 bytes for 6 numbers"),
        ({"length": 7}, "data/0 has 24 bytes for 7 numbers"),
        ({"storage": "DoubleStorage"}, "data/0 has 24 bytes for 6 numbers"),
        ({"storage": "UntypedStorage"}, "asks for torch UntypedStorage"),
    ],
    ids=str,
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, fault, message):
    with pytest.raises(DataError, match=message):
        torch_zip.load(one_tensor(tmp_path / "bad.pth", **fault))


def test_a_missing_storage_is_named(tmp_path):
    program = torch_files.whole(torch_files.tensor("../0", "FloatStorage", 6, 0, (6,), (1,)))
    with pytest.raises(DataError, match=r"it lacks data/\.\./0"):
        torch_zip.load(torch_files.write(tmp_path / "bad.pth", program, {"0": NUMBERS.tobytes()}))


def test_a_big_endian_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="byte order b'big', not little"):
        torch_zip.load(torch_files.save(tmp_path / "bad.pth", NUMBERS, byteorder=b"big"))


def test_a_large_pickle_is_refused(tmp_path):
    program = torch_files.whole(b"]0" * (5 << 19) + b"N")
    with pytest.raises(DataError, match="larger than 4 MiB"):
        torch_zip.load(torch_files.write(tmp_path / "bad.pth", program, {}))


def test_a_compressed_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", torch_files.whole(b"N"))
        archive.writestr("archive/data/0", bytes(1 << 22))
    with pytest.raises(DataError, match="its members are compressed"):
        torch_zip.load(tmp_path / "bomb.pth")


def test_members_that_overlap_are_refused(tmp_path):
    """A thousand names for the same megabyte."""
    path = torch_files.save(tmp_path / "bomb.pth", np.zeros(1 << 18, np.float32))
    with zipfile.ZipFile(path, "a") as archive:
        (member,) = (info for info in archive.infolist() if info.filename.endswith("data/0"))
        for number in range(5):
            again = zipfile.ZipInfo(f"archive/data/{number + 1}")
            for field in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(again, field, getattr(member, field))
            archive.filelist.append(again)
        archive._didModify = True
    with pytest.raises(DataError, match="its members overlap"):
        torch_zip.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no file of torch.save"),
        (b"not a zip", "no file of torch.save"),
        (b"\x80\x02cos\nsystem\n.", "another pickle, and not opened"),
    ],
)
def test_what_is_no_zip_is_refused(tmp_path, content, message):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(DataError, match=message):
        torch_zip.load(tmp_path / "bad.pth")


def test_what_is_no_file_is_refused(tmp_path):
    for path, message in ((tmp_path, "Is a directory"), (tmp_path / "nothing.pth", "No such file")):
        with pytest.raises(DataError, match=message):
            torch_zip.load(path)


def test_another_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photos/a.jpg", b"x")
    with pytest.raises(DataError, match="a zip without data.pkl"):
        torch_zip.load(tmp_path / "photos.zip")


def test_no_damage_gets_through(tmp_path):
    """Cut anywhere, or some bytes changed: an error of ours, or the same numbers."""
    whole = torch_files.save(tmp_path / "good.pth", {"a": NUMBERS}).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "bad.pth"
    causes = collections.Counter()
    for _ in range(1500):
        bad = bytearray(whole[: None if rng.random() < 0.9 else rng.integers(len(whole))])
        for at in rng.integers(len(bad) // 2, len(bad), 2):  # where the table of the members lies
            bad[at] = rng.integers(256)
        path.write_bytes(bad)
        try:
            np.testing.assert_array_equal(torch_zip.load(path)["a"], NUMBERS)
        except DataError as error:
            assert str(error).startswith(str(path))
            causes[type(error.__cause__)] += 1
    assert {zipfile.BadZipFile, EOFError, OSError, UnicodeDecodeError, NotImplementedError} <= causes.keys(), causes
