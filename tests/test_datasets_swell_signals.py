"""SWELL-KW: which channels are read, files that go on with each other, and what lies at which second."""

import collections
from datetime import timedelta

import numpy as np
import pytest

from ecgjax.datasets import swell
from ecgjax.errors import DataError, UserError
from ecgjax.signals import preprocess
from tests.corpora import swell as corpus
from tests.corpora.swell import minute_row, physical, stored, write_minutes, write_poly5


@pytest.fixture
def folder(tmp_path):
    """PP3's second block of 300 s, at a rate that keeps it small."""
    write_poly5(tmp_path / corpus.MOBI / "pp3_18-9-2012_c2.S00", stored(300 * 16, 3), rate=16)
    return tmp_path


def load(root, key="PP03/c2", **config):
    return swell.Config(root=str(root), **config).make().load(key)


def counted(recording, prefix="swell"):
    return collections.Counter(event for event in recording.events if event.startswith(prefix))


@pytest.mark.parametrize("pause_s", [0, 30])
def test_a_continuation_is_appended_in_time(folder, pause_s):
    first_CT, second_CT = stored(300 * 16, 3), stored(800, 4)
    start = corpus.START + timedelta(seconds=300 + pause_s)
    write_poly5(folder / corpus.MOBI / "PP3_18-9-2012_c2_cont.s00", second_CT, rate=16, start=start)
    minutes = [minute_row(3, 2, letter, corpus.START + timedelta(minutes=i)) for i, letter in enumerate("RRNNNN")]
    write_minutes(folder / f"{corpus.MINUTES}.tab", minutes)
    recording = load(folder)
    ecg = recording.signals["ecg"]
    assert ecg.duration_s == 350 + pause_s and ecg.unit == "mV" and ecg.channels == ("portiHeartPre",)
    parts = [physical(values_CT, "portiHeartPre") / 1000 for values_CT in (first_CT, second_CT)]
    np.testing.assert_allclose(ecg.samples_TC[: 300 * 16], parts[0], rtol=1e-6)
    assert np.isnan(ecg.samples_TC[300 * 16 : 300 * 16 + 16 * pause_s]).all()
    np.testing.assert_allclose(ecg.samples_TC[-800:], parts[1], rtol=1e-6)
    labels = [(label.start_s, label.stop_s, label.value) for label in recording.labels]
    assert labels == [(0, 120, 3), (120, min(350 + pause_s, 360), 0)]
    assert counted(recording, "poly5") == ({"poly5_pause_between_files": 1} if pause_s else {})
    assert len(recording.sources) == 2 and not counted(recording)


def test_a_continuation_alone_is_told(folder):
    (folder / corpus.MOBI / "pp3_18-9-2012_c2.S00").rename(folder / corpus.MOBI / "pp3_18-9-2012_c2_cont.S00")
    assert counted(load(folder))["swell_without_its_beginning"] == 1


def write_channels(folder, names, num=160):
    write_poly5(folder / corpus.MOBI / "pp3_18-9-2012_c2.S00", stored(num, 3, names), names, rate=16)


def test_channels_are_found_by_name_then_by_place(folder):
    swapped = (*corpus.CHANNELS[:6], corpus.CHANNELS[7], corpus.CHANNELS[6])
    write_channels(folder, swapped)
    recording = load(folder)
    values_CT = stored(160, 3, swapped)
    np.testing.assert_allclose(
        recording.signals["ecg"].samples_TC, physical(values_CT, "portiHeartPre", swapped) / 1000, rtol=1e-6
    )
    assert recording.signals["eda"].unit == "uS" and not counted(recording, "swell_e")
    nameless = tuple((f"Chan{i}", unit) for i, (_, unit) in enumerate(corpus.CHANNELS))
    write_channels(folder, nameless)
    recording = load(folder)
    assert counted(recording, "swell_e") == {"swell_ecg_by_its_place": 1, "swell_eda_by_its_place": 1}
    assert recording.signals["ecg"].channels == ("Chan7",) and recording.signals["eda"].channels == ("Chan6",)
    np.testing.assert_allclose(recording.signals["ecg"].samples_TC[:, 0], stored(160, 3)[7] / 1000, rtol=1e-6)


def test_a_channel_that_is_not_there_is_told(folder):
    write_channels(folder, corpus.CHANNELS[:7])
    recording = load(folder)
    assert list(recording.signals) == ["eda"] and counted(recording, "swell_no") == {"swell_no_ecg": 1}
    write_channels(folder, corpus.CHANNELS[:6])
    with pytest.raises(DataError, match="no ecg or eda channel. Its channels are Lead 1, Lead 2, HR, HR beat"):
        load(folder)


def test_units_are_normal(folder):
    for unit, factor, normal in (("µV", 1e-3, "mV"), ("uVolt", 1e-3, "mV"), ("mV", 1, "mV"), ("", 1, "unknown")):
        write_channels(folder, (*corpus.CHANNELS[:7], ("portiHeartPre", unit)))
        ecg = load(folder).signals["ecg"]
        assert ecg.unit == normal
        np.testing.assert_allclose(ecg.samples_TC, physical(stored(160, 3), "portiHeartPre") * factor, rtol=1e-6)


def test_a_continuation_with_another_unit_does_not_go_together(folder):
    file = folder / corpus.MOBI / "pp3_18-9-2012_c2_cont.S00"
    write_poly5(file, stored(160, 1), rate=16, channels=(*corpus.CHANNELS[:7], ("portiHeartPre", "mV")))
    ecg = load(folder).signals["ecg"]
    np.testing.assert_allclose(ecg.samples_TC[-160:], physical(stored(160, 1), "portiHeartPre"), rtol=1e-6)
    write_poly5(file, stored(160, 1), rate=16, channels=(*corpus.CHANNELS[:7], ("portiHeartPre", "bpm")))
    with pytest.raises(DataError, match="channels do not go together"):
        load(folder)


def test_file_names_and_modalities(folder):
    with pytest.raises(UserError, match="SWELL-KW has no 'ecgs'. Did you mean \"ecg\""):
        swell.Config(root=str(folder), modalities=("ecgs",)).make()
    (folder / corpus.MOBI / "pp3_18-9-2012_c2.S00").rename(folder / "other.S00")
    with pytest.raises(UserError, match="holds no block such as pp1_18-9-2012_c1.S00"):
        swell.Config(root=str(folder)).make().keys()
    with pytest.raises(UserError, match="not named as SWELL-KW's files are"):
        swell.Config(root=str(folder / "other.S00")).make().keys()


def test_an_impulse_stays_at_its_second_in_every_channel(tmp_path):
    values_CT = np.zeros((8, 2048 * 20), np.float32)
    values_CT[:, 2048 * 13] = 20000
    write_poly5(tmp_path / "pp3_18-9-2012_c1.S00", values_CT)
    recording = load(tmp_path, "PP03/c1")
    steps = preprocess.Config()
    for modality in ("ecg", "eda"):
        signal = recording.signals[modality]
        assert np.argmax(np.abs(signal.samples_TC[:, 0])) == 13 * 2048
        own = steps.steps()[modality]
        up, down = preprocess.resampling_factors(signal.rate_hz, own.resample_hz, signal.duration_s)
        level_T = preprocess.resample(signal.samples_TC[:, 0].astype(np.float64), up, down)
        assert np.argmax(np.abs(level_T)) == 13 * own.resample_hz
