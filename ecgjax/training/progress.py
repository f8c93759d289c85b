"""What a run says to who watches it: a bar or lines, with the time left."""

import dataclasses
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import jax
from tqdm import tqdm

_PLAIN_EVERY_S = 10.0  # between lines where there is no terminal to draw a bar on


@dataclasses.dataclass(frozen=True)
class Part:
    """What a run is of a whole, for its progress line.

    Attributes:
      name: such as "fold 2 of 5".
      to_follow: how many like it come after it.
      each_s: how long one takes; NaN where none has ended, then this run stands for them.
    """

    name: str = ""
    to_follow: int = 0
    each_s: float = math.nan

    def whole_left_s(self, passed_s: float, left_s: float) -> float:
        """What is left of the whole, when this run has taken `passed_s` and has `left_s` to go."""
        each_s = passed_s + left_s if math.isnan(self.each_s) else self.each_s
        return left_s + self.to_follow * each_s


ALONE = Part()


def tell(text: str) -> None:
    """A line of progress, for work that has no bar of its own."""
    if jax.process_index() == 0:
        print(text, file=sys.stderr, flush=True)


class Line:
    """A bar on a terminal, else a plain line every ten seconds."""

    def __init__(self, stream: TextIO, start_step: int, total_steps: int, name: str) -> None:
        self._stream, self._total_steps, self._shown = stream, total_steps, -math.inf
        self._name = f"{name}, " if name else ""
        bar = "{n_fmt}/{total_fmt} |{bar:20}| {desc}"
        self._bar = None
        if stream.isatty():
            self._bar = tqdm(
                total=total_steps, initial=start_step, file=stream, bar_format=bar, dynamic_ncols=True, leave=True,
                desc=f"{self._name}compiling",
            )  # fmt: skip
        elif start_step < total_steps:
            print(f"{self._name}{total_steps - start_step} steps to do, compiling", file=stream, flush=True)

    def advance(self) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def show(self, step: int, metrics: Mapping[str, Any], clock: Mapping[str, float]) -> None:
        text = _describe(metrics, clock)
        now = time.monotonic()
        if self._bar is not None:
            self._bar.set_description_str(self._name + text)
        elif now - self._shown >= _PLAIN_EVERY_S or step >= self._total_steps:
            self._shown = now
            self.note(f"step {step}/{self._total_steps} ({step / self._total_steps:.0%}): {text}")

    def note(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(self._name + text, file=self._stream)
        else:
            print(self._name + text, file=self._stream, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _describe(metrics: Mapping[str, Any], clock: Mapping[str, float]) -> str:
    waits = clock["waits_for_data"]
    whole = f" (about {_duration(clock['whole_left_s'])} in all)" if clock["whole_left_s"] > clock["left_s"] else ""
    return ", ".join(
        [
            f"loss {short(metrics['loss'])}" if "loss" in metrics else "no loss",
            f"{short(clock['windows_per_s'])} windows/s",
            f"{short(clock['signal_hours_per_s'])} h of signal/s",
            f"{_duration(clock['left_s'])} left" + whole,
            f"waits {waits:.0%} for data, {1 - waits:.0%} for compute",
        ]
    )


def short(value: Any) -> str:
    return f"{float(value):.4g}"


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
