"""Asked to stop: the first signal sets a flag, the second kills, and the handlers are put back."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from ecgjax.errors import Preempted
from ecgjax.training.preemption import Preemption

LOOP = """
import time
from ecgjax.training.preemption import Preemption
with Preemption() as preemption:
    print("in", flush=True)
    while not preemption.stop_at(0):
        time.sleep(0.01)
    print("asked", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_the_handlers_come_back(number, capfd):
    def mine(*_):
        raise AssertionError("the signal went to the handler from before")

    before = signal.signal(number, mine)
    try:
        with Preemption() as preemption:
            assert not preemption.stop_at(1)
            os.kill(os.getpid(), number)
            assert preemption.stop_at(1) and preemption.stop_at(2)
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)
    assert f"{signal.Signals(number).name}: saving" in capfd.readouterr().err


def test_a_second_signal_kills():
    with subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == -signal.SIGINT


def test_outside_the_main_thread_nothing_is_installed():
    def enter():
        with Preemption() as preemption:
            handlers.append(signal.getsignal(signal.SIGTERM))
            flags.append(preemption.stop_at(1))

    handlers, flags = [], []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)] and flags == [False]


def test_the_exit_code_asks_schedulers_to_try_again():
    assert Preempted.exit_code == os.EX_TEMPFAIL
