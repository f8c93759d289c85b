"""What tests/fuzzing.py damages: the fixture of every data set, and other ways to read or to write it."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

from ecgjax.datasets import amigos_original, case, npz, swell, wesad, wfdb
from ecgjax.datasets.base_chest_wrist import Device
from tests import fixtures, readers


def _parquet(folder: Path) -> None:
    import pandas

    for file in list(folder.glob("*.csv")):
        pandas.read_csv(file).to_parquet(file.with_suffix(".parquet"))
        file.unlink()


def _bdf(folder: Path) -> None:
    shutil.rmtree(folder / "sub")
    ecg = fixtures.EdfChannel("ECG", fixtures.wave(600).reshape(6, 100))
    for name, kind, bits in (("c.bdf", "24BIT", 24), ("d.bdf", "BDF+C", 24), ("e.edf", "EDF+D", 16)):
        onsets_s = (0, 1, 2, 7, 8, 9) if kind == "EDF+D" else ()
        fixtures.write_edf(folder / name, [ecg], kind, onsets_s=onsets_s, bits=bits)


def _formats(folder: Path) -> None:
    shutil.rmtree(folder / "p1")
    for fmt in ("8", "24", "32", "61", "80", "160", "212"):
        one = fixtures.WfdbSignal("ECG", fixtures.wave(400, 60), fmt, skew=3 * (fmt != "8"))
        fixtures.write_wfdb(folder, f"f{fmt}", [one], "250")
    for part in ("s1", "s2"):
        fixtures.write_wfdb(folder, part, [fixtures.WfdbSignal("ECG", fixtures.wave(300))], "250")
    fixtures.write_wfdb_segments(folder, "long", [("s1", 300), ("~", 50), ("s2", 300)], 1, "250")


@dataclasses.dataclass(frozen=True)
class Case:
    """A fixture, and another way to read it (`fields` of the Config) or to write it (`alter`)."""

    corpus: str
    fields: dict[str, object] = dataclasses.field(default_factory=dict)
    alter: Callable[[Path], None] = lambda folder: None


CASES = {name: Case(name) for name in readers.CORPORA if name != "synthetic"} | {
    "amigos_original/presentation": Case("amigos_original", {"order": amigos_original.Order.PRESENTATION}),
    "case/non-interpolated": Case("case", {"release": case.Release.NON_INTERPOLATED}),
    "case/raw": Case("case", {"release": case.Release.RAW}),
    "csv/parquet": Case("csv", {}, _parquet),
    "edf/bdf": Case("edf", {}, _bdf),
    "npz/apart": Case("npz", {"windows": npz.Windows.APART}),
    "ppg_dalia/chest": Case("ppg_dalia", {"device": Device.CHEST}),
    "ptbxl/100": Case("ptbxl", {"rate_hz": 100.0}),
    "swell/block_number": Case("swell", {"conditions": swell.Conditions.BLOCK_NUMBER}),
    "wesad/belt": Case("wesad", {"source": wesad.Source.RAW}),
    "wesad/wrist": Case("wesad", {"device": Device.WRIST}),
    "wesad/band": Case("wesad", {"device": Device.WRIST, "source": wesad.Source.RAW}),
    "wfdb/formats": Case("wfdb", {"leads": wfdb.Leads.ALL, "subject": ""}, _formats),
}
