from pathlib import Path

import numpy as np

from tests.fixtures import Corpus, Expected, wave


def signal(num: int, seed: int) -> np.ndarray:
    return np.stack([wave(num, seed=seed + i) / 100 for i in range(4)], axis=1)


def write(folder: Path) -> Corpus:
    """Windows that overlap by all but two samples, with a break; a signal in one piece; windows in scenarios."""
    names = np.array(["EDA", "BVP", "TEMP", "other"])
    whole, after = signal(100, 0), signal(40, 10)
    segs = np.stack([part[i : i + 24] for part in (whole, after) for i in range(0, len(part) - 23, 2)])
    more = {"channel_names": names, "units": np.array(["uS", "", "degC", ""]), "fs": 4.0}
    (folder / "focus").mkdir()
    np.savez_compressed(folder / "focus" / "a.npz", segs=segs, subject="p1", scenario="focus", **more)
    joined = np.concatenate([whole, np.full((1, 4), np.nan), after])
    units = ("uS", "unknown", "degC")
    found = {"focus/a.npz": joined, "b.npz": signal(60, 20)}
    np.savez(folder / "b.npz", segs=np.asfortranarray(found["b.npz"], ">f4"), subject=np.array([7]), **more)
    expected = {
        key: Expected(
            {"focus/a.npz": "p1", "b.npz": "7"}[key],
            {m: (values[:, i : i + 1], 4.0, units[i], (names[i],)) for i, m in enumerate(("eda", "bvp", "temp"))},
        )
        for key, values in found.items()
    }
    return Corpus({"root": str(folder)}, expected, "b.npz")
