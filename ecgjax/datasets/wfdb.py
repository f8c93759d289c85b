"""WFDB records (PhysioNet's format): one record, or every record below a folder."""

import dataclasses
import enum
from pathlib import Path

from ecgjax.datasets import base_channels, base_files, base_wfdb
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError
from ecgjax.signals.recording import LabelSpec, Recording


class Leads(enum.Enum):
    FIRST = "first"  # one ECG lead a record, picked by its name; or those named in `channels`, as one signal
    ALL = "all"  # every ECG lead (or each named) its own recording, of one subject: more material for pre-training


@dataclasses.dataclass
class Config:
    """WFDB records. `root` is a folder, searched with its sub-folders (or by its RECORDS), or one record.

    `subject` is a regex on the record's path whose first group is the subject, as "(patient\\d+)/" for PTB, and whose
    second, if any, the session; empty takes the record's name. `records` is a regex that must occur in the path of a
    record that is taken. `name` is for manifests and tables; empty takes the folder's.
    """

    root: str = ""
    name: str = ""
    modalities: tuple[str, ...] = ("ecg",)
    channels: Channels = dataclasses.field(default_factory=Channels)
    leads: Leads = Leads.FIRST
    records: str = ""
    subject: str = ""

    def make(self) -> "Wfdb":
        return Wfdb(dataclasses.replace(self, channels=dataclasses.replace(self.channels)))


class Wfdb:
    """Records as `Recording`s. A key is the record's path below the root, with `#lead` where every lead counts."""

    def __init__(self, config: Config):
        self.config = config
        self.name = base_files.dataset_name(config.name, base_wfdb.record_root(config.root))
        self.label_specs: dict[str, LabelSpec] = {}

    def keys(self) -> tuple[str, ...]:
        records = base_wfdb.list_records(self.config.root, self.config.records)
        if self.config.leads is Leads.FIRST:
            return records
        return tuple(sorted(key for record in records for key in self._lead_keys(record)))

    def load(self, key: str) -> Recording:
        record, _, lead = key.partition("#")
        header = base_wfdb.read_header(self._path(record))
        signals, events = {}, []
        for modality in self.config.modalities:
            wanted = getattr(self.config.channels, modality, ())
            if lead and modality == "ecg":
                picked = [base_wfdb.lead_names(header).index(lead)]
            else:
                picked = base_channels.pick(modality, header.names, header.units, wanted, header.path)
            if picked:
                signals[modality] = base_wfdb.read_signal(header, picked)
                events += ["ecg_channel_guessed"] * base_channels.was_guessed(modality, header.names[picked[0]], wanted)
        if not signals:
            wanted, present = " or ".join(self.config.modalities), ", ".join(header.names)
            remedy = f"Its channels are {present}. Name one in --config.dataset.channels."
            raise DataError(header.path, f"no {wanted} channel", remedy)
        folder = record.rpartition("/")[0]
        sources = tuple(f"{folder}/{name}" if folder else name for name in base_wfdb.sources(header))
        return Recording(
            key=key,
            subject=base_files.subject_of(self.config.subject, record),
            signals=signals,
            session=base_files.session_of(self.config.subject, record),
            start_time=header.start_time,
            events=tuple(events),
            sources=sources,
        )

    def _path(self, record: str) -> Path:
        one = Path(base_wfdb.record_root(self.config.root)).expanduser()
        return one if Path(f"{one}.hea").is_file() else base_files.locate(self.config.root, record)

    def _lead_keys(self, record: str) -> list[str]:
        try:
            header = base_wfdb.read_header(self._path(record))
        except (DataError, OSError):  # listed all the same, so that loading it reports what is wrong
            return [record]
        leads = base_channels.ecg_leads(header.names, header.units)
        if named := {name.casefold() for name in self.config.channels.ecg}:
            leads = [i for i, name in enumerate(header.names) if name.casefold() in named]
        return [f"{record}#{base_wfdb.lead_names(header)[i]}" for i in leads] or [record]
