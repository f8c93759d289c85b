"""SWELL-KW: conditions by the minute, by the workbook, and by nothing; channels; files that go on with each other."""

import collections
import datetime
import errno
import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import base_tables, swell
from ecgjax.datasets.swell import Conditions
from ecgjax.errors import DataError, UserError
from tests.corpora import swell as corpus
from tests.corpora.swell import minute_row, stored, write_minutes, write_poly5, write_workbook

RATINGS = [4, 6, 5, 2.5, 11.3, 3, 1, 8, 6, 7, 2, 40]
NAMES = ("valence", "arousal", "dominance", "stress", "mental_effort", "mental_demand", "physical_demand",
         "temporal_demand", "effort", "performance", "frustration")  # fmt: skip
TABLES = {"tab": f"{corpus.MINUTES}.tab", "xlsx": f"0_SWELL/{corpus.MINUTES.replace(' ', '_')}.xlsx"}


@pytest.fixture
def folder(tmp_path):
    """PP3's second block of 300 s, at a rate that keeps it small."""
    write_poly5(tmp_path / corpus.MOBI / "pp3_18-9-2012_c2.S00", stored(300 * 16, 3), rate=16)
    return tmp_path


def load(root, key="PP03/c2", **config):
    return swell.Config(root=str(root), **config).make().load(key)


def intervals(recording, name="condition"):
    return [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == name]


def counted(recording, prefix="swell"):
    return collections.Counter(event for event in recording.events if event.startswith(prefix))


def at(second: float) -> datetime.datetime:
    return corpus.START + timedelta(seconds=second)


def minutes(folder, text="RRNNN", first_s=0.0, table="tab", **other):
    """A row a minute, the first at `first_s` of the recording; relaxing has no ratings."""
    rows = [
        minute_row(3, 2, letter, at(first_s + 60 * i), RATINGS if letter != "R" else ())
        for i, letter in enumerate(text)
    ]
    write_minutes(folder / TABLES[table], rows)
    return rows


@pytest.mark.parametrize("table", list(TABLES))
def test_minutes_of_a_table_are_placed_by_the_clock(folder, table):
    minutes(folder, "RRNNN", table=table)
    recording = load(folder)
    assert intervals(recording) == [(0, 120, 3), (120, 300, 0)]
    assert recording.start_time == "2012-09-18T13:14:25" and recording.trial == "c2" and recording.subject == "PP03"
    for name, value in zip(NAMES, RATINGS, strict=False):
        assert intervals(recording, name) == [(120, 300, value)], name
    assert len(recording.labels) == 2 + len(NAMES) and recording.events == ()
    specs = swell.Config().make().label_specs
    ends = {name: (specs[name].low, specs[name].high) for name in NAMES}
    assert set(ends.values()) == {(1, 9), (0, 10), (0, 15)} and ends["mental_effort"] == (0, 15)
    assert [name for name in NAMES if ends[name] == (1, 9)] == ["valence", "arousal", "dominance"]
    assert swell.Config().make().label_specs["condition"].classes == (
        "neutral", "interruption", "time pressure", "relax",
    )  # fmt: skip


def test_a_folder_of_tables_that_cannot_be_searched_is_named(folder, tmp_path_factory, monkeypatch):
    tables, scandir = tmp_path_factory.mktemp("tables"), os.scandir

    def refuse(path):
        if Path(path) == tables:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=f"{tables}: cannot be listed"):
        load(folder, tables=str(tables))


def test_minutes_that_reach_over_the_ends_are_cut(folder):
    minutes(folder, "RTTTTTI", first_s=-35)
    recording = load(folder)
    assert intervals(recording) == [(0, 25, 3), (25, 300, 2)]
    assert counted(recording) == {"swell_minutes_outside_recording": 1}
    minutes(folder, "TT", first_s=61)
    assert intervals(load(folder)) == [(61, 181, 2)], "what is not in the table has no label"


@pytest.mark.parametrize(("first_s", "agree"), [(-121, True), (121, True), (181, False), (-181, False)])
def test_half_of_the_minutes_must_lie_in_the_recording(folder, first_s, agree):
    minutes(folder, "NNNNN" if first_s > 0 else "NNNN", first_s=first_s)
    assert counted(load(folder))["swell_clocks_disagree"] == (not agree)


def test_minutes_that_repeat_or_lack_their_neighbour(folder):
    rows = minutes(folder, "NN NN".replace(" ", "?"))
    write_minutes(folder / TABLES["tab"], [*reversed(rows), rows[1], minute_row(3, 2, "T", at(0))])
    recording = load(folder)
    assert intervals(recording) == [(0, 120, 0), (180, 300, 0)]
    assert counted(recording) == {"swell_minute_of_two_conditions": 1, "swell_unknown_condition": 1}


def test_minutes_that_begin_a_second_early_or_late(folder):
    rows = [minute_row(3, 2, letter, at(second)) for letter, second in zip("NNTT", (0, 59, 121, 180), strict=True)]
    write_minutes(folder / TABLES["tab"], rows)
    recording = load(folder)
    assert intervals(recording) == [(0, 119, 0), (121, 240, 2)] and counted(recording) == {}


def test_a_stamp_may_have_lost_its_last_zeros(folder):
    rows = minutes(folder, "NN", first_s=-25)  # 13:14:00
    for row in rows:
        row[1] = row[1].rstrip("0")
    assert rows[0][1] == "20120918T1314"
    write_minutes(folder / TABLES["tab"], rows)
    assert intervals(load(folder)) == [(0, 95, 0)]


@pytest.mark.parametrize("stamp", ["", "20121340T131600000", "yesterday"])
def test_without_stamps_the_label_is_the_whole_block_s(folder, stamp):
    rows = minutes(folder, "RRIII")
    for row in rows:
        row[1] = stamp
    write_minutes(folder / TABLES["tab"], rows)
    recording = load(folder)
    assert intervals(recording) == [(0, 300, 1)] and intervals(recording, "arousal") == [(0, 300, 6)]
    assert counted(recording) == {"swell_condition_of_whole_block": 1}


def test_clocks_that_disagree_are_told(folder):
    minutes(folder, "RRIII", first_s=3600)
    recording = load(folder)
    assert intervals(recording) == [(0, 300, 1)]
    assert counted(recording) == {"swell_clocks_disagree": 1, "swell_condition_of_whole_block": 1}
    write_poly5(folder / corpus.MOBI / "pp3_18-9-2012_c2.S00", stored(300 * 16, 3), rate=16, start=None)
    minutes(folder, "RRIII")
    recording = load(folder)
    assert intervals(recording) == [(0, 300, 1)] and recording.start_time == ""
    assert counted(recording) == {"swell_condition_of_whole_block": 1}


def test_a_block_of_several_conditions_has_none_as_a_whole(folder):
    minutes(folder, "RRIIT", first_s=3600)
    recording = load(folder)
    assert intervals(recording) == [] and counted(recording)["swell_block_of_several_conditions"] == 1
    assert counted(recording)["swell_without_condition"] == 1
    minutes(folder, "RRR", first_s=3600)
    assert intervals(load(folder)) == [(0, 300, 3)]


def overview(folder, sheets):
    write_workbook(folder / corpus.OVERVIEW, sheets)


@pytest.mark.parametrize(
    "rows",
    [
        [["Participant", "Date", "Block", "Condition"], ["pp3", None, "c2", "Time pressure"], [4, None, 2, "N"]],
        [["overview", None, None], ["PP", "Blok", "Conditie"], [3, 1, "N"], [3.0, 2.0, " t "]],
        [[3, 2, "T", "made by hand"], [3, 1, "N", None], ["x", None, "T", None]],
        [[None, "what is", "there"], ["PP3", "2", "T"]],
    ],
)
def test_the_overview_is_read_by_names_of_columns_or_by_the_first_three(folder, rows):
    overview(folder, {"Sheet1": [["PP", "Blok", "Condition"], [3, 2, "N"]], "Sheet3": rows})
    recording = load(folder)
    assert intervals(recording) == [(0, 300, 2)] and len(recording.labels) == 1
    assert counted(recording) == {"swell_condition_of_whole_block": 1}


def test_tables_by_the_minute_come_first_and_disagreement_is_told(folder):
    minutes(folder, "RRNNN")
    for letter, disagree in (("N", 0), ("T", 1)):
        overview(folder, {"Sheet3": [[3, 2, letter]]})
        recording = load(folder)
        assert intervals(recording) == [(0, 120, 3), (120, 300, 0)]
        assert counted(recording)["swell_tables_disagree"] == disagree


def test_conditions_come_from_the_table_that_has_stamps_and_ratings_from_the_one_that_has_them(folder):
    rows = minutes(folder, "RRNNN")
    for row in rows:
        row[1] = ""
    write_minutes(folder / TABLES["tab"], rows)
    table = folder / corpus.PHYSIOLOGY
    table.parent.mkdir(parents=True)
    stamps = [f"{at(60 * i):%Y%m%dT%H%M%S}000" for i in range(5)]
    lines = [f"PP3,2,{c},{stamp},999,#VALUE!,80,,," for c, stamp in zip("RNNNN", stamps, strict=True)]
    table.write_text("\n".join(["PP,C,Condition,timestamp,HR,RMSSD,SCL,,,", *lines]) + "\n")
    recording = load(folder)
    assert intervals(recording) == [(0, 60, 3), (60, 300, 0)] and intervals(recording, "stress") == [(60, 300, 2.5)]


def test_ratings_that_are_none(folder):
    rows = minutes(folder, "RNNNN")
    for row in rows[1:]:
        row[5], row[6], row[7] = "#VALUE!", 999, ""
    rows[2][8] = 3.5  # of stress
    write_minutes(folder / TABLES["tab"], rows)
    recording = load(folder)
    assert [name for name in NAMES if not intervals(recording, name)] == ["valence", "arousal", "dominance", "stress"]
    assert counted(recording) == {"swell_not_a_number": 1, "swell_ratings_differ": 1}


def test_a_decimal_comma_is_read(folder):
    rows = minutes(folder, "NNNNN")
    for row in rows:
        row[8] = "2,5"
    write_minutes(folder / TABLES["tab"], rows)
    assert intervals(load(folder), "stress") == [(0, 300, 2.5)]


def test_what_is_not_found_is_told(folder):
    recording = load(folder)
    assert recording.labels == () and counted(recording) == {"swell_without_condition": 1}
    minutes(folder, "NNNNN")
    overview(folder, {"Sheet3": [["PP", "Mobi"], [3, "x"]]})
    assert counted(load(folder)) == {"swell_table_not_understood": 1}
    (folder / TABLES["tab"]).write_text("subject\tC\n3\t1\n")
    told = {"swell_table_not_understood": 2, "swell_without_condition": 1}
    assert counted(load(folder)) == told
    other = folder / "tables"
    minutes(other, "NNNNN")
    assert intervals(load(folder / corpus.MOBI, tables=str(other))) == [(0, 300, 0)]
    with pytest.raises(UserError, match=r"--config.dataset.tables=.*no such: give a folder"):
        load(folder, tables=str(folder / "no such"))


def test_a_damaged_table_is_named_and_read_once(folder, monkeypatch):
    minutes(folder, table="xlsx")
    path = folder / TABLES["xlsx"]
    path.write_bytes(path.read_bytes()[:-500])
    read, read_rows = [], base_tables.read_rows
    monkeypatch.setattr(base_tables, "read_rows", lambda *args: read.append(args) or read_rows(*args))
    for _ in range(2):
        with pytest.raises(DataError, match="Behavioral-features_-_per_minute.xlsx: damaged workbook"):
            load(folder)
    assert len(read) == 1, "it takes seconds, and there are 75 blocks"


def test_a_table_that_changes_is_read_again(folder):
    minutes(folder, "NNNNN")
    assert intervals(load(folder)) == [(0, 300, 0)]
    minutes(folder, "TTTTTT")
    assert intervals(load(folder)) == [(0, 300, 2)]


def test_the_block_number_is_a_condition_only_if_asked_for(folder):
    minutes(folder, "RRTTT")
    recording = load(folder, conditions=Conditions.BLOCK_NUMBER)
    assert intervals(recording) == [(0, 300, 1)] and intervals(recording, "valence") == [(120, 300, 4)]
    assert counted(recording) == {"swell_block_number_as_condition": 1}
    (folder / corpus.MOBI / "pp3_18-9-2012_c2.S00").rename(folder / corpus.MOBI / "pp3_18-9-2012_c4.S00")
    assert intervals(load(folder, "PP03/c4", conditions=Conditions.BLOCK_NUMBER)) == []


def test_its_config_prepares_what_sarkar_and_etemad_learn_from(folder):
    from configs import prepare_swell

    rng = np.random.default_rng(0)
    values_CT = stored(1024 * 30, 3)
    time_s = np.arange(1024 * 30) / 1024
    for beat_s in np.arange(0.5, 29, 0.8 + 0.01 * rng.normal()):
        values_CT[7] += 20000 * np.exp(-(((time_s - beat_s) / 0.02) ** 2))
    write_poly5(folder / corpus.MOBI / "pp3_18-9-2012_c2.S00", values_CT, rate=1024)
    minutes(folder, "T")
    preparation = prepare_swell.get_config("sarkar2020")
    preparation.dataset.root, preparation.workers = str(folder), 1
    manifest = prepare(preparation, folder / "store")
    assert {m: said["rate_hz"] for m, said in manifest["modalities"].items()} == {"ecg": 256}
    assert manifest["labels"]["condition"]["classes"][3] == "relax" and manifest["num_recordings"] == 1
    assert prepare_swell.ABOUT.subjects[:2] == ("PP01", "PP02") and len(prepare_swell.ABOUT.subjects) == 25
    assert set(prepare_swell.ABOUT.labels) == set(swell.Config().make().label_specs)
