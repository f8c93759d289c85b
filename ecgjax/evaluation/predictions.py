"""What an evaluation keeps: class probabilities of windows, and whose windows they were."""

import dataclasses
import os
import zipfile
from collections.abc import Iterable

import numpy as np

from ecgjax.data.staging import whole_file
from ecgjax.errors import DataError

_TABLE = "probability_NC"
_COLUMNS = {
    "label_N": np.int64,
    "subject_N": np.str_,
    "fold_N": np.int32,
    "seed_N": np.int32,
    "recording_N": np.str_,
    "start_s_N": np.float64,
}


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Class probabilities of N windows, one column an attribute. Scalars are broadcast to all windows.

    Attributes:
      label_N: true class, int64.
      probability_NC: float64, rows summing to 1.
      subject_N: the person.
      fold_N: the fold in which the window was tested.
      seed_N: seed of the run that tested it; scores are averaged over seeds.
      recording_N: key of the recording the window was cut from.
      start_s_N: the window's start on that recording's time axis.
      classes: names of class 0, 1, ...; "0", "1", ... where not given.
    """

    label_N: np.ndarray
    probability_NC: np.ndarray
    subject_N: np.ndarray
    fold_N: np.ndarray | int = 0
    seed_N: np.ndarray | int = 0
    recording_N: np.ndarray | str = ""
    start_s_N: np.ndarray | float = 0.0
    classes: tuple[str, ...] = ()

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        put("probability_NC", np.asarray(self.probability_NC, np.float64))
        num, num_classes = self.probability_NC.shape
        for name, dtype in _COLUMNS.items():
            put(name, np.array(np.broadcast_to(np.asarray(getattr(self, name), dtype), (num,))))
        put("classes", tuple(self.classes) or tuple(map(str, range(num_classes))))
        if num_classes < 2 or len(self.classes) != num_classes:
            raise ValueError(f"probabilities of {num_classes} classes, named {self.classes}")
        if num and not (0 <= self.label_N.min() and self.label_N.max() < num_classes):
            raise ValueError(f"labels {np.unique(self.label_N)} do not fit {num_classes} classes")
        if not np.allclose(self.probability_NC.sum(1), 1, atol=1e-3):  # False for NaN too
            raise ValueError("probabilities must be finite and sum to 1 in every row")

    def __len__(self) -> int:
        return len(self.label_N)

    def select(self, keep_N: np.ndarray) -> "Predictions":
        """The windows picked by a boolean mask or an index array."""
        return dataclasses.replace(self, **{name: getattr(self, name)[keep_N] for name in (*_COLUMNS, _TABLE)})

    def save(self, path: str | os.PathLike) -> None:
        """Writes an .npz, whole or not at all."""
        with whole_file(path, "wb") as file:
            np.savez_compressed(file, **dataclasses.asdict(self) | {"classes": np.array(self.classes)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Predictions":
        """Reads what `save` wrote.

        Raises:
          DataError: the file is missing, broken, or something else.
        """
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                columns = {name: file[name] for name in (*_COLUMNS, _TABLE)}
                return cls(**columns, classes=tuple(file["classes"].tolist()))
        except (OSError, EOFError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else "not a predictions file"
            raise DataError(path, reason, "launch.crossval and launch.evaluate write predictions.npz.") from error


def concatenate(parts: Iterable[Predictions]) -> Predictions:
    """The windows of several predictions of the same classes, in order."""
    parts = list(parts)
    if len({part.classes for part in parts}) != 1:
        raise ValueError(f"cannot join predictions of classes {[part.classes for part in parts]}")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in (*_COLUMNS, _TABLE)}
    return Predictions(**columns, classes=parts[0].classes)
