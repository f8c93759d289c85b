"""Sessions of the Empatica E4 wristband: one, or every one below a folder, as folders or zips."""

import dataclasses

from ecgjax.datasets import base_empatica, base_files
from ecgjax.signals.recording import LabelSpec, Recording


@dataclasses.dataclass
class Config:
    """E4 sessions. `root` is a folder, searched with its sub-folders, or one session (a folder or a zip).

    `subject` is a regex on the session's path below the root, without ".zip", whose first group is the subject, as
    "^(S\\d+)/" for WESAD; empty takes the session's name. `name` is for manifests and tables; empty takes the root's.
    """

    root: str = ""
    name: str = ""
    modalities: tuple[str, ...] = base_empatica.MODALITIES
    subject: str = ""

    def make(self) -> "Empatica":
        return Empatica(dataclasses.replace(self))


class Empatica:
    """Sessions as `Recording`s. A key is the session's path below the root."""

    def __init__(self, config: Config):
        self.config = config
        self.name = base_files.dataset_name(config.name, config.root)
        self.label_specs: dict[str, LabelSpec] = {}

    def keys(self) -> tuple[str, ...]:
        return base_empatica.list_sessions(self.config.root)

    def load(self, key: str) -> Recording:
        path = base_empatica.locate_session(self.config.root, key)
        session = base_empatica.read_session(path, self.config.modalities)
        outside = sum(not session.holds(at_s) for at_s in session.tags_s)
        return Recording(
            key=key,
            subject=base_files.subject_of(self.config.subject, key[:-4] if key.lower().endswith(".zip") else key),
            signals=session.signals,
            start_time=session.start_time,
            events=session.events + ("e4_tag_outside_recording",) * outside,
            sources=base_empatica.sources(self.config.root, path, session),
        )
