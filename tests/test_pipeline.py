import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgjax.config import Data, Label, Sampling
from ecgjax.data import pipeline
from ecgjax.data.labels import classify
from ecgjax.data.pipeline import EvalSource, Order, TrainSource
from ecgjax.data.windows import find_windows
from ecgjax.errors import UserError
from tests import tiny
from tests.stores import alternating_labels, memory_store


@pytest.fixture
def toy():
    store = memory_store(subjects=7, labels={"mood": alternating_labels(7, 60)})
    data = Data(batch_size=8, label=Label(name="mood"))
    windows = classify(find_windows([store], data, 5.0), data.label)
    return pipeline.make_gather([store], windows, data), windows, data


def order_of(count, seed=0):
    return Order((np.arange(count),), (1.0,), seed)


def test_every_window_once_an_epoch_and_in_a_new_order_each_time():
    order = order_of(37)
    epochs = order[0 : 37 * 4].reshape(4, 37)
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4


def test_order_is_a_function_of_position_and_seed():
    order = order_of(37)
    np.testing.assert_array_equal(order[9_990:10_050], order[0:10_050][-60:])  # across a block's border
    assert not np.array_equal(order[0:37], order_of(37, seed=1)[0:37])


def test_order_is_the_same_in_another_process():
    code = "import numpy as np; from ecgjax.data.pipeline import Order; print(Order((np.arange(37),), (1.0,), 3)[5:60])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(order_of(37, seed=3)[5:60])


def test_weights_are_shares_and_every_stratum_runs_through_before_it_repeats():
    order = Order((np.arange(100), np.arange(1000, 1010)), (3.0, 1.0), 0)
    ids = order[0:40_000]
    assert (ids < 1000).mean() == pytest.approx(0.75, abs=1e-4)
    first = ids[ids < 1000]
    assert all(len(set(part)) == 100 for part in first[: len(first) // 100 * 100].reshape(-1, 100).tolist())
    assert (order[0:200] < 1000).mean() == pytest.approx(0.75, abs=0.12)  # interleaved, not one after the other


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_processes_share_the_same_global_batch(toy, count):
    gather, windows, data = toy
    order = pipeline.training_order(windows, np.arange(len(windows)), data, 0)
    whole = TrainSource(gather, order, 8, 20)[13]
    parts = [TrainSource(gather, order, 8, 20, rows)[13] for rows in np.split(np.arange(8), count)]
    np.testing.assert_array_equal(np.concatenate([p["window"] for p in parts]), whole["window"])
    np.testing.assert_array_equal(np.concatenate([p["signals"]["ecg"] for p in parts]), whole["signals"]["ecg"])


def test_batches_start_anywhere(toy):
    gather, windows, data = toy
    source = TrainSource(gather, pipeline.training_order(windows, np.arange(len(windows)), data, 0), 8, 12)
    all_of_them, later = list(pipeline.stream(source)), list(pipeline.stream(source, 5))
    assert len(all_of_them) == 12 and len(later) == 7
    for a, b in zip(all_of_them[5:], later, strict=True):
        np.testing.assert_array_equal(a["window"], b["window"])
        np.testing.assert_array_equal(a["signals"]["ecg"], b["signals"]["ecg"])


def test_a_batch_holds_the_windows_it_names(toy):
    gather, windows, data = toy
    batch = TrainSource(gather, order_of(len(windows)), 8, 3)[2]
    ids = batch["window"]
    place = windows.recording[ids] + windows.start_s[ids] * 16 / 10_000
    np.testing.assert_allclose(batch["signals"]["ecg"][:, 0, 0], place, atol=1e-6)
    np.testing.assert_array_equal(batch["label"], windows.label[ids])
    assert batch["signals"]["ecg"].flags.owndata and batch["signals"]["ecg"].dtype == np.float32


def test_balanced_sampling_shows_classes_equally_often(toy):
    gather, windows, data = toy
    keep = np.flatnonzero((windows.label == 0) | (np.arange(len(windows)) % 5 == 0))
    assert (windows.label[keep] == 1).mean() < 0.25
    data.sampling = Sampling.BALANCED
    ids = pipeline.training_order(windows, keep, data, 0)[0:10_000]
    assert windows.label[ids].mean() == pytest.approx(0.5, abs=1e-3)


def test_stores_are_mixed_by_weight():
    stores = [memory_store(subjects=9), memory_store(name="small", subjects=1)]
    data = Data(weights=(1.0, 1.0))
    windows = find_windows(stores, data, 10.0)
    ids = pipeline.training_order(windows, np.arange(len(windows)), data, 0)[0:1000]
    assert windows.store[ids].mean() == pytest.approx(0.5, abs=0.05)
    batch = pipeline.make_gather(stores, windows, data)(ids[:32])
    np.testing.assert_allclose(
        batch["signals"]["ecg"][:, 0, 0],
        windows.recording[ids[:32]] + windows.start_s[ids[:32]] * 16 / 10_000,
        atol=1e-6,
    )


def test_evaluation_sees_each_window_once_and_pads_with_weight_zero(toy):
    gather, windows, _ = toy
    ids = np.arange(3, 24)
    batches = list(pipeline.stream(EvalSource(gather, ids, 8)))
    weight, seen = (np.concatenate([b[k] for b in batches]) for k in ("weight", "window"))
    assert seen[weight == 1].tolist() == ids.tolist()
    assert len(seen) == 24 and weight.sum() == 21


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling": Sampling.BALANCED, "label": Label()}, "BALANCED needs labels"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    data = Data(**change)
    windows = find_windows([memory_store()], data, 10.0)
    with pytest.raises(UserError, match=message):
        pipeline.training_order(windows, np.arange(len(windows)), data, 0)


def test_balancing_comes_before_the_weights_of_stores():
    both = {"mood": [(r, 10.0 * i, 10.0 * i + 10, float(i % 2)) for r in range(4) for i in range(6)]}
    calm = {"mood": [(r, 0.0, 60.0, 0.0) for r in range(4)]}
    data = Data(weights=(3.0, 1.0), sampling=Sampling.BALANCED, label=Label(name="mood"))
    stores = [memory_store(labels=both), memory_store(name="calm", labels=calm)]
    windows = classify(find_windows(stores, data, 10.0), data.label)
    ids = pipeline.training_order(windows, np.arange(len(windows)), data, 0)[0:10_000]
    assert windows.label[ids].mean() == pytest.approx(0.5, abs=1e-3)
    calm_ids = ids[windows.label[ids] == 0]
    assert windows.store[calm_ids].mean() == pytest.approx(1 / 4, abs=1e-3)
    assert not windows.store[ids[windows.label[ids] == 1]].any()


@pytest.fixture
def two_stores(tmp_path):
    return [str(tiny.make_store(tmp_path / name, seed, num_subjects=1, trials=1)) for seed, name in enumerate("ab")]


@pytest.mark.parametrize(
    ("weights", "message"),
    [((1.0,), "has 1 entries for 2 stores"), ((1.0, 0.0), "needs a weight above 0"), ((1.0, float("nan")), "above 0")],
)
def test_weights_fit_the_stores(two_stores, weights, message):
    with pytest.raises(UserError, match=message):
        pipeline.open_stores(Data(store=",".join(two_stores), weights=weights))


def test_a_store_is_mixed_with_others_and_not_with_itself(two_stores):
    assert len(pipeline.open_stores(Data(store=",".join(two_stores)))) == 2
    with pytest.raises(UserError, match="holds the same as"):
        pipeline.open_stores(Data(store=f"{two_stores[0]},{two_stores[0]}/"))


def test_a_flipped_byte_is_found_before_the_first_batch(two_stores):
    path = Path(two_stores[0]) / "signals" / "ecg.npy"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged: its content is not what was written"):
        pipeline.open_stores(Data(store=two_stores[0]))
    assert pipeline.open_stores(Data(store=two_stores[0], verify=False))


def test_no_store_is_named():
    with pytest.raises(UserError, match="data.store is empty"):
        pipeline.open_stores(Data())
