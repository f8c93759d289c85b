"""Reads the text files of a RespiBAN chest belt, as OpenSignals writes them: eight raw channels at one rate.

    # OpenSignals Text File Format
    # {"00:07:80:...": {"sensor": ["ECG", "EDA", "EMG", "TEMP", "XYZ", "XYZ", "XYZ", "RESPIRATION"],
    #   "column": ["nSeq", "DI", "CH1", ...], "sampling rate": 700, "date": "2017-5-22", "time": "9:39:8.0", ...}}
    # EndOfHeader
    0<tab>0<tab>32154<tab>...

nSeq, a number a sample (WESAD's readme and Plux's support pages, neither of which lets it wrap), tells lost samples;
where it does not count upwards, an event says so and every line is taken for the next sample.
The order of the channels is the header's. Conversions are those of WESAD's readme, for a supply of 3 V and 16 bits.
"""

import csv
import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ecgjax.datasets import base_files, base_rates
from ecgjax.errors import DataError
from ecgjax.signals.recording import Signal

_VOLTS, _STEPS = 3.0, 1 << 16
_MAX_BYTES = 1 << 29  # the largest known has 0.3 GB, and takes 0.5; ours
_MOST = 1e15  # a number of a line above it is none, as is NaN; ours
_MAX_HEADER = 100, 1 << 16  # lines, and bytes in each
_REFETCH = "Fetch it again."


def _voltage(raw: np.ndarray) -> np.ndarray:
    return (raw / _STEPS - 0.5) * _VOLTS


def _celsius(raw: np.ndarray) -> np.ndarray:
    """Of a thermistor in a divider with 10 kOhm, by the Steinhart-Hart equation."""
    volts = raw * _VOLTS / (_STEPS - 1)
    log_ohm = np.log(1e4 * volts / (_VOLTS - volts))
    return 1 / (1.12764514e-3 + 2.34282709e-4 * log_ohm + 8.77303013e-8 * log_ohm**3) - 273.15


_Convert = Callable[[np.ndarray], np.ndarray]
_KINDS: dict[str, tuple[tuple[str, ...], str, _Convert]] = {  # names of the sensor, unit, conversion
    "ecg": (("ECG",), "mV", _voltage),
    "eda": (("EDA",), "uS", lambda raw: raw / _STEPS * _VOLTS / 0.12),
    "emg": (("EMG",), "mV", _voltage),
    "temp": (("TEMP",), "degC", _celsius),
    "resp": (("RESP", "RESPIRATION"), "%", lambda raw: (raw / _STEPS - 0.5) * 100),
    "acc": (("XYZ", "X", "Y", "Z"), "g", lambda raw: (raw - 28000) / 10000 * 2 - 1),
}
MODALITIES = tuple(_KINDS)


def read(path: Path, modalities: Collection[str], name: str) -> tuple[dict[str, Signal], str, list[str]]:
    """Signals by modality, the start in the local time of the place, as ISO 8601 or "", and events.

    Args:
      path: the file.
      modalities: those to read; one that the header does not name is an event, such as "wesad_no_emg".
      name: of the data set, for events.

    Raises:
      DataError: the file is missing, too large or truncated, or its header or table cannot be read.
    """
    base_files.check_size(path, _MAX_BYTES)
    lines, ends_whole = _lines(path)
    said = _header(path, lines)
    sensors, rate_hz = said["sensor"], said.get("sampling rate")
    if not isinstance(rate_hz, int | float) or not 0 < rate_hz < 1e6:
        raise DataError(path, "wrong rate", 'Its header must have a "sampling rate" in Hz.')
    raw_TC, told = _table(path, len(lines), 2 + len(sensors), ends_whole)
    signals, events = {}, [f"{name}_{event}" for event in told]
    if (raw_TC < 0).any() or (raw_TC >= _STEPS).any():
        raw_TC[(raw_TC < 0) | (raw_TC >= _STEPS)] = np.nan
        events.append(f"{name}_raw_value_outside_16_bits")
    for modality in modalities:
        names, unit, convert = _KINDS[modality]
        columns = sorted((i for i, sensor in enumerate(sensors) if sensor in names), key=sensors.__getitem__)
        channels = ("x", "y", "z") if modality == "acc" else (modality.upper(),)
        if len(columns) != len(channels):
            events.append(f"{name}_no_{modality}")
            continue
        with np.errstate(divide="ignore"):  # a thermistor that is off, at 0 K, as it is in the pickles
            samples_TC = convert(raw_TC[:, columns].astype(np.float64)).astype(np.float32)
        signals[modality] = Signal(samples_TC, float(rate_hz), unit, channels)
    if not signals:
        raise DataError(path, "no signal", f"Its header names none of {', '.join(modalities)}.")
    return signals, base_rates.local_time(said.get("date"), said.get("time")), events


def _lines(path: Path) -> tuple[list[str], bool]:
    """The lines of the header, and whether the file ends with a whole line."""
    most, length = _MAX_HEADER
    with path.open("rb") as file:
        lines = []
        while len(lines) < most and (line := file.readline(length)).startswith(b"#"):
            lines.append(line.decode("utf-8", "replace"))
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return lines, file.read(1) == b"\n"


def _header(path: Path, lines: Iterable[str]) -> dict[str, Any]:
    """What the header says of the first device that has sensors."""
    for line in lines:
        try:
            devices = json.loads(line.lstrip("# "))
        except (ValueError, RecursionError):
            continue
        for device in devices.values() if isinstance(devices, dict) else ():
            sensors = device.get("sensor") if isinstance(device, dict) else None
            if isinstance(sensors, list) and sensors and all(isinstance(sensor, str) for sensor in sensors):
                return {**device, "sensor": [sensor.strip().upper() for sensor in sensors]}
    raise DataError(path, "unreadable header", "It must name its sensors in lines that begin with #, as OpenSignals.")


def _table(path: Path, skipped: int, columns: int, ends_whole: bool) -> tuple[np.ndarray, list[str]]:
    """(raw values of the channels, what is odd about them); after nSeq and the digital port come as many as sensors."""
    import pandas as pd

    types = {0: np.float64} | dict.fromkeys(range(2, columns), np.float32)
    how = {"sep": "\t", "header": None, "skiprows": skipped, "quoting": csv.QUOTE_NONE, "encoding": "latin-1"}
    try:
        with np.errstate(over="ignore"):  # of 1e300 as float32
            table = pd.read_csv(path, usecols=list(types), dtype=types, **how)
    except pd.errors.EmptyDataError as error:
        raise DataError(path, "no samples", "The file ends with its header; leave it out.") from error
    except (ValueError, OverflowError, MemoryError) as error:
        reason = "unreadable table" if ends_whole else "truncated"
        told = str(error).strip().splitlines()
        raise DataError(path, reason, f"{told[0][:100] if told else 'no numbers'}. {_REFETCH}") from error
    if not ends_whole:  # within a number, perhaps
        raise DataError(path, "truncated", f"It ends within a line. {_REFETCH}")
    number_T, raw_TC = table.pop(0).to_numpy(), table.to_numpy()
    lacks_T = np.isnan(raw_TC).any(axis=1) | ~(np.abs(number_T) < _MOST)
    if lacks_T.any():
        raise DataError(path, "unreadable table", f"Line {skipped + lacks_T.argmax() + 1} lacks a number. {_REFETCH}")
    return _with_gaps(path, number_T, raw_TC)


def _with_gaps(path: Path, number_T: np.ndarray, raw_TC: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Rows where their numbers say, NaN between them, and an event a gap."""
    steps = np.diff(number_T)
    if ((steps < 1) | (steps % 1 != 0)).any():
        return raw_TC, ["numbers_not_in_order"]
    gaps = int(np.count_nonzero(steps > 1))
    if not gaps:
        return raw_TC, []
    if (span := number_T[-1] - number_T[0] + 1) > 2 * len(number_T):  # ours; it also bounds the memory
        remedy = f"Its numbers span {span:.6g} samples, of which it has {len(number_T)}. {_REFETCH}"
        raise DataError(path, "most samples are missing", remedy)
    whole_TC = np.full((int(span), raw_TC.shape[1]), np.nan, np.float32)
    whole_TC[(number_T - number_T[0]).astype(np.int64)] = raw_TC
    return whole_TC, ["gap"] * gaps
