"""Which channel of a file is which modality, and its unit: the rules all readers of general files share."""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from ecgjax.errors import DataError, UserError, did_you_mean

MODALITIES = ("ecg", "eda", "bvp", "temp", "resp", "emg", "acc")

# What a channel is called in public recordings, lower-cased, without the words "lead" and "ecg".
_LEAD = re.compile(r"(ml)?i{1,3}|av[rlf]|v[xyz]|(mod\.)?m?v\d*r?|v\d-v?\d|ml\d|mcl\d?|c[bcms]\d|d\d")
_NAMES = {
    "ecg": re.compile(r"\b(ecg|ekg)|ecg\d*\b"),
    "eda": re.compile(r"eda|gsr|scl|skin.?cond|electroderm"),
    "bvp": re.compile(r"bvp|ppg|pleth"),
    "temp": re.compile(r"temp|skt\b"),
    "resp": re.compile(r"resp|rsp|breath|thor|abdo"),
    "emg": re.compile(r"emg"),
    "acc": re.compile(r"acc"),
}
# Ours: a limb lead along the heart's axis first, where P and T waves and R peaks are clearest; then any lead.
_PREFERRED_LEADS = ("mlii", "ii", "ecg", "ekg", "ecg1", "i", "mli", "v5", "mv5", "ml5", "cm5", "cc5", "v", "v1")

_UNITS = {  # lower case: (normal form, factor)
    "mv": ("mV", 1.0),
    "uv": ("mV", 1e-3),
    "nv": ("mV", 1e-6),
    "v": ("mV", 1e3),
    "mvolt": ("mV", 1.0),
    "uvolt": ("mV", 1e-3),
    "volt": ("mV", 1e3),
    "us": ("uS", 1.0),
    "usiemens": ("uS", 1.0),
    "microsiemens": ("uS", 1.0),
    "ns": ("uS", 1e-3),
    "c": ("degC", 1.0),
    "degc": ("degC", 1.0),
    "°c": ("degC", 1.0),
    "degreec": ("degC", 1.0),
    "celsius": ("degC", 1.0),
    "": ("unknown", 1.0),
}


@dataclasses.dataclass
class Channels:
    """Names of the channels of each modality, ignoring case; where empty, one is picked by its name."""

    ecg: tuple[str, ...] = ()
    eda: tuple[str, ...] = ()
    bvp: tuple[str, ...] = ()
    temp: tuple[str, ...] = ()
    resp: tuple[str, ...] = ()
    emg: tuple[str, ...] = ()
    acc: tuple[str, ...] = ()


def check_modalities(wanted: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raises UserError unless `what` has all modalities that are wanted."""
    for modality in wanted:
        if modality not in known:
            told = did_you_mean(modality, known)
            raise UserError(f"--config.dataset.modalities: {what} has no {modality!r}.{told}")


def normal_unit(unit: str) -> tuple[str, float]:
    """(normal form, factor that takes values to it): "uV" is ("mV", 0.001); a unit without a rule stays."""
    unit = unit.strip().replace("µ", "u").replace("μ", "u")
    return _UNITS.get(unit.lower(), (unit, 1.0))


def ecg_leads(names: Sequence[str], units: Sequence[str]) -> tuple[int, ...]:
    """Indices of the channels that are ECG leads by their names."""
    return tuple(i for i, name in enumerate(names) if _is_lead(name) and _could_be_voltage(units[i]))


def pick(modality: str, names: Sequence[str], units: Sequence[str], wanted: Sequence[str], path: object) -> list[int]:
    """Indices of a modality's channels, in the order they are wanted.

    Without `wanted`: for ECG the preferred lead, else the first that is a lead by its name, else the first voltage
    that is nothing else by its name; for acceleration all axes; for the rest the first by name. Empty if none fits.

    Raises:
      UserError: there is no such modality.
      DataError: a wanted channel is not in the file.
    """
    if modality not in MODALITIES:
        raise UserError(f"Unknown modality {modality!r}.{did_you_mean(modality, MODALITIES)}")
    if wanted:
        folded = [name.strip().casefold() for name in names]
        missing = [name for name in wanted if name.strip().casefold() not in folded]
        if missing:
            remedy = f"{missing[0]!r} is not among its channels: {', '.join(names) or 'none'}."
            raise DataError(path, "unknown channel", f"{remedy} Check --config.dataset.channels.{modality}.")
        return [folded.index(name.strip().casefold()) for name in wanted]
    if modality == "ecg":
        return _pick_ecg(names, units)
    matching = [i for i, name in enumerate(names) if _NAMES[modality].search(name.casefold())]
    return matching if modality == "acc" else matching[:1]


def common_unit(names: Sequence[str], units: Sequence[str], rates: Sequence[float], path: object) -> str:
    """The normal unit of channels that are to be one signal.

    Raises:
      DataError: they differ in unit or rate.
    """
    first = normal_unit(units[0])[0]
    for name, unit, rate in zip(names, units, rates, strict=True):
        if normal_unit(unit)[0] != first or rate != rates[0]:
            remedy = f"{name} has another rate or unit than {names[0]}; choose one of them."
            raise DataError(path, "channels do not go together", remedy)
    return first


def was_guessed(modality: str, name: str, wanted: Sequence[str]) -> bool:
    """Whether an ECG was picked, and not asked for, though its name does not say that it is one."""
    return modality == "ecg" and not wanted and not _is_lead(name)


def _pick_ecg(names: Sequence[str], units: Sequence[str]) -> list[int]:
    leads = list(ecg_leads(names, units))
    bare = {_bare(names[i]): i for i in reversed(leads)}  # reversed: the first of equal names stays
    for name in _PREFERRED_LEADS:
        if name in bare:
            return [bare[name]]
    if leads:
        return leads[:1]
    known = [any(pattern.search(name.casefold()) for pattern in _NAMES.values()) for name in names]
    other = re.compile(r"\b(eeg|eog|marker|mark|trigger|status|hr|abp|art|cvp|pap|icp|nbp)", re.IGNORECASE)
    volts = [normal_unit(unit)[0] == "mV" for unit in units]
    return [i for i, name in enumerate(names) if volts[i] and not known[i] and not other.search(name)][:1]


def _bare(name: str) -> str:
    # "ECG Lead II" -> "ii", "ECG ECG" -> "ecg"
    words = [word for word in re.split(r"[\s_:]+", name.strip().casefold()) if word not in ("lead", "ecg", "ekg")]
    return " ".join(words) or "ecg"


def _is_lead(name: str) -> bool:
    if _NAMES["ecg"].search(name.casefold()):
        return True
    return bool(_LEAD.fullmatch(_bare(name)))


def _could_be_voltage(unit: str) -> bool:
    return normal_unit(unit)[0] in ("mV", "unknown", "NU", "adu")
