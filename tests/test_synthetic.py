"""The embedded corpus: its beats are where it says, its effect is the size it says, and its numbers never move."""

import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgjax.datasets import synthetic as corpus
from ecgjax.errors import UserError
from ecgjax.signals import synthetic

CLEAN = {"noise": 0.0, "ectopic_share": 0.0, "lead_off_per_min": 0.0, "gaps_per_min": 0.0}


def detected_peaks_s(ecg, rate_hz):
    """R peaks by NeuroKit2's own detector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third-party deprecations
        import neurokit2

        cleaned = neurokit2.ecg_clean(ecg, sampling_rate=rate_hz)
        return neurokit2.ecg_peaks(cleaned, sampling_rate=rate_hz)[1]["ECG_R_Peaks"] / rate_hz


def share_near(times_s, others_s, within_s=0.04):
    return np.mean([np.abs(others_s - time_s).min() < within_s for time_s in times_s])


@pytest.mark.parametrize("fields, least", [(CLEAN, 0.99), ({"lead_off_per_min": 0.0, "gaps_per_min": 0.0}, 0.95)])
def test_neurokit_finds_the_beats_where_they_are(fields, least):
    made = corpus.Config(num_subjects=6, trials_per_subject=2, trial_s=30.0, **fields).make()
    found, right = [], []
    for key in made.keys():
        truth, signal = made.truth(key), made.load(key).signals["ecg"]
        peaks_s = detected_peaks_s(truth.polarity * signal.samples_TC[:, 0].astype(np.float64), 256)
        inner_s = truth.beats_s[(truth.beats_s > 1) & (truth.beats_s < 29)]  # detectors lose beats at the ends
        found.append(share_near(inner_s, peaks_s))
        right.append(share_near(peaks_s[(peaks_s > 1) & (peaks_s < 29)], truth.beats_s))
    assert np.mean(found) >= least and np.mean(right) >= least


def test_rate_and_its_two_rhythms_are_as_asked():
    heart = synthetic.Heart(synthetic.NORMAL_WAVES, rate_bpm=80.0, mayer_bpm=2.0, breath_bpm=4.0, breath_hz=0.3)
    beats_s = synthetic.draw_beats(np.random.default_rng(0), heart, 3600.0).within(3600.0)
    rate_bpm = 60 / np.diff(beats_s)
    assert len(beats_s) == pytest.approx(4800, rel=0.005)
    even = np.interp(np.arange(0, 3590, 0.25), beats_s[1:], rate_bpm)
    power = np.abs(np.fft.rfft(even - even.mean())) ** 2 * 2 / len(even) ** 2
    freq_hz = np.fft.rfftfreq(len(even), 0.25)
    for centre_hz, deviation in ((0.1, 2.0), (0.3, 4.0)):
        band = np.abs(freq_hz - centre_hz) < 0.06
        # beats sample the rate about once a second, which blurs the faster rhythm a little
        assert np.sqrt(power[band].sum()) == pytest.approx(deviation, rel=0.25)
        assert freq_hz[band][power[band].argmax()] == pytest.approx(centre_hz, abs=0.04)


def test_ectopic_beats_are_early_wide_and_followed_by_a_pause():
    heart = synthetic.Heart(synthetic.NORMAL_WAVES, 60.0, 0.0, 0.0, ectopics_per_min=6.0)
    beats = synthetic.draw_beats(np.random.default_rng(1), heart, 600.0)
    intervals_s = np.diff(beats.times_s)
    early = np.flatnonzero(beats.ectopic[1:-1]) + 1
    assert 30 < len(early) < 90
    np.testing.assert_allclose(intervals_s[early - 1], 0.65, rtol=0.02)
    np.testing.assert_allclose(intervals_s[early], 1.35, rtol=0.02)
    alone = {kind: synthetic.Beats(np.array([-9.0, 1.0]), np.array([False, kind])) for kind in (False, True)}
    width = {kind: np.sum(synthetic.render_ecg(heart, b, 512, 256.0) > 0.5) for kind, b in alone.items()}
    assert width[True] > 2 * width[False]


def test_waves_stand_where_they_are_put_and_move_with_the_rate():
    heart = synthetic.Heart(synthetic.NORMAL_WAVES)
    for interval_s in (1.0, 0.64):
        beats = synthetic.Beats(np.array([1.0 - interval_s, 1.0, 1.0 + interval_s]), np.zeros(3, bool))
        ecg = synthetic.render_ecg(heart, beats, 2000, 1000.0)
        assert ecg[800:1200].argmax() + 800 == pytest.approx(1000, abs=3)
        t_peak = 1000 + 150 + ecg[1150:1450].argmax()
        p_peak = 1000 - 300 + ecg[700:900].argmax()
        assert t_peak == pytest.approx(1000 + 290 * np.sqrt(interval_s), abs=15)
        assert p_peak == pytest.approx(1000 - 170 * np.sqrt(interval_s), abs=8)


@pytest.fixture(scope="module")
def trials():
    """Condition, subject and the three true traces of arousal, one row a trial of the default corpus."""
    made = corpus.Config().make()
    truths = [made.truth(key) for key in made.keys()]
    rmssd_s = [np.sqrt(np.mean(np.diff(np.diff(t.beats_s)) ** 2)) for t in truths]
    t_share = [t.heart.waves[4].height_mV / t.heart.waves[2].height_mV for t in truths]
    features = np.stack([[t.rate_bpm for t in truths], -np.log(rmssd_s), np.negative(t_share)], axis=1)
    subject = np.array([key.split("/")[0] for key in made.keys()])
    return np.array([t.arousal > 0.5 for t in truths]), subject, features


def across_subjects(features, condition, subject):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    scores = cross_val_predict(model, features, condition, groups=subject, cv=GroupKFold(5), method="predict_proba")
    return roc_auc_score(condition, scores[:, 1])


def test_heart_rate_alone_is_a_fair_baseline_but_not_the_answer(trials):
    condition, subject, features = trials
    rate = features[:, 0]
    own = np.concatenate([(rate[subject == s] - rate[subject == s].mean()) for s in np.unique(subject)])
    assert 0.70 < roc_auc_score(condition, rate) < 0.80
    assert 0.87 < roc_auc_score(condition, own) < 0.97
    assert 0.68 < across_subjects(features[:, :1], condition, subject) < 0.80
    assert across_subjects(features, condition, subject) > 0.82  # learnable by who has never seen the person


def test_labels_shuffled_within_each_person_cannot_be_learnt(trials):
    condition, subject, features = trials
    rng, scores = np.random.default_rng(0), []
    for _ in range(10):
        shuffled = rng.permuted(condition.reshape(40, 12), axis=1).ravel()
        scores.append(across_subjects(features, shuffled, subject))
    assert max(scores) < 0.60
    assert 0.44 < np.mean(scores) < 0.55


def test_each_person_is_calm_and_aroused_equally_often_and_rates_it():
    made = corpus.Config(num_subjects=20, trials_per_subject=6, trial_s=5.0).make()
    labels = [{label.name: label.value for label in made.load(key).labels} for key in made.keys()]
    condition = np.array([label["condition"] for label in labels]).reshape(20, 6)
    rating = np.array([label["arousal"] for label in labels]).reshape(20, 6)
    assert (condition.sum(1) == 3).all()
    assert len(np.unique(condition, axis=0)) > 10  # in an order of their own
    assert set(np.unique(rating)) <= set(range(1, 10))
    assert rating[condition == 1].mean() - rating[condition == 0].mean() > 3
    latent = np.array([made.truth(key).arousal for key in made.keys()]).reshape(20, 6)
    assert np.abs(rating - 1 - 8 * latent).std() > 0.4  # not the latent itself


def test_a_trial_depends_on_seed_and_place_alone():
    few = corpus.Config(num_subjects=2, trials_per_subject=4, trial_s=10.0)
    one = few.make().load("s001/t02").signals["ecg"].samples_TC
    many = dataclasses.replace(few, num_subjects=9, modalities=("temp", "ecg", "bvp", "eda"))
    np.testing.assert_array_equal(many.make().load("s001/t02").signals["ecg"].samples_TC, one)
    other = dataclasses.replace(few, seed=1).make().load("s001/t02").signals["ecg"].samples_TC
    assert np.nanmax(np.abs(other - one)) > 0.1
    sibling = few.make().load("s001/t03").signals["ecg"].samples_TC
    assert np.nanmax(np.abs(sibling - one)) > 0.1


def test_defects_lie_where_the_truth_says():
    made = corpus.Config(num_subjects=4, trials_per_subject=2, lead_off_per_min=3.0, gaps_per_min=3.0).make()
    num_off = 0
    for key in made.keys():
        truth, signal = made.truth(key), made.load(key).signals["ecg"]
        time_s = np.arange(len(signal.samples_TC)) / signal.rate_hz
        gap, off = (
            np.any([(time_s >= a) & (time_s < b) for a, b in spans] or [time_s < 0], axis=0)
            for spans in (truth.gaps_s, truth.lead_off_s)
        )
        ecg = signal.samples_TC[:, 0]
        assert np.mean(np.isnan(ecg) == gap) > 0.999
        inside = off & ~gap & ~np.isnan(ecg)
        num_off += inside.sum()
        assert not inside.any() or np.quantile(np.abs(ecg[inside]), 0.98) < 1e-3
        assert np.nanstd(ecg[~off]) > 0.05
    assert num_off > 1000


def test_inverted_electrodes_turn_the_ecg_over():
    made = corpus.Config(num_subjects=3, trials_per_subject=1, trial_s=10.0, inverted_share=1.0, **CLEAN).make()
    upright = corpus.Config(num_subjects=3, trials_per_subject=1, trial_s=10.0, inverted_share=0.0, **CLEAN).make()
    for key in made.keys():
        assert (made.truth(key).polarity, upright.truth(key).polarity) == (-1, 1)
        np.testing.assert_array_equal(
            made.load(key).signals["ecg"].samples_TC, -upright.load(key).signals["ecg"].samples_TC
        )


def test_wrist_signals_follow_the_heart_and_arousal():
    config = corpus.Config(num_subjects=12, trials_per_subject=4, modalities=("eda", "bvp", "temp"))
    made = config.make()
    aroused, level, slope = [], [], []
    for key in made.keys():
        signals, truth = made.load(key).signals, made.truth(key)
        assert {m: (s.rate_hz, s.unit) for m, s in signals.items()} == {
            "eda": (4.0, "uS"), "bvp": (64.0, "au"), "temp": (4.0, "degC")
        }  # fmt: skip
        assert all(abs(s.duration_s - 60) < 1e-9 for s in signals.values())
        eda, temp = signals["eda"].samples_TC[:, 0], signals["temp"].samples_TC[:, 0]
        assert eda.min() > 0 and 25 < temp.min() < temp.max() < 40
        feet = (truth.beats_s[5:-5] * 64).astype(int)
        pulse = signals["bvp"].samples_TC[:, 0]
        assert np.mean(pulse[feet + 22]) > np.mean(pulse[feet]) + 5  # a third of a second after the R peak
        aroused.append(truth.arousal > 0.5)
        level.append(np.log(eda.mean()))
        slope.append(temp[-40:].mean() - temp[:40].mean())
    aroused = np.array(aroused)
    own_level = np.array(level).reshape(12, 4) - np.mean(np.array(level).reshape(12, 4), axis=1, keepdims=True)
    assert roc_auc_score(aroused, own_level.ravel()) > 0.8
    assert roc_auc_score(aroused, np.negative(slope)) > 0.8


@pytest.mark.parametrize(
    "field, value",
    [("num_subjects", 0), ("trials_per_subject", 0), ("trial_s", 1.0), ("rate_hz", 5.0), ("modalities", ("eeg",)),
     ("modalities", ()), ("seed", -1), ("seed", 2**31), ("trial_s", float("inf")), ("rest_bpm", float("nan")),
     ("mains_hz", float("-inf")), ("arousal_bpm", float("-inf")), ("rest_spread_bpm", -1.0), ("effect_spread", -0.1),
     ("gaps_per_min", -1.0)],
)  # fmt: skip
def test_impossible_corpora_are_refused_by_field(field, value):
    with pytest.raises(UserError, match=rf"--config\.dataset\.{field}="):
        corpus.Config(**{field: value}).make()


def test_keys_of_another_corpus_are_refused():
    made = corpus.Config(num_subjects=2, trials_per_subject=2).make()
    for key in ("s002/t00", "s000/t02", "100", "s0/t0"):
        with pytest.raises(UserError, match="not a trial of this corpus"):
            made.load(key)
