from pathlib import Path

from tests.fixtures import Corpus, EdfChannel, Expected, wave, write_edf


def write(folder: Path) -> Corpus:
    found = {}
    quality = {"Subject00": 0, "Subject07": 1}
    for subject, good in quality.items():
        for session, num_records in (("1", 5), ("2", 3)):
            ecg = EdfChannel("ECG ECG", wave(500 * num_records, 8000, good).reshape(num_records, 500))
            write_edf(folder / "ecg_only" / f"{subject}_{session}_ecg.edf", [ecg])
            values = {"ecg": (ecg.values()[:, None], 500.0, "mV", ("ECG ECG",))}
            labels = {"condition": float(session == "2"), "counter": float(good)}
            found[f"{subject}_{session}"] = Expected(subject, values, labels)
    header = "Subject,Age,Gender,Recording year,Number of subtractions,Count quality"
    rows = [f"{subject},20,F,2011,9.7,{good}" for subject, good in quality.items()]
    (folder / "subject-info.csv").write_text("\n".join([header, *rows]) + "\n")
    return Corpus({"root": str(folder)}, found, "ecg_only/Subject00_2_ecg.edf")
