"""The contract of a data set: a `Config` whose `make()` gives something that lists recordings and loads one.

A data set is one file in this folder. Its `Config` is a plain dataclass whose first field is `root`; it must pickle,
because preparation loads recordings in worker processes.
"""

import dataclasses
import enum
from typing import Protocol

from ecgjax.signals.recording import LabelSpec, Recording


class Verified(enum.Enum):
    """What a reader was tried on."""

    FILES = "real files"
    LAYOUT = "the documented layout only"


@dataclasses.dataclass(frozen=True)
class About:
    """What people want to know before they ask for a data set; `ABOUT` of its config file.

    Attributes:
      title: the full name.
      people, hours: how many there are; 0 where nobody says.
      modalities: those its reader gives.
      labels: names of the labels its reader gives; empty for an unlabelled corpus.
      licence: in short.
      access: where to get it or ask for it.
      cite: the paper to cite.
      verified: what the reader was tried on.
      subjects: everybody a complete download has, as the reader names them; empty where that is not known.
    """

    title: str
    people: int
    hours: float
    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    licence: str
    access: str
    cite: str
    verified: Verified
    subjects: tuple[str, ...] = ()


class Dataset(Protocol):
    """What `Config.make()` returns.

    Attributes:
      name: short name for manifests and tables.
      label_specs: meaning of every label the recordings may carry.
    """

    name: str
    label_specs: dict[str, LabelSpec]

    def keys(self) -> tuple[str, ...]:
        """Keys of all recordings, sorted, without reading signals.

        Raises:
          UserError: the folder is missing or holds nothing of this data set.
        """
        ...

    def group(self, key: str) -> str:
        """Optional. Keys of one group, which follow each other, are loaded in order by one process: for files that hold
        many recordings, so that a reader may keep the last one it opened. Without it every key is alone."""
        ...

    def load(self, key: str) -> Recording:
        """Reads one recording.

        Raises:
          DataError: the files cannot be used; names file, reason and remedy.
        """
        ...
