"""K-EmoCon: whose device recorded, what is missing, and ratings that end with the debate."""

import collections

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import kemocon
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests import standins
from tests.corpora.kemocon import (
    RATES_HZ,
    RATINGS,
    rating,
    samples,
    stamps,
    start_ms,
    write_e4,
    write_ratings,
    write_stream,
    write_subjects,
)  # fmt: skip

RATERS = {"self": "", "partner": "partner_", "external": "external_"}
DEBATE = (4.0, 24.0)


@pytest.fixture
def folder(tmp_path):
    """P1: a session of 26 s, of which the debate is 20; four ratings by each."""
    write_e4(tmp_path, 1)
    write_subjects(tmp_path, [1])
    for rater in RATERS:
        write_ratings(tmp_path, 1, rater, [rating(i) for i in range(4)])
    return tmp_path


def load(root, pid=1, **config):
    return kemocon.Config(root=str(root), **config).make().load(f"P{pid:02d}")


def stream(folder, kind, pid=1):
    return folder / "e4_data" / str(pid) / f"E4_{kind}.csv"


def intervals(recording, name):
    found = [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == name]
    return [(round(a, 6), round(b, 6), value) for a, b, value in found]


def counted(recording):
    return collections.Counter(recording.events)


def test_ratings_end_with_the_debate(folder):
    recording = load(folder)
    for prefix in RATERS.values():
        for column, name in enumerate(RATINGS):
            expected = [(4 + 5 * i, 9 + 5 * i, rating(i)[column]) for i in range(4)]
            assert intervals(recording, prefix + name) == expected, prefix + name
    assert intervals(recording, "condition") == [(1, 4, 0), (4, 24, 1)]
    assert len(recording.labels) == 2 + 3 * 7 * 4 and recording.events == ()
    assert recording.start_time == "2019-01-20T18:46:40.123000+00:00"
    specs = kemocon.Config().make().label_specs
    assert specs["arousal"] == specs["valence"] == standins.SCALES["kemocon"]
    assert {specs[prefix + "sad"].rater for prefix in RATERS.values()} == set(RATERS)
    assert specs["external_sad"].high == 4 and specs["condition"].classes == ("baseline", "debate")


def test_longer_series_are_cut_at_their_start_and_shorter_ones_begin_later(folder):
    for rater, num in (("self", 7), ("partner", 2)):
        write_ratings(folder, 1, rater, [rating(i) for i in range(num)])
    write_ratings(folder, 1, "external", [rating(i) for i in range(4)], first_s=40)
    recording = load(folder)
    assert intervals(recording, "arousal") == [(4 + 5 * i, 9 + 5 * i, rating(i + 3)[0]) for i in range(4)]
    assert intervals(recording, "partner_valence") == [(14, 19, rating(0)[1]), (19, 24, rating(1)[1])]
    assert intervals(recording, "external_arousal") == [(4 + 5 * i, 9 + 5 * i, rating(i)[0]) for i in range(4)]
    assert counted(recording) == {"kemocon_rating_before_debate": 3}


def test_ratings_that_lack_something(folder):
    path = folder / "emotion_annotations" / "self_annotations" / "P1.self.csv"
    header, *rows = path.read_text().splitlines()
    rows[1] = rows[1].replace(",2,4,", ",x,4,", 1)
    rows[2] = "," + rows[2].partition(",")[2]
    path.write_text("\n".join([header, *rows, rows[3]]) + "\n")
    recording = load(folder)
    assert intervals(recording, "arousal") == [(4, 9, 1), (19, 24, 4)]
    assert [a for a, *_ in intervals(recording, "valence")] == [4, 9, 19]
    told = {"kemocon_rating_missing": 1, "kemocon_rating_without_time": 1, "kemocon_ratings_overlap": 1}
    assert counted(recording) == told


def test_ratings_out_of_order_end_with_the_last_of_them(folder):
    """Also where one of them, without a time, stands between."""
    path = folder / "emotion_annotations" / "self_annotations" / "P1.self.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, rows[3], "," + rows[0].partition(",")[2], *rows[:3]]) + "\n")
    recording = load(folder)
    assert intervals(recording, "arousal") == [(4 + 5 * i, 9 + 5 * i, rating(i)[0]) for i in range(4)]
    assert counted(recording) == {"kemocon_rating_without_time": 1}


def test_ratings_that_overlap_are_told_and_the_first_of_them_stays(folder):
    path = folder / "emotion_annotations" / "self_annotations" / "P1.self.csv"
    path.write_text(path.read_text().replace("\n15,", "\n14.5,"))
    recording = load(folder)
    assert [a for a, *_ in intervals(recording, "arousal")] == [4, 9, 19]
    assert counted(recording) == {"kemocon_ratings_overlap": 1}


@pytest.mark.parametrize("rater", list(RATERS))
def test_raters_that_are_not_there_are_told(folder, rater):
    next(folder.rglob(f"P1.{rater}.csv")).unlink()
    write_ratings(folder, 11, rater, [rating(i) for i in range(4)])
    recording = load(folder)
    assert counted(recording) == {f"kemocon_no_{rater}_ratings": 1}
    assert not [label for label in recording.labels if label.name == RATERS[rater] + "arousal"]


def test_without_times_nothing_is_labelled(folder):
    path = folder / "metadata" / "subjects.csv"
    header, row = path.read_text().splitlines()
    backwards = f"1,{start_ms(1)},{start_ms(1) + 9000},{start_ms(1) + 4000}"
    endless = f"1,{start_ms(1)},{start_ms(1) + 4000},{start_ms(1) + 40_000_000}"
    for content in (f"{header}\n{row.replace('1', '2', 1)}", *(f"{header}\n{r}" for r in (backwards, endless, "1,,,"))):
        path.write_text(content)
        recording = load(folder)
        assert recording.labels == () and counted(recording) == {"kemocon_without_times": 1}
        assert recording.signals["bvp"].duration_s == 26
    path.unlink()
    assert counted(load(folder)) == {"kemocon_without_times": 1}
    path.write_text("person,start\n1,2\n")
    with pytest.raises(DataError, match="subjects.csv: no column. None of .* columns for pid, inittime"):
        load(folder)


def test_what_lies_outside_the_recording_is_told(folder):
    write_e4(folder, 1, seconds=17)
    recording = load(folder)
    assert intervals(recording, "arousal")[-1] == (14, 17, rating(2)[0]) and len(intervals(recording, "arousal")) == 3
    assert intervals(recording, "condition")[1] == (4, 17, 1)
    assert counted(recording) == {"kemocon_labels_outside_recording": 1}


@pytest.mark.parametrize("pid", [29, 30, 31, 32])
def test_of_two_devices_the_documented_one_is_read(tmp_path, pid):
    own, other = ("A013E1", "A01A3A") if pid in (29, 31) else ("A01A3A", "A013E1")
    write_e4(tmp_path, pid, "BVP TEMP")
    values_TC = samples("EDA", pid, 26)
    serials = [own if i % 3 else other for i in range(len(values_TC))]
    kept = np.array(serials) == own
    at = stamps("EDA", pid, len(values_TC))
    at[kept] = stamps("EDA", pid, kept.sum())
    write_stream(stream(tmp_path, "EDA", pid), at, values_TC, serials)
    write_subjects(tmp_path, [pid])
    recording = load(tmp_path, pid)
    np.testing.assert_allclose(recording.signals["eda"].samples_TC, values_TC[kept], rtol=1e-6)
    assert counted(recording)["kemocon_eda_of_several_devices"] == 1
    write_stream(stream(tmp_path, "EDA", pid), at, values_TC, other)
    recording = load(tmp_path, pid)
    assert "eda" not in recording.signals
    assert {"kemocon_eda_of_another_device": 1, "kemocon_no_eda": 1}.items() <= counted(recording).items()


def test_several_devices_that_nobody_told_of_are_nobody_s(folder):
    values_TC = samples("EDA", 1, 26)
    write_stream(stream(folder, "EDA"), stamps("EDA", 1, 104), values_TC, ["A"] * 50 + ["B"] * 54)
    recording = load(folder)
    assert "eda" not in recording.signals
    assert counted(recording) == {"kemocon_eda_of_several_devices": 1, "kemocon_no_eda": 1}


def test_a_file_without_serials_or_with_a_column_more_is_read(folder):
    path = stream(folder, "EDA")
    expected_TC = load(folder).signals["eda"].samples_TC
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(f"{a},{v}\n" for a, v, _ in rows))
    np.testing.assert_array_equal(load(folder).signals["eda"].samples_TC, expected_TC)
    path.write_text("".join(f"{a},{'pid' if i == 0 else 1},{v},{d}\n" for i, (a, v, d) in enumerate(rows)))
    np.testing.assert_array_equal(load(folder).signals["eda"].samples_TC, expected_TC)


@pytest.mark.parametrize("content", [None, "timestamp,value,device_serial\n", "timestamp,value,device_serial\n,,\n"])
def test_streams_that_are_missing_are_told(folder, content):
    stream(folder, "EDA").unlink()
    if content:
        stream(folder, "EDA").write_text(content)
    recording = load(folder)
    assert set(recording.signals) == {"acc", "bvp", "temp"} and counted(recording) == {"kemocon_no_eda": 1}
    with pytest.raises(DataError, match="P01: no samples. Its E4 recorded no eda"):
        load(folder, modalities=("eda",))


def test_gaps_repeats_and_stamps_far_away(folder):
    path = stream(folder, "BVP")
    header, *rows = path.read_text().splitlines()
    rows[20] = rows[20].replace("15480", "35480", 1)
    path.write_text("\n".join([header, *rows[:200], rows[199], *rows[280:]]) + "\n")
    recording = load(folder)
    told = {"kemocon_bvp_gap": 1, "kemocon_bvp_far_from_session": 1, "kemocon_bvp_out_of_order": 1}
    assert counted(recording) == told
    samples_T, expected_T = recording.signals["bvp"].samples_TC[:, 0], samples("BVP", 1, 26)[:, 0]
    kept = np.r_[0:20, 21:200, 280 : len(expected_T)]
    np.testing.assert_allclose(samples_T[kept], expected_T[kept], rtol=1e-5, atol=1e-4)
    assert np.isnan(samples_T[200:280]).all() and len(samples_T) == len(expected_T)


@pytest.mark.parametrize("factor", [1.03, 0.97, 1000])
def test_a_rate_that_stamps_deny_is_refused(folder, factor):
    write_stream(stream(folder, "TEMP"), stamps("TEMP", 1, 104, factor), samples("TEMP", 1, 26), "A01525")
    with pytest.raises(DataError, match="E4_TEMP.csv: wrong rate. Its time stamps say .* instead of 4 Hz"):
        load(folder)


def test_a_damaged_stream_is_named(folder):
    path = stream(folder, "ACC")
    path.write_text(path.read_text().replace("device_serial", "serial").replace("x,", "w,", 1))
    with pytest.raises(DataError, match="E4_ACC.csv: no column. 'x' is none of its columns"):
        load(folder)


def test_the_axis_begins_with_the_earliest_stream(folder):
    values_TC = samples("TEMP", 1, 26)
    write_stream(stream(folder, "TEMP"), stamps("TEMP", 1, 104)[8:], values_TC[8:], "A01525")
    recording = load(folder)
    assert recording.signals["temp"].start_s == pytest.approx(2.0) and recording.signals["bvp"].start_s == 0
    alone = load(folder, modalities=("temp",))
    assert alone.signals["temp"].start_s == 0 and intervals(alone, "condition")[1] == (2, 22, 1)


@pytest.mark.parametrize("nested", [False, True])
def test_folders_and_people(tmp_path, nested):
    for pid in (1, 12):
        write_e4(tmp_path / ("e4_data" if nested else ""), pid, "EDA")
    write_e4(tmp_path / "other" / "x", 3, "EDA")
    (tmp_path / "other" / "x" / "e4_data" / "3").rename(tmp_path / "other" / "x" / "e4_data" / "P3")
    made = kemocon.Config(root=str(tmp_path)).make()
    assert made.keys() == ("P01", "P12")
    with pytest.raises(DataError, match="P02: missing file. There is no file of its E4"):
        made.load("P02")
    with pytest.raises(UserError, match="no E4 file lies in a folder that is a person's number"):
        kemocon.Config(root=str(tmp_path / "other")).make().keys()
    with pytest.raises(UserError, match="K-EmoCon has no .ecg.. Known: acc, bvp, eda, temp"):
        kemocon.Config(root=str(tmp_path), modalities=("ecg",)).make()


def test_an_impulse_stays_at_its_second_in_every_channel(tmp_path):
    for kind in RATES_HZ:
        values_TC = np.zeros_like(samples(kind, 1, 26))
        values_TC[13 * RATES_HZ[kind]] = 64
        write_stream(stream(tmp_path, kind), stamps(kind, 1, len(values_TC)), values_TC, "A01525")
    recording = load(tmp_path)
    steps = preprocess.Config().steps()
    for modality, signal in recording.signals.items():
        level_T = signal.samples_TC[:, 0].astype(np.float64)
        assert np.argmax(level_T) == 13 * signal.rate_hz
        up, down = preprocess.resampling_factors(signal.rate_hz, steps[modality].resample_hz, signal.duration_s)
        assert np.argmax(preprocess.resample(level_T, up, down)) == 13 * steps[modality].resample_hz, modality


def test_its_config_prepares_what_wu_et_al_learn_from(folder):
    from configs import prepare_kemocon

    preparation = prepare_kemocon.get_config("wu2023")
    preparation.dataset.root, preparation.workers = str(folder), 1
    manifest = prepare(preparation, folder / "store")
    assert {m: said["rate_hz"] for m, said in manifest["modalities"].items()} == {"bvp": 4, "eda": 4, "temp": 4}
    about = prepare_kemocon.ABOUT
    assert set(about.labels) == set(manifest["labels"]) and len(about.subjects) == 28 and "P02" not in about.subjects
    assert set(prepare_kemocon.get_config().dataset.modalities) == set(about.modalities)
