"""WESAD's questionnaires: what people said of each condition, and when it was."""

import collections
from pathlib import Path

import pytest

from ecgjax.datasets import base_wesad_quest, wesad
from tests.corpora.wesad import (
    ANXIETY,
    AROUSAL,
    END,
    STAI,
    START,
    VALENCE,
    panas,
    quest,
    write_person,
)
from tests.test_datasets_wesad import CONDITIONS, intervals, load

ASKED = [(0.5, 2.5), (3.0, 4.0), (4.5, 5.5), (5.75, 6.75), (7.25, 8.25)]  # base, stress, meditation, fun, meditation
POSITIVE = "active interested inspired strong excited proud enthusiastic alert determined attentive".split()
ITEMS = (
    "active distressed interested inspired annoyed strong guilty scared hostile excited proud irritable enthusiastic "
    "ashamed alert nervous determined attentive jittery afraid"
).split()


@pytest.fixture
def folder(tmp_path) -> Path:
    write_person(tmp_path / "S2", "S2", 1)
    return tmp_path


def test_what_people_said_holds_over_their_condition(folder):
    recording = load(folder)
    assert intervals(recording, "valence") == [(*span, float(v)) for span, v in zip(ASKED, VALENCE, strict=True)]
    assert intervals(recording, "arousal") == [(*span, float(v)) for span, v in zip(ASKED, AROUSAL, strict=True)]
    assert intervals(recording, "anxiety") == [(*span, float(v)) for span, v in zip(ASKED, ANXIETY, strict=True)]
    for name, wanted in (("positive_affect", True), ("negative_affect", False)):
        sums = [
            sum(number for number, item in zip(panas(row), ITEMS, strict=False) if (item in POSITIVE) is wanted)
            for row in range(5)
        ]
        assert intervals(recording, name) == [(*span, float(v)) for span, v in zip(ASKED, sums, strict=True)]
    specs = wesad.Config().make().label_specs
    assert {(s.low, s.high, s.rater) for n, s in specs.items() if n != "condition"} == {
        (1, 9, "self"), (6, 24, "self"), (10, 50, "self"),
    }  # fmt: skip


def read_quest(tmp_path, text: str, stretches=tuple(CONDITIONS)):
    (tmp_path / "q.csv").write_text(text)
    labels, events = base_wesad_quest.read(tmp_path / "q.csv", [(a, b, int(c)) for a, b, c in stretches])
    return labels, collections.Counter(events)


@pytest.mark.parametrize(
    ("start", "end", "event"),
    [
        ("7.08", "7.30", ""),
        ("7", "7.22", ""),
        ("7.8", "7.30", ""),  # 7:08: there is no 7:80
        ("7.1", "7.32", "time_of_two_meanings"),  # 7:10 fits, 7:01 does not
        ("7.1", "7.23", "time_of_two_meanings"),  # 7:01 fits
        ("7.1", "7.45", "time_of_two_meanings time_differs"),
        ("7.08", "7.33", "time_differs"),
        ("7.08", "7.27", "time_differs"),
        ("7.08", "7.61", "without_time"),
        ("7.08", "", "without_time"),
        ("7,08", "7.30", "without_time"),
        ("7.080", "7.30", "without_time"),
        ("-7.08", "7.30", "without_time"),
    ],
)
def test_times_are_minutes_and_seconds_whose_zeros_may_be_lost(tmp_path, start, end, event):
    _, events = read_quest(tmp_path, quest("S2", (start, *START[1:]), (end, "40.16", "70.40", *END[3:])))
    assert events == {f"wesad_quest_{said}": 1 for said in event.split()}


def test_other_orders_and_readings(tmp_path):
    """Fun before stress, as half of the people had it; readings stand among the conditions."""
    swapped = [(a, b, {2: 3, 3: 2}.get(c, c)) for a, b, c in CONDITIONS]
    order = ("bRead", "Base", "fRead", "Fun", "Medi 1", "TSST", "Medi 2")
    start, end = ("5.00", "7.08", "9.00", *START[1:5]), ("6.00", "7.30", "9.10", "40.16", "70.40", *END[3:5])
    labels, events = read_quest(tmp_path, quest("S2", start, end, order), swapped)
    assert [(x.start_s, x.stop_s, x.value) for x in labels if x.name == "arousal"] == [
        (*span, float(v)) for span, v in zip(ASKED, AROUSAL, strict=True)
    ]
    assert not events


def test_what_cannot_be_told_apart_is_left_out(tmp_path):
    one = [c for c in CONDITIONS if c != (7.25, 8.25, 4.0)]
    labels, events = read_quest(tmp_path, quest("S2"), one)
    assert events["wesad_quest_without_stretch"] == 2, "of two meditations one stretch: whose is it?"
    assert [(x.start_s, x.value) for x in labels if x.name == "valence"] == [(0.5, 6.0), (3.0, 2.0), (5.75, 8.0)]
    labels, events = read_quest(tmp_path, quest("S2"), [*CONDITIONS, (9.0, 10.0, 1.0)])
    assert events["wesad_quest_without_stretch"] == 1 and len([x for x in labels if x.name == "valence"]) == 4


def test_questionnaires_that_are_incomplete(tmp_path):
    text = quest("S2")
    stai = ";".join(map(str, STAI[1]))
    for bad in (stai.replace("4", "5"), stai.replace("4", ""), stai.replace("2", "x"), "1;4", stai.replace("3", "²")):
        labels, events = read_quest(tmp_path, text.replace(stai, bad))
        assert events["wesad_quest_without_answer"] == 1
        assert len([x for x in labels if x.name == "anxiety"]) == 4 and len(labels) == 24
    labels, events = read_quest(tmp_path, text.replace("# DIM;6;2", "# DIM;6;0"))
    assert events["wesad_quest_without_answer"] == 1 and [x.name for x in labels].count("valence") == 5
    labels, events = read_quest(tmp_path, text.replace("# DIM;6;2", "# DUM;6;2"))
    assert events["wesad_quest_other_number_of_dim"] == 1 and {x.name for x in labels} == {
        "anxiety", "positive_affect", "negative_affect",
    }  # fmt: skip
    _, events = read_quest(tmp_path, text.replace("fRead", "gRead"))
    assert events["wesad_quest_of_unknown_condition"] == 1
    for nothing in ("", "\0\xff;;;\n" * 9, text.replace("# ORDER", "# OTHER")):
        assert read_quest(tmp_path, nothing) == ([], {"wesad_quest_unreadable": 1})
    assert base_wesad_quest.read(tmp_path / "gone.csv", []) == ([], ["wesad_no_quest"])
