from pathlib import Path

from tests.fixtures import Corpus, Expected, write_e4, write_zip


def write(folder: Path) -> Corpus:
    scratch = folder.parent / "unpacked"
    found = {"p1/a": Expected("p1", write_e4(folder / "p1" / "a", 1644226061, 12.5, end="\r\n"))}
    for seed, key in enumerate(("p1/b.zip", "p2/1644226061_A0123B.ZIP"), start=1):
        found[key] = Expected(key[:2], write_e4(scratch / str(seed), 1644300000 + seed, 11.0, seed))
        (folder / key).parent.mkdir(exist_ok=True)
        write_zip(folder / key, scratch / str(seed), inside=("", "SX_E4_Data/")[seed - 1])
    return Corpus({"root": str(folder), "subject": r"^(p\d)/"}, found, "p1/b.zip")
