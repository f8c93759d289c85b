"""Stores in memory for tests: people with known signals, spans and labels, without files."""

from pathlib import Path

import numpy as np

from ecgjax.data.store import Store


def memory_store(
    *,
    name: str = "toy",
    subjects: int = 4,
    recordings_each: int = 1,
    seconds: float = 60.0,
    rates_hz: dict[str, float] | None = None,
    spans: list[tuple[int, float, float]] | None = None,
    labels: dict[str, list[tuple[int, float, float, float]]] | None = None,
    classes: dict[str, tuple[str, ...]] | None = None,
    effect: float = 0.0,
    seed: int = 0,
) -> Store:
    """A store whose sample k of recording r holds r + k / 10,000 (so a window tells where it was cut), or, with
    `effect`, noise whose amplitude is raised by `effect` in every other interval of ten seconds.

    Args:
      spans: (recording, start_s, stop_s) of good signal; all of it where None.
      labels: by name, (recording, start_s, stop_s, value).
    """
    rates_hz = rates_hz or {"ecg": 16.0}
    count = subjects * recordings_each
    index = {
        "key": np.array([f"rec{r}" for r in range(count)]),
        "session": np.full(count, ""),
        "trial": np.full(count, ""),
        "start_time": np.full(count, ""),
        "subject": np.repeat(np.arange(subjects, dtype=np.int32), recordings_each),
    }
    spans = spans or [(r, 0.0, seconds) for r in range(count)]
    signals = {}
    for modality, rate_hz in rates_hz.items():
        length = round(seconds * rate_hz)
        signals[modality] = _signal(count, length, rate_hz, effect, seed)
        index[f"{modality}/offset"] = np.arange(count) * length
        index[f"{modality}/length"] = np.full(count, length)
        index[f"{modality}/start_s"] = np.zeros(count)
        index[f"{modality}/recorded_hz"] = np.full(count, rate_hz)
        index[f"{modality}/digest"] = np.array([f"{name}-{modality}-{r}" for r in range(count)])
        recording, start_s, stop_s = (np.array(c) for c in zip(*spans, strict=True))
        index[f"{modality}/span_recording"] = recording.astype(np.int32)
        index[f"{modality}/span_start_s"], index[f"{modality}/span_stop_s"] = start_s, stop_s
    rows = [(r, n, a, b, v) for n, (_, rows) in enumerate((labels or {}).items()) for r, a, b, v in rows]
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    for column, dtype, values in zip(
        ("recording", "name", "start_s", "stop_s", "value"),
        (np.int32, np.int32, np.float64, np.float64, np.float64),
        columns,
        strict=True,
    ):
        index[f"label/{column}"] = values.astype(dtype)
    index["source/recording"], index["source/file"] = np.arange(count, dtype=np.int32), index["key"] + ".dat"
    spec = {"low": 1.0, "high": 9.0, "rater": "self"}
    manifest = {
        "dataset": {"name": name, "config": {}},
        "preprocess": {m: {"resample_hz": rate} for m, rate in rates_hz.items()},
        "modalities": {
            m: {
                "rate_hz": rate,
                "unit": "mV",
                "channels": ["x"],
                "normalise": "SUBJECT",
                "samples": len(signals[m]),
                "hours": len(signals[m]) / rate / 3600,
            }
            for m, rate in rates_hz.items()
        },
        "subjects": [f"s{i:02d}" for i in range(subjects)],
        "labels": {n: {"classes": (classes or {}).get(n, ()), **spec} for n in labels or {}},
        "num_recordings": count,
        "dropped": {m: {} for m in rates_hz},
        "skipped_files": {},
        "events": {},
        "content_hash": f"{name}-{seed}-{effect}",
    }
    return Store(Path(name), manifest, signals, index)


def _signal(count: int, length: int, rate_hz: float, effect: float, seed: int) -> np.ndarray:
    if not effect:
        place = np.arange(count)[:, None] + np.arange(length)[None] / 10_000
        return place.astype(np.float32).reshape(-1, 1)
    noise = np.random.default_rng(seed).standard_normal((count, length))
    raised = (np.arange(length) / rate_hz // 10) % 2
    return (noise * (1 + effect * raised)).astype(np.float32).reshape(-1, 1)


def alternating_labels(recordings: int, seconds: float) -> list[tuple[int, float, float, float]]:
    """Class 0 and 1 in turn, ten seconds each: what `effect` follows."""
    return [(r, 10.0 * i, 10.0 * i + 10, float(i % 2)) for r in range(recordings) for i in range(int(seconds // 10))]
