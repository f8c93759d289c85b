"""The same windows in another preparation of the same recordings."""

import dataclasses
import datetime
from collections.abc import Sequence

import numpy as np

from ecgjax import config
from ecgjax.data.store import Store
from ecgjax.data.windows import Windows, first_rows


def find_again(stores: Sequence[Store], windows: Windows, others: Sequence[Store], data: config.Data) -> Windows:
    """The same windows in other stores of the same data sets and recordings, to be cut in the order they have here.

    Recordings are the same that have the same key; a clock that starts elsewhere (with a sensor that is not read here)
    is set by their start times. Whether windows lie in good spans there is not asked; what is not recorded is lacking.
    """
    places = {name: place for place in _recordings(others) for name in [_name(others, *place)]}
    store, recording = np.zeros_like(windows.store), np.full_like(windows.recording, -1)
    start_s = windows.start_s.copy()
    for here in np.unique(np.stack([windows.store, windows.recording]), axis=1).T.tolist():
        mine = (windows.store == here[0]) & (windows.recording == here[1])
        there = places.get(_name(stores, *here))
        if there is not None:
            store[mine], recording[mine] = there
            start_s[mine] -= _later_s(stores[here[0]], here[1], others[there[0]], there[1])
    rows = {m: np.full(len(windows), -1, np.int64) for m in data.modalities}
    for n, other in enumerate(others):
        mine = np.flatnonzero((store == n) & (recording >= 0))
        for m in rows.keys() & other.signals.keys():
            rows[m][mine] = first_rows(other, m, recording[mine], start_s[mine], data.window_s)
    return dataclasses.replace(windows, store=store, recording=recording, rows=rows, start_s=start_s)


def _recordings(stores: Sequence[Store]) -> list[tuple[int, int]]:
    return [(n, r) for n, store in enumerate(stores) for r in range(len(store.index["key"]))]


def _name(stores: Sequence[Store], store: int, recording: int) -> tuple[str, str]:
    return stores[store].manifest["dataset"]["name"], str(stores[store].index["key"][recording])


def _later_s(here: Store, recording: int, there: Store, other: int) -> float:
    """How much later second 0 is there."""
    starts = [str(s.index["start_time"][r]) for s, r in ((here, recording), (there, other))]
    if not all(starts):
        return 0.0
    first, second = map(datetime.datetime.fromisoformat, starts)
    return (second - first).total_seconds()
