"""Labels that were given on another clock than the signals', or over more than these."""

import dataclasses
from collections.abc import Iterable, Mapping

from ecgjax.signals.recording import Label, Signal


def on_axis(
    labels: Iterable[Label], signals: Mapping[str, Signal], name: str, zero_s: float = 0.0
) -> tuple[tuple[Label, ...], list[str]]:
    """(labels on the axis of the signals, cut to where there are signals; an event where nothing of some is left).

    Args:
      labels: on a clock that shows `zero_s` when the recording begins.
      signals: those of the recording.
      name: of the data set, for the event, such as "case_labels_outside_recording".
    """
    stop_s = max(signal.start_s + signal.duration_s for signal in signals.values())
    cut = [
        dataclasses.replace(x, start_s=max(x.start_s - zero_s, 0.0), stop_s=min(x.stop_s - zero_s, stop_s))
        for x in labels
    ]
    kept = tuple(label for label in cut if label.start_s < label.stop_s)
    return kept, [f"{name}_labels_outside_recording"] * (len(kept) < len(cut))
