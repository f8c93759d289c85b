"""Batches whose content is a function of the step number alone.

Item k of a source is a whole batch, gathered at once, so that Grain's cost is paid once a batch and not once a window.
Because nothing but (seed, k) decides what it holds, a run resumes anywhere, on any number of processes, without saved
iterator state.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any

import grain
import numpy as np

from ecgjax import config
from ecgjax.config import Sampling
from ecgjax.data.store import Store, open_store, verify_store
from ecgjax.data.windows import Windows, describe_modality, window_samples
from ecgjax.errors import UserError

_BLOCK = 10_000  # positions over which the shares of the strata are exact; weights are kept to 1e-4


def open_stores(data: config.Data) -> list[Store]:
    """Opens the stores of a comma-separated list, and reads them whole once if `data.verify` says so.

    Raises:
      UserError: none is named, one cannot be opened or is damaged, one is named twice, or the weights do not fit them.
    """
    paths = [path.strip() for path in data.store.split(",") if path.strip()]
    if not paths:
        raise UserError("data.store is empty. Name a folder made by launch.prepare: --config.data.store=DIR.")
    if data.weights and len(data.weights) != len(paths):
        raise UserError(f"data.weights has {len(data.weights)} entries for {len(paths)} stores in data.store.")
    if not all(weight > 0 for weight in data.weights):
        raise UserError(f"data.weights={data.weights}: every store needs a weight above 0, or leave it out.")
    stores = [open_store(path) for path in paths]
    seen: dict[str, Store] = {}
    for store in stores:
        content = store.manifest["content_hash"]
        if content in seen:
            raise UserError(f"data.store: {store.path} holds the same as {seen[content].path}. Name it once.")
        seen[content] = store
        if data.verify:
            _verify_once(store.path.resolve(), content)
    return stores


@functools.lru_cache
def _verify_once(path: Path, content_hash: str) -> None:
    verify_store(path)


@dataclasses.dataclass(frozen=True)
class Order:
    """An endless order of windows; entry p is a pure function of (seed, p).

    Each stratum (a store, a class) is run through again and again, every time in a new order, and the strata are
    interleaved by their weights. With one stratum this is the plain shuffled epoch.
    """

    strata: tuple[np.ndarray, ...]
    weights: tuple[float, ...]
    seed: int

    def __getitem__(self, span: slice) -> np.ndarray:
        """Window ids of positions [span.start, span.stop)."""
        positions = np.arange(span.start, span.stop)
        ids = np.empty(len(positions), np.int64)
        for block in range(span.start // _BLOCK, (span.stop - 1) // _BLOCK + 1):
            here = positions // _BLOCK == block
            stratum, turn = (column[positions[here] % _BLOCK] for column in self._block(block))
            ids[here] = self._ids(stratum, turn)
        return ids

    def _ids(self, stratum: np.ndarray, turn: np.ndarray) -> np.ndarray:
        ids = np.empty(len(stratum), np.int64)
        for s, members in enumerate(self.strata):
            mine = np.flatnonzero(stratum == s)
            if len(mine):
                epochs, places = np.divmod(turn[mine], len(members))
                for e in range(epochs[0], epochs[-1] + 1):  # turns rise with position
                    ids[mine[epochs == e]] = members[self._shuffles(s, e)[places[epochs == e]]]
        return ids

    def _block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Stratum of each position of the block, and how often that stratum has had its turn before."""
        return _interleave(self.weights, self.seed, block)

    @functools.cached_property
    def _shuffles(self) -> Callable[[int, int], np.ndarray]:
        """(stratum, epoch) -> its permutation. Two a stratum are remembered: a batch reads one or crosses over."""

        def shuffle(stratum: int, epoch: int) -> np.ndarray:
            return np.random.default_rng([self.seed, stratum, epoch]).permutation(len(self.strata[stratum]))

        return functools.lru_cache(maxsize=2 * len(self.strata))(shuffle)


@functools.lru_cache(maxsize=8)
def _interleave(weights: tuple[float, ...], seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.rint(np.cumsum(weights) / np.sum(weights) * _BLOCK).astype(np.int64)
    quotas = np.diff(edges, prepend=0)
    stratum = np.repeat(np.arange(len(weights)), quotas)
    if len(weights) > 1:
        stratum = np.random.default_rng([seed, len(weights), block, 1]).permutation(stratum)
    turn = np.empty(_BLOCK, np.int64)
    for s, quota in enumerate(quotas):
        turn[stratum == s] = block * quota + np.arange(quota)
    return stratum, turn


def training_order(windows: Windows, ids: np.ndarray, data: config.Data, seed: int) -> Order:
    """The order of training windows `ids`, by the sampling and the store weights of the config.

    Balanced sampling comes first: every class has the same share, and within it the stores that have the class share
    by their weights.

    Raises:
      UserError: there is no window, or balancing is asked for without labels.
    """
    if not len(ids):
        raise UserError(f"{data.store}: the split leaves no window to train on.")
    stores, classes = windows.store[ids], windows.label[ids]
    if data.sampling is Sampling.BALANCED and (classes < 0).any():
        raise UserError("data.sampling=BALANCED needs labels: name one in data.label.name.")
    everyone = np.ones(len(ids), bool)
    strata, weights = [], []
    for of_class in [classes == c for c in np.unique(classes)] if data.sampling is Sampling.BALANCED else [everyone]:
        having = np.unique(stores[of_class])
        total = sum(data.weights[s] for s in having) if data.weights else 1.0
        for s in having if data.weights else [None]:
            strata.append(ids[of_class & (everyone if s is None else stores == s)])
            weights.append(1.0 if s is None else data.weights[s] / total)
    return Order(tuple(strata), tuple(weights), seed)


@dataclasses.dataclass(frozen=True)
class Gather:
    """Cuts windows out of the stores' arrays: ids in, a batch out."""

    stores: Sequence[Store]
    windows: Windows
    samples: dict[str, int]

    def __call__(self, ids: np.ndarray) -> dict[str, Any]:
        return self.about(ids) | {"signals": {modality: self.cut(modality, ids) for modality in self.samples}}

    def about(self, ids: np.ndarray) -> dict[str, Any]:
        """What a batch says of its windows beside their signals."""
        return {"label": self.windows.label[ids].astype(np.int32), "window": ids.astype(np.int32)}

    def cut(self, modality: str, ids: np.ndarray) -> np.ndarray:
        """Windows `ids` of one modality, (N, T, C); NaN where a window lacks it."""
        rows, number = self.windows.rows[modality][ids], self.windows.store[ids]
        held = rows >= 0
        if len(self.stores) == 1 and held.all():
            return self._every_window(0, modality)[rows]
        channels = len(describe_modality(self.stores, modality)["channels"])
        out = np.full((len(ids), self.samples[modality], channels), np.nan, np.float32)
        for n in np.unique(number[held]):
            mine = held & (number == n)
            out[mine] = self._every_window(int(n), modality)[rows[mine]]
        return out

    def _every_window(self, number: int, modality: str) -> np.ndarray:
        """A view (N - T + 1, T, C) of all windows at all rows; indexing it copies each window as one block."""
        signal_NC, length = np.asarray(self.stores[number].signals[modality]), self.samples[modality]
        step, across = signal_NC.strides
        shape = (len(signal_NC) - length + 1, length, signal_NC.shape[1])
        return np.lib.stride_tricks.as_strided(signal_NC, shape, (step, step, across), writeable=False)


@dataclasses.dataclass(frozen=True)
class TrainSource:
    """Batch k of training; of the global batch, the rows that this process supplies."""

    gather: Callable[[np.ndarray], dict[str, Any]]  # a Gather, or what stands for one
    order: Order
    batch_size: int
    num_steps: int
    rows: np.ndarray | EllipsisType = ...

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, k: int) -> dict[str, Any]:
        ids = self.order[k * self.batch_size : (k + 1) * self.batch_size]
        mine = ids[self.rows]
        return self.gather(mine) | {"weight": np.ones(len(mine), np.float32)}


@dataclasses.dataclass(frozen=True)
class EvalSource:
    """Every window of `ids` exactly once, in order; the last batch is filled up with rows of weight 0."""

    gather: Callable[[np.ndarray], dict[str, Any]]
    ids: np.ndarray
    batch_size: int
    rows: np.ndarray | EllipsisType = ...

    def __len__(self) -> int:
        return -(-len(self.ids) // self.batch_size)

    def __getitem__(self, k: int) -> dict[str, Any]:
        ids = self.ids[k * self.batch_size : (k + 1) * self.batch_size]
        weight = np.zeros(self.batch_size, np.float32)
        weight[: len(ids)] = 1.0
        ids = np.concatenate([ids, np.full(self.batch_size - len(ids), ids[0])])
        return self.gather(ids[self.rows]) | {"weight": weight[self.rows]}


def make_gather(stores: Sequence[Store], windows: Windows, data: config.Data) -> Gather:
    return Gather(stores, windows, window_samples(stores, data))


def stream(source: TrainSource | EvalSource, start: int = 0) -> Iterator[dict[str, Any]]:
    """Batches start, start + 1, ... of the source through Grain, read ahead by one thread.

    More threads are slower on small hosts: a batch is one gather, and the rest of Python stands still meanwhile.
    """
    dataset = grain.MapDataset.source(source).slice(slice(start, len(source)))
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))
