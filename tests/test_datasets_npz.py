"""NumPy archives: windows put together again, windows apart, what a file may say, and what is refused."""

import io
import zipfile

import numpy as np
import pytest

from configs import prepare_npz
from ecgjax.data.prepare import prepare
from ecgjax.datasets import npz
from ecgjax.datasets.base_channels import Channels
from ecgjax.datasets.npz import Windows
from ecgjax.errors import DataError
from tests.fixtures import wave

NAMES = ["EDA", "BVP", "TEMP"]


def signal(num, seed=0):
    return np.stack([wave(num, seed=seed + i) / 64 for i in range(3)], axis=1).astype(np.float32)


def cut(whole_TC, length, hop):
    return np.stack([whole_TC[i : i + length] for i in range(0, len(whole_TC) - length + 1, hop)])


def write(path, segs, **arrays):
    arrays = {"fs": 4.0, "channel_names": NAMES, **arrays}
    np.savez(path, segs=segs, **{name: value for name, value in arrays.items() if value is not None})
    return path


def load(path, key="", **fields):
    return npz.Config(root=str(path), **fields).make().load(key or path.name)


def reason_of(path, key="", **fields):
    with pytest.raises(DataError) as caught:
        load(path, key, **fields)
    return caught.value.reason


def values(recording):
    return np.concatenate([recording.signals[m].samples_TC for m in ("eda", "bvp", "temp")], axis=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p1.npz"


@pytest.mark.parametrize("hop", [1, 7, 20, 39])
def test_windows_that_overlap_are_the_signal_they_were_cut_from(path, hop):
    whole = signal(400)
    whole[50:90] = whole[50]  # flat, so that any hop fits there
    segs = cut(whole, 40, hop)
    recording = load(write(path, segs))
    np.testing.assert_array_equal(values(recording), whole[: (len(segs) - 1) * hop + 40])
    assert recording.events == ()


def test_a_flat_beginning_does_not_hide_the_hop(path):
    whole = signal(200)
    whole[:60] = 1.0
    np.testing.assert_array_equal(values(load(write(path, cut(whole, 40, 8)))), whole)


def test_missing_samples_are_alike(path):
    whole = signal(200)
    whole[30:50], whole[:, 2] = np.nan, np.nan
    np.testing.assert_array_equal(values(load(write(path, cut(whole, 40, 8)))), whole)


def test_a_break_is_a_missing_sample_and_an_event(path):
    parts = [signal(120, 0), signal(96, 9)]
    recording = load(write(path, np.concatenate([cut(part, 40, 8) for part in parts])))
    expected = np.concatenate([parts[0], np.full((1, 3), np.nan, np.float32), parts[1]])
    np.testing.assert_array_equal(values(recording), expected)
    assert recording.events == ("npz_break",)


def test_windows_side_by_side_are_joined_where_the_file_says_so(path):
    whole = signal(200)
    np.testing.assert_array_equal(values(load(write(path, cut(whole, 40, 40), hop=40))), whole)
    assert reason_of(write(path, cut(whole, 40, 40))) == "windows do not overlap"
    assert reason_of(write(path, cut(whole, 40, 8), hop=10)) == "windows do not overlap"
    np.testing.assert_array_equal(values(load(write(path, cut(whole, 40, 8), hop=8))), whole)


def test_windows_normalised_one_by_one_are_taken_apart(path):
    segs = cut(signal(200), 40, 8)
    segs = (segs - segs.mean(axis=1, keepdims=True)) / segs.std(axis=1, keepdims=True)
    write(path, segs)
    assert reason_of(path) == "windows do not overlap"
    made = npz.Config(root=str(path.parent), windows=Windows.APART).make()
    assert made.keys() == tuple(f"p1.npz#{i:06d}" for i in range(21))
    recording = made.load("p1.npz#000007")
    np.testing.assert_array_equal(values(recording), segs[7])
    assert (recording.subject, recording.trial, recording.events) == ("p1", "000007", ())
    assert reason_of(path, "p1.npz#000021") == "missing window"


def test_overlapping_windows_apart_are_counted(path):
    write(path, np.concatenate([cut(signal(72), 40, 8), cut(signal(72, 5), 40, 8)]))
    made = npz.Config(root=str(path), windows=Windows.APART).make()
    overlapping = [bool(made.load(key).events) for key in made.keys()]
    assert overlapping == [False, True, True, True, True] * 2
    assert made.load("p1.npz#000001").events == ("npz_window_overlaps_the_one_before",)
    write(path, np.roll(cut(signal(72), 40, 8), 1, axis=0))
    assert [bool(made.load(key).events) for key in made.keys()] == [False, False, True, True, True]
    write(path, cut(signal(80), 40, 40), hop=40)
    assert [bool(made.load(key).events) for key in made.keys()] == [False, False]


def test_groups_are_blocks_of_windows(path):
    write(path, np.zeros((600, 2, 3)))
    made = npz.Config(root=str(path), windows=Windows.APART).make()
    groups = [made.group(key) for key in made.keys()]
    assert [groups.count(group) for group in dict.fromkeys(groups)] == [256, 256, 88]
    assert made.group("p1.npz") == "p1.npz"


def test_listing_windows_reads_no_signal(path):
    write(path, signal(20000)[None])
    content = path.read_bytes()
    path.write_bytes(content[:100_000] + bytes(1000) + content[101_000:])  # its checksum does not fit
    made = npz.Config(root=str(path), windows=Windows.APART).make()
    assert made.keys() == ("p1.npz#000000",)
    assert reason_of(path, "p1.npz#000000") == "truncated"
    write(path, signal(50))
    assert npz.Config(root=str(path), windows=Windows.APART).make().keys() == ("p1.npz",)
    path.write_bytes(b"PK\3\4")
    assert npz.Config(root=str(path), windows=Windows.APART).make().keys() == ("p1.npz",)


def test_one_window_and_one_signal_are_what_they_are(path):
    whole = signal(60)
    for segs in (whole, whole[None], np.asfortranarray(whole), whole.astype(">f8"), (64 * whole).astype(">i2")):
        scale = 64 if segs.dtype.kind == "i" else 1
        np.testing.assert_array_equal(values(load(write(path, segs))), whole * scale)


def test_what_a_file_says_of_itself(path):
    whole = signal(60)
    segs = np.concatenate([whole, 1000 * whole[:, :1]], axis=1)
    names, units = ["other", "skin", "BVP", "GSR"], ["V", "", "", "nS"]
    recording = load(write(path, segs, channel_names=names, units=units, subject=["p7", "p7"], scenario="focus"))
    assert (recording.subject, recording.session) == ("p7", "focus")
    assert {m: (s.unit, s.channels) for m, s in recording.signals.items()} == {
        "eda": ("uS", ("GSR",)), "bvp": ("unknown", ("BVP",))
    }  # fmt: skip
    np.testing.assert_allclose(recording.signals["eda"].samples_TC[:, 0], whole[:, 0], rtol=1e-6)
    assert load(write(path, segs, channel_names=names, subject=12)).subject == "12"
    assert load(path, channels=Channels(eda=("skin",)), unit="uS").signals["eda"].unit == "uS"
    write(path, segs, channel_names=None)
    channels = Channels(ecg=("3",), eda=("0",))
    assert load(path, modalities=("ecg", "eda"), channels=channels).signals["ecg"].channels == ("3",)
    assert load(path, modalities=("eda",), channels=channels, subject="^(.)").subject == "p"
    assert reason_of(path) == "no eda or bvp or temp channel"


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def pack(path, compression=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))


class Malice:
    def __reduce__(self):
        return open, ("hacked", "w")


SEGS, FS = npy(signal(20)), npy(4.0)


REFUSED = {
    "other layout": [
        {"segs": npy(np.array([Malice()], object))}, {"segs": b"\x80\x04c"}, {"segs": npy(np.array(["a"]))},
        {"segs": SEGS, "fs": npy(np.array(["4"], object))}, {"segs": npy(np.zeros(3, "f4,f4"))},
        {"segs": npy(signal(20).astype(complex))}, {"segs": npy(np.zeros((4, 5, 6, 7))), "fs": FS},
        {"segs": npy(np.zeros(5)), "fs": FS}, {"segs": npy(np.zeros((0, 3))), "fs": FS}, {"segs": b""},
        {"segs": SEGS.replace(b"(20, 3), }  ", b"(999999999)")}, {"segs": SEGS.replace(b"NUMPY\x01", b"NUMPY\x09")},
        {"segs": SEGS.replace(b"\x01\x00v\x00", b"\x01\x00v\x20").replace(b"  \n", b"  \n" + b" " * 8192), "fs": FS},
        {"segs": SEGS, "fs": FS, "channel_names": npy(["EDA"])},
        {"segs": SEGS, "fs": FS, "units": npy(["uS"])}, {"segs": SEGS, "fs": FS, "hop": npy(21)},
        {"segs": SEGS, "fs": FS, "hop": npy(-1)}, {"segs": SEGS, "fs": FS, "subject": npy(np.zeros(2**17 + 1, "U2"))},
        {"segs": SEGS, "fs": FS, "subject": npy("x").replace(b"x\0\0\0", b"\xff\xff\xff\xff")},
    ],
    "truncated": [
        {"segs": SEGS[:-8]}, {"segs": SEGS + b"x"}, {"segs": SEGS.replace(b"(20, 3)", b"(99, 3)")},
        {"segs": b"\x93NUMPY\x01\x00"},
    ],
    "no array segs": [{"fs": FS}],
    "no array fs": [{"segs": SEGS}],
    "no sampling rate": [{"segs": SEGS, "fs": npy(value)} for value in (np.nan, 0, 1e9, -4.0, np.zeros(0))],
    "more than one subject": [{"segs": SEGS, "fs": FS, "subject": npy(["a", "b"])}],
    "more than one scenario": [{"segs": SEGS, "fs": FS, "scenario": npy(["a", "b"])}],
}  # fmt: skip


@pytest.mark.parametrize("reason, members", [(reason, one) for reason, many in REFUSED.items() for one in many])
def test_files_that_are_refused(path, tmp_path, monkeypatch, members, reason):
    monkeypatch.chdir(tmp_path)
    pack(path, **members)
    assert reason_of(path) == reason
    assert [file.name for file in tmp_path.iterdir()] == ["p1.npz"]


def test_an_array_that_would_take_much_memory_is_refused(path, monkeypatch):
    pack(path, segs=np.zeros((1000, 100, 3)), fs=4.0)
    assert reason_of(path, modalities=("acc",)) == "no acc channel"
    for limit in ("_MAX_BYTES", "_MAX_FILE_BYTES"):
        monkeypatch.setattr(npz, limit, 1000)
        path.touch()
        assert reason_of(path) == {"_MAX_BYTES": "other layout", "_MAX_FILE_BYTES": "too large"}[limit]


def test_more_windows_than_a_file_may_have_are_no_keys(path, monkeypatch):
    """Three million of a few bytes each pack into nothing."""
    write(path, np.zeros((9, 2, 3)))
    made = npz.Config(root=str(path.parent), windows=Windows.APART).make()
    monkeypatch.setattr(npz, "_MAX_WINDOWS", 9)
    assert len(made.keys()) == 9
    monkeypatch.setattr(npz, "_MAX_WINDOWS", 8)
    assert made.keys() == ("p1.npz",)


def test_archives_that_are_none(path):
    pack(path, zipfile.ZIP_LZMA, segs=signal(20), fs=4.0)
    assert reason_of(path) == "other layout"
    path.write_bytes(b"\x80\x04joblib")
    assert reason_of(path) == "not a zip"
    path.unlink()
    assert reason_of(path.parent, "p1.npz") == "missing file"


def test_values_beyond_float32_are_infinite_and_no_warning(path):
    segs = signal(20).astype(np.float64)
    segs[3, 0] = 1e300
    assert np.isinf(values(load(write(path, segs)))[3, 0])


def test_its_config_prepares_windows_as_wu_et_al_learn_from_them(path):
    whole = np.abs(signal(4000)) + 20
    write(path, cut(whole, 240, 2), subject="p1")
    preparation = prepare_npz.get_config("wu2023")
    preparation.dataset.root, preparation.workers = str(path.parent), 1
    manifest = prepare(preparation, path.parent / "store")
    assert {m: said["samples"] for m, said in manifest["modalities"].items()} == dict.fromkeys(
        ("eda", "bvp", "temp"), 4000
    )
