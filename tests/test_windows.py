import dataclasses

import numpy as np
import pytest

from ecgjax.config import Borders, Data, Label, Split
from ecgjax.data.pipeline import make_gather
from ecgjax.data.windows import find_windows, intersect
from ecgjax.errors import UserError
from tests.stores import alternating_labels, memory_store


def windows_of(store, **fields):
    data = Data(window_s=10.0, stride_s=10.0, **fields)
    return find_windows([store], data, data.stride_s)


def test_windows_lie_in_good_spans_and_start_at_their_heads():
    store = memory_store(subjects=2, spans=[(0, 3.5, 25.0), (0, 30.0, 39.9), (1, 0.0, 60.0)])
    windows = windows_of(store)
    assert windows.start_s.tolist() == [3.5, 13.5, 0, 10, 20, 30, 40, 50]
    assert windows.recording.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    assert windows.subject.tolist() == ["toy/s00"] * 2 + ["toy/s01"] * 6


def test_a_span_of_exactly_one_window_holds_one():
    store = memory_store(subjects=1, spans=[(0, 0.1, 10.1), (0, 20.3, 40.3)])
    assert windows_of(store).start_s.tolist() == [0.1, 20.3, 30.3]


def test_the_ends_of_spans_are_reached_if_asked():
    spans = [(0, 0.0, 10.0), (0, 11.0, 36.0), (0, 40.0, 49.0), (1, 5.0, 25.0), (1, 30.0, 40.5)]
    store = memory_store(subjects=2, spans=spans)
    windows = find_windows([store], Data(), 10.0, reach_ends=True)
    assert windows.recording.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert windows.start_s.tolist() == [0, 11, 21, 26, 5, 15, 30, 30.5]
    assert (windows.rows["ecg"] - windows.recording * 960).tolist() == [16 * s for s in windows.start_s.tolist()]
    assert find_windows([store], Data(), 10.0).start_s.tolist() == [0, 11, 21, 5, 15, 30]


def test_stride_costs_rows_only():
    store = memory_store(subjects=1)
    windows = find_windows([store], Data(), 0.25)
    assert len(windows) == (60 - 10) * 4 + 1
    assert np.diff(windows.start_s) == pytest.approx(0.25)
    assert np.diff(windows.rows["ecg"]).tolist() == [4] * (len(windows) - 1)


def test_rows_point_at_the_samples_of_the_window():
    store = memory_store(subjects=3, spans=[(r, 2.0, 58.0) for r in range(3)])
    windows = windows_of(store)
    cut = make_gather([store], windows, Data()).cut("ecg", np.arange(len(windows)))
    place = windows.recording[:, None] + (windows.start_s[:, None] * 16 + np.arange(160)) / 10_000
    np.testing.assert_allclose(cut[:, :, 0], place, rtol=0, atol=1e-6)


def test_modalities_at_their_own_rates_are_cut_from_the_same_seconds():
    store = memory_store(subjects=2, rates_hz={"eda": 4.0, "bvp": 64.0})
    store.index["bvp/span_start_s"][:] = 5.0  # the other sensor started later
    data = Data(modalities=("eda", "bvp"))
    windows = find_windows([store], data, 10.0)
    assert windows.start_s.tolist() == [5, 15, 25, 35, 45] * 2
    gather = make_gather([store], windows, data)
    eda, bvp = (gather.cut(m, np.arange(len(windows)))[:, 0, 0] - windows.recording for m in ("eda", "bvp"))
    np.testing.assert_allclose(eda * 10_000 / 4, windows.start_s, atol=0.01)
    np.testing.assert_allclose(bvp * 10_000 / 64, windows.start_s, atol=0.01)


def test_recording_that_starts_later_keeps_its_clock():
    store = memory_store(subjects=1, spans=[(0, 5.0, 45.0)])
    store.index["ecg/start_s"][:] = 5.0
    windows = windows_of(store)
    assert windows.start_s.tolist() == [5, 15, 25, 35]
    assert windows.rows["ecg"].tolist() == [0, 160, 320, 480]


def test_window_with_two_labels_is_no_window():
    store = memory_store(subjects=1, labels={"mood": [(0, 0.0, 14.0, 1.0), (0, 14.0, 40.0, 2.0)]})
    windows = windows_of(store, label=Label(name="mood"))
    assert windows.start_s.tolist() == [0, 14, 24]
    assert windows.rating.tolist() == [1, 2, 2]
    assert windows.trial.tolist() == [0, 1, 1]


def test_windows_over_borders_take_the_greatest_value_in_them():
    """On the grid of the good span. A window that only touches an interval has nothing of it."""
    rows = [(0, 10.0, 20.0, 4.0), (0, 20.0, 22.0, 1.0), (0, 22.0, 31.0, 3.0), (0, 31.0, 35.0, 2.0), (1, 0.0, 60.0, 9.0)]
    store = memory_store(subjects=2, labels={"mood": rows}, spans=[(0, 0.0, 60.0)])
    windows = windows_of(store, label=Label(name="mood", borders=Borders.MAXIMUM))
    assert windows.start_s.tolist() == [10, 20, 30]
    assert windows.rating.tolist() == [4, 3, 3] and windows.trial.tolist() == [0, 2, 2]
    within = windows_of(store, label=Label(name="mood"))
    assert within.start_s.tolist() == [10] and within.rating.tolist() == [4]


def test_windows_over_borders_take_the_mean_over_time():
    rows = [(0, 0, 4, 2.0), (0, 4, 14, 7.0), (0, 14, 20, np.nan), (0, 20, 35, 3.0), (1, 5, 30, 8.0)]
    store = memory_store(subjects=2, labels={"arousal": rows})
    data = Data(window_s=10.0, label=Label(name="arousal", borders=Borders.MEAN))
    windows = find_windows([store], data, 2.0)
    first = windows.recording == 0
    assert windows.start_s[first].tolist() == [0, 2, 4, 20, 22, 24]
    np.testing.assert_allclose(windows.rating[first], [(8 + 42) / 10, (4 + 56) / 10, 7, 3, 3, 3])
    assert windows.start_s[~first].tolist() == [6, 8, 10, 12, 14, 16, 18, 20]
    assert (windows.rating[~first] == 8).all()


@pytest.mark.parametrize("borders", Borders)
def test_a_store_that_has_the_label_and_no_interval_of_it_gives_no_window(borders):
    rows = [(0, 0.0, 60.0, 1.0)]
    stores = [memory_store(name=name, subjects=1, labels={"mood": each}) for name, each in (("a", rows), ("b", []))]
    data = Data(window_s=10.0, label=Label(name="mood", borders=borders))
    assert find_windows(stores, data, 10.0).store.tolist() == [0] * 6


def test_overlapping_labels_are_refused():
    store = memory_store(subjects=1, labels={"mood": [(0, 0.0, 20.0, 1.0), (0, 10.0, 30.0, 2.0)]})
    with pytest.raises(UserError, match='"mood" overlap in recording "rec0"'):
        windows_of(store, label=Label(name="mood"))


def test_intersection_equals_brute_force():
    rng = np.random.default_rng(0)

    def intervals():
        rows = []
        for r in range(5):
            edges = np.sort(rng.choice(200, 2 * int(rng.integers(1, 6)), replace=False))
            rows += [(r, a, b) for a, b in edges.reshape(-1, 2)]
        return tuple(np.array(c) for c in zip(*rows, strict=True))

    sets = [intervals() for _ in range(3)]
    inside = np.ones((5, 200), bool)
    for recording, start, stop in sets:
        one = np.zeros((5, 200), bool)
        for r, a, b in zip(recording, start, stop, strict=True):
            one[r, a:b] = True
        inside &= one
    found = np.zeros((5, 200), bool)
    for r, a, b in zip(*intersect(sets), strict=True):
        found[r, int(a) : int(b)] = True
    assert inside.any()
    np.testing.assert_array_equal(found, inside)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modalities": ("ecq",)}, 'has no "ecq". Did you mean "ecg"'),
        ({"label": Label(name="arousl")}, 'no label "arousl". Did you mean "arousal"'),
        ({"split": Split(exclude_subjects=("toy/s9",))}, 'no subject "toy/s9"'),
        ({"split": Split(exclude_subjects=("s02",))}, 'no subject "s02". Did you mean "synthetic0/s02"'),
    ],
)
def test_unknown_names_suggest_the_nearest(fields, message):
    store = memory_store(name="synthetic0", labels={"arousal": alternating_labels(4, 60)})
    with pytest.raises(UserError, match=message):
        windows_of(store, **fields)


def test_no_window_fits():
    with pytest.raises(UserError, match="no window of data.window_s=90"):
        find_windows([memory_store()], Data(window_s=90.0), 10.0)


@pytest.mark.parametrize(
    ("window_s", "stride_s", "message"),
    [
        (0.001, 10.0, "data.window_s=0.001 s is shorter than a sample of eda: give 0.25 s or more"),
        (0.1, 10.0, "data.window_s=0.1 s is shorter than a sample of eda"),  # a sample of ECG, and none of EDA
        (10.0, 1e-7, "of 1e-07 s is shorter than a sample of ecg: give 0.0625 s or more"),
    ],
)
def test_windows_and_strides_of_less_than_a_sample_are_refused(window_s, stride_s, message):
    store = memory_store(subjects=1, rates_hz={"ecg": 16.0, "eda": 4.0})
    with pytest.raises(UserError, match=message):
        find_windows([store], Data(modalities=("ecg", "eda"), window_s=window_s), stride_s)


def test_a_window_and_a_stride_may_be_one_sample():
    windows = find_windows([memory_store(subjects=1, seconds=2.0)], Data(window_s=1 / 16), 1 / 16)
    assert windows.rows["ecg"].tolist() == list(range(32))


def test_stores_of_different_rate_are_not_mixed():
    stores = [memory_store(), memory_store(name="other", rates_hz={"ecg": 32.0})]
    with pytest.raises(UserError, match="toy has 16.0 Hz, 1 channels; other has 32.0 Hz"):
        find_windows(stores, Data(), 10.0)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("preprocess", {"ecg": {"low_hz": 5.0}}, "other was prepared with ecg.low_hz=5.0, toy with 0.8"),
        ("labels", {"mood": {"classes": ("tense", "calm")}}, 'label "mood" has classes .*tense.* in other'),
    ],
)
def test_stores_that_mean_different_things_are_not_mixed(part, change, message):
    stores = [
        memory_store(name=name, labels={"mood": [(0, 0.0, 60.0, 1.0)]}, classes={"mood": ("calm", "tense")})
        for name in ("toy", "other")
    ]
    for store in stores:
        store.manifest["preprocess"]["ecg"] |= {"low_hz": 0.8, "gate": {"min_bpm": 20.0}}
    find_windows(stores, Data(label=Label(name="mood")), 10.0)
    stores[1].manifest["preprocess"]["ecg"] |= {
        "gate": {"min_bpm": 30.0},
        "high_hz": 0.0,
    }  # a field that the first was prepared without
    find_windows(stores, Data(label=Label(name="mood")), 10.0)
    (name,) = change
    stores[1].manifest[part][name] = stores[1].manifest[part][name] | change[name]
    with pytest.raises(UserError, match=message):
        find_windows(stores, Data(label=Label(name="mood")), 10.0)


def test_excluded_subjects_are_gone():
    windows = windows_of(memory_store(), split=Split(exclude_subjects=("toy/s01",)))
    assert windows.subjects == ["toy/s00", "toy/s02", "toy/s03"]
    store = memory_store(labels={"mood": [(r, 0.0, 30.0, 1.0) for r in range(3)]})  # the fourth has none
    windows = windows_of(store, label=Label(name="mood"), split=Split(exclude_subjects=("toy/s01", "toy/s03")))
    assert windows.subjects == ["toy/s00", "toy/s02"]


def test_windows_of_every_store_keep_their_people_apart():
    stores = [memory_store(), memory_store(name="other")]
    windows = find_windows(stores, Data(), 10.0)
    assert len(windows.subjects) == 8
    assert dataclasses.replace(windows).store.tolist() == [0] * 24 + [1] * 24
