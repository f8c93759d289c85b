from pathlib import Path

from tests.fixtures import Corpus, Expected, WfdbSignal, wave, write_wfdb

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", *(f"V{i}" for i in range(1, 7)))
COLUMNS = "ecg_id,patient_id,age,sex,nurse,recording_date,report,scp_codes,strat_fold,filename_lr,filename_hr"
CODES = {  # as Python writes a dict, with likelihoods
    1: "{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}",
    2: "{'IMI': 0.0, 'NDT': 100.0}",  # of two superclasses, one with likelihood 0: not stated
    21837: "{'SR': 0.0}",  # a rhythm and no diagnosis
}
STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NDT,non-diagnostic T abnormalities,1.0,1.0,,STTC,STTC
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
SR,sinus rhythm,,,1.0,,
LVOLT,low QRS voltages,,1.0,,,
"""


def write(folder: Path) -> Corpus:
    """The first two are of one person. Reports hold commas, quotes and line ends."""
    found, rows = {}, [COLUMNS]
    place = folder / "ptb-xl" / "1.0.3"
    for seed, (ecg_id, codes) in enumerate(CODES.items()):
        files = {}
        for rate, short in ((100, "lr"), (500, "hr")):
            digital = [wave(rate, seed=100 * seed + i + rate) for i in range(len(LEADS))]
            signals = [
                WfdbSignal(name, values, gain="1000.0(0)/mV") for name, values in zip(LEADS, digital, strict=True)
            ]
            files[short] = f"records{rate}/{ecg_id // 1000 * 1000:05d}/{ecg_id:05d}_{short}"
            write_wfdb((place / files[short]).parent, f"{ecg_id:05d}_{short}", signals, str(rate))
        ecg = (digital[1] / 1000)[:, None]
        labels = {"superclass": 0.0, "norm": 1.0, "mi": 0.0} if ecg_id == 1 else {}
        labels = {"mi": 1.0, "sttc": 1.0, "norm": 0.0} if ecg_id == 2 else labels
        patient = "15709" if seed < 2 else "17014"
        rows.append(
            f'{ecg_id},{patient}.0,56.0,1,2.0,1984-11-09 09:17:34,"sinusrhythmus, ""normal""\nEKG","{codes}",3,'
            f"{files['lr']},{files['hr']}"
        )
        found[f"{ecg_id:05d}"] = Expected(patient, {"ecg": (ecg, 500.0, "mV", ("II",))}, labels)
    (place / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    (place / "scp_statements.csv").write_text(STATEMENTS)
    return Corpus({"root": str(folder)}, found, f"ptb-xl/1.0.3/{files['hr']}.dat")
