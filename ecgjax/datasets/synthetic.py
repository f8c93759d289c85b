"""The embedded corpus: people watching clips that leave them calm or aroused, generated, with known truth.

Arousal raises the heart rate, makes it less variable, quickens breathing, flattens T and shortens PR, within each
person; but resting rate, variability and wave shapes differ between people by about as much. So mean heart rate alone
tells the pooled conditions apart only moderately (AUC 0.71 to 0.76 by seed, and 0.91 to 0.93 after z-scoring within
each person), and a learner that weighs all three does better (0.84 to 0.88 on new people, from the true values).
Sizes of effects are ours, of the order of those in eegmat (12.8 beats/min, AUC 0.74 and 0.92).
"""

import dataclasses
import math
import re

import numpy as np

from ecgjax.errors import UserError, require
from ecgjax.signals import synthetic
from ecgjax.signals.recording import Label, LabelSpec, Recording, Signal

_LABEL_SPECS = {
    "condition": LabelSpec(classes=("calm", "aroused")),
    "arousal": LabelSpec(low=1.0, high=9.0, rater="self"),
}
_RATES_HZ = {"bvp": 64.0, "eda": 4.0, "temp": 4.0}  # those of a wrist device; ECG has its own
# Of random numbers, one a purpose, so that none changes with what else is drawn.
_STREAMS = ("person", "order", "arousal", "rating", "beats", "noise", "defects", "bvp", "eda", "temp")
_LEAST = {  # of the fields that cannot take any number
    "num_subjects": 1, "trials_per_subject": 1, "trial_s": 5.0, "rate_hz": 50.0, "seed": 0,
    "rest_spread_bpm": 0.0, "trial_spread_bpm": 0.0, "effect_spread": 0.0, "rater_noise": 0.0, "noise": 0.0,
    "mains_hz": 0.0, "inverted_share": 0.0, "ectopic_share": 0.0, "lead_off_per_min": 0.0, "gaps_per_min": 0.0,
}  # fmt: skip


@dataclasses.dataclass
class Config:
    """The corpus. `root` is not read. Everything follows from `seed`; person and trial alone pick their numbers.

    Effects are of full arousal (1) against none (0); calm trials lie in 0-0.4 and aroused ones in 0.6-1.
    """

    root: str = ""
    num_subjects: int = 40
    trials_per_subject: int = 12
    trial_s: float = 60.0
    rate_hz: float = 256.0
    modalities: tuple[str, ...] = ("ecg",)  # of ecg, bvp, eda, temp
    seed: int = 0

    rest_bpm: float = 68.0
    rest_spread_bpm: float = 9.0  # between people
    trial_spread_bpm: float = 4.0  # between trials of one person, without cause
    arousal_bpm: float = 15.0
    arousal_variability: float = -1.0  # of the logarithm of beat-to-beat variation
    arousal_breath_hz: float = 0.07
    arousal_t_wave: float = -0.4  # share of the T wave's height
    arousal_pr_s: float = -0.012
    effect_spread: float = 0.25  # between people, as a share of each effect
    rater_noise: float = 0.8  # of a rating, on its scale from 1 to 9

    noise: float = 1.0
    mains_hz: float = 50.0
    inverted_share: float = 0.1  # of people whose electrodes are swapped
    ectopic_share: float = 0.2  # of people who have ectopic beats, up to 4 a minute
    lead_off_per_min: float = 0.1
    gaps_per_min: float = 0.05  # NaN

    def make(self) -> "Synthetic":
        return Synthetic(dataclasses.replace(self))


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a trial was made of.

    Attributes:
      arousal: latent, 0 to 1.
      heart: the person's heart in this trial.
      beats_s: R peaks in the trial, ectopic ones included.
      rate_bpm: mean heart rate over those.
      lead_off_s, gaps_s: spans, (n, 2).
      polarity: 1, or -1 where the electrodes are swapped.
    """

    arousal: float
    heart: synthetic.Heart
    beats_s: np.ndarray
    rate_bpm: float
    lead_off_s: np.ndarray
    gaps_s: np.ndarray
    polarity: float


@dataclasses.dataclass(frozen=True)
class _Person:
    """What stays of a person over the trials. `effects` multiply those of the config."""

    waves: tuple[synthetic.Wave, ...]
    rest_bpm: float
    mayer_bpm: float
    breath_bpm: float
    breath_hz: float
    effects: np.ndarray  # of rate, variability, breathing, T wave, PR
    gain: float
    polarity: float
    noise: float
    ectopics_per_min: float
    rating_bias: float
    tonic_uS: float
    skin_C: float
    pulse: float


def _check_numbers(config: Config) -> None:
    for field in dataclasses.fields(config):
        if field.type in (int, float):
            name, value, least = f"--config.dataset.{field.name}", getattr(config, field.name), _LEAST.get(field.name)
            require(abs(value) < math.inf, name, value, "a finite number")
            require(least is None or value >= least, name, value, f"at least {least}")
    require(config.seed < 2**31, "--config.dataset.seed", config.seed, "a whole number below 2147483648")


class Synthetic:
    """Trials as recordings. A key is "s000/t00"; subject and trial are its parts."""

    def __init__(self, config: Config):
        _check_numbers(config)
        unknown = set(config.modalities) - {"ecg", *_RATES_HZ}
        if unknown or not config.modalities:
            raise UserError(f"--config.dataset.modalities={config.modalities}: choose of ecg, {', '.join(_RATES_HZ)}.")
        self.config = config
        self.name = f"synthetic{config.seed}"  # another seed makes other people, who must not pass for these
        self.label_specs = dict(_LABEL_SPECS)

    def keys(self) -> tuple[str, ...]:
        people, trials = range(self.config.num_subjects), range(self.config.trials_per_subject)
        return tuple(sorted(f"s{person:03d}/t{trial:02d}" for person in people for trial in trials))

    def load(self, key: str) -> Recording:
        person_id, trial = self._parse(key)
        person, (truth, beats) = self._person(person_id), self._trial(person_id, trial)
        config = self.config
        signals = {}
        for modality in config.modalities:
            if modality == "ecg":
                samples, rate_hz, unit = self._ecg(person_id, trial, person, truth, beats), config.rate_hz, "mV"
            else:
                rate_hz = _RATES_HZ[modality]
                samples, unit = self._other(modality, person_id, trial, person, truth, beats)
            signals[modality] = Signal(samples[:, None].astype(np.float32), rate_hz, unit, (modality.upper(),))
        noise = config.rater_noise * self._rng("rating", person_id, trial).standard_normal()
        rating = np.clip(np.round(1 + 8 * truth.arousal + person.rating_bias + noise), 1, 9)
        labels = (
            Label("condition", 0.0, config.trial_s, float(truth.arousal > 0.5)),
            Label("arousal", 0.0, config.trial_s, float(rating)),
        )
        subject, name = key.split("/")
        return Recording(key, subject, signals, labels, trial=name)

    def truth(self, key: str) -> Truth:
        """What the trial was made of, for tests and reference scores."""
        return self._trial(*self._parse(key))[0]

    def _parse(self, key: str) -> tuple[int, int]:
        match = re.fullmatch(r"s(\d{3,})/t(\d{2,})", key)
        person, trial = map(int, match.groups()) if match else (-1, -1)
        if not (0 <= person < self.config.num_subjects and 0 <= trial < self.config.trials_per_subject):
            raise UserError(f"{key}: not a trial of this corpus, whose keys run from {self.keys()[0]} on.")
        return person, trial

    def _rng(self, stream: str, *position: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, _STREAMS.index(stream), *position])

    def _person(self, person: int) -> _Person:
        config, rng = self.config, self._rng("person", person)
        waves = tuple(
            dataclasses.replace(
                wave,
                centre_s=wave.centre_s * rng.normal(1, 0.06),
                width_s=wave.width_s * rng.lognormal(0, 0.10),
                height_mV=wave.height_mV * rng.lognormal(0, 0.15),
            )
            for wave in synthetic.NORMAL_WAVES
        )
        variation = rng.lognormal(0, 0.25)
        return _Person(
            waves=waves,
            rest_bpm=float(np.clip(rng.normal(config.rest_bpm, config.rest_spread_bpm), 45, 100)),
            mayer_bpm=2.2 * variation,
            breath_bpm=3.0 * variation * rng.lognormal(0, 0.15),
            breath_hz=float(np.clip(rng.normal(0.24, 0.03), 0.16, 0.32)),
            effects=np.maximum(rng.normal(1, config.effect_spread, 5), 0),
            gain=rng.lognormal(0, 0.25),
            polarity=-1.0 if rng.uniform() < config.inverted_share else 1.0,
            noise=config.noise * rng.lognormal(0, 0.4),
            ectopics_per_min=rng.uniform(0.5, 4) if rng.uniform() < config.ectopic_share else 0.0,
            rating_bias=rng.normal(0, 0.7),
            tonic_uS=rng.lognormal(np.log(3), 0.6),
            skin_C=rng.normal(33, 1.2),
            pulse=rng.lognormal(np.log(40), 0.4),
        )

    def _arousal(self, person: int, trial: int) -> float:
        """Half of a person's trials are calm, in random order; with an odd number the extra one falls at random."""
        num = self.config.trials_per_subject
        rng = self._rng("order", person)
        aroused = rng.permutation((np.arange(num) + rng.integers(2)) % 2)[trial]
        return float(0.6 * aroused + 0.4 * self._rng("arousal", person, trial).uniform())

    def _trial(self, person_id: int, trial: int) -> tuple[Truth, synthetic.Beats]:
        config, person, arousal = self.config, self._person(person_id), self._arousal(person_id, trial)
        rate, variability, breath, t_wave, pr = person.effects * arousal
        rng = self._rng("beats", person_id, trial)
        shift_bpm = config.arousal_bpm * rate + rng.normal(0, config.trial_spread_bpm)
        calm = np.exp(config.arousal_variability * variability) * rng.lognormal(0, 0.15)
        p_wave, *qrs, t_rise, t_fall = person.waves
        t_scale = max(0.0, 1 + config.arousal_t_wave * t_wave) * rng.lognormal(0, 0.05)
        waves = (
            dataclasses.replace(p_wave, centre_s=p_wave.centre_s - config.arousal_pr_s * pr),
            *qrs,
            dataclasses.replace(t_rise, height_mV=t_rise.height_mV * t_scale),
            dataclasses.replace(t_fall, height_mV=t_fall.height_mV * t_scale),
        )
        heart = synthetic.Heart(
            waves,
            rate_bpm=float(np.clip(person.rest_bpm + shift_bpm, 42, 150)),
            mayer_bpm=person.mayer_bpm * calm,
            breath_bpm=person.breath_bpm * calm,
            breath_hz=person.breath_hz + config.arousal_breath_hz * breath,
            ectopics_per_min=person.ectopics_per_min,
        )
        beats = synthetic.draw_beats(rng, heart, config.trial_s)
        beats_s = beats.within(config.trial_s)
        defects = self._rng("defects", person_id, trial)
        lead_off_s = synthetic.draw_spans(defects, config.trial_s, config.lead_off_per_min, (2.0, 8.0))
        gaps_s = synthetic.draw_spans(defects, config.trial_s, config.gaps_per_min, (0.5, 3.0))
        rate_bpm = 60 * (len(beats_s) - 1) / (beats_s[-1] - beats_s[0])
        return Truth(arousal, heart, beats_s, float(rate_bpm), lead_off_s, gaps_s, person.polarity), beats

    def _ecg(self, person_id: int, trial: int, person: _Person, truth: Truth, beats: synthetic.Beats) -> np.ndarray:
        config, rng = self.config, self._rng("noise", person_id, trial)
        num_samples = round(config.trial_s * config.rate_hz)
        ecg = person.gain * person.polarity * synthetic.render_ecg(truth.heart, beats, num_samples, config.rate_hz)
        ecg += synthetic.ecg_noise(rng, num_samples, config.rate_hz, person.noise, config.mains_hz)
        for start_s, stop_s in truth.lead_off_s:  # a loose electrode: the amplifier rests, with a little hiss
            span = slice(round(start_s * config.rate_hz), round(stop_s * config.rate_hz))
            ecg[span] = 1e-4 * rng.standard_normal(len(ecg[span]))
        for start_s, stop_s in truth.gaps_s:
            ecg[round(start_s * config.rate_hz) : round(stop_s * config.rate_hz)] = np.nan
        return ecg

    def _other(self, modality: str, person_id: int, trial: int, person: _Person, truth: Truth, beats: synthetic.Beats):
        """(samples, unit) of a wrist signal: arousal narrows the vessels, wets the skin and cools it."""
        rng, rate_hz = self._rng(modality, person_id, trial), _RATES_HZ[modality]
        num_samples = round(self.config.trial_s * rate_hz)
        if modality == "bvp":
            delay_s, height = 0.22 - 0.03 * truth.arousal, person.pulse * (1 - 0.4 * truth.arousal)
            pulse = synthetic.render_pulse(beats, num_samples, rate_hz, delay_s, height)
            return pulse - pulse.mean() + 0.05 * person.pulse * rng.standard_normal(num_samples), "au"
        if modality == "eda":
            tonic_uS, per_min = person.tonic_uS * (1 + 0.4 * truth.arousal), 1 + 7 * truth.arousal
            return synthetic.skin_conductance(rng, num_samples, rate_hz, tonic_uS, per_min), "uS"
        slope_C = 0.1 - 0.35 * truth.arousal
        return synthetic.skin_temperature(rng, num_samples, rate_hz, person.skin_C, slope_C), "degC"
