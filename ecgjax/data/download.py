"""What a download of a data set holds and lacks, found by reading it as `prepare` would, and writing nothing."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ecgjax.datasets.base import About, Dataset
from ecgjax.errors import DataError


@dataclasses.dataclass
class Found:
    """Of the recordings that were read.

    Attributes:
      listed: recordings there are.
      read: how many of them were.
      people: their subjects.
      hours: of each modality.
      labels: of each label's name, how many intervals of each class, or of any rating.
      events: what the reader met and mended, by its name.
      unusable: what cannot be used, by reason.
    """

    listed: int
    read: int = 0
    people: set[str] = dataclasses.field(default_factory=set)
    hours: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    labels: dict[str, collections.Counter[str]] = dataclasses.field(default_factory=dict)
    events: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    unusable: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def look(
    dataset: Dataset, at_most: int, progress: Callable[[Sequence[str]], Iterable[str]] = lambda keys: keys
) -> Found:
    """Reads `at_most` recordings, spread evenly over all, or every one where that is 0.

    Raises:
      UserError: the folder is missing or holds nothing of this data set.
    """
    keys = sorted(dataset.keys())
    found = Found(len(keys))
    if at_most and at_most < len(keys):
        keys = [keys[i] for i in np.linspace(0, len(keys) - 1, at_most).round().astype(int)]
    for key in progress(keys):
        try:
            _add(found, dataset, key)
        except DataError as error:
            found.unusable.setdefault(error.reason, []).append(str(error))
        except OSError as error:
            found.unusable.setdefault("unreadable", []).append(f"{key}: {error.strerror or error}")
    return found


def _add(found: Found, dataset: Dataset, key: str) -> None:
    recording = dataset.load(key)
    found.read += 1
    found.people.add(recording.subject)
    found.events.update(recording.events)
    for modality, signal in recording.signals.items():
        found.hours[modality] += signal.duration_s / 3600
    for label in recording.labels:
        classes = dataset.label_specs[label.name].classes
        value = classes[int(label.value)] if classes and label.value in range(len(classes)) else "rated"
        found.labels.setdefault(label.name, collections.Counter())[value] += 1


def told(found: Found, about: About | None) -> str:
    """A few lines for people: what is there, then what is not, where somebody has said what there should be."""
    share = "all" if found.read + sum(map(len, found.unusable.values())) == found.listed else "a part"
    usable = f"{found.read} usable, of {len(found.people)} people"
    lines = [f"{found.listed} recordings listed, {share} of them opened; {usable}"]
    lines += [f"  {modality}: {hours:.2f} h" for modality, hours in sorted(found.hours.items())]
    for name, counts in sorted(found.labels.items()):
        lines.append(f"  {name}: " + ", ".join(f"{value} {count}" for value, count in sorted(counts.items())))
    if found.events:
        lines.append("  met: " + ", ".join(f"{event} {count}" for event, count in sorted(found.events.items())))
    for reason, each in sorted(found.unusable.items()):
        lines.append(f"  cannot be used, {reason}: {len(each)}")
        lines += [f"    {line}" for line in each[:5]] + ["    ..."] * (len(each) > 5)
    return "\n".join(lines + (_lacking(found, about, share == "all") if about else []))


def _lacking(found: Found, about: About, all_opened: bool) -> list[str]:
    lines = [
        _lack("people", sorted(set(about.subjects) - found.people) if all_opened else []),
        _lack("signals", [m for m in about.modalities if not found.hours[m]]),
        _lack("labels", [name for name in about.labels if name not in found.labels]),
    ]
    if all_opened and not about.subjects and len(found.people) < about.people:  # who they are is not known
        lines.append(f"  missing people: {about.people - len(found.people)} of {about.people}")
    return [line for line in lines if line]


def _lack(what: str, names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 20 else ""
    return f"  missing {what}: {', '.join(names[:20])}{more} ({len(names)})" if names else ""
