"""Files of PsPM: channels by their headers, what its reader tolerates and refuses, folders and zips."""

import collections
import zipfile

import numpy as np
import pytest
import scipy.io

from configs import prepare_pspm
from ecgjax.data.prepare import prepare
from ecgjax.datasets import pspm
from ecgjax.datasets.pspm import Positions
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora.pspm import channel, channels, waves, write, write_file

KEY = "PsPM-VIS_spike_07"


def made(folder, **changes):
    return pspm.Config(root=str(folder), **changes).make()


def load(folder, key=KEY, **changes):
    return made(folder, **changes).load(key)


def refused(folder, own=None, infos=None, key=KEY, **changes) -> str:
    if own is not None:
        write_file(folder / f"{KEY}.mat", own, infos)
    with pytest.raises(DataError) as error:
        load(folder, key, **changes)
    return error.value.reason


def events(recording):
    return dict(collections.Counter(recording.events))


def one(folder, *own, **changes):
    write_file(folder / f"{KEY}.mat", list(own))
    return load(folder, **changes)


ECG = channel("ecg", np.arange(600.0)[:, None] % 37, 200.0, "mV")
TOLERATED = {"pspm_channeltype": 2, "pspm_row_vector": 1, "pspm_empty_ecg": 1}


def test_everything_comes_from_the_headers(tmp_path):
    write_file(tmp_path / f"{KEY}.mat", channels(3))
    recording = load(tmp_path)
    own = waves(3)
    for modality, kind, unit, rate_hz, factor in (
        ("ecg", "ecg", "mV", 200.0, 1e-3), ("eda", "scr", "uS", 100.0, 1), ("resp", "resp", "unknown", 100.0, 1),
    ):  # fmt: skip
        signal = recording.signals[modality]
        np.testing.assert_allclose(signal.samples_TC, own[kind] * factor, rtol=1e-6)
        assert (signal.unit, signal.rate_hz, signal.channels, signal.start_s) == (unit, rate_hz, (kind,), 0.0)
    assert events(recording) == TOLERATED and recording.labels == () and recording.subject == "7"
    assert events(load(tmp_path, modalities=("ecg", "emg"))) == {**TOLERATED, "pspm_no_emg": 1}


def test_of_several_channels_of_a_kind_one_is_chosen_by_its_place(tmp_path):
    second = channel("ecg", ECG["data"] + 5, 200.0, "mV")
    third = channel("scr", np.ones((300, 1)), 100.0, "uS")
    recording = one(tmp_path, third, ECG, second, modalities=("ecg",))
    np.testing.assert_array_equal(recording.signals["ecg"].samples_TC, ECG["data"])
    assert events(recording) == {"pspm_several_ecg": 1}
    recording = load(tmp_path, modalities=("ecg",), positions=Positions(ecg=1))
    np.testing.assert_array_equal(recording.signals["ecg"].samples_TC, second["data"])
    assert refused(tmp_path, modalities=("ecg",), positions=Positions(ecg=2)) == "fewer ecg channels"
    assert events(load(tmp_path))["pspm_no_resp"] == 1
    for changes, message in (
        ({"modalities": ("scr",)}, "PsPM has no 'scr'"), ({"positions": Positions(resp=-1)}, "positions.resp"),
        ({"subject": "("}, "subject"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            load(tmp_path, **changes)


@pytest.mark.parametrize("num, fits", [(596, False), (597, True), (603, True), (604, False)])
def test_a_length_may_be_three_samples_off(tmp_path, num, fits):
    own = [channel("ecg", np.arange(num)[:, None], 200.0, "mV")]
    if fits:
        assert len(one(tmp_path, *own).signals["ecg"].samples_TC) == num
    else:
        assert refused(tmp_path, own) == "wrong length"


@pytest.mark.parametrize(
    ("infos", "start"),
    [
        ({"recdate": "2016-05-09", "rectime": "14:03:20.5"}, "2016-05-09T14:03:20"),
        ({"recdate": "09.05.2016", "rectime": "14:03:20"}, ""),
        ({"recdate": "05/09/2016", "rectime": "02:03:20 PM"}, ""),
        ({"recdate": "2016-05-09", "rectime": 14.05}, ""),
        ({"recdate": "2016-05-09"}, ""),
        ({"recdate": "2016-05-09", "rectime": "14:03:20", "history": "trimmed"}, ""),
    ],
    ids=str,
)
def test_the_start_where_it_is_written_as_iso_has_it(tmp_path, infos, start):
    write_file(tmp_path / f"{KEY}.mat", [ECG], {"duration": 3.0, **infos})
    assert load(tmp_path).start_time == start


def test_what_pspm_refuses_is_refused(tmp_path):
    write_file(tmp_path / f"{KEY}.mat", [ECG])
    assert refused(tmp_path, [ECG], {"sourcetype": "spike"}) == "no duration"
    assert refused(tmp_path, [ECG], {"duration": -3.0}) == "no duration"
    for rate_hz in (0.0, np.nan, np.zeros((0, 0)), "200"):
        assert refused(tmp_path, [channel("ecg", ECG["data"], rate_hz, "mV")]) == "no sampling rate"
    marks = [ECG, channel("marker", [[0.0], [3.0]])]
    assert one(tmp_path, *marks).signals
    for stamps in ([[1.0], [3.5]], [[-0.5], [1.0]], [[1000.0]]):
        assert refused(tmp_path, [ECG, channel("marker", stamps, 0.001)]) == "events outside the duration"
    assert refused(tmp_path, [channel("ecg", np.ones((300, 2)), 200.0, "mV")]) == "other columns"
    assert refused(tmp_path, [{"data": np.ones((3, 1))}]) == "unlike its documentation"
    assert refused(tmp_path, [{"header": {"chantype": "ecg"}}]) == "unlike its documentation"
    assert refused(tmp_path, [np.ones(3)]) == "unlike its documentation"
    scipy.io.savemat(tmp_path / f"{KEY}.mat", {"data": np.ones(3)})
    assert refused(tmp_path) == "missing variable"


def test_what_pspm_tolerates_is_tolerated(tmp_path):
    marks = channel("marker", 1.5, markerinfo={"name": np.ones(9), "value": "too long"})
    recording = one(tmp_path, marks, ECG, channel("pupil", np.ones((5, 1)), 500.0, "mm"))
    assert events(recording) == {"pspm_no_eda": 1, "pspm_no_resp": 1}
    holes = ECG["data"].copy()
    holes[4] = np.nan
    assert np.isnan(one(tmp_path, channel("ecg", holes, 200.0, "mV")).signals["ecg"].samples_TC[4, 0])
    recording = one(tmp_path, channel("Scr", np.full((300, 1), np.nan), 100.0, "uS"), ECG)
    assert list(recording.signals) == ["ecg"] and events(recording)["pspm_eda_all_nan"] == 1
    own = [channel("PPG", ECG["data"], 200.0, ""), channel("emg", ECG["data"] + 1, 200.0, "uV")]
    recording = one(tmp_path, *own, modalities=("bvp", "emg"))
    assert {m: signal.samples_TC[0, 0] for m, signal in recording.signals.items()} == {
        "bvp": 0,
        "emg": np.float32(0.001),
    }
    for unit, wanted in (("V", "mV"), ("", "unknown"), ("a.u.", "a.u."), (3.0, "unknown"), ("m\nV", "unknown")):
        assert one(tmp_path, channel("ecg", ECG["data"], 200.0, unit)).signals["ecg"].unit == wanted
    assert one(tmp_path, channel("ecg", ECG["data"], 200.0, "V")).signals["ecg"].samples_TC[1, 0] == 1000


def test_a_file_without_the_wanted_channels_says_what_it_has(tmp_path):
    write_file(tmp_path / f"{KEY}.mat", [channel("pupil", np.ones((300, 1)), 100.0, "mm"), channel("hb", [[1.0]])])
    with pytest.raises(DataError, match="no ecg or eda or resp channel. It has: hb, pupil"):
        load(tmp_path)


def test_an_array_of_structs_is_as_good_as_cells(tmp_path):
    own = [(ECG["header"], ECG["data"])] * 2
    array = np.array(own, [("header", "O"), ("data", "O")])
    scipy.io.savemat(tmp_path / f"{KEY}.mat", {"infos": {"duration": 3.0}, "data": array[:, None]})
    assert events(load(tmp_path, modalities=("ecg",))) == {"pspm_several_ecg": 1}


def test_zips_and_folders(tmp_path):
    write(tmp_path)
    keys = ("PsPM-FR_spike_01", "PsPM-FR_spike_02_sn1", "PsPM-FR_spike_02_sn2")
    assert made(tmp_path).keys() == keys and made(tmp_path / "data.zip").keys() == keys[1:]
    recording = load(tmp_path, keys[2])
    assert (recording.subject, recording.session, recording.sources) == ("2", "sn2", ("data.zip",))
    assert load(tmp_path / "data.zip", keys[2]).sources == ("data.zip",)
    alone = tmp_path / "Data" / "PsPM-FR_spike_01.mat"
    assert load(alone, keys[0]).session == "" and made(alone).name == "PsPM-FR_spike_01.mat"
    assert load(tmp_path, keys[0], subject="(PsPM-[A-Z]+)").subject == "PsPM-FR"
    with zipfile.ZipFile(tmp_path / "data.zip") as archive:
        archive.extract(f"Data/{keys[1]}.mat", tmp_path)
    assert made(tmp_path).keys() == keys
    assert load(tmp_path, keys[1]).sources == (f"Data/{keys[1]}.mat",), "of copies, the one that is no zip"
    (tmp_path / "Data" / "nothing_spike").mkdir()
    (tmp_path / "Data" / "nothing_spike" / "notes.mat").write_bytes(b"")
    assert made(tmp_path).keys() == keys
    with pytest.raises(UserError, match=r"holds no \*_spike_\*\.mat"):
        made(tmp_path / "Data" / "nothing_spike").keys()
    with zipfile.ZipFile(tmp_path / "Data" / "nothing_spike" / "a.zip", "w") as archive:
        archive.writestr("README.txt", "")
    with pytest.raises(UserError, match=r"holds no \*_spike_\*\.mat"):
        made(tmp_path / "Data" / "nothing_spike").keys()


def test_what_was_derived_is_read_only_where_there_is_nothing_else(tmp_path):
    write_file(tmp_path / "Data_pp" / f"{KEY}_pp.mat", [ECG])
    assert made(tmp_path).keys() == (f"{KEY}_pp",)
    write_file(tmp_path / "Data" / f"{KEY}.mat", [ECG])
    assert made(tmp_path).keys() == (KEY,)


def test_zips_that_are_damaged_or_harmful(tmp_path, monkeypatch):
    write(tmp_path)
    (tmp_path / "Data" / "PsPM-FR_spike_01.mat").unlink()
    path, key = tmp_path / "data.zip", "PsPM-FR_spike_02_sn1"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert made(tmp_path).keys() == ("data.zip",)
    assert refused(tmp_path, key="data.zip") == "truncated"
    path.write_bytes(whole)
    dataset = made(tmp_path)
    assert key in dataset.keys()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Data/other.mat", b"")
    with pytest.raises(DataError, match="missing file"):
        dataset.load(key)
    path.write_bytes(whole)
    monkeypatch.setattr(pspm, "_MAX_MEMBER", 100)
    assert refused(tmp_path, key=key) == "too large"
    monkeypatch.undo()
    for damage in range(60, 400, 7):
        path.write_bytes(whole[:damage] + bytes([whole[damage] ^ 0xFF]) + whole[damage + 1 :])
        try:
            load(tmp_path, key)
        except DataError as error:
            assert "data.zip" in str(error) or key in str(error)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"../{key}.mat", b"")
    assert refused(tmp_path, key="data.zip") == "unsafe archive"


def test_its_config_names_the_sets(tmp_path):
    write(tmp_path / "in")
    names = {variant: prepare_pspm.get_config(variant).dataset.name for variant in prepare_pspm.VARIANTS}
    assert names == {"fr": "pspm_fr", "hrm5": "pspm_hrm5", "rrm12": "pspm_rrm12", "vis": "pspm_vis", "sarkar2020": ""}
    preparation = prepare_pspm.get_config("fr")
    preparation.dataset.root, preparation.workers = str(tmp_path / "in"), 1
    for steps in (preparation.preprocess.ecg, preparation.preprocess.eda, preparation.preprocess.resp):
        steps.gate = preprocess.Gate()
    manifest = prepare(preparation, tmp_path / "store")
    assert manifest["dataset"]["name"] == "pspm_fr" and manifest["subjects"] == ["1", "2"]
    assert manifest["events"] == {event: 3 * count for event, count in TOLERATED.items()}
