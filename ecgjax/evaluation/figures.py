"""Figures of scores, each an inline SVG for the report."""

import os
from collections.abc import Sequence

import numpy as np

from ecgjax.evaluation import metrics, svg
from ecgjax.evaluation.predictions import Predictions
from ecgjax.evaluation.svg import FAINT, MODEL, OTHER
from ecgjax.evaluation.tables import TITLES, Row, number

_THIRD, _HALF, _WIDE = 3.1, 4.3, 8.8  # inches: a part of the page, which scales each to its own width


def forest(rows: Sequence[Row], score: str) -> str:
    """Each row's pooled score with its interval, and as a number at the right; chance is marked where there is one."""
    with svg.style():
        figure, axes = svg.new(_HALF, 0.75 + 0.42 * len(rows))
        low = np.nanmin([0.5, *(r.scores[score] for r in rows), *(r.intervals[score][0] for r in rows)])
        for y, row in enumerate(reversed(rows)):
            colour = MODEL if row is rows[0] else OTHER
            axes.plot(row.intervals[score], (y, y), color=colour, linewidth=2.2)
            axes.plot(row.scores[score], y, "o", color=colour, markersize=6.5)
            axes.annotate(
                number(row.scores[score]), (1, y), (4, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center",
            )  # fmt: skip
        if score in ("auroc", "balanced_accuracy"):
            axes.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
            chance = (0.5, len(rows) - 0.45)
            axes.annotate("chance", chance, (4, 0), textcoords="offset points", color=FAINT, fontsize=8, va="center")
        axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
        axes.set_ylim(-0.5, len(rows) - 0.3)
        axes.set_xlim(min(low - 0.03, 0.47), 1.02)
        axes.set_xticks([tick for tick in np.arange(0, 1.01, 0.1) if tick > low - 0.03])
        axes.set_xlabel(f"{TITLES[score]}, 95 % interval over subjects")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return svg.render(figure, "forest")


def subjects(model: Predictions, other: Predictions | None, other_name: str, score: str) -> str:
    """The model's score within each subject, lowest first, beside that of the best baseline."""
    found = metrics.per_subject(model)
    order = np.argsort(found[score], kind="stable")
    x, (mean, low, high) = np.arange(len(order)), metrics.mean_over_subjects(found[score])
    with svg.style():
        figure, axes = svg.new(_WIDE, 2.7)
        if other is not None:
            by_subject = metrics.per_subject(other)
            theirs = dict(zip(by_subject["subject"].tolist(), by_subject[score].tolist(), strict=True))
            values = np.array([theirs.get(subject, np.nan) for subject in found["subject"][order].tolist()])
            axes.vlines(x, values, found[score][order], color=OTHER, linewidth=0.8, alpha=0.5)
            axes.plot(x, values, "o", color=OTHER, markersize=4, markerfacecolor="none", label=other_name)
        axes.plot(x, found[score][order], "o", color=MODEL, markersize=5.5, label="model")
        axes.axhspan(low, high, color=MODEL, alpha=0.12, linewidth=0)
        axes.axhline(mean, color=MODEL, linewidth=0.9)
        axes.annotate(
            f"mean {number(mean, 2)}", (1, mean), (4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", color=MODEL, va="center",
        )  # fmt: skip
        axes.set_xlim(-0.7, len(x) - 0.3)
        axes.set_ylim(-0.03, 1.05)
        axes.set_ylabel(TITLES[score])
        names = _without_common_prefix(found["subject"][order].tolist())
        crowded = len(names) > 60
        axes.set_xticks([] if crowded else x, [] if crowded else names, rotation=90, fontsize=7.5)
        axes.set_xlabel(f"{len(names)} subjects, from the lowest score to the highest")
        if other is not None:
            axes.legend(loc="lower right", frameon=False, handletextpad=0.2, ncols=2, columnspacing=1)
        return svg.render(figure, "subjects")


def _without_common_prefix(names: Sequence[str]) -> list[str]:
    prefix = os.path.commonprefix(names)
    cut = prefix.rfind("/") + 1  # "<data set>/<person>"
    return [name[cut:] for name in names]


def roc(predictions: dict[str, Predictions], rows: Sequence[Row]) -> str:
    """ROC of the model and its baselines; of each class against the rest where there are more than two."""
    model = next(iter(predictions.values()))
    dashes = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)))
    curves = []
    if len(model.classes) == 2:
        for row, each in zip(rows, predictions.values(), strict=True):
            if each is model or _tells_windows_apart(each):
                label = f"{row.name}  {number(row.scores['auroc'], 2)}"
                curves.append((label, metrics.roc_curve(each), row is rows[0]))
    else:
        curves = [(name, metrics.roc_curve(model, k), k == 0) for k, name in enumerate(model.classes)]
    with svg.style():
        figure, axes = svg.new(_THIRD, 3.0 + 0.17 * len(curves))
        axes.plot((0, 1), (0, 1), color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
        for i, (label, (false, true), bold) in enumerate(curves):
            colour = MODEL if bold or len(model.classes) > 2 else OTHER
            axes.plot(
                false, true, color=colour, linewidth=2 if bold else 1, linestyle=dashes[i % len(dashes)], label=label,
                zorder=3 if bold else 2,
            )  # fmt: skip
        # Below the axes: within them it would cover a curve, on either side of the diagonal.
        figure.legend(loc="outside lower center", frameon=False, fontsize=8, handlelength=2.4, labelspacing=0.3)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        return svg.render(figure, "roc")


def _tells_windows_apart(each: Predictions) -> bool:
    """False for a class prior: the curve of one number a fold would only show the folds."""
    return any(np.ptp(each.probability_NC[each.fold_N == fold, 1]) > 0 for fold in np.unique(each.fold_N))


def confusion(model: Predictions) -> str:
    """Windows by true and predicted class; shade and percentage are of the true class."""
    count_CC = metrics.confusion(model)
    share_CC = count_CC / np.maximum(count_CC.sum(1, keepdims=True), 1)
    return matrix(share_CC, model.classes, "confusion", "predicted", "true", count_CC)


def matrix(
    share_CC: np.ndarray, classes: Sequence[str], name: str, across: str, down: str, count_CC: np.ndarray | None = None
) -> str:
    """A square of shares; with counts below them where there is room."""
    num = len(classes)
    with svg.style():
        figure, axes = svg.new(*((_THIRD, 2.9) if num < 7 else (_HALF, 4.1)))
        for (i, j), share in np.ndenumerate(share_CC):
            box = {"color": MODEL, "alpha": 0.06 + 0.5 * share, "linewidth": 0}
            axes.fill_between((j - 0.48, j + 0.48), i - 0.48, i + 0.48, **box)
            axes.text(j, i, f"{100 * share:.0f} %", ha="center", va="center", fontsize=12 if num < 4 else 8)
            if num < 4 and count_CC is not None:
                axes.text(j, i + 0.24, f"{count_CC[i, j]:,}", ha="center", va="center", fontsize=8, alpha=0.75)
        axes.set(xlabel=across, ylabel=down, aspect="equal", ylim=(num - 0.5, -0.5), xlim=(-0.5, num - 0.5))
        slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if num > 2 else {}
        axes.set_xticks(range(num), classes, **slant)
        axes.set_yticks(range(num), classes, **({} if num > 2 else {"rotation": 90, "va": "center"}))
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg.render(figure, name)


def calibration(model: Predictions) -> str:
    """What the model said against what came; the area of a dot is its share of windows."""
    curve = metrics.calibration_curve(model)
    binary = len(model.classes) == 2
    with svg.style():
        figure, axes = svg.new(_THIRD, 2.9)
        axes.plot((0, 1), (0, 1), color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.plot(curve["said"], curve["came"], color=MODEL, linewidth=1.2, alpha=0.6)
        area = 10 + 250 * curve["count"] / curve["count"].sum()
        axes.scatter(curve["said"], curve["came"], s=area, color=MODEL, linewidths=0)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set_xlabel(f"P({model.classes[1]}) as predicted" if binary else "probability of the predicted class")
        axes.set_ylabel("observed share" if binary else "share predicted right")
        return svg.render(figure, "calibration")
