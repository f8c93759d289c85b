"""Being asked to stop: the loop saves at the next step boundary and raises `errors.Preempted`."""

import os
import signal
import threading
from types import FrameType

import jax
from jax.experimental import multihost_utils

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preemption:
    """While entered, the first SIGTERM or SIGINT sets a flag; a second one kills.

    With several processes they must stop at the same step, so there JAX's own agreement is asked instead: it listens
    for SIGTERM since `jax.distributed.initialize`.
    """

    def __init__(self) -> None:
        self._asked = False
        self._previous = {}

    def stop_at(self, step: int) -> bool:
        """Whether to save and stop after `step`. Call at every step, on all processes."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked

    def __enter__(self) -> "Preemption":
        main = threading.current_thread() is threading.main_thread()  # elsewhere Python allows no handlers
        if main and jax.process_count() == 1:
            self._previous = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        # os.write, because print is not safe inside a signal handler.
        os.write(2, f"\n{signal.Signals(number).name}: saving after this step, then stopping.\n".encode())
