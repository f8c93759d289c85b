"""The picture of a sweep: a score over the values of a field."""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecgjax.evaluation import svg
from ecgjax.evaluation.sweeps import Result, Score, columns, short_names
from ecgjax.evaluation.tables import TITLES

_LONGEST = 34  # letters of a value


def figure(results: Sequence[Result]) -> str:
    """The first score over the first field, a series each setting of the others, beside the baselines.

    Numbers lie on an axis; texts are rows, without what all of them begin with.
    """
    column, first = columns(results)[0], next(iter(results[0].cell.settings))
    model = next(iter(results[0].scores))
    labels = _shortened(list(dict.fromkeys(result.cell.settings[first] for result in results)))
    numbers, names = _as_numbers(labels), short_names(results[0].cell.settings)
    series: dict[str, dict[str, Score]] = {}
    for result in results:
        others = ", ".join(f"{names[f]}={v}" for f, v in result.cell.settings.items() if f != first)
        series.setdefault(others, {})[labels[result.cell.settings[first]]] = result.scores[model][column]
    with svg.style():
        if numbers:
            picture, axes = svg.new(6.0, 3.2)
            _draw_over_numbers(axes, series, numbers)
            _draw_baselines(axes, results, column)
            axes.set_xlabel(_swept_in(list(labels)) or first)
            axes.set_ylabel(TITLES.get(column, column))
        else:
            texts = list(labels.values())
            baselines = _baseline_means(results, column)
            picture, axes = svg.new(6.0, 0.8 + 0.3 * (len(texts) + len(baselines)))
            _draw_rows(axes, series, texts, baselines)
            axes.set_xlabel(TITLES.get(column, column))
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=8)
        return svg.render(picture, "sweep")


def _shortened(values: Sequence[str]) -> dict[str, str]:
    """What to write for each: without the folders and names all of them begin with, and of bounded length."""
    shared = os.path.commonprefix(values) if len(values) > 1 else ""
    cut = max(shared.rfind(mark) for mark in "/=") + 1
    short = [value[cut:] if len(value) - cut <= _LONGEST else value[cut : cut + _LONGEST - 1] + "…" for value in values]
    return dict(zip(values, short if len(set(short)) == len(values) else values, strict=True))


def _swept_in(values: Sequence[str]) -> str:
    """The field that was swept where the values are cells of another sweep: of "runs/snr/snr_db=2", "snr_db"."""
    fields = {value.rstrip("/").rpartition("/")[2].rpartition("=")[0] for value in values}
    return fields.pop() if len(fields) == 1 else ""


def _styles() -> Iterable[tuple[str, str]]:
    return itertools.cycle(itertools.product(("-", "--", ":"), (svg.MODEL, svg.WARM, svg.OTHER, svg.INK)))


def _draw_over_numbers(axes: Any, series: Mapping[str, Mapping[str, Score]], numbers: Mapping[str, float]) -> None:
    for (name, points), (dash, colour) in zip(series.items(), _styles(), strict=False):
        texts = sorted(points, key=numbers.__getitem__)
        x, scores = [numbers[text] for text in texts], [points[text] for text in texts]
        axes.plot(x, [s.value for s in scores], marker="o", color=colour, linestyle=dash, label=name, markersize=5)
        axes.vlines(x, [s.low for s in scores], [s.high for s in scores], color=colour, alpha=0.35, linewidth=2)
    ticks = sorted(numbers.values())
    if ticks[0] > 0 and ticks[-1] / ticks[0] >= 10:
        axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks], minor=False)
    axes.minorticks_off()


def _draw_rows(
    axes: Any, series: Mapping[str, Mapping[str, Score]], texts: Sequence[str], baselines: Sequence[tuple[float, str]]
) -> None:
    """A row each text, from above, and below them one each baseline, faint."""
    for number, ((name, points), (_, colour)) in enumerate(zip(series.items(), _styles(), strict=False)):
        aside = 0.16 * (number - (len(series) - 1) / 2)  # so that intervals of one row do not hide each other
        y, scores = [texts.index(text) + aside for text in points], list(points.values())
        axes.plot([s.value for s in scores], y, marker="o", color=colour, linestyle="", label=name, markersize=5)
        axes.hlines(y, [s.low for s in scores], [s.high for s in scores], color=colour, alpha=0.35, linewidth=2)
    for row, (value, _) in enumerate(baselines, len(texts)):
        axes.plot([value], [row], marker="D", color=svg.FAINT, markersize=4)
    axes.set_yticks(range(len(texts) + len(baselines)), [*texts, *(name for _, name in baselines)])
    axes.set_ylim(len(texts) + len(baselines) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.25)


def _baseline_means(results: Sequence[Result], column: str) -> list[tuple[float, str]]:
    """(mean over the cells, name) of each baseline."""
    means = []
    for name in list(results[0].scores)[1:]:
        values = [result.scores[name][column].value for result in results if name in result.scores]
        means.append((sum(values) / len(values), name))
    return means


def _draw_baselines(axes: Any, results: Sequence[Result], column: str) -> None:
    """A faint line at each baseline's mean over the cells; lines too near for two names share one."""
    means = _baseline_means(results, column)
    for value, _ in means:
        axes.axhline(value, color=svg.FAINT, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    low, high = axes.get_ylim()
    told: list[tuple[float, str]] = []
    for value, name in sorted(means):
        near = told and value - told[-1][0] < 0.06 * (high - low)
        told = [*told[:-1], (told[-1][0], f"{told[-1][1]}; {name}")] if near else [*told, (value, name)]
    for value, names in told:
        axes.annotate(
            names, (1, value), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            color=svg.FAINT, fontsize=7.5, va="center",
        )  # fmt: skip


def _as_numbers(labels: Mapping[str, str]) -> dict[str, float]:
    try:
        return {text: float(text) for text in labels.values()}
    except ValueError:
        return {}
