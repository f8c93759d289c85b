"""The processes that tests start do not outlive them."""

import fcntl
import sys
import time

import pytest

from tests import processes

CHILD = """
import fcntl, sys, time
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(60)
"""
PARENT = f"""
import sys, time
from tests import processes
child = processes.start("-c", {CHILD!r}, sys.argv[1])
print(child.stdout.readline(), flush=True)
time.sleep(60)
"""


def can_lock(path):
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_what_a_killed_process_started_ends_with_it(tmp_path):
    """A lock tells: the system drops it when its holder dies, whoever is to bury it."""
    lock = tmp_path / "lock"
    parent = processes.start("-c", PARENT, lock)
    try:
        assert parent.stdout.readline() == "held\n"
        assert not can_lock(lock)
    finally:
        parent.kill()
        parent.communicate()
    until = time.monotonic() + 20
    while not can_lock(lock):
        assert time.monotonic() < until, "the child lives on"
        time.sleep(0.01)
