"""EDF and BDF files: one, or every one below a folder."""

import dataclasses

from ecgjax.datasets import base_edf, base_files
from ecgjax.datasets.base_channels import Channels
from ecgjax.signals.recording import LabelSpec, Recording


@dataclasses.dataclass
class Config:
    """EDF and BDF files. `root` is a folder, searched with its sub-folders, or one file.

    `subject` is a regex on the file's path without suffix, whose first group is the subject; empty takes the file's
    name. `name` is for manifests and tables; empty takes the folder's.
    """

    root: str = ""
    name: str = ""
    modalities: tuple[str, ...] = ("ecg",)
    channels: Channels = dataclasses.field(default_factory=Channels)
    subject: str = ""

    def make(self) -> "Edf":
        return Edf(dataclasses.replace(self, channels=dataclasses.replace(self.channels)))


class Edf:
    """Files as `Recording`s. A key is the file's path below the root."""

    def __init__(self, config: Config):
        self.config = config
        self.name = base_files.dataset_name(config.name, config.root)
        self.label_specs: dict[str, LabelSpec] = {}

    def keys(self) -> tuple[str, ...]:
        return base_files.list_files(self.config.root, r".*\.[eb]df", "EDF or BDF file (*.edf, *.bdf)")

    def load(self, key: str) -> Recording:
        path = base_files.locate(self.config.root, key)
        signals, start_time, events = base_edf.read_edf(path, self.config.modalities, self.config.channels)
        subject = base_files.subject_of(self.config.subject, key.rpartition(".")[0] or key)
        return Recording(key, subject, signals, start_time=start_time, events=events, sources=(key,))
