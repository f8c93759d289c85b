"""Damaged data sets: whatever a file holds, a recording is sound, dropped and counted, or refused in a line.

What is not allowed, and how one damage is repeated, tests/fuzzing.py tells.
"""

import pytest

from tests import fuzz_cases


def clean(result) -> bool:
    print(result.stdout[-8000:], result.stderr[-4000:])  # pytest shows it where this fails
    return result.returncode == 0 and result.stdout.splitlines()[-1] == "0 not allowed"


def test_every_fixture_survives_a_little_damage(run_module):
    assert clean(run_module("tests.fuzzing", "all", 0, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz_cases.CASES)
def test_every_fixture_survives_500_times_damage(run_module, name):
    assert clean(run_module("tests.fuzzing", name, 0, 500, timeout_s=3600))


def test_whatever_is_not_allowed_is_told(run_module):
    assert run_module("tests.faulty").returncode == 0
