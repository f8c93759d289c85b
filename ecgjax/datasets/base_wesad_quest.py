"""Reads `SX_quest.csv` of WESAD: the order of the conditions, and what a person said of each.

    # ORDER;Base;TSST;Medi 1;Fun;Medi 2;sRead;fRead;;
    # START;7.08;39.55;70.19;81.25;93.38;54.42;89.51;;
    # END;26.32;50.3;77.1;87.47;100.15;56.07;91.15;;

and then, a row a condition in that order, `# PANAS` (26 numbers from 1 to 5, of which two may be missing), `# STAI` (6,
1 to 4), `# DIM` (valence and arousal, 1 to 9), and one row `# SSSQ`, which is not read. Readings (bRead, fRead, sRead)
are followed by no questions.

Whose stretch a row belongs to is told by the order alone. The times are minutes.seconds that lost their final zeros:
50.3 is 50:30, or 50:03 where somebody wrote it so. They count from the start of the RespiBAN, which is before that of
the pickle, so they only check how long a stretch is: 10 s shorter at either end than they say [unverified: so it is in
two public sources' figures of S2].
"""

import collections
import re
from collections.abc import Sequence
from pathlib import Path

from ecgjax.signals.recording import Label, LabelSpec

_CONDITIONS = {"base": 1, "tsst": 2, "fun": 3, "medi 1": 4, "medi 2": 4}  # their ids in the pickle
_READINGS = ("bread", "fread", "sread")
_SCALES = {"DIM": (1, 9), "STAI": (1, 4), "PANAS": (1, 5)}
# Row, its numbers from 0, and those that count backwards. The order of STAI and PANAS is that of two public loaders.
_SCORES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "valence": ("DIM", (0,), ()),
    "arousal": ("DIM", (1,), ()),
    "anxiety": ("STAI", (1, 2, 4), (0, 3, 5)),  # nervous, jittery, worried; at ease, relaxed, pleasant
    "positive_affect": ("PANAS", (0, 2, 3, 5, 9, 10, 12, 14, 16, 17), ()),
    "negative_affect": ("PANAS", (1, 4, 6, 7, 8, 11, 13, 15, 18, 19), ()),
}
_SHORTER_S, _NEAR_S = 20.0, 2.0  # the latter ours
_MAX_BYTES = 1 << 16


def _spec(row: str, forwards: tuple[int, ...], backwards: tuple[int, ...]) -> LabelSpec:
    low, high = (end * (len(forwards) + len(backwards)) for end in _SCALES[row])
    return LabelSpec(low=low, high=high, rater="self")


LABEL_SPECS = {name: _spec(*score) for name, score in _SCORES.items()}


def read(path: Path, stretches: Sequence[tuple[float, float, int]]) -> tuple[list[Label], list[str]]:
    """What was said of each condition, over its stretch; and events.

    Args:
      path: the file; one that is not there is an event.
      stretches: (start_s, stop_s, id) of the conditions, in order of time.
    """
    if not path.is_file():
        return [], ["wesad_no_quest"]
    rows: dict[str, list[list[str]]] = collections.defaultdict(list)
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8-sig", "replace")
    for line in text.splitlines():
        tag, *cells = (cell.strip() for cell in line.split(";"))
        rows[tag.lstrip("# ").upper()].append(cells)
    order = [name.casefold() for name in rows["ORDER"][0]] if rows["ORDER"] else []
    columns = [column for column, name in enumerate(order) if name in _CONDITIONS]
    events = ["wesad_quest_unreadable"] * (not columns)
    events += ["wesad_quest_of_unknown_condition"] * len(set(order) - {*_CONDITIONS, *_READINGS, ""})
    for tag in _SCALES:
        if columns and len(rows[tag]) != len(columns):
            events.append(f"wesad_quest_other_number_of_{tag.lower()}")
            rows[tag] = []
    labels = []
    for number, column in enumerate(columns):
        stretch = _stretch([order[c] for c in columns], number, stretches)
        if stretch is None:
            events.append("wesad_quest_without_stretch")
            continue
        times = [row[0][column] if row and column < len(row[0]) else "" for row in (rows["START"], rows["END"])]
        events += _check_times(*times, stretch[1] - stretch[0])
        answers = {tag: rows[tag][number] for tag in _SCALES if rows[tag]}
        scores = {name: _score(answers[tag], tag, *which) for name, (tag, *which) in _SCORES.items() if tag in answers}
        labels += [Label(name, *stretch[:2], score) for name, score in scores.items() if score is not None]
        events += ["wesad_quest_without_answer"] * list(scores.values()).count(None)
    return labels, events


def _stretch(
    names: Sequence[str], number: int, stretches: Sequence[tuple[float, float, int]]
) -> tuple[float, float, int] | None:
    """The stretch of one of the conditions asked about; None unless there are as many of its id as conditions."""
    ids = [_CONDITIONS[name] for name in names]
    same = [stretch for stretch in stretches if stretch[2] == ids[number]]
    return same[ids[:number].count(ids[number])] if len(same) == ids.count(ids[number]) else None


def _score(cells: Sequence[str], row: str, forwards: tuple[int, ...], backwards: tuple[int, ...]) -> float | None:
    low, high = _SCALES[row]
    if max(*forwards, *backwards, 0) >= len(cells):
        return None
    given = [cells[i] for i in (*forwards, *backwards)]
    if not all(re.fullmatch("[0-9]", cell) and low <= int(cell) <= high for cell in given):
        return None
    return float(sum(int(cells[i]) for i in forwards) + sum(low + high - int(cells[i]) for i in backwards))


def _check_times(start: str, stop: str, length_s: float) -> list[str]:
    """Whether what is told of a condition's times can be meant so."""
    told = _seconds(start), _seconds(stop)
    if not all(told):
        return ["wesad_quest_without_time"]
    lengths_s = [b - a - _SHORTER_S for a in told[0] for b in told[1]]
    events = ["wesad_quest_time_of_two_meanings"] * (len(lengths_s) > 1)
    fits = any(abs(told_s - length_s) <= _NEAR_S for told_s in lengths_s)
    return [*events, *["wesad_quest_time_differs"] * (not fits)]


def _seconds(text: str) -> tuple[int, ...]:
    """What "7.08" and "7.1" may mean: (428,), (430, 421)."""
    match = re.fullmatch(r"([0-9]{1,3})(?:\.([0-5]?[0-9]))?", text)
    if not match:
        return ()
    minutes, tail = int(match.group(1)), match.group(2) or "00"
    seconds = (int(tail),) if len(tail) == 2 else (10 * int(tail), int(tail))
    return tuple(dict.fromkeys(60 * minutes + s for s in seconds if s < 60))
