"""CASE: three releases that must not be mixed, clips by a column or by the order they were shown in, the joystick."""

import collections
import shutil

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import case
from ecgjax.datasets.case import CLIPS, Release
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests import standins
from tests.corpora import case as corpus
from tests.corpora.case import borders_ms, grid, joystick, to_ratings, to_units, volts, write_processed, write_raw

BORDERS = [(a / 1000, b / 1000, CLIPS.index(name)) for name, a, b in borders_ms(2) if name in CLIPS]


@pytest.fixture
def folder(tmp_path):
    """Person 2 in all releases, and what was shown."""
    times_s, js_s = grid(2, 1000), grid(2, 20)
    for release in ("interpolated", "non-interpolated"):
        write_processed(tmp_path, 2, times_s, js_s, release)
    write_raw(tmp_path, 2, times_s, js_s)
    corpus.write_metadata(tmp_path / "metadata")
    return tmp_path


def load(root, release=Release.ANY, key="sub_02", **config):
    return case.Config(root=str(root), release=release, **config).make().load(key)


def intervals(recording, name):
    return [(label.start_s, label.stop_s, label.value) for label in recording.labels if label.name == name]


def counted(recording):
    return collections.Counter(recording.events)


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def physiological(folder, release="interpolated"):
    return folder / release / "physiological" / ("sub2_DAQ.txt" if release == "raw" else "sub_2.csv")


def annotations(folder, release="interpolated"):
    return folder / release / "annotations" / ("sub2_joystick.txt" if release == "raw" else "sub_2.csv")


@pytest.mark.parametrize("release", [Release.INTERPOLATED, Release.NON_INTERPOLATED, Release.RAW])
def test_every_release_says_the_same(folder, release):
    recording = load(folder, release)
    assert recording.events == () and recording.sources == (
        physiological(folder, release.value).relative_to(folder).as_posix(),
    )
    table = to_units(volts(grid(2, 1000), 2))
    for modality, names in corpus.MODALITIES.items():
        signal = recording.signals[modality]
        expected = table[:, [corpus.NAMES.index(name) for name in names]] / (1000 if modality == "emg" else 1)
        assert (signal.rate_hz, signal.unit, signal.channels) == (1000.0, corpus.UNITS[modality], names)
        np.testing.assert_allclose(signal.samples_TC, expected, atol=1e-3)
    found = np.array(intervals(recording, "video"))
    np.testing.assert_allclose(found, BORDERS, atol=1.1e-3)
    for column, name in enumerate(("valence", "arousal")):
        check_ratings(recording, name, column)


def check_ratings(recording, name, column):
    """Within clips, at every moment, what the joystick said last; elsewhere nothing."""
    found = intervals(recording, name)
    starts, stops, values = np.array(found).T
    assert (starts[1:] >= stops[:-1] - 1e-9).all()
    for at_s in np.arange(0.013, 1.7, 0.01):
        inside = any(a + 1e-3 < at_s < b - 1e-3 for a, b, _ in BORDERS)
        near = any(abs(at_s - edge) <= 1.5e-3 for a, b, _ in BORDERS for edge in (a, b))
        holding = (starts <= at_s) & (at_s < stops)
        assert holding.sum() == inside or near, at_s
        if holding.any():
            truth = to_ratings(joystick(np.array([np.floor(at_s * 20 + 1e-9) / 20]), 2))[0, column]
            assert values[holding][0] == pytest.approx(truth, abs=6e-4)


def test_ratings_that_do_not_change_are_one_label(folder):
    """The joystick rests in the first second."""
    found = [i for i in intervals(load(folder), "valence") if i[1] <= 1.0]
    clips = [(a, min(b, 1.0)) for a, b, _ in BORDERS if a < 1.0]
    assert [(round(a, 2), round(b, 2), v) for a, b, v in found] == [(round(a, 2), round(b, 2), 0.5) for a, b in clips]
    assert case.Config().make().label_specs["valence"] == standins.SCALES["case"]


def test_which_release_is_read(folder):
    def source(release=Release.ANY):
        return load(folder, release, modalities=("eda",)).sources[0].split("/")[0]

    for release in ("interpolated", "non-interpolated", "raw"):
        assert source() == source(Release(release)) == release
        shutil.rmtree(folder / release)
    for release in (Release.ANY, Release.INTERPOLATED):
        with pytest.raises(UserError, match="no file of signals"):
            case.Config(root=str(folder), release=release).make().keys()
    write_processed(folder, 2, grid(2, 1000), grid(2, 20), "interpolated")
    with pytest.raises(UserError, match="of the release raw. Check --config.dataset.root and --config.dataset.rel"):
        case.Config(root=str(folder), release=Release.RAW).make().keys()


@pytest.mark.parametrize("release", ["interpolated", "raw"])
def test_the_root_may_be_the_folder_of_signals(folder, release):
    recording = load(physiological(folder, release).parent)
    assert len(intervals(recording, "video")) == 8 and intervals(recording, "arousal")
    assert recording.sources == (physiological(folder, release).name,)


@pytest.mark.parametrize("kind", [physiological, annotations])
@pytest.mark.parametrize(("release", "other"), [("raw", "interpolated"), ("interpolated", "raw")])
def test_a_file_under_the_name_of_another_release_is_refused(folder, kind, release, other):
    kind(folder, release).write_bytes(kind(folder, other).read_bytes())
    with pytest.raises(DataError, match="another release. Its first row is"):
        load(folder, Release(release))


def test_values_of_another_release_are_refused(folder):
    times_s, js_s = grid(2, 1000), grid(2, 20)
    rows = np.concatenate([times_s[:, None], to_units(volts(times_s, 2))], axis=1)
    corpus.write_rows(physiological(folder, "raw"), rows, "%.6f", "\t")
    with pytest.raises(DataError, match="sub2_DAQ.txt: another release. .* are not volts"):
        load(folder, Release.RAW)
    rows = np.concatenate([1000 * times_s[:, None], volts(times_s, 2), times_s[:, None] * 0], axis=1)
    header = ("daqtime", *corpus.NAMES, "video")
    corpus.write_rows(physiological(folder), rows, "%.6f", ",", header)
    with pytest.raises(DataError, match="sub_2.csv: another release. Its skin temperature is that of volts"):
        load(folder)
    rows = np.concatenate([1000 * js_s[:, None], joystick(js_s, 2), js_s[:, None] * 0], axis=1)
    corpus.write_rows(
        annotations(folder, "non-interpolated"), rows, "%.3f", ",", ("jstime", "valence", "arousal", "video")
    )
    with pytest.raises(DataError, match="annotations/sub_2.csv: another release. .* outside 0.49 to 9.51"):
        load(folder, Release.NON_INTERPOLATED)


@pytest.mark.parametrize(("kind", "hz"), [(physiological, 1000), (annotations, 20)])
@pytest.mark.parametrize(("release", "factor"), [("interpolated", 1e-3), ("raw", 1e3), ("interpolated", 1.05)])
def test_times_in_another_unit_or_at_another_rate_are_refused(folder, kind, hz, release, factor):
    path = kind(folder, release)
    separator = "\t" if release == "raw" else ","
    lines = [line.split(separator) for line in path.read_text().splitlines()]
    for cells in lines[release != "raw" :]:
        cells[0] = f"{float(cells[0]) * factor:.6f}"
    path.write_text("".join(separator.join(cells) + "\n" for cells in lines))
    with pytest.raises(DataError, match=f"wrong rate. Its time stamps say .* instead of {hz} Hz"):
        load(folder, Release(release))


def test_stamps_that_wander_are_followed(tmp_path):
    """Raw stamps: a clock that is 0.4 % slow, as is the joystick's."""
    end_ms = borders_ms(2)[-1][2]
    write_raw(tmp_path, 2, np.arange(0, end_ms, 1.004) / 1000 + 0.25, np.arange(0.25, end_ms / 1000, 0.0502))
    recording = load(tmp_path)
    times_s = 0.25 + np.arange(1000) / 1000
    expected = to_units(volts(times_s, 2))[:, corpus.NAMES.index("gsr")]
    np.testing.assert_allclose(recording.signals["eda"].samples_TC[:1000, 0], expected, atol=2e-3)
    assert counted(recording) == {"case_clips_unknown": 1}


def test_gaps_rows_out_of_order_and_rows_without_a_time(folder):
    path = physiological(folder)
    header, *lines = path.read_text().splitlines()
    kept = lines[:500] + lines[600:]
    kept[100], kept[101] = kept[101], kept[100]
    kept[50] = "," + kept[50].partition(",")[2]
    path.write_text("\n".join([header, *kept]) + "\n")
    recording = load(folder)
    assert counted(recording) == {"case_gap": 1, "case_rows_out_of_order": 1}
    samples_T = recording.signals["eda"].samples_TC[:, 0]
    assert np.flatnonzero(np.isnan(samples_T)).tolist() == list(range(500, 600))
    expected_T = to_units(volts(grid(2, 1000), 2))[:, corpus.NAMES.index("gsr")]
    np.testing.assert_allclose(samples_T[600:], expected_T[600:], atol=1e-3)
    np.testing.assert_allclose(np.array(intervals(recording, "video"))[-1], BORDERS[-1], atol=1.1e-3)


def test_raw_without_metadata_has_no_clips_and_says_so(folder):
    (folder / "metadata" / "videos_duration.txt").unlink()
    recording = load(folder, Release.RAW)
    assert counted(recording) == {"case_clips_unknown": 1} and intervals(recording, "video") == []
    ratings = intervals(recording, "valence")
    assert ratings[0][:2] == (0.0, 1.0) and ratings[-1][1] == recording.signals["ecg"].duration_s


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("seqs_order.txt", "scary-1", "scary-7"),
        ("seqs_order.txt", "boring-2\t", "boring-1\t"),
        ("videos_duration.txt", "118.5", "x"),
        ("videos_duration.txt", "118.5", "-4"),
        ("videos_duration.txt", "scary-2", "scary-3"),
        ("videos_duration.txt", "bluVid\t120.0\n", ""),
    ],
)
def test_metadata_that_cannot_be_is_refused(folder, file, old, new):
    edit(folder / "metadata" / file, old, new, -1 if file.startswith("v") else 99)
    with pytest.raises(DataError, match="metadata: unreadable table. What person 2 saw"):
        load(folder, Release.RAW)
    assert load(folder).events == ()


def test_the_order_of_clips_needs_no_names_of_columns(folder):
    path = folder / "metadata" / "seqs_order.txt"
    path.write_text(path.read_text().split("\n", 1)[1])
    np.testing.assert_allclose(np.array(intervals(load(folder, Release.RAW), "video")), BORDERS, atol=1e-6)
    path.write_text("")
    with pytest.raises(DataError, match="What person 2 saw"):
        load(folder, Release.RAW)


def test_numbers_of_clips_that_nobody_knows_are_told(folder):
    edit(physiological(folder), ",11\n", ",9\n", 5)
    recording = load(folder)
    assert counted(recording) == {"case_unknown_video": 1} and len(intervals(recording, "video")) == 8
    for name in (*CLIPS, "bluVid"):
        edit(physiological(folder), f",{corpus.SHOWN[name][0]}\n", ",12\n", -1)
    assert load(folder).labels == (), "no clip, no label"


def test_without_a_joystick_there_are_no_ratings(folder):
    annotations(folder).unlink()
    recording = load(folder)
    assert counted(recording) == {"case_no_joystick": 1}
    assert {label.name for label in recording.labels} == {"video"}


def test_a_joystick_with_gaps_and_a_few_values_off_its_scale(tmp_path):
    """Without clips, so ratings all along: ten seconds, of which eight are recorded."""
    write_raw(tmp_path, 2, np.arange(8000) / 1000, np.arange(200) / 20)
    path = annotations(tmp_path, "raw")
    rows = path.read_text().splitlines()
    rows[60] = "\t".join([rows[60].split("\t")[0], "27000", rows[60].split("\t")[2]])
    path.write_text("\n".join([*rows[:100], *rows[106:120], *rows[124:]]) + "\n")  # steps of 7, a gap, and of 5
    recording = load(tmp_path)
    told = ("gap_of_joystick", "rating_off_scale", "clips_unknown", "labels_outside_recording")
    assert counted(recording) == {f"case_{event}": 1 for event in told}
    lacks = {"valence": [(3.0, 3.05), (5.0, 5.3)], "arousal": [(5.0, 5.3)]}
    for name, expected in lacks.items():
        found = intervals(recording, name)
        between = [(round(a[1], 6), round(b[0], 6)) for a, b in zip(found, found[1:], strict=False) if a[1] != b[0]]
        assert between == expected and found[-1][1] == 8.0


def test_columns_that_nobody_wants_are_not_read(folder):
    path = physiological(folder)
    header, *lines = path.read_text().splitlines()
    rows = [line.split(",") for line in lines]
    lines = [",".join([time, "#VALUE!", *others]) for time, _, *others in rows]
    path.write_text("\n".join([header, *lines]) + "\n")
    assert list(load(folder, modalities=("eda", "bvp", "temp")).signals) == ["eda", "bvp", "temp"]
    with pytest.raises(DataError, match="unreadable table"):
        load(folder)
    edit(path, "gsr", "GSX")
    with pytest.raises(DataError, match="no column. 'gsr' is none of its columns"):
        load(folder, modalities=("eda",))
    with pytest.raises(UserError, match="has no .gsr.. Known: bvp, ecg, eda"):
        load(folder, modalities=("gsr",))


def test_an_impulse_stays_at_its_second_in_every_channel(tmp_path):
    times_s = np.arange(4000) / 1000
    values = np.zeros((4000, 8))
    values[2500] = 5
    rows = np.concatenate([1000 * times_s[:, None], values, np.full((4000, 1), 11)], axis=1)
    path = tmp_path / "interpolated" / "physiological" / "sub_2.csv"
    corpus.write_rows(path, rows, "%.3f", ",", ("daqtime", *corpus.NAMES, "video"))
    recording = load(tmp_path)
    for modality, own in preprocess.Config().steps().items():
        if modality in recording.signals:
            level_T = recording.signals[modality].samples_TC[:, 0].astype(np.float64)
            up, down = preprocess.resampling_factors(1000.0, own.resample_hz, 4.0)
            assert np.argmax(level_T) == 2500
            assert np.argmax(preprocess.resample(level_T, up, down)) == round(2.5 * own.resample_hz), modality


def test_its_config_prepares_what_wu_et_al_learn_from(folder):
    from configs import prepare_case

    preparation = prepare_case.get_config("wu2023")
    preparation.dataset.root, preparation.workers = str(folder), 1
    manifest = prepare(preparation, folder / "store")
    assert {m: said["rate_hz"] for m, said in manifest["modalities"].items()} == {"bvp": 4, "eda": 4, "temp": 4}
    assert set(prepare_case.ABOUT.labels) == set(manifest["labels"]) == {"video", "valence", "arousal"}
    assert len(prepare_case.ABOUT.subjects) == 30 and prepare_case.ABOUT.subjects[1] == "sub_02"
    assert set(prepare_case.get_config().dataset.modalities) == set(prepare_case.ABOUT.modalities)
    assert prepare_case.get_config("sarkar2020").dataset.modalities == ("ecg",)
