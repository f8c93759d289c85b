import zipfile
from pathlib import Path

import numpy as np
import scipy.io

from tests.fixtures import Corpus, Expected, cells, wave

DURATION_S = 3.0


def channel(kind: str, values, rate_hz: float = 1.0, unit: str = "events", spelled: str = "chantype", **more) -> dict:
    header = {spelled: kind, "sr": rate_hz, "units": unit}
    return {"header": header, "data": np.asarray(values, np.float64), **more}


def waves(seed: int) -> dict[str, np.ndarray]:
    lengths = {"ecg": 600, "scr": 301, "resp": 298}  # 200 and 100 Hz; up to 3 samples more or less
    return {kind: wave(num, 800, seed + i)[:, None] / 100 for i, (kind, num) in enumerate(lengths.items())}


def channels(seed: int) -> list[dict]:
    """As two programs write them: an old name for a field and a type, capitals, a row, events, an empty channel."""
    own = waves(seed)
    marks = {"name": cells(["sound"]), "value": np.ones((7, 1))}  # seven for two events
    return [
        channel("trigger", [[0.5], [2.25]], spelled="channeltype", markerinfo=marks),
        channel("SCR", own["scr"].T, 100.0, "uS"),
        channel("ecg", np.zeros((0, 0)), 200.0, "mV"),
        channel("ECG", own["ecg"], 200.0, "uV", spelled="channeltype"),
        channel("hb", [[1.5]]),
        channel("resp", own["resp"], 100.0, "unknown"),
    ]


def write_file(path: Path, own: list[dict], infos: dict | None = None, packed: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    infos = {"duration": DURATION_S, "sourcetype": "spike", "importdate": "06-Nov-2021"} if infos is None else infos
    values = {"infos": infos, "data": cells(own, (-1, 1))}
    scipy.io.savemat(path, values, do_compression=packed)


def expected(subject: str, seed: int) -> Expected:
    own = waves(seed)
    values = {"ecg": (own["ecg"] / 1000, 200.0, "mV", ("ecg",)), "eda": (own["scr"], 100.0, "uS", ("scr",))}
    return Expected(subject, values | {"resp": (own["resp"], 100.0, "unknown", ("resp",))})


def write(folder: Path) -> Corpus:
    """Person 1 in a folder, with what a person did beside it; person 2, in two sessions, in a zip."""
    write_file(folder / "Data" / "PsPM-FR_spike_01.mat", channels(1))
    scipy.io.savemat(folder / "Data" / "PsPM-FR_cogent_01.mat", {"subject": {"data": np.ones((2, 2))}})
    (folder / "README.txt").write_text("PsPM-FR dataset\n")
    found = {"PsPM-FR_spike_01": expected("1", 1)}
    hidden = folder / ".packing"
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", "PsPM-FR dataset\n")
        for session in (1, 2):
            name = f"PsPM-FR_spike_02_sn{session}"
            write_file(hidden / f"{name}.mat", channels(10 * session), packed=False)
            archive.write(hidden / f"{name}.mat", f"Data/{name}.mat")
            (hidden / f"{name}.mat").unlink()
            found[name] = expected("2", 10 * session)
    hidden.rmdir()
    return Corpus({"root": str(folder), "name": "pspm_fr"}, found, "Data/PsPM-FR_spike_01.mat")
