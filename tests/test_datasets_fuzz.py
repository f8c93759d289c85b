"""Damaged data sets: whatever a file holds, a recording is sound, dropped and counted, or refused in a line.

What is not allowed, and how one damage is repeated, tests/fuzzing.py tells.
"""

import random

import pytest

from tests import fuzz_cases, mutations


def clean(result) -> bool:
    print(result.stdout[-8000:], result.stderr[-4000:])  # pytest shows it where this fails
    return result.returncode == 0 and result.stdout.splitlines()[-1] == "0 not allowed"


def test_every_damage_changes_a_file_that_is_read():
    files = {"1.txt": b"1 2\n3 4\n", "2.txt": b"\0" * 9, "3.txt": b"\0" * 9, "readme": b"a", "none": b""}
    for seed in range(300):
        changes, told = mutations.mutate(files, ("1.txt", "2.txt", "3.txt"), random.Random(seed))
        assert any(files.get(name) != data for name, data in changes.items()), told
        assert mutations.change(b"1 2\n", random.Random(seed))[0] != b"1 2\n", told
        assert told.startswith(("1.txt", "2.txt", "3.txt", ": its files removed")), told


def test_every_fixture_survives_a_little_damage(run_module):
    assert clean(run_module("tests.fuzzing", "all", 0, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz_cases.CASES)
def test_every_fixture_survives_500_times_damage(run_module, name):
    assert clean(run_module("tests.fuzzing", name, 0, 500, timeout_s=3600))


def test_whatever_is_not_allowed_is_told(run_module):
    assert run_module("tests.faulty").returncode == 0
