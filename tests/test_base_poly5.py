"""Poly5 files: what their headers say, scales, blocks that are lost or filled in part, and damage."""

import datetime

import numpy as np
import pytest

from ecgjax.datasets import base_poly5
from ecgjax.datasets.base_poly5 import Poly5
from ecgjax.errors import DataError
from tests.corpora import swell
from tests.corpora.swell import START, physical, stored, write_poly5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pp1_18-9-2012_c1.S00"


@pytest.mark.parametrize("version", [203, 204])
@pytest.mark.parametrize("num", [1, 255, 256, 257, 1000])
@pytest.mark.parametrize("whole", [False, True])
def test_what_was_written_is_read(path, version, num, whole):
    values_CT = stored(num, 1)
    write_poly5(path, values_CT, version=version, whole=whole)
    found = Poly5(path)
    assert (found.rate_hz, found.num_samples, found.length, found.start) == (2048.0, num, num, START)
    assert [(c.name, c.unit) for c in found.channels] == list(swell.CHANNELS) and found.events == []
    samples_TC = found.read([7, 6])
    assert samples_TC.dtype == np.float32 and samples_TC.shape == (num, 2)
    for column, name in enumerate(("portiHeartPre", "portiSkinRaw")):
        np.testing.assert_allclose(samples_TC[:, [column]], physical(values_CT, name), rtol=1e-6)


def test_a_file_is_read_a_few_blocks_at_a_time(path, monkeypatch):
    values_CT = stored(1000, 1)
    write_poly5(path, values_CT, per_block=32)
    whole_TC = Poly5(path).read([7])
    for size in (1, 3000, 9000):
        monkeypatch.setattr(base_poly5, "_CHUNK_BYTES", size)
        np.testing.assert_array_equal(Poly5(path).read([7]), whole_TC)
    np.testing.assert_allclose(whole_TC, physical(values_CT, "portiHeartPre"), rtol=1e-6)


def test_samples_that_were_lost_between_blocks_are_a_gap(path):
    values_CT = stored(1000, 1)
    write_poly5(path, values_CT, lost={1: 100, 3: 50})
    found = Poly5(path)
    assert found.length == 1150 and found.events == ["poly5_gap"] * 2
    heart_T = found.read([7])[:, 0]
    missing = np.r_[256:356, 868:918]
    assert np.isnan(heart_T[missing]).all()
    expected_T = physical(values_CT, "portiHeartPre")[:, 0]
    np.testing.assert_allclose(np.delete(heart_T, missing), expected_T, rtol=1e-6)


@pytest.mark.parametrize("lost", [{2: -10}, {2: 1 << 28}])
def test_numbers_of_blocks_that_cannot_be(path, lost):
    values_CT = stored(1000, 1)
    write_poly5(path, values_CT, lost=lost, start=None)
    found = Poly5(path)
    assert found.events == ["poly5_numbers_of_blocks_cannot_be"] and found.length == 1000
    np.testing.assert_allclose(found.read([7]), physical(values_CT, "portiHeartPre"), rtol=1e-6)


def at_scale(path, signal: int, **values: float) -> None:
    """Overwrites the ends of a signal's scale."""
    raw = bytearray(path.read_bytes())
    for number, value in zip((0, 1, 2, 3), values.values(), strict=True):
        at = 217 + 136 * signal + 56 + 4 * number
        raw[at : at + 4] = np.float32(value).tobytes()
    path.write_bytes(bytes(raw))


def test_scales_of_a_pair_that_differ_are_told_and_the_second_counts(path):
    values_CT = stored(300, 1)
    write_poly5(path, values_CT)
    at_scale(path, 14, low=0, high=1, stored_low=0, stored_high=1)
    found = Poly5(path)
    assert found.events == ["poly5_scales_of_a_pair_differ"]
    np.testing.assert_allclose(found.read([7]), physical(values_CT, "portiHeartPre"), rtol=1e-6)


@pytest.mark.parametrize("scale", [(0, 1, 5, 5), (2, 2, 0, 1), (np.nan, 1, 0, 1), (0, np.inf, 0, 1), (0, 1e35, 0, 1)])
def test_a_channel_without_a_scale_spoils_only_itself(path, scale):
    write_poly5(path, stored(300, 1))
    for signal in (14, 15):
        at_scale(path, signal, **dict(zip("abcd", scale, strict=True)))
    found = Poly5(path)
    assert np.isfinite(found.read([6])).all()
    with pytest.raises(DataError, match="unreadable header. portiHeartPre has no scale"):
        found.read([6, 7])


def test_damaged_numbers_are_no_samples(path):
    values_CT = stored(300, 1)
    values_CT[7, :4] = np.inf, np.nan, 3e38, -1e20
    write_poly5(path, values_CT)
    heart_T = Poly5(path).read([7])[:, 0]
    assert np.isnan(heart_T[:4]).all() and np.isfinite(heart_T[4:]).all()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"delta": 1}, "compressed. Its samples are stored as differences"),
        ({"rate": 0}, "wrong rate"),
        ({"storage": 1024}, "wrong rate. Sampled at 2048 Hz, it is stored at 1024 Hz"),
        ({"signals": 15}, "unreadable header. 15 signals are no pairs"),
        ({"signals": 0}, "unreadable header. 0 signals"),
        ({"signals": 20000}, "unreadable header. 20000 signals"),
        ({"size": 8000}, "unreadable header. A block of 8000 bytes does not hold 256 samples of 8 channels"),
        ({"in_block": 0, "size": 0}, "unreadable header. A block of 0 bytes"),
        ({"samples": 0}, "no samples"),
        ({"samples": -5}, "no samples"),
        ({"samples": 2000}, "unreadable header. It promises 2000 samples in 4 blocks of 256"),
        ({"samples": 2000, "blocks": 8}, "truncated"),
    ],
)
def test_headers_that_contradict_themselves_are_refused(path, fields, told):
    write_poly5(path, stored(1000, 1), **fields)
    with pytest.raises(DataError, match=told):
        Poly5(path)


def test_a_storage_rate_that_is_no_rate_is_none_of_our_business(path):
    write_poly5(path, stored(100, 1), storage=1, kind=1)
    assert Poly5(path).rate_hz == 2048


def test_blocks_after_the_last_sample_are_told(path):
    write_poly5(path, stored(1000, 1), samples=300)
    found = Poly5(path)
    assert found.events == ["poly5_more_blocks_than_samples"] and len(found.read([0])) == 300


def test_a_file_may_end_with_its_last_sample_and_no_byte_before(path):
    write_poly5(path, stored(1000, 1))
    raw = path.read_bytes()
    assert Poly5(path).num_samples == 1000
    for size, told in ((len(raw) - 1, "truncated"), (len(raw) // 2, "truncated"), (300, "ends within the descriptions"),
                       (100, "Not a Poly5 file"), (0, "empty file")):  # fmt: skip
        path.write_bytes(raw[:size])
        with pytest.raises(DataError, match=told):
            Poly5(path)
    path.unlink()
    with pytest.raises(DataError, match="missing file"):
        Poly5(path)


def test_other_files_are_none(path):
    write_poly5(path, stored(10, 1))
    raw = path.read_bytes()
    for other in (b"X" + raw[1:], raw[:31] + b"\xca\0" + raw[33:], b"PK\3\4" + bytes(5000)):
        path.write_bytes(other)
        with pytest.raises(DataError, match="unreadable header. Not a Poly5 file of version 2.03 or 2.04"):
            Poly5(path)


def test_without_a_start_in_the_header_the_first_block_s_counts(path):
    write_poly5(path, stored(1000, 1))
    raw = bytearray(path.read_bytes())
    raw[129:143] = bytes(14)
    path.write_bytes(bytes(raw))
    assert Poly5(path).start == START
    write_poly5(path, stored(1000, 1), start=None)
    assert Poly5(path).start is None
    for none in ([2012, 13, 40, 1, 25, 61, 0], [112, 9, 18, 2, 13, 14, 25]):  # no date; a year of no recorder
        raw[129:143] = np.array(none, "<i2").tobytes()
        path.write_bytes(bytes(raw))
        assert Poly5(path).start == START


@pytest.mark.parametrize(("late_s", "told"), [(0, 0), (6, 0), (-6, 0), (8, 1), (-8, 1), (60, 1)])
def test_a_clock_that_disagrees_with_the_rate_is_told(path, late_s, told):
    """By more than a hundredth of the 480 s to the last block, and two seconds."""
    write_poly5(path, stored(4000, 1), rate=8, per_block=256)
    raw, at = bytearray(path.read_bytes()), 217 + 136 * 16 + 15 * (86 + 256 * 32) + 8
    assert raw[at : at + 14] == swell.moment(START + datetime.timedelta(seconds=480))
    raw[at : at + 14] = swell.moment(START + datetime.timedelta(seconds=480 + late_s))
    path.write_bytes(bytes(raw))
    assert Poly5(path).events == ["poly5_clock_disagrees_with_rate"] * told


def test_blocks_may_be_numbered_from_anywhere(path):
    write_poly5(path, stored(1000, 1), lost={0: 5000})
    found = Poly5(path)
    assert found.events == [] and found.length == 1000 and np.isfinite(found.read([7])).all()


def parts(path, *starts_s: float | None, rates=(8, 8)):
    found = []
    for number, (start_s, rate) in enumerate(zip(starts_s, rates, strict=True)):
        file = path.with_name(f"{number}.S00")
        start = None if start_s is None else START + datetime.timedelta(seconds=start_s)
        write_poly5(file, stored(80, number), rate=rate, start=start, per_block=16)
        found.append(Poly5(file))
    return found


@pytest.mark.parametrize(
    ("start_s", "offset", "event"),
    [
        (10, 80, []),
        (8, 80, []),
        (12, 80, []),
        (13, 104, ["poly5_pause_between_files"]),
        (3600, 28800, ["poly5_pause_between_files"]),
        (7, 80, ["poly5_placed_without_clock"]),
        (8000, 80, ["poly5_placed_without_clock"]),
        (None, 80, ["poly5_placed_without_clock"]),
    ],
)
def test_files_follow_each_other_by_their_clocks(path, start_s, offset, event):
    events = []
    assert base_poly5.offsets(parts(path, 0, start_s), events) == [0, offset] and events == event


def test_files_of_two_rates_are_no_recording(path):
    with pytest.raises(DataError, match="1.S00: wrong rate. 16 Hz, but 8 Hz before"):
        base_poly5.offsets(parts(path, 0, 10, rates=(8, 16)), [])
