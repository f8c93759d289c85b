"""Empatica E4 sessions: folders and zips, how starts and rates are written, damaged files, unsafe archives."""

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import base_empatica, empatica
from ecgjax.errors import DataError, UserError
from tests.fixtures import write_e4, write_zip

START = 1644226061


def load(root, key="", **fields):
    made = empatica.Config(root=str(root), **fields).make()
    return made.load(key or made.keys()[0])


def refused(root, file=None):
    """The reason, once the message is seen to name the file."""
    with pytest.raises(DataError) as caught:
        load(root)
    assert str(root / file if file else root) in str(caught.value)
    assert caught.value.remedy
    return caught.value.reason


def head(path: Path, start: str | None = None, rate: str | None = None) -> None:
    """Writes the first two rows anew."""
    first, second, rest = path.read_text().split("\n", 2)
    path.write_text("\n".join([start or first, second if rate is None else rate, rest]))


def assert_holds(recording, values):
    assert recording.signals.keys() == values.keys()
    for modality, (samples_TC, *_) in values.items():
        np.testing.assert_allclose(recording.signals[modality].samples_TC, samples_TC, rtol=2e-6, atol=2e-6)


def test_a_session_in_its_units_and_time(tmp_path):
    values = write_e4(tmp_path / "s", START, 20.0, tags=(START + 3,))
    recording = load(tmp_path)
    assert_holds(recording, values)
    assert recording.signals["acc"].samples_TC[0, 2] * 64 == round(recording.signals["acc"].samples_TC[0, 2] * 64) != 0
    assert (
        np.isnan(recording.signals["eda"].samples_TC[0]) and not np.isnan(recording.signals["eda"].samples_TC[1:]).any()
    )
    assert recording.events == ("e4_eda_begins_with_zero",)
    assert recording.start_time == "2022-02-07T09:27:41+00:00"
    assert (recording.labels, recording.subject) == ((), "s")
    assert recording.sources == ("s/ACC.csv", "s/BVP.csv", "s/EDA.csv", "s/TEMP.csv")


@pytest.mark.parametrize("first, events", [("0.5", ()), ("0.000000", ("e4_eda_begins_with_zero",))])
def test_only_a_first_sample_of_zero_is_missing(tmp_path, first, events):
    write_e4(tmp_path / "s", START, 3.0)
    rows = [f"{START}.000000", "4.000000", first, "0.7", "0.000000"]
    (tmp_path / "s" / "EDA.csv").write_text("\n".join(rows) + "\n")
    recording = load(tmp_path, modalities=("eda",))
    np.testing.assert_allclose(recording.signals["eda"].samples_TC[:, 0], [float(first) or np.nan, 0.7, 0.0])
    assert recording.events == events


@pytest.mark.parametrize("start", ["1644226061", "1644226061.00", "1644226061.000000", " 1644226061.0 "])
@pytest.mark.parametrize("rate", ["64", "64.000000"])
def test_starts_and_rates_are_written_in_several_ways(tmp_path, start, rate):
    values = write_e4(tmp_path / "s", START, 5.0, kinds="BVP")
    head(tmp_path / "s" / "BVP.csv", start, rate)
    recording = load(tmp_path, modalities=("bvp",))
    assert_holds(recording, values)
    assert (recording.signals["bvp"].rate_hz, recording.start_time) == (64.0, "2022-02-07T09:27:41+00:00")
    assert recording.events == ()


def test_files_that_start_apart_keep_their_own_start(tmp_path):
    write_e4(tmp_path / "s", START, 20.0)
    head(tmp_path / "s" / "TEMP.csv", start=f"{START + 2}.500000")
    recording = load(tmp_path)
    assert {m: s.start_s for m, s in recording.signals.items()} == {"acc": 0, "bvp": 0, "eda": 0, "temp": 2.5}
    assert recording.start_time == "2022-02-07T09:27:41+00:00"
    assert "e4_starts_differ" in recording.events


def test_files_that_end_apart(tmp_path):
    """Some seconds are usual; more are counted; and a file that also ends within a row is half a copy."""
    write_e4(tmp_path / "s", START, 40.0)
    path = tmp_path / "s" / "BVP.csv"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[: 2 + 64 * 31]))
    assert load(tmp_path).events == ("e4_eda_begins_with_zero",)
    path.write_text("".join(rows[: 2 + 64 * 29]))
    assert load(tmp_path).events == ("e4_bvp_ends_early", "e4_eda_begins_with_zero")
    path.write_text("".join(rows[: 2 + 64 * 29])[:-2])
    assert refused(tmp_path, "s/BVP.csv") == "truncated"
    path.write_text("".join(rows)[:-1])  # whole, but for its last newline
    assert len(load(tmp_path).signals["bvp"].samples_TC) == 64 * 40


def test_another_rate_is_counted(tmp_path):
    write_e4(tmp_path / "s", START, 20.0, kinds="BVP TEMP")
    head(tmp_path / "s" / "TEMP.csv", rate="8.000000")
    recording = load(tmp_path, modalities=("bvp", "temp"))
    assert recording.signals["temp"].duration_s == 10.0
    assert recording.events == ("e4_temp_at_another_rate",)


def test_a_rate_that_the_other_files_contradict_is_refused(tmp_path):
    """Where they end together by the device's rates; what was resampled ends with them by its own."""
    write_e4(tmp_path / "s", START, 40.0)
    path = tmp_path / "s" / "BVP.csv"
    head(path, rate="32.00")
    with pytest.raises(DataError, match=r"BVP.csv: wrong rate. It says 32 Hz.*device's 64. Mend its second row"):
        load(tmp_path)
    head(tmp_path / "s" / "TEMP.csv", rate="2.00")  # a second one, that ends with the first
    assert refused(tmp_path, "s/BVP.csv") == "wrong rate"
    write_e4(tmp_path / "s", START, 40.0)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "32.00\n", *lines[2::2]]))
    recording = load(tmp_path)
    assert recording.signals["bvp"].rate_hz == 32.0 and recording.signals["bvp"].duration_s == 40.0
    assert recording.events == ("e4_bvp_at_another_rate", "e4_eda_begins_with_zero")


def test_a_number_beyond_float32_is_infinite(tmp_path):
    write_e4(tmp_path / "s", START, 20.0)
    path = tmp_path / "s" / "BVP.csv"
    path.write_text("\n".join([*path.read_text().splitlines()[:-1], "1e308"]) + "\n")
    assert load(tmp_path).signals["bvp"].samples_TC[-1] == np.inf


def test_a_modality_without_its_file_is_counted_and_all_are_refused(tmp_path):
    write_e4(tmp_path / "s", START, 20.0, kinds="EDA BVP")
    recording = load(tmp_path)
    assert recording.signals.keys() == {"eda", "bvp"}
    assert recording.events == ("e4_no_acc", "e4_no_temp", "e4_eda_begins_with_zero")
    with pytest.raises(DataError, match=r"missing file\. None of TEMP\.csv is there"):
        load(tmp_path, modalities=("temp",))
    with pytest.raises(UserError, match=r'config\.dataset\.modalities: E4 has no \'edaa\'\. Did you mean "eda"'):
        load(tmp_path, modalities=("edaa",))


def test_tags_outside_and_unreadable_are_counted(tmp_path):
    write_e4(tmp_path / "s", START, 20.0, tags=(START - 43000, START + 5.25, "n.a.", "inf", START + 30))
    assert load(tmp_path).events == (
        "e4_unreadable_tag", "e4_unreadable_tag", "e4_eda_begins_with_zero",
        "e4_tag_outside_recording", "e4_tag_outside_recording",
    )  # fmt: skip
    session = base_empatica.read_session(tmp_path / "s", ("eda",))
    assert session.tags_s == (-43000.0, 5.25, 30.0)
    (tmp_path / "s" / "tags.csv").write_text("")  # the button was not pressed
    assert load(tmp_path).events == ("e4_eda_begins_with_zero",)


@pytest.mark.parametrize(
    "file, content, reason",
    [
        ("EDA.csv", "", "empty file"), ("EDA.csv", "\r\n\r\n", "empty file"),
        ("EDA.csv", f"{START}\n4\n", "no samples"), ("EDA.csv", f"{START}\n", "wrong rate"),
        ("EDA.csv", "start\n4\n0.1\n", "unreadable header"), ("EDA.csv", "4.0\n0.1\n0.2\n", "unreadable header"),
        ("EDA.csv", f"{START}000\n4\n0.1\n", "unreadable header"), ("EDA.csv", "nan\n4\n0.1\n", "unreadable header"),
        ("EDA.csv", f"{START},{START}\n4\n0.1\n", "unreadable header"), ("EDA.csv", f"{START}\n\n0.1\n", "wrong rate"),
        ("EDA.csv", f"{START}\nfour\n0.1\n", "wrong rate"), ("EDA.csv", f"{START}\n0\n0.1\n", "wrong rate"),
        ("EDA.csv", f"{START}\n-4\n0.1\n", "wrong rate"), ("EDA.csv", f"{START}\nnan\n0.1\n", "wrong rate"),
        ("EDA.csv", f"{START}\ninf\n0.1\n", "wrong rate"), ("EDA.csv", f"{START}\n4\n0.1\nzero\n0.3\n", "not a number"),
        ("EDA.csv", f"{START}\n4\n0.1\n\n0.3\n", "unreadable table"), ("EDA.csv", f"{START}\n4\n0.1\n-", "truncated"),
        ("EDA.csv", f"{START}\n4\n0.1,5\n0.3,6\n", "unreadable table"),
        ("EDA.csv", f"{START + 10**6}\n4\n0.1\n", "starts at another time"),
        ("ACC.csv", f"{START}\n32\n1,2,3\n", "unreadable header"),
        ("ACC.csv", f"{START},{START},{START + 1}\n32,32,32\n1,2,3\n", "unreadable header"),
        ("ACC.csv", f"{START},{START},{START}\n32,32,64\n1,2,3\n", "wrong rate"),
        ("ACC.csv", f"{START},{START},{START}\n32,32,32\n1,2,3\n1,2\n1,2,3\n", "not a number"),
        ("ACC.csv", f"{START},{START},{START}\n32,32,32\n1,2,3\n1,2", "truncated"),
        ("ACC.csv", f"{START},{START},{START}\n32,32,32\n1,2,3\n1,2,", "truncated"),
        ("ACC.csv", "\udcff\udcfePK\0", "unreadable header"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, file, content, reason):
    write_e4(tmp_path / "s", START, 5.0)
    (tmp_path / "s" / file).write_bytes(content.encode(errors="surrogateescape"))
    assert refused(tmp_path, f"s/{file}") == reason


def test_values_beyond_float32_are_infinite_and_no_warning(tmp_path):
    write_e4(tmp_path / "s", START, 5.0, kinds="TEMP")
    (tmp_path / "s" / "TEMP.csv").write_text(f"{START}\n4\n31.1\n1e300\n31.3\n")
    assert np.isinf(load(tmp_path, modalities=("temp",)).signals["temp"].samples_TC[1, 0])


def test_missing_values_stay_missing(tmp_path):
    write_e4(tmp_path / "s", START, 5.0, kinds="TEMP")
    (tmp_path / "s" / "TEMP.csv").write_text(f"{START}\n4\n31.1\nnan\n31.3\n")
    samples_TC = load(tmp_path, modalities=("temp",)).signals["temp"].samples_TC
    np.testing.assert_allclose(samples_TC[:, 0], [31.1, np.nan, 31.3], rtol=1e-6)


def test_where_sessions_lie(tmp_path):
    """A root is searched; it may be one session; names in any case; of a folder and its zip, the folder."""
    values = write_e4(tmp_path / "in" / "x" / "one", START, 5.0)
    write_zip(tmp_path / "in" / "x" / "one.zip", tmp_path / "in" / "x" / "one")
    write_zip(tmp_path / "in" / "two.zip", tmp_path / "in" / "x" / "one")
    (tmp_path / "in" / "x" / "one" / "EDA.csv").rename(tmp_path / "in" / "x" / "one" / "eda.CSV")
    for name in ("empty", ".hidden"):
        (tmp_path / "in" / name).mkdir()
    write_e4(tmp_path / "in" / ".hidden" / "three", START, 5.0)
    made = empatica.Config(root=str(tmp_path / "in")).make()
    assert made.keys() == ("two.zip", "x/one")
    assert [made.load(key).subject for key in made.keys()] == ["two", "one"]
    for root, sources in (("in/x/one", "eda.CSV"), ("in/two.zip", "two.zip")):
        made = empatica.Config(root=str(tmp_path / root)).make()
        assert made.keys() == (Path(root).name,)
        recording = made.load(made.keys()[0])
        assert_holds(recording, values)
        assert sources in recording.sources and recording.subject == Path(root).stem


def archive(path: Path, *names: str, content: bytes = b"x", link: str = "") -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFLNK if name == link else stat.S_IFREG) << 16
            opened.writestr(info, content)


@pytest.mark.parametrize(
    "name", ["/EDA.csv", "../EDA.csv", "a/../../EDA.csv", "..\\EDA.csv", "C:\\EDA.csv", "\\EDA.csv"]
)
def test_an_archive_that_names_places_outside_is_refused(tmp_path, name):
    archive(tmp_path / "s.zip", "info.txt", name)
    assert refused(tmp_path, "s.zip") == "unsafe archive"


def test_archives_with_links_or_too_much_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "s.zip"
    archive(path, "EDA.csv", "BVP.csv", link="BVP.csv")
    assert refused(tmp_path, "s.zip") == "unsafe archive"
    archive(path, "Q.txt")
    path.write_bytes(path.read_bytes().replace(b"Q.txt", b"\0.txt"))  # its name ends there
    assert refused(tmp_path, "s.zip") == "unsafe archive"
    archive(path, *(f"{i}.txt" for i in range(1001)))
    assert refused(tmp_path, "s.zip") == "unsafe archive"
    archive(path, "EDA.csv", content=b"0" * 10**6)  # 1000 to 1
    assert refused(tmp_path, "s.zip") == "unsafe archive"
    write_e4(tmp_path / ".out", START, 20.0)
    write_zip(path, tmp_path / ".out")
    assert len(load(tmp_path).signals) == 4
    monkeypatch.setattr(base_empatica, "_MAX_BYTES", 10_000)
    assert refused(tmp_path, "s.zip") == "unsafe archive"


def test_a_file_that_would_take_much_memory_is_refused_unread(tmp_path, monkeypatch):
    write_e4(tmp_path / "in" / "s", START, 20.0)
    write_zip(tmp_path / "in" / "t.zip", tmp_path / "in" / "s")
    limit = (tmp_path / "in" / "s" / "BVP.csv").stat().st_size - 1
    monkeypatch.setattr(base_empatica, "_MAX_FILE_BYTES", limit)
    made = empatica.Config(root=str(tmp_path / "in")).make()
    for key, file in (("s", "s/BVP.csv"), ("t.zip", "t.zip/BVP.csv")):
        with pytest.raises(DataError, match=f"{file}: too large"):
            made.load(key)
    assert load(tmp_path / "in", "t.zip", modalities=("eda",)).signals.keys() == {"eda"}


def test_archives_that_are_none_damaged_or_ambiguous(tmp_path):
    write_e4(tmp_path / "out", START, 20.0)
    path, folder = tmp_path / "in" / "s.zip", tmp_path / "in"
    folder.mkdir()
    path.write_bytes(b"")
    assert refused(folder, "s.zip") == "not a zip"
    path.write_text("an error page")
    assert refused(folder, "s.zip") == "not a zip"
    archive(path, "a/EDA.csv", "b/EDA.csv")
    assert refused(folder, "s.zip") == "several sessions in one archive"
    archive(path, "notes.txt")
    assert refused(folder, "s.zip") == "missing file"
    write_zip(path, tmp_path / "out")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(folder, "s.zip") == "truncated"
    at = whole.index(b"BVP.csv") + 200
    path.write_bytes(whole[:at] + bytes(40) + whole[at + 40 :])
    assert refused(folder, "s.zip/BVP.csv") == "damaged archive"
    path.write_bytes(whole.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"))  # says it is encrypted
    assert refused(folder) == "damaged archive"


def test_what_a_file_manager_leaves_in_an_archive_is_no_session(tmp_path):
    values = write_e4(tmp_path / "out", START, 20.0)
    (tmp_path / "in").mkdir()
    write_zip(tmp_path / "in" / "s.zip", tmp_path / "out", "S2_E4_Data/")
    with zipfile.ZipFile(tmp_path / "in" / "s.zip", "a") as opened:
        opened.writestr("__MACOSX/S2_E4_Data/EDA.csv", b"\0\5\x16\7")
        opened.writestr("S2_E4_Data/.Trash/BVP.csv", b"")
    recording = load(tmp_path / "in")
    assert_holds(recording, values)
    assert recording.sources == ("s.zip",)
