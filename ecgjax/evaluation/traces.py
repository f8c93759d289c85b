"""Figures of signals and of training: learning curves, reconstructions, attention, and predictions over a recording."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ecgjax.data.staging import whole_file
from ecgjax.evaluation import svg
from ecgjax.evaluation.svg import FAINT, INK, MODEL, OTHER, WARM
from ecgjax.evaluation.tables import TITLES
from ecgjax.signals.spans import runs

_WIDE = 8.8  # inches; the page scales it to its own width
_CLASS_COLOURS = ("#0b62c4", "#c2571a", "#1d7f4e", "#8442a8", "#8a6d00", "#b3286b", "#3f8f9b", "#555555")


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """K windows, which of their samples were hidden, and what the model put there. `note`: whose windows, and model."""

    signal_KT: Float[np.ndarray, "K T"]
    masked_KT: Bool[np.ndarray, "K T"]
    reconstruction_KT: Float[np.ndarray, "K T"]
    rate_hz: float
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Attention:
    """K windows, and the attention that their CLS token pays to the L tokens (each row sums to about 1).

    `titles` says what each window is, for instance its class and the model's guess.
    """

    signal_KT: Float[np.ndarray, "K T"]
    weight_KHL: Float[np.ndarray, "K H L"]
    rate_hz: float
    titles: tuple[str, ...] = ()


def learning_curves(rows: Sequence[dict]) -> str:
    """One panel a metric, with training and validation in it, one thin line a fold.

    Rows hold "step" and numbers named "train/loss", "validation/accuracy", ...; "fold" may tell runs apart. Other
    names, the learning rate, and parts of a metric ("accuracy/noise") are not drawn. Returns "" where no metric has two
    points.
    """
    drawn = series(rows)
    names = sorted({metric for _, metric, _ in drawn}, key=lambda n: (n != "loss", n))[:6]
    if not names:
        return ""
    num_columns = min(len(names), 3)
    num_rows = -(-len(names) // num_columns)
    many = len({fold for *_, fold in drawn}) > 1
    with svg.style():
        figure, axes = svg.new(_WIDE, 2.4 * num_rows, nrows=num_rows, ncols=num_columns, squeeze=False)
        for (split, metric, _), (step, value) in drawn.items():
            if metric in names:
                colour, width = (OTHER, 0.9) if split == "train" else (MODEL, 1.1 if many else 1.8)
                panel = axes.flat[names.index(metric)]
                panel.plot(step, value, color=colour, linewidth=width, alpha=0.75 if many else 1)
        for panel, name in zip(axes.flat, names, strict=False):
            panel.set(title=TITLES.get(name, name.replace("_", " ")), xlabel="step")
            panel.xaxis.get_major_locator().set_params(integer=True)
        for panel in axes.flat[len(names) :]:
            panel.set_axis_off()
        return svg.render(figure, "curves")


def series(rows: Sequence[dict]) -> dict[tuple, tuple[list, list]]:
    """{(split, metric, fold): (steps, values)} of the metrics that can be drawn as a line."""
    found: dict[tuple, tuple[list, list]] = {}
    for row in rows:
        for name, value in row.items():
            split, _, metric = name.partition("/")
            if split in ("train", "validation") and metric != "learning_rate" and "/" not in metric:
                steps, values = found.setdefault((split, metric, row.get("fold", 0)), ([], []))
                steps.append(row["step"])
                values.append(value)
    drawn = {key: points for key, points in found.items() if np.isfinite(points[1]).sum() > 1}
    return dict(sorted(drawn.items()))  # validation after training, so on top of it


def reconstructions(shown: Reconstruction) -> str:
    """Signals with the hidden spans shaded, and the model's reconstruction inside them."""
    num, length = shown.signal_KT.shape
    time_s = np.arange(length) / shown.rate_hz
    with svg.style():
        figure, axes = svg.new(_WIDE, 0.5 + 1.35 * num, nrows=num, sharex=True, squeeze=False)
        for k, panel in enumerate(axes[:, 0]):
            hidden_T = shown.masked_KT[k]
            for start, stop in runs(hidden_T):
                panel.axvspan(start / shown.rate_hz, stop / shown.rate_hz, color=WARM, alpha=0.16, linewidth=0)
            panel.plot(time_s, shown.signal_KT[k], color=INK, linewidth=0.9, alpha=0.75)
            panel.plot(time_s, np.where(hidden_T, shown.reconstruction_KT[k], np.nan), color=MODEL, linewidth=1.8)
            panel.margins(x=0)
            panel.set_yticks([])
            panel.spines["left"].set_visible(False)
            if k < num - 1:
                panel.spines["bottom"].set_visible(False)
                panel.tick_params(axis="x", length=0)
        axes[-1, 0].set_xlabel("seconds")
        return svg.render(figure, "reconstruction")


@dataclasses.dataclass(frozen=True)
class Sharing:
    """What the tokens of each modality see of the others.

    Attributes:
      names: of the modalities.
      share_MM: [from, to], the mean share of attention; rows sum to 1.
      even_M: what it would be if every token saw all alike.
    """

    names: tuple[str, ...]
    share_MM: np.ndarray
    even_M: np.ndarray


def share(weight_KHLL: np.ndarray, names: Sequence[str], tokens: Sequence[int]) -> Sharing:
    """The mean over K windows, H heads, and the tokens of a modality, which stand side by side, `tokens` of each."""
    ends = np.cumsum(tokens)
    to_KHLM = np.add.reduceat(weight_KHLL, ends - tokens, axis=-1)
    share_MM = np.array([part.mean((0, 1, 2)) for part in np.split(to_KHLM, ends[:-1], axis=2)])
    return Sharing(tuple(names), share_MM, np.asarray(tokens) / ends[-1])


def attention(shown: Attention) -> str:
    """Signals, and below each where its CLS token looks: the mean over heads, filled; single heads as thin lines."""
    num, length = shown.signal_KT.shape
    num_tokens = shown.weight_KHL.shape[2]
    time_s = np.arange(length) / shown.rate_hz
    token_s = token_times_s(num_tokens, length, shown.rate_hz)
    with svg.style():
        figure, axes = svg.new(
            _WIDE, 0.5 + 1.9 * num, nrows=2 * num, sharex=True, squeeze=False, height_ratios=(1.5, 0.8) * num
        )
        for k in range(num):
            trace, look = axes[2 * k, 0], axes[2 * k + 1, 0]
            trace.plot(time_s, shown.signal_KT[k], color=INK, linewidth=0.9, alpha=0.85)
            trace.set_title(shown.titles[k] if shown.titles else "")
            weight_HL = shown.weight_KHL[k] * num_tokens  # 1 where attention is even
            look.fill_between(token_s, weight_HL.mean(0), color=MODEL, alpha=0.35, linewidth=0)
            look.plot(token_s, weight_HL.T, color=MODEL, linewidth=0.6, alpha=0.5)
            look.axhline(1, color=FAINT, linewidth=0.6, linestyle=(0, (2, 3)))
            look.set_ylim(0, max(1.5, 1.05 * weight_HL.max()))
            for panel in (trace, look):
                panel.margins(x=0)
                panel.set_yticks([])
                panel.spines["left"].set_visible(False)
                panel.tick_params(axis="x", length=0)
            trace.spines["bottom"].set_visible(False)
        axes[-1, 0].set_xlabel("seconds")
        axes[-1, 0].tick_params(axis="x", length=3)
        return svg.render(figure, "attention")


def token_times_s(num_tokens: int, length: int, rate_hz: float) -> Float[np.ndarray, " L"]:
    """Where the tokens of a window of `length` samples stand: each on the sample its filters are centred on."""
    return np.arange(num_tokens) * (length / num_tokens / rate_hz)


def trace_png(
    path: str | os.PathLike,
    signal_T: Float[np.ndarray, " T"],
    rate_hz: float,
    start_s_N: Float[np.ndarray, " N"],
    window_s: float,
    probability_NC: Float[np.ndarray, "N C"],
    classes: Sequence[str],
    *,
    signal_start_s: float = 0.0,
    unit: str = "",
    title: str = "",
) -> None:
    """Writes a PNG of a recording with the class probabilities of its windows below, whole or not at all.

    Two classes show as the probability of the second, more as one line a class. A signal of any length is drawn as
    the envelope of at most a few thousand columns. The line breaks where no window was predicted.
    """
    import matplotlib
    from matplotlib.figure import Figure

    start_s_N = np.asarray(start_s_N, np.float64)
    end_s = signal_start_s + len(signal_T) / rate_hz
    scale, axis_unit = next(((s, u) for s, u in ((3600, "hours"), (60, "minutes")) if end_s > 2 * s), (1, "seconds"))
    plain = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(plain):
        figure = Figure(figsize=(11, 4), layout="constrained", facecolor="white")
        trace, chance = figure.subplots(2, sharex=True, height_ratios=(1.4, 1))
        _draw_signal(trace, np.asarray(signal_T, np.float64), rate_hz, signal_start_s, scale)
        trace.set(title=title, ylabel=unit, xlim=(signal_start_s / scale, end_s / scale))
        gaps = _uncovered(start_s_N, window_s, signal_start_s, end_s)
        for left_s, right_s in gaps:
            for panel in (trace, chance):
                panel.axvspan(left_s / scale, right_s / scale, color="#000000", alpha=0.07, linewidth=0)
        for k in (1,) if len(classes) == 2 else range(len(classes)):
            x, y = _broken((start_s_N + window_s / 2) / scale, probability_NC[:, k])
            colour = _CLASS_COLOURS[(k - (len(classes) == 2)) % len(_CLASS_COLOURS)]
            marker = {"marker": "o", "markersize": 3} if len(y) < 200 else {}
            chance.plot(x, y, color=colour, linewidth=1.4, label=classes[k], **marker)
        chance.axhline(1 / len(classes), color="#999999", linewidth=0.7, linestyle=(0, (2, 3)))
        chance.set(ylim=(-0.03, 1.03), yticks=(0, 0.5, 1), title="probability")
        chance.set(xlabel=axis_unit + "; grey: not predicted" * bool(gaps))
        if len(classes) == 2:
            chance.set_title(f"probability of {classes[1]}")
        else:
            chance.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        with whole_file(path, "wb") as file:
            figure.savefig(file, format="png", dpi=150)


def _draw_signal(axes: Any, signal_T: np.ndarray, rate_hz: float, start_s: float, scale: float) -> None:
    time_s, low, high = _envelope(signal_T, rate_hz)
    if low is high:
        axes.plot((start_s + time_s) / scale, low, color="#333333", linewidth=0.7)
    else:
        axes.fill_between((start_s + time_s) / scale, low, high, color="#777777", linewidth=0.2)


def _uncovered(start_s_N: np.ndarray, window_s: float, from_s: float, to_s: float) -> list[tuple[float, float]]:
    """Stretches of [from_s, to_s) that no window covers; up to a second is not worth showing."""
    starts = np.append(np.sort(start_s_N), to_s)
    ends = np.append(from_s, np.sort(start_s_N) + window_s)
    return [(a, b) for a, b in zip(ends.tolist(), starts.tolist(), strict=True) if b - a > 1.0]


def _envelope(signal_T: np.ndarray, rate_hz: float, columns: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(time_s, low, high) in at most about twice `columns` points; low is high where nothing had to be joined."""
    step = len(signal_T) // columns
    if step < 2:
        return np.arange(len(signal_T)) / rate_hz, signal_T, signal_T
    starts = np.arange(0, len(signal_T), step)
    return starts / rate_hz, np.fmin.reduceat(signal_T, starts), np.fmax.reduceat(signal_T, starts)


def _broken(x_N: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points with a NaN wherever the next one is further away than usual, so that a line breaks there."""
    gap_N = np.diff(x_N)
    breaks = np.flatnonzero(gap_N > 1.5 * np.median(gap_N)) + 1 if len(gap_N) else np.array([], int)
    return np.insert(x_N, breaks, np.nan), np.insert(y_N.astype(np.float64), breaks, np.nan)
