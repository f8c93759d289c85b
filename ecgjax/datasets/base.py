"""The contract of a data set: a `Config` whose `make()` gives something that lists recordings and loads one.

A data set is one file in this folder. Its `Config` is a plain dataclass whose first field is `root`; it must pickle,
because preparation loads recordings in worker processes.
"""

from typing import Protocol

from ecgjax.signals.recording import LabelSpec, Recording


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
