"""The contract of a task: what is asked of the encoder, on the device, as pure functions.

A task is one file in this folder: a frozen dataclass or plain object made by its `Config.make()`. The step calls, in
this order: `view` (distort the batch), the encoder, the head, `loss`. Evaluation calls `predict` on the outputs too.
"""

from typing import Any, Protocol

import jax
from flax import linen as nn

Batch = dict[str, Any]  # signals: {modality: (B, T, C)}, label: (B,), weight: (B,) 1 or 0 for padding, window: (B,)
# name -> (sum, count), so that batches and hosts add up; a ratio whose count is 0 is undefined. A name "accuracy/noise"
# is a part of "accuracy": logged, but not drawn.
Metrics = dict[str, tuple[jax.Array, jax.Array]]


class Task(Protocol):
    """Hashable (it is a static argument of the compiled step); holds no arrays.

    Attributes:
      monitor: the metric that picks the best checkpoint.
      monitor_mode: "min" or "max".
      num_classes: of the labels it learns from; 0 where labels play no part.
      reads_pooled: its view is the window as it is and its head reads the pooled vector alone, so that those of a
        frozen encoder may be computed once; `signals` then holds nothing else.
    """

    monitor: str
    monitor_mode: str
    num_classes: int
    reads_pooled: bool

    def head(self) -> nn.Module:
        """A module called as `head(encoded, signals, train=...)`; its parameters live under the root `head`."""
        ...

    def view(self, key: jax.Array, batch: Batch) -> tuple[dict[str, jax.Array], Any]:
        """(signals for the encoder, targets for the loss). Random draws come from `key` alone.

        All their first axes are B, or M x B where the task makes M versions of a window: those of one window stand
        together, so that a batch dealt to several devices stays where it is.

        Raises:
          UserError: windows of these shapes do not suit the task; only shapes may decide it.
        """
        ...

    def loss(self, outputs: Any, targets: Any, weight_B: jax.Array) -> tuple[jax.Array, Metrics]:
        """Scalar loss over the real examples (weight 1) and metrics as (sum, count).

        `weight_B` is that of the windows, and of each one's versions.
        """
        ...

    def predict(self, outputs: Any, targets: Any) -> dict[str, jax.Array]:
        """What evaluation keeps of each window, first axis B: probabilities, reconstructions, ...

        Reports know "probability" (B, N) of the label's classes; "reconstruction", "target" and "mask"; and of tasks
        that inherit `base_versions.MakesVersions`, "version" and either "version_probability" or, of each modality,
        "version_probability/<modality>".
        """
        ...
