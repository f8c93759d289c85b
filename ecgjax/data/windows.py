"""Which windows a store holds: time spans that lie wholly in good signal, cut from every modality at once.

A window is never stored. It is a row of a table (where it starts, whose it is, which label holds), so its length, its
stride and the label rule are config, and 99 % overlap costs nothing but rows.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ecgjax import config, plain
from ecgjax.config import Borders
from ecgjax.data.intervals import EPSILON_S, containing, greatest, inside, intersect, mean_over, union
from ecgjax.data.store import Store
from ecgjax.errors import UserError, did_you_mean
from ecgjax.signals.preprocess import Steps


@dataclasses.dataclass(frozen=True)
class Windows:
    """A table with one row a window; every column has N entries.

    Attributes:
      store: index of the store.
      recording: index within the store.
      start_s: on the recording's time axis.
      rows: by modality, the window's first row in the store's array; -1 where the window lacks it.
      person: whose it is, as a number into `people`.
      trial: label interval the window lies in (index within the store), -1 without labels.
      rating: the stored value of that label, NaN without labels.
      label: class, -1 where there is none.
      people: names "<data set>/<person>", in order, so that one person is the same in every store of a data set. Not a
        column: a name a window would be most of the table.
    """

    store: np.ndarray
    recording: np.ndarray
    start_s: np.ndarray
    rows: dict[str, np.ndarray]
    person: np.ndarray
    trial: np.ndarray
    rating: np.ndarray
    label: np.ndarray
    people: np.ndarray

    def __len__(self) -> int:
        return len(self.store)

    def take(self, ids: np.ndarray) -> "Windows":
        rows = {name: column[ids] for name, column in self.rows.items()}
        return Windows(rows=rows, people=self.people, **{f.name: getattr(self, f.name)[ids] for f in _columns()})

    @property
    def subject(self) -> np.ndarray:
        """The name of each window's person."""
        return self.people[self.person]

    @property
    def subjects(self) -> list[str]:
        return self.subjects_of(slice(None))

    def subjects_of(self, ids: np.ndarray | slice) -> list[str]:
        """Names of those whose windows these are, in order."""
        return self.people[np.bincount(self.person[ids], minlength=len(self.people)) > 0].tolist()

    def are_of(self, names: Iterable[str]) -> np.ndarray:
        """Of each window, whether it is of one of these people."""
        return np.isin(self.people, list(names))[self.person]


def find_windows(stores: Sequence[Store], data: config.Data, stride_s: float, reach_ends: bool = False) -> Windows:
    """All windows of the stores, in the order of stores, recordings and time.

    Windows start at the head of every good span (of every labelled stretch, if `data.label` names a label) and then
    every `stride_s`. A window never crosses a dropped span, nor the border of a label unless `data.label.borders` lets
    it. With `reach_ends`, where a stretch goes on after the last of these, one more window ends with it: it overlaps,
    and leaves nothing uncovered. Spans of modalities in `data.optional` bound no window: those they do not hold whole
    go without. Where all are optional, windows lie where at least one is good: in `intervals.union`.

    Raises:
      UserError: a modality or label is missing, rates or channels differ between stores, a window or the stride is
        shorter than a sample, or no window fits.
    """
    _check_modalities(stores, data)
    _check_lengths(stores, data, stride_s)
    windows = _join([_windows_of_store(i, store, data, stride_s, reach_ends) for i, store in enumerate(stores)])
    excluded, everyone = set(data.split.exclude_subjects), windows.people.tolist()  # with a window or without
    if unknown := excluded - set(everyone):
        name = min(unknown)
        inner = [subject for subject in everyone if subject.partition("/")[2] == name]  # without its data set
        hint = f' Did you mean "{inner[0]}"?' if inner else did_you_mean(name, everyone)
        raise UserError(f'data.split.exclude_subjects: no subject "{name}".{hint}')
    windows = windows.take(np.flatnonzero(~windows.are_of(excluded)))
    if not len(windows):
        raise UserError(
            f"{data.store}: no window of data.window_s={data.window_s} fits into its good spans"
            + (f' labelled "{data.label.name}"' if data.label.name else "")
            + ". Take a shorter window, or see what was dropped: python -m launch.inspect DIR."
        )
    return windows


def overlap(windows: Windows, others: Windows, window_s: float) -> np.ndarray:
    """Of each window, whether it shares a second of a recording with one of the others, of the same length."""
    furthest_s = max((w.start_s.max(initial=0.0) for w in (windows, others)), default=0.0) + 2 * window_s
    most = 1 + max(w.recording.max(initial=0) for w in (windows, others))

    def on_one_line(w: Windows) -> np.ndarray:
        return (w.store * float(most) + w.recording) * furthest_s + w.start_s

    at, near, there = on_one_line(windows), window_s - EPSILON_S, np.sort(on_one_line(others))
    return np.searchsorted(there, at + near) > np.searchsorted(there, at - near)


def _columns() -> list[dataclasses.Field]:
    return [f for f in dataclasses.fields(Windows) if f.name not in ("rows", "people")]


def _join(parts: Sequence[Windows]) -> Windows:
    people = np.unique(np.concatenate([part.people for part in parts]))
    parts = [dataclasses.replace(p, person=np.searchsorted(people, p.people).astype(np.int32)[p.person]) for p in parts]
    columns = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in _columns()}
    rows = {m: np.concatenate([part.rows[m] for part in parts]) for m in parts[0].rows}
    return Windows(rows=rows, people=people, **columns)


def describe_modality(stores: Sequence[Store], modality: str) -> dict[str, Any]:
    """What the manifest of the first store that has the modality says of it."""
    return having(stores, modality)[0].manifest["modalities"][modality]


def having(stores: Sequence[Store], modality: str) -> list[Store]:
    return [store for store in stores if modality in store.signals]


def _check_modalities(stores: Sequence[Store], data: config.Data) -> None:
    for modality in data.modalities:
        have = having(stores, modality)
        for store in stores:
            if store not in have and modality not in data.optional:
                raise UserError(
                    f'data.modalities: {store.path} has no "{modality}".' + did_you_mean(modality, store.signals)
                )
        if not have:
            continue
        kinds = {(float(s.manifest["modalities"][modality]["rate_hz"]), s.signals[modality].shape[1]): s for s in have}
        if len(kinds) > 1:
            told = "; ".join(f"{s.path} has {rate} Hz, {channels} channels" for (rate, channels), s in kinds.items())
            raise UserError(f'data.store: "{modality}" differs between stores: {told}. Prepare them alike.')
        for store in have[1:]:
            first, other = (plain.fill(s.manifest["preprocess"][modality], Steps(0.0)) for s in (have[0], store))
            for field, (here, there) in plain.diff(first, other).items():
                if not field.startswith("gate"):
                    raise UserError(
                        f"data.store: {store.path} was prepared with {modality}.{field}={there}, {have[0].path} with "
                        f"{here}. Prepare them alike: --config.preprocess.{modality}.{field}=..."
                    )
    if bare := [store for store in stores if not store.signals.keys() & set(data.modalities)]:
        raise UserError(f"data.modalities: {bare[0].path} has none of {', '.join(data.modalities)}.")
    for store in stores[1:] if data.label.name else ():
        said = [s.manifest["labels"].get(data.label.name) for s in (stores[0], store)]
        if None not in said and (changes := plain.diff(*said)):
            field, (here, there) = next(iter(changes.items()))
            raise UserError(
                f'data.store: label "{data.label.name}" has {field} {there} in {store.path} and {here} in '
                f"{stores[0].path}: they do not mean the same."
            )


def _check_lengths(stores: Sequence[Store], data: config.Data, stride_s: float) -> None:
    """A window holds a sample of every modality, and the next window another sample of at least one."""
    periods_s = {1 / float(describe_modality(stores, m)["rate_hz"]): m for m in data.modalities if having(stores, m)}
    for told, length_s, period_s in (
        (f"data.window_s={data.window_s:g}", data.window_s, max(periods_s)),
        (f"a stride (data.stride_s, data.eval_stride_s) of {stride_s:g}", stride_s, min(periods_s)),
    ):
        if length_s < period_s - EPSILON_S:
            raise UserError(f"{told} s is shorter than a sample of {periods_s[period_s]}: give {period_s:g} s or more.")


def recording_digests(stores: Sequence[Store], windows: Windows) -> set[str]:
    """`Signal.digest` of every recorded signal the windows were cut from."""
    found: set[str] = set()
    for number, store in enumerate(stores):
        recordings = np.unique(windows.recording[windows.store == number])
        for modality in windows.rows.keys() & store.signals.keys():
            found |= set(store.index[f"{modality}/digest"][recordings].tolist())
    return found - {""}  # of a recording that lacks the modality


def subjects_among(stores: Sequence[Store], windows: Windows, known: Iterable[str]) -> set[str]:
    """Subjects of windows who are known by name, or by the digest of one of their recordings."""
    known = set(known) - {""}
    found = known & set(windows.subjects)
    for number, store in enumerate(stores):
        mine = np.flatnonzero(windows.store == number)
        for modality in windows.rows.keys() & store.signals.keys():
            met = np.isin(store.index[f"{modality}/digest"], sorted(known))
            found |= set(windows.subjects_of(mine[met[windows.recording[mine]]]))
    return found


def window_samples(stores: Sequence[Store], data: config.Data) -> dict[str, int]:
    """Samples of one window, by modality; without those that are optional and in no store."""
    return {
        m: round(data.window_s * describe_modality(stores, m)["rate_hz"]) for m in data.modalities if having(stores, m)
    }


def _windows_of_store(number: int, store: Store, data: config.Data, stride_s: float, reach_ends: bool) -> Windows:
    index = store.index
    spans = {m: _spans(store, m) for m in data.modalities if m in store.signals}
    required = [spans[m] for m in data.modalities if m not in data.optional]
    required = required or [union(spans.values(), reach_ends * data.window_s)]
    labels = _label_intervals(store, data.label.name) if data.label.name else None
    within = labels and data.label.borders is Borders.WITHIN
    recording, start_s, stop_s = intersect([*required, labels[:3]] if within else required)

    # As many strides as fit, a whole piece at a time.
    room_s = stop_s - start_s - data.window_s
    strides = np.ceil((room_s - EPSILON_S) / stride_s) if reach_ends else np.floor((room_s + EPSILON_S) / stride_s)
    counts = np.where(room_s >= -EPSILON_S, strides.astype(np.int64) + 1, 0)
    piece = np.repeat(np.arange(len(counts)), counts)
    after_s = (np.arange(len(piece)) - np.repeat(np.cumsum(counts) - counts, counts)) * stride_s
    if reach_ends:
        after_s = np.minimum(after_s, np.maximum(room_s, 0)[piece])
    recording, start_s = recording[piece], start_s[piece] + after_s

    rows = {m: np.full(len(recording), -1, np.int64) for m in data.modalities}
    for m in spans:
        rows[m] = first_rows(store, m, recording, start_s, data.window_s)
        if m in data.optional:
            rows[m][~inside(spans[m], recording, start_s, start_s + data.window_s)] = -1
    held = [rows[m] >= 0 for m in data.modalities]
    required_held = [h for m, h in zip(data.modalities, held, strict=True) if m not in data.optional]
    fits = np.logical_and.reduce([*required_held, np.logical_or.reduce(held)])
    recording, start_s = recording[fits], start_s[fits]
    trial, rating = np.full(len(recording), -1, np.int64), np.full(len(recording), np.nan)
    labelled = np.ones(len(recording), bool)
    if labels and not len(labels[0]):
        labelled[:] = False
    elif labels:
        over = data.label.borders is Borders.MAXIMUM
        position = (functools.partial(greatest, window_s=data.window_s) if over else containing)(
            labels, recording, start_s
        )
        trial, rating, labelled = labels[3][position], labels[4][position], position >= 0
        if data.label.borders is Borders.MEAN:
            rating = mean_over(labels, recording, start_s, start_s + data.window_s)
            labelled = np.isfinite(rating)
    names = np.array([f"{store.manifest['dataset']['name']}/{s}" for s in store.manifest["subjects"]])
    return Windows(
        store=np.full(len(recording), number, np.int32),
        recording=recording.astype(np.int32),
        start_s=start_s,
        rows={m: r[fits] for m, r in rows.items()},
        person=index["subject"][recording],
        trial=trial,
        rating=rating,
        label=np.full(len(recording), -1, np.int32),
        people=names,
    ).take(np.flatnonzero(labelled))


def _spans(store: Store, modality: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index = store.index
    return tuple(np.asarray(index[f"{modality}/span_{c}"]) for c in ("recording", "start_s", "stop_s"))


def _label_intervals(store: Store, name: str) -> tuple[np.ndarray, ...]:
    """(recording, start_s, stop_s, row in the label table, value), sorted by recording and time."""
    names = list(store.manifest["labels"])
    if name not in names:
        raise UserError(f'data.label.name: {store.path} has no label "{name}".' + did_you_mean(name, names))
    index = store.index
    chosen = np.flatnonzero(index["label/name"] == names.index(name))
    columns = [index[f"label/{c}"][chosen] for c in ("recording", "start_s", "stop_s")]
    order = np.lexsort((columns[1], columns[0]))
    recording, start_s, stop_s = (c[order] for c in columns)
    overlap = (recording[1:] == recording[:-1]) & (start_s[1:] < stop_s[:-1] - EPSILON_S)
    if overlap.any():
        key = index["key"][recording[1:][overlap][0]]
        raise UserError(f'{store.path}: intervals of label "{name}" overlap in recording "{key}". Mend the reader.')
    return recording, start_s, stop_s, chosen[order], index["label/value"][chosen][order]


def first_rows(store: Store, modality: str, recording: np.ndarray, start_s: np.ndarray, window_s: float) -> np.ndarray:
    """Rows where the windows start; -1 where rounding would carry one past its recording's last sample."""
    index, rate_hz = store.index, store.manifest["modalities"][modality]["rate_hz"]
    row = np.rint((start_s - index[f"{modality}/start_s"][recording]) * rate_hz).astype(np.int64)
    fits = (row >= 0) & (row + round(window_s * rate_hz) <= index[f"{modality}/length"][recording])
    return np.where(fits, row + index[f"{modality}/offset"][recording], -1)
