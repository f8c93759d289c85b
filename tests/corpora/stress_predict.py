from pathlib import Path

from tests.fixtures import Corpus, Expected, write_e4


def write(folder: Path) -> Corpus:
    """S01 is not in the table of labels; tasks are 6 s long, every 6 s, from 15 s."""
    found, rows = {}, ["Participant,HR,respr,Time(sec),Label"]
    for number, kinds in enumerate(("EDA BVP TEMP", "EDA BVP TEMP ACC", "EDA BVP TEMP", "ACC"), start=1):
        key, start = f"S{number:02d}", 1644226000 + 90000 * number
        tags = [start + 15 + 6 * i for i in range(7)]
        place = folder / "Raw_data" / key
        found[key] = Expected(key, write_e4(place, start, 57.5, number, kinds, tags, f"tags_{key}.csv"))
        labelled = range(9, 57) if number > 1 else ()
        rows += [f"{number},,12.1,{start + i},{int(15 <= i < 51 and (i - 15) // 6 % 2 == 0)}" for i in labelled]
    (folder / "Processed_data").mkdir()
    (folder / "Processed_data" / "Improved_All_Combined_hr_rsp_binary.csv").write_text("\n".join(rows) + "\n")
    return Corpus({"root": str(folder)}, found, "Raw_data/S04/ACC.csv")
