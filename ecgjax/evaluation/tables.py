"""The table everyone asks for: the model beside its baselines, each score with its interval."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ecgjax.evaluation import metrics
from ecgjax.evaluation.predictions import Predictions

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "macro_f1": "macro F1",
    "harmonic_f1": "harmonic F1",
    "auroc": "AUROC",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
}
COLUMNS = ("auroc", "balanced_accuracy", "macro_f1", "accuracy")  # what fits a terminal


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      name: the model, or a baseline.
      scores: over all windows, averaged over seeds.
      intervals: 95 % interval of each score, from a bootstrap of whole subjects.
      folds: mean and spread of each score over folds (and seeds).
      gains: (first row - this row, low, high) of each score, on the same draws of subjects; NaN where the subjects
        differ.
      undefined: share of the draws that lack a class, which intervals of AUROC, balanced accuracy and F1 leave out.
    """

    name: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    folds: dict[str, metrics.Spread]
    gains: dict[str, tuple[float, float, float]]
    undefined: float


def compare(
    predictions: dict[str, Predictions], num_resamples: int = metrics.RESAMPLES, seed: int = 0
) -> tuple[Row, ...]:
    """One row a prediction; the first is the one that the others are measured against."""
    first = next(iter(predictions.values()))
    first_scores, first_draws = metrics.pooled(first), metrics.bootstrap(first, num_resamples, seed)
    rows = []
    for name, each in predictions.items():
        scores, draws = metrics.pooled(each), metrics.bootstrap(each, num_resamples, seed)
        subjects, folds = np.unique(each.subject_N), metrics.per_fold(each)
        gains = dict.fromkeys(metrics.SCORES, (np.nan,) * 3)
        if np.array_equal(subjects, np.unique(first.subject_N)):
            for score in metrics.SCORES:
                gain = first_scores[score] - scores[score]
                gains[score] = gain, *metrics.interval(gain, first_draws[score] - draws[score], len(subjects))
        rows.append(
            Row(
                name=name,
                scores=scores,
                intervals={s: metrics.interval(scores[s], draws[s], len(subjects), s) for s in metrics.SCORES},
                folds={s: metrics.spread(folds[s]) for s in metrics.SCORES},
                gains=gains,
                undefined=float(np.isnan(draws["balanced_accuracy"]).mean()),
            )
        )
    return tuple(rows)


def number(value: float, digits: int = 3) -> str:
    """A score as it is printed; a dash where it is not defined."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _cells(rows: Sequence[Row], columns: Sequence[str]) -> list[list[str]]:
    head = ["", *(f"{TITLES[column]} [95 % CI]" for column in columns), "AUROC a fold"]
    body = []
    for row in rows:
        cells = []
        for column in columns:
            low, high = row.intervals[column]
            cells.append(f"{number(row.scores[column])} [{number(low)}, {number(high)}]")
        fold = row.folds["auroc"]
        body.append([row.name, *cells, f"{number(fold.mean)} ± {number(fold.sd)}"])
    return [head, *body]


def format_table(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    """Aligned columns for a terminal."""
    return aligned(_cells(rows, columns))


def markdown_table(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    """The same table for a Markdown file."""
    return markdown(_cells(rows, columns))


def aligned(cells: Sequence[Sequence[str]], num_texts: int = 1) -> str:
    """Lines of text, the first of them the head; the columns after the first `num_texts` are set to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(w) if i < num_texts else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown(cells: Sequence[Sequence[str]], num_texts: int = 1) -> str:
    """The same lines for a Markdown file."""
    head, *body = cells
    rule = ["---"] * num_texts + ["---:"] * (len(head) - num_texts)
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in (head, rule, *body)]
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped)
