"""DEAP: trials of a pickle or a MATLAB file, ratings after the baseline, and files that are not what they should be."""

import collections

import numpy as np
import pytest
import scipy.io

from ecgjax.data.prepare import prepare
from ecgjax.datasets import deap
from ecgjax.errors import DataError, UserError
from ecgjax.signals.quality import Gate
from tests import pickle_files
from tests.corpora.deap import NUM_TRIALS, SECONDS, expected, person, write


def load(root, key="s01/01", **config):
    return deap.Config(root=str(root), **{"num_trials": NUM_TRIALS, **config}).make().load(key)


def save(path, arrays):
    if path.suffix == ".mat":
        scipy.io.savemat(path, arrays, do_compression=True)
    else:
        pickle_files.write(path, arrays, 2)
    return path


@pytest.fixture(params=["s01.dat", "s01.mat"])
def path(request, tmp_path):
    return save(tmp_path / request.param, person(5))


def test_a_recording_is_a_trial(path):
    own = person(5)
    made = deap.Config(root=str(path.parent), num_trials=NUM_TRIALS).make()
    assert made.keys() == ("s01/01", "s01/02", "s01/03") and {made.group(key) for key in made.keys()} == {"s01"}
    for trial, key in enumerate(made.keys()):
        recording, (values, labels) = made.load(key), expected(own, trial)
        assert (recording.subject, recording.trial, recording.sources) == ("s01", key[4:], (path.name,))
        assert list(recording.signals) == list(values) and recording.events == ()
        for modality, (samples_TC, rate_hz, unit, channels) in values.items():
            signal = recording.signals[modality]
            assert (signal.rate_hz, signal.unit, signal.channels) == (rate_hz, unit, channels)
            np.testing.assert_allclose(signal.samples_TC, samples_TC, rtol=1e-6)
        told = {x.name: (x.start_s, x.stop_s, x.value) for x in recording.labels}
        assert told == {name: (3.0, SECONDS, value) for name, value in labels.items()}


def test_what_a_recording_holds_is_its_own(path):
    """The file is read once; a change of one recording is not one of the next."""
    first = load(path.parent)
    first.signals["eda"].samples_TC[:] = 0
    assert load(path.parent).signals["eda"].samples_TC.any()
    save(path, person(6))
    np.testing.assert_allclose(
        load(path.parent).signals["eda"].samples_TC, expected(person(6), 0)[0]["eda"][0], rtol=1e-6
    )


def test_the_baseline_is_before_the_labels(path):
    assert {(x.start_s, x.stop_s) for x in load(path.parent, baseline_s=1.0).labels} == {(1.0, SECONDS)}
    assert {x.start_s for x in load(path.parent, baseline_s=0.0).labels} == {0.0}
    recording = load(path.parent, baseline_s=4.5)
    assert recording.labels == () and recording.events == ("deap_shorter_than_its_baseline",)


def test_wanted_modalities_and_no_others(path):
    assert list(load(path.parent, modalities=("temp", "bvp")).signals) == ["bvp", "temp"]
    with pytest.raises(UserError, match=r"--config.dataset.modalities: what is read of DEAP has no 'ecg'"):
        load(path.parent, modalities=("ecg",))


@pytest.mark.parametrize(("field", "value"), [("baseline_s", -1.0), ("baseline_s", 60.0), ("num_trials", 0)])
def test_fields_that_make_no_sense(path, field, value):
    with pytest.raises(UserError, match=f"--config.dataset.{field}={value}: give"):
        load(path.parent, **{field: value})


def test_values_that_are_none(path):
    own = person(5)
    own["labels"][0, 1] = np.nan
    own["data"][0, 36, [1, 2, 3]] = 1e300, -np.inf, np.nan
    recording = load(save(path, own).parent)
    assert collections.Counter(recording.events) == {"deap_no_rating": 1}
    assert [x.name for x in recording.labels] == ["valence", "dominance", "liking"]
    eda_T = recording.signals["eda"].samples_TC[:, 0]
    assert eda_T[1:3].tolist() == [np.inf, -np.inf] and np.flatnonzero(~np.isfinite(eda_T)).tolist() == [1, 2, 3]
    assert load(path.parent, "s01/02").events == ()


def test_files_of_another_shape(path):
    own = person(5)
    data, labels = own["data"], own["labels"]
    for wrong in (
        {"data": data[:, :32], "labels": labels},
        {"data": data.transpose(0, 2, 1), "labels": labels},
        {"data": data[0], "labels": labels},
        {"data": data, "labels": labels[:, :3]},
        {"data": data, "labels": labels[:2]},
        {"data": data[:, :, :0], "labels": labels},
        {"data": "text", "labels": labels},
    ):
        with pytest.raises(DataError, match=f"{path.name}: unlike its documentation"):
            load(save(path, wrong).parent)
    with pytest.raises(DataError, match="(unlike its documentation|missing variable)"):
        load(save(path, {"data": data}).parent)
    with pytest.raises(DataError, match=r"other number of trials. It has 3: set --config.dataset.num_trials=3"):
        load(save(path, own).parent, num_trials=40)


def test_labels_before_data_or_after_it(tmp_path):
    own = person(5)
    for name in ("s01.dat", "s01.mat"):
        for names in (("data", "labels"), ("labels", "data")):
            recording = load(save(tmp_path / name, {field: own[field] for field in names}).parent)
            assert recording.labels[0].value == own["labels"][0, 0]
        (tmp_path / name).unlink()


def test_of_two_releases_the_pickles(tmp_path):
    for folder, name, seed in (("a_matlab", "S01.MAT", 1), ("b_python", "s01.dat", 2), ("c_python", "s01.dat", 3)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / name
        pickle_files.write(path, person(seed)) if seed > 1 else scipy.io.savemat(str(path), person(seed), False)
    made = deap.Config(root=str(tmp_path), num_trials=NUM_TRIALS).make()
    assert len(made.keys()) == NUM_TRIALS and made.load("s01/01").sources == ("b_python/s01.dat",)
    assert load(tmp_path / "a_matlab").sources == ("S01.MAT",)
    assert load(tmp_path / "c_python" / "s01.dat").sources == ("s01.dat",)
    with pytest.raises(DataError, match=r"s09/01: missing file. There is no s09.dat or .mat"):
        made.load("s09/01")
    (tmp_path / "other.dat").write_bytes(b"")
    with pytest.raises(UserError, match="is no s01.dat or s01.mat of DEAP"):
        deap.Config(root=str(tmp_path / "other.dat")).make().keys()


def test_its_config_prepares_what_wu_et_al_learn_from(tmp_path):
    from configs import prepare_deap

    write(tmp_path)
    preparation = prepare_deap.get_config("wu2023")
    preparation.dataset.root, preparation.dataset.num_trials, preparation.workers = str(tmp_path), NUM_TRIALS, 1
    for steps in preparation.preprocess.steps().values():
        steps.gate = Gate(flat_s=0, padding_s=0, guard_s=0)
    manifest = prepare(preparation, tmp_path / "store")
    assert {m: said["rate_hz"] for m, said in manifest["modalities"].items()} == {"bvp": 4, "eda": 4, "temp": 4}
    assert manifest["num_recordings"] == 9 and manifest["subjects"] == ["s01", "s02", "s32"]
    about = prepare_deap.ABOUT
    assert len(about.subjects) == about.people == 32 and prepare_deap.get_config().dataset.num_trials == 40
