"""EDF files: kinds, rates, scales, gaps, lies of the header; and eegmat, which is made of them."""

from pathlib import Path

import numpy as np
import pytest

from ecgjax.datasets import base_edf, edf, eegmat
from ecgjax.datasets.base_channels import Channels
from ecgjax.errors import DataError, UserError
from tests.corpora import eegmat as corpus_of_eegmat
from tests.fixtures import EdfChannel, wave, write_edf

DATA = Path(__file__).parents[2] / "shared" / "data" / "eegmat"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not here")


def channel(label="ECG", num_records=4, per_record=100, seed=0, **fields):
    return EdfChannel(label, wave(num_records * per_record, 9000, seed).reshape(num_records, -1), **fields)


def load(path, **fields):
    return edf.Config(root=str(path), **fields).make().load(path.name)


def refused(path):
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["", "EDF+C", "EDF+D"])
def test_kinds_without_gaps_are_alike(tmp_path, kind):
    ecg = channel()
    write_edf(tmp_path / "a.edf", [channel("EEG", seed=1), ecg], kind)
    recording = load(tmp_path / "a.edf")
    np.testing.assert_allclose(recording.signals["ecg"].samples_TC[:, 0], ecg.values(), rtol=1e-6, atol=1e-6)
    assert (recording.events, recording.start_time) == ((), "2011-01-02T10:20:30")


def test_each_channel_has_its_own_rate_and_scale(tmp_path):
    ecg = channel("ECG II", unit="uV", physical=(-3000.0, 1000.0), digital=(-10000, 10000))
    gsr = channel("GSR", per_record=5, unit="uS", physical=(0.0, 20.0))
    inverted = channel("Temp", per_record=1, unit="degreeC", physical=(45.0, 25.0))
    write_edf(tmp_path / "a.edf", [ecg, gsr, inverted], "EDF+C", record_s=0.5)
    signals = load(tmp_path / "a.edf", modalities=("temp", "eda", "ecg")).signals
    expected = {"ecg": (ecg, 200.0, "mV", 1e-3), "eda": (gsr, 10.0, "uS", 1), "temp": (inverted, 2.0, "degC", 1)}
    for modality, (written, rate_hz, unit, factor) in expected.items():
        assert (signals[modality].rate_hz, signals[modality].unit) == (rate_hz, unit)
        np.testing.assert_allclose(signals[modality].samples_TC[:, 0], written.values() * factor, rtol=1e-5, atol=1e-5)


def test_gaps_between_records_are_nan(tmp_path):
    ecg = channel(num_records=3, per_record=50)
    write_edf(tmp_path / "a.edf", [ecg], "EDF+D", onsets_s=[7.5, 8.5, 12.1])
    recording = load(tmp_path / "a.edf")
    samples = recording.signals["ecg"].samples_TC[:, 0]
    assert recording.events == ("edf_gap",)
    assert len(samples) == 230 + 50
    np.testing.assert_allclose(samples[:100], ecg.values()[:100], rtol=1e-5)
    assert np.isnan(samples[100:230]).all()
    np.testing.assert_allclose(samples[230:], ecg.values()[100:], rtol=1e-5)


@pytest.mark.parametrize("kind", ["24BIT", "BDF+C", "BDF+D"])
def test_bdf_has_samples_of_24_bits(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(base_edf, "_CHUNK_BYTES", 600)  # two records of the ECG at a time
    digital_RN = wave(300, 8_000_000).reshape(3, 100)
    digital_RN[0, :3] = -(2**23), 2**23 - 1, -1
    scale = {"unit": "uV", "physical": (-262144, 262143), "digital": (-(2**23), 2**23 - 1)}
    ecg, other = EdfChannel("EXG1", digital_RN, **scale), EdfChannel("GSR1", wave(12).reshape(3, 4), **scale)
    onsets_s = [0, 1, 4] if kind == "BDF+D" else ()
    write_edf(tmp_path / "a.bdf", [other, ecg], kind, bits=24, onsets_s=onsets_s)
    made = edf.Config(root=str(tmp_path), channels=Channels(ecg=("EXG1",))).make()
    assert made.keys() == ("a.bdf",)
    recording = made.load("a.bdf")
    samples_T = recording.signals["ecg"].samples_TC[:, 0]
    assert (recording.signals["ecg"].rate_hz, recording.signals["ecg"].unit) == (100.0, "mV")
    assert recording.start_time == "2011-01-02T10:20:30"
    if kind == "BDF+D":
        assert len(samples_T) == 500 and np.isnan(samples_T[200:400]).all()
        samples_T = np.delete(samples_T, np.s_[200:400])
    np.testing.assert_allclose(samples_T, ecg.values() / 1000, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("onsets, reason", [([0, 1, 0.5], "records overlap"), ([0, 1, 3e6], "too long")])
def test_impossible_times_are_refused(tmp_path, onsets, reason):
    write_edf(tmp_path / "a.edf", [channel(num_records=3)], "EDF+D", onsets_s=onsets)
    assert refused(tmp_path / "a.edf") == reason


def test_time_stamps_that_are_missing_are_refused(tmp_path):
    write_edf(tmp_path / "a.edf", [channel()], "EDF+D")
    content = (tmp_path / "a.edf").read_bytes()
    (tmp_path / "a.edf").write_bytes(content.replace(b"+2\x14", b"\0\0\0"))
    assert refused(tmp_path / "a.edf") == "no time stamps"
    (tmp_path / "a.edf").write_bytes(content.replace(b"EDF Annotations", b"Something else "))
    assert refused(tmp_path / "a.edf") == "no time stamps"


@pytest.mark.parametrize(
    "promised, extra, reason",
    [
        (9, b"", "truncated"), (-1, b"", ("edf_number_of_records_unknown",)),
        (3, b"", ("edf_more_records_than_promised",)), (4, b"\0" * 9, ("edf_part_of_a_record_at_the_end",)),
    ],
)  # fmt: skip
def test_headers_that_lie_about_the_number_of_records(tmp_path, promised, extra, reason):
    path = tmp_path / "a.edf"
    write_edf(path, [channel()], promised=promised)
    path.write_bytes(path.read_bytes() + extra)
    if promised == 9:
        assert refused(path) == reason
    else:
        recording = load(path)
        assert recording.events == reason
        assert recording.signals["ecg"].samples_TC.shape == (400, 1)


@pytest.mark.parametrize("record_s", ["0", "-1", "nan", "inf"])
def test_records_that_take_no_time_are_refused(tmp_path, record_s):
    path = tmp_path / "a.edf"
    write_edf(path, [channel()])
    content = path.read_bytes()
    path.write_bytes(content[:244] + record_s.ljust(8).encode() + content[252:])
    assert refused(path) == "no sampling rate"


@pytest.mark.parametrize("size, reason", [(0, "empty file"), (100, "unreadable header"), (300, "truncated"),
                                          (512, "truncated"), (1000, "truncated")])  # fmt: skip
def test_truncated_files(tmp_path, size, reason):
    path = tmp_path / "a.edf"
    write_edf(path, [channel()])
    path.write_bytes(path.read_bytes()[:size])
    assert refused(path) == reason


def test_files_that_are_no_edf_or_hold_nothing(tmp_path):
    (tmp_path / "text.edf").write_text("time,ecg\n" * 100)
    assert refused(tmp_path / "text.edf") == "unreadable header"
    write_edf(tmp_path / "bdf.edf", [channel()])  # 16 bits a sample, and first bytes that promise 24
    (tmp_path / "bdf.edf").write_bytes(b"\xffBIOSEMI" + (tmp_path / "bdf.edf").read_bytes()[8:])
    assert refused(tmp_path / "bdf.edf") == "truncated"
    write_edf(tmp_path / "flat.edf", [channel(digital=(5, 5))])
    assert refused(tmp_path / "flat.edf") == "unreadable header"
    write_edf(tmp_path / "none.edf", [channel(num_records=1)], promised=0)
    (tmp_path / "none.edf").write_bytes((tmp_path / "none.edf").read_bytes()[:512])
    assert refused(tmp_path / "none.edf") == "no samples"
    write_edf(tmp_path / "eeg.edf", [channel("EEG Fp1", unit="uV"), channel("EEG Fp2", unit="uV")])
    assert refused(tmp_path / "eeg.edf") == "no ecg channel"
    with pytest.raises(DataError, match=r"'ECG' is not among its channels: EEG Fp1, EEG Fp2\. .*channels\.ecg"):
        load(tmp_path / "eeg.edf", channels=Channels(ecg=("ECG",)))


def test_a_header_that_hides_its_annotations_is_refused(tmp_path):
    """Else each later signal would be read where its neighbour lies."""
    path = tmp_path / "a.edf"
    write_edf(path, [channel("EEG Fp1", unit="uV"), channel()], "EDF+C")
    path.write_bytes(path.read_bytes().replace(b"EDF Annotations ", b" EDF Annotations"))
    assert refused(path) == "unreadable header"


def test_a_file_whose_annotations_are_blank_has_no_start(tmp_path):
    path = tmp_path / "a.edf"
    write_edf(path, [channel()], "EDF+C")
    path.write_bytes(path.read_bytes().replace(b"+0\x14\x14\0+0\x151\x14note\x14", bytes(17)))
    assert load(path).start_time == ""


def test_a_file_keeps_its_folder_in_its_key(tmp_path):
    write_edf(tmp_path / "x" / "a.EDF", [channel()])
    write_edf(tmp_path / "._a.edf", [channel()])  # left by a file manager
    made = edf.Config(root=str(tmp_path), subject=r"^(\w)/").make()
    assert made.keys() == ("x/a.EDF",)
    assert made.load("x/a.EDF").subject == "x"


def test_eegmat_without_its_table_says_so_in_an_event(tmp_path):
    corpus = corpus_of_eegmat.write(tmp_path)
    for root in (tmp_path, tmp_path / "ecg_only"):  # the table may lie beside the files or above them
        labels = eegmat.Config(root=str(root)).make().load("Subject00_2").labels
        assert [(label.name, label.value) for label in labels] == [("condition", 1.0), ("counter", 0.0)]
    (tmp_path / "subject-info.csv").unlink()
    recording = eegmat.Config(**corpus.config).make().load("Subject00_2")
    assert [label.name for label in recording.labels] == ["condition"]
    assert recording.events == ("eegmat_no_counter_label",)
    assert recording.start_time == ""  # a filler in these files


def test_eegmat_finds_its_table_where_a_download_puts_it(tmp_path):
    """Beside the EDF files, below the root: wget makes eegmat/1.0.0; and the nearest of several counts."""
    corpus_of_eegmat.write(tmp_path / "data" / "eegmat" / "1.0.0")
    table = (tmp_path / "data" / "eegmat" / "1.0.0" / "subject-info.csv").read_text()

    def good(root):
        recording = eegmat.Config(root=str(root)).make().load("Subject07_1")
        return [label.value for label in recording.labels if label.name == "counter"]

    for root in ("data", "data/eegmat", "data/eegmat/1.0.0", "data/eegmat/1.0.0/ecg_only"):
        assert good(tmp_path / root) == [1.0], root
    (tmp_path / "data" / "subject-info.csv").write_text(table.replace("9.7,1", "9.7,0"))
    assert good(tmp_path / "data" / "eegmat") == [1.0]
    (tmp_path / "data" / "eegmat" / "1.0.0" / "subject-info.csv").unlink()
    assert good(tmp_path / "data" / "eegmat") == [0.0]
    assert good(tmp_path / "data" / "eegmat" / "1.0.0") == [], "two folders above the root is elsewhere"


@pytest.mark.parametrize("names", ["Subject,Quality", "Person,Count quality", ""])
def test_a_table_without_its_columns_is_refused(tmp_path, names):
    corpus = corpus_of_eegmat.write(tmp_path)
    (tmp_path / "subject-info.csv").write_bytes(f"{names},\xe9\nSubject00,1,x\n".encode("latin-1"))
    with pytest.raises(DataError, match="subject-info.csv: no column. None of its first rows names columns for subj"):
        eegmat.Config(**corpus.config).make().load("Subject00_1")


def test_a_table_with_a_quote_that_never_ends_is_named(tmp_path):
    corpus = corpus_of_eegmat.write(tmp_path)
    (tmp_path / "subject-info.csv").write_text('Subject,Count quality\nSubject00,"' + "x" * 200_000)
    with pytest.raises(DataError, match="subject-info.csv: unreadable table. field larger"):
        eegmat.Config(**corpus.config).make().load("Subject00_1")


def test_eegmat_prefers_one_of_two_copies_and_reads_the_originals(tmp_path):
    corpus_of_eegmat.write(tmp_path)
    eeg, ecg = channel("EEG Fp1", unit="uV"), channel("ECG ECG", per_record=500)
    write_edf(tmp_path / "original_full" / "Subject07_1.edf", [eeg, ecg], "EDF+C")
    write_edf(tmp_path / "original_full" / "Subject31_1.edf", [eeg, ecg], "EDF+C")
    made = eegmat.Config(root=str(tmp_path)).make()
    assert made.keys() == ("Subject00_1", "Subject00_2", "Subject07_1", "Subject07_2", "Subject31_1")
    assert made.load("Subject07_1").sources == ("ecg_only/Subject07_1_ecg.edf",)
    assert ["copy_not_read" in made.load(key).events for key in ("Subject07_1", "Subject31_1")] == [True, False]
    np.testing.assert_allclose(made.load("Subject31_1").signals["ecg"].samples_TC[:, 0], ecg.values(), rtol=1e-5)
    with pytest.raises(UserError, match="not named as eegmat"):
        write_edf(tmp_path / "other.edf", [ecg])
        eegmat.Config(root=str(tmp_path / "other.edf")).make().keys()


@needs_data
def test_eegmat_as_distributed():
    import edfio

    made = eegmat.Config(root=str(DATA)).make()
    assert len(made.keys()) == len(list(DATA.rglob("Subject*.edf")))
    for key in ("Subject00_1", "Subject10_1"):
        recording = made.load(key)
        signal = recording.signals["ecg"]
        assert (signal.rate_hz, signal.unit) == (500.0, "mV")
        own = edfio.read_edf(DATA / recording.sources[0]).get_signal("ECG ECG").data
        np.testing.assert_allclose(signal.samples_TC[:, 0], own, rtol=1e-6, atol=1e-6)
    assert {label.name: label.value for label in made.load("Subject00_2").labels} == {"condition": 1, "counter": 0}
