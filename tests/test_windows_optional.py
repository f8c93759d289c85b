"""Windows that lack a modality: which there are, and what is cut of them."""

import dataclasses

import numpy as np
import pytest

from ecgjax import config
from ecgjax.config import Data, Experiment
from ecgjax.data import intervals
from ecgjax.data.again import find_again
from ecgjax.data.corpus import check_store
from ecgjax.data.pipeline import make_gather
from ecgjax.data.windows import find_windows, recording_digests, subjects_among
from ecgjax.errors import UserError
from ecgjax.models import conv, tcn_transformer
from ecgjax.tasks import classification
from tests.stores import memory_store

RATES_HZ = {"eda": 4.0, "bvp": 16.0}


def store_with_gaps(name: str = "toy", **fields):
    """Two recordings of a minute; the second sensor is good in some of them only."""
    store = memory_store(name=name, subjects=2, rates_hz=RATES_HZ, **fields)
    store.index["bvp/span_recording"] = np.array([0, 0, 1], np.int32)
    store.index["bvp/span_start_s"], store.index["bvp/span_stop_s"] = np.array([0, 35, 15.0]), np.array([25, 60, 24.0])
    return store


def find(stores, **fields):
    return find_windows(stores, Data(modalities=("eda", "bvp"), **fields), 10.0)


def having(windows, modality):
    """(recording, start) of the windows that have it."""
    held = windows.rows[modality] >= 0
    return list(zip(windows.recording[held].tolist(), windows.start_s[held].tolist(), strict=True))


def test_spans_of_an_optional_modality_bound_no_window():
    windows = find([store_with_gaps()], optional=("bvp",))
    every = [(r, float(s)) for r in (0, 1) for s in range(0, 60, 10)]
    assert having(windows, "eda") == every
    assert having(windows, "bvp") == [(0, 0.0), (0, 10.0), (0, 40.0), (0, 50.0)]
    both = find([store_with_gaps()])
    assert having(both, "eda") == having(both, "bvp") == [(0, 0.0), (0, 10.0), (0, 35.0), (0, 45.0)]


def test_where_all_are_optional_a_window_has_one_at_least():
    store = store_with_gaps()
    store.index["eda/span_start_s"][:], store.index["eda/span_stop_s"][:] = [20.0, 44.0], [45.0, 60.0]
    windows = find([store], optional=("eda", "bvp"))
    assert windows.start_s[windows.recording == 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert windows.start_s[windows.recording == 1].tolist() == [44]  # the grid begins again after no sensor was good
    assert having(windows, "eda") == [(0, 20.0), (0, 30.0), (1, 44.0)]


def test_all_optional_windows_start_with_the_first_good_signal():
    store = store_with_gaps()
    store.index["eda/span_start_s"][:], store.index["eda/span_stop_s"][:] = [7.5, 44.0], [45.0, 60.0]
    store.index["bvp/span_start_s"][0] = 12.0
    assert find([store], optional=("eda", "bvp")).start_s[0] == 7.5


@pytest.mark.parametrize(
    ("begins_s", "stops_s", "expected"),
    [
        ((0.5, 1.0), (59.5, 59.0), [1, 11, 21, 31, 41, 49]),  # each sensor waits for the other
        ((0.0, 1.5), (60.0, 58.5), [0, 10, 20, 30, 40, 50]),  # but not for over a second, a tenth of a window
        ((20.0, 20.5), (30.5, 30.0), [20, 20.5]),  # nor where no window would be left
    ],
)
def test_windows_that_reach_the_ends_leave_out_where_sensors_start_and_stop_nearly_together(
    begins_s, stops_s, expected
):
    store = memory_store(subjects=1, rates_hz=RATES_HZ)
    for modality, begin_s, stop_s in zip(RATES_HZ, begins_s, stops_s, strict=True):
        store.index[f"{modality}/span_start_s"][:], store.index[f"{modality}/span_stop_s"][:] = begin_s, stop_s
    data = Data(modalities=("eda", "bvp"), optional=("eda", "bvp"))
    windows = find_windows([store], data, 10.0, reach_ends=True)
    assert windows.start_s.tolist() == expected
    if expected[0] == 1:
        assert all((rows >= 0).all() for rows in windows.rows.values())


def test_stretches_of_any_sensor_are_joined_within_a_recording_only():
    sets = [
        (np.array([0, 0, 1]), np.array([0.0, 5.0, 2.0]), np.array([3.0, 8.0, 4.0])),
        (np.array([0, 0, 1]), np.array([3.0, 9.0, 0.0]), np.array([4.0, 10.0, 5.0])),
    ]
    stretches = [column.tolist() for column in intervals.union(sets)]
    assert stretches == [[0, 0, 0, 1], [0, 5, 9, 0], [4, 8, 10, 5]]


def test_a_store_with_none_of_the_modalities_is_refused():
    other = memory_store(name="heart", rates_hz={"ecg": 16.0})
    with pytest.raises(UserError, match="heart has none of eda, bvp"):
        find([store_with_gaps(), other], optional=("eda", "bvp"))
    with pytest.raises(UserError, match="heart has none of eda, bvp"):
        find([other], optional=("eda", "bvp"))


def test_what_a_window_lacks_is_nan_and_nothing_else_is():
    data = Data(modalities=("eda", "bvp"), optional=("bvp",))
    store = store_with_gaps()
    windows = find_windows([store], data, 10.0)
    signals = make_gather([store], windows, data)(np.arange(len(windows)))["signals"]
    assert signals["bvp"].shape == (12, 160, 1)
    lacking = windows.rows["bvp"] < 0
    assert np.isnan(signals["bvp"][lacking]).all()
    assert np.isfinite(signals["bvp"][~lacking]).all()
    assert np.isfinite(signals["eda"]).all()
    np.testing.assert_allclose(signals["bvp"][1, :, 0], np.arange(160, 320) / 10_000, atol=1e-6)


def test_a_store_without_the_modality_stands_beside_one_with_it():
    data = Data(modalities=("eda", "bvp"), optional=("bvp",))
    stores = [memory_store(name="bare", rates_hz={"eda": 4.0}, subjects=1), store_with_gaps()]
    windows = find_windows(stores, data, 10.0)
    assert (windows.rows["bvp"][windows.store == 0] == -1).all()
    cut = make_gather(stores, windows, data).cut("bvp", np.arange(len(windows)))
    assert np.isnan(cut[windows.store == 0]).all()
    np.testing.assert_allclose(cut[windows.store == 1][0, :, 0], np.arange(160) / 10_000, atol=1e-6)
    with pytest.raises(UserError, match='bare has no "bvp"'):
        find_windows(stores, dataclasses.replace(data, optional=()), 10.0)


def test_recordings_that_lack_a_modality_are_not_copies_of_each_other():
    store = store_with_gaps()
    store.index["bvp/digest"][:] = ""
    windows = find([store], optional=("bvp",))
    assert recording_digests([store], windows) == {"toy-eda-0", "toy-eda-1"}
    assert subjects_among([store], windows, {"", "toy-eda-1"}) == {"toy/s01"}


def test_a_store_may_lack_what_is_optional_for_a_model():
    whole, bare = memory_store(rates_hz=RATES_HZ), memory_store(rates_hz={"eda": 4.0})
    about = {part: whole.manifest[part] for part in ("modalities", "preprocess")}
    about["config"] = {"model": {"modalities": ["eda", "bvp"]}}
    check_store(bare, about, RATES_HZ, optional=("bvp",))
    remedy = "Prepare one that does. Or let windows lack it: --config.data.optional=eda,bvp."
    with pytest.raises(UserError, match=f"reads bvp, which this store does not hold. {remedy}$"):
        check_store(bare, about, RATES_HZ, optional=("eda",))
    for store, model in ((bare, {"modality": "bvp"}), (memory_store(rates_hz={"ecg": 16.0}), about["config"]["model"])):
        with pytest.raises(UserError, match=r"which this store does not hold. Prepare one that does.$"):
            check_store(store, about | {"config": {"model": model}}, ["bvp"])


@pytest.mark.parametrize(
    ("model", "fields", "told"),
    [
        (tcn_transformer.Config(), {"modalities": ("eda", "bvp")}, "model.modalities=temp is not among"),
        (conv.Config(modality="eda"), {"modalities": ("eda",), "optional": ("eda",)}, "data.optional=eda: .*all that"),
        (conv.Config(modality="eda"), {"modalities": ("eda",), "optional": ("bvp",)}, "data.optional: bvp is not"),
    ],
)
def test_modalities_that_do_not_fit_are_refused(model, fields, told):
    experiment = Experiment(classification.Config(), model, Data(**fields))
    with pytest.raises(UserError, match=told):
        config.check(experiment)


def test_windows_are_found_again_in_a_finer_store_of_the_same_recordings():
    coarse = [store_with_gaps("a"), store_with_gaps("b")]
    data = Data(modalities=("eda", "bvp"))
    windows = find_windows(coarse, data, 10.0)
    fine = [memory_store(name=name, subjects=2, rates_hz={"eda": 4.0, "bvp": 64.0}) for name in ("b", "a")]
    fine[1].index["key"][1] = "another"
    coarse[1].index["start_time"] = np.full(2, "2020-01-01T10:00:03+00:00")
    fine[0].index["start_time"] = np.full(2, "2020-01-01T10:00:00+00:00")  # with a sensor that was on before
    again = find_again(coarse, windows, fine, data)
    gone = (windows.store == 0) & (windows.recording == 1)
    assert (again.rows["bvp"][gone] == -1).all()
    cut = make_gather(fine, again, data).cut("bvp", np.arange(len(again)))
    start_s = windows.start_s + np.where(windows.store == 1, 3.0, 0.0)
    place = windows.recording[:, None] + (start_s[:, None] * 64 + np.arange(640)) / 10_000
    late = gone | (start_s + 10 > 60)  # past the end there
    np.testing.assert_allclose(cut[~late, :, 0], place[~late], atol=1e-6)
    assert again.store[~gone].tolist() == (1 - windows.store[~gone]).tolist()
