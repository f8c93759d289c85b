from pathlib import Path

from tests.fixtures import Corpus, Expected


def write(folder: Path) -> Corpus:
    """Generated, so only what is fixed can be expected here; tests/test_synthetic.py looks inside."""
    found = {f"s{person:03d}/t{trial:02d}": Expected(f"s{person:03d}", {}) for person in (0, 1) for trial in (0, 1, 2)}
    return Corpus({"num_subjects": 2, "trials_per_subject": 3, "trial_s": 8.0}, found)
