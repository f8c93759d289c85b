"""MAUS: a column a trial, its level in the column's name, and what is missing."""

import numpy as np
import pytest

from ecgjax.data.prepare import prepare
from ecgjax.datasets import base_text, maus
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora.maus import TRIALS, samples, write, write_columns


@pytest.fixture
def folder(tmp_path):
    write(tmp_path)
    return tmp_path


def load(root, key, **config):
    return maus.Config(root=str(root), **config).make().load(key)


def file(folder, kind, person="002"):
    return folder / "MAUS" / "Data" / "Raw_data" / person / f"inf_{kind}.csv"


def test_a_trial_is_a_column_and_says_its_level(folder):
    classes = ("rest", "0-back", "2-back", "3-back")
    for trial, level in {"1": "0-back", "2": "2-back", "3": "3-back", "6": "0-back", "rest": "rest"}.items():
        recording = load(folder, f"002/{trial}")
        assert maus.Config().make().label_specs["n_back"].classes == classes
        (label,) = recording.labels
        stop_s = recording.signals["ecg"].duration_s
        assert (label.start_s, label.stop_s, classes[int(label.value)]) == (0, stop_s, level)
        assert recording.trial == trial and recording.subject == "002" and recording.events == ()


def test_keys_are_those_that_have_files(folder):
    six = [str(n) for n in range(1, 7)]
    expected = [f"002/{t}" for t in (*six, "rest")] + [f"003/{t}" for t in six] + ["004/rest"]
    assert maus.Config(root=str(folder)).make().keys() == tuple(expected)
    inner = folder / "MAUS" / "Data" / "Raw_data" / "003"
    assert len(maus.Config(root=str(inner)).make().keys()) == 6
    assert load(inner, "003/1").events == ("maus_person_without_rest",) and load(folder, "004/rest").events == ()
    with pytest.raises(DataError, match="003/rest: missing file"):
        load(folder, "003/rest")
    (inner / "inf_resting.csv").write_text("Resting_ECG,Resting_PPG,Resting_GSR\n")
    with pytest.raises(DataError, match="003/rest: missing file. No file below .* has samples of it"):
        load(folder, "003/rest")


def test_what_is_missing_is_told(folder):
    file(folder, "gsr").unlink()
    recording = load(folder, "002/4")
    assert set(recording.signals) == {"ecg", "bvp"} and recording.events == ("maus_no_eda",)
    columns = {header: samples(2, "ppg", 1) for header in TRIALS} | {TRIALS[3]: np.zeros(0)}
    write_columns(file(folder, "ppg"), columns)
    assert load(folder, "002/4").events == ("maus_no_bvp", "maus_no_eda")
    assert load(folder, "002/5").events == ("maus_no_eda",)


def test_only_the_end_of_a_column_may_be_empty(folder):
    values = samples(2, "ecg", 1)
    values[[0, 100]] = np.nan
    text = "\n".join(["Trial 1:0back,x", *(f"{v:g}".replace("nan", "") + ",1" for v in values), ",1", ",1"])
    file(folder, "ecg").write_text(text)
    found = load(folder, "002/1").signals["ecg"].samples_TC[:, 0]
    np.testing.assert_allclose(found, values, rtol=1e-5)


def test_a_file_is_read_once_for_all_of_its_trials(folder, monkeypatch):
    read, read_columns = [], base_text.read_columns
    monkeypatch.setattr(
        base_text, "read_columns", lambda path, *args: read.append(path.name) or read_columns(path, *args)
    )
    made = maus.Config(root=str(folder)).make()
    keys = [key for key in made.keys() if made.group(key) == "002"]
    for key in keys:
        made.load(key).signals["ecg"].samples_TC[:] = 0
    assert sorted(read) == ["inf_ecg.csv", "inf_gsr.csv", "inf_ppg.csv", "inf_resting.csv"] and len(keys) == 7
    assert made.load("002/6").signals["ecg"].samples_TC.any(), "what a recording holds is its own"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [(":2back", ":7back", "is 7-back, none of rest, 0-back"), ("Trial 2", "Run 2", "is of 2, only of 1, 3, 4, 5, 6")],
)
def test_columns_that_say_no_level_are_refused(folder, old, new, told):
    path = file(folder, "ppg")
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=f"inf_ppg.csv: no column. .*{told}"):
        load(folder, "002/2")
    assert load(folder, "002/2", modalities=("ecg",)).events == ()


def test_an_impulse_stays_at_its_second_in_every_channel(tmp_path):
    values = np.zeros(256 * 20)
    values[256 * 13] = 1
    write_columns(tmp_path / "005" / "inf_resting.csv", {f"Resting_{kind}": values for kind in ("ECG", "PPG", "GSR")})
    recording = load(tmp_path, "005/rest")
    steps = preprocess.Config().steps()
    for modality, signal in recording.signals.items():
        up, down = preprocess.resampling_factors(256.0, steps[modality].resample_hz, 20.0)
        level_T = preprocess.resample(signal.samples_TC[:, 0].astype(np.float64), up, down)
        assert np.argmax(level_T) == 13 * steps[modality].resample_hz, modality


def test_levels_that_files_do_not_agree_on_are_none(folder):
    path = file(folder, "ppg")
    path.write_text(path.read_text().replace("Trial 2:2back", "Trial 2:3back"))
    recording = load(folder, "002/2")
    assert recording.labels == () and recording.events == ("maus_files_say_different_levels",)
    assert len(load(folder, "002/3").labels) == len(load(folder, "002/2", modalities=("ecg", "eda")).labels) == 1


def test_folders_and_modalities(tmp_path):
    with pytest.raises(UserError, match="MAUS has no 'ppg'. Known: bvp, ecg, eda"):
        maus.Config(root=str(tmp_path), modalities=("ppg",)).make()
    write_columns(tmp_path / "x" / "inf_ecg.csv", {TRIALS[0]: np.zeros(3)})
    with pytest.raises(UserError, match="no inf_.*.csv lies in a folder that is a person's number"):
        maus.Config(root=str(tmp_path)).make().keys()


def test_its_configs_prepare_it(folder):
    from configs import prepare_maus

    preparation = prepare_maus.get_config()
    preparation.dataset.root, preparation.workers = str(folder), 1
    manifest = prepare(preparation, folder / "store")
    about = prepare_maus.ABOUT
    assert set(about.labels) == set(manifest["labels"]) and len(about.subjects) == about.people == 22
    assert set(preparation.dataset.modalities) == set(about.modalities)
    assert prepare_maus.get_config("sarkar2020").dataset.modalities == ("ecg",)
