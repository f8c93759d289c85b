"""Synthetic body signals of known truth: beats at known times, an arousal of known effect, known defects.

The ECG is the sum of Gaussian waves of McSharry et al., "A dynamical model for generating synthetic electrocardiogram
signals", IEEE TBME 50(3):289-294, 2003 (whose waves are summed here in closed form instead of integrating an ODE), on
beats whose rate varies with the two-peaked spectrum of that paper: 0.1 Hz (Mayer waves) and breathing.
"""

import dataclasses

import numpy as np

BEAT_SPAN_S = (-0.40, 0.75)  # of one beat around its R peak at 60 beats/min
_CONTROL_HZ = 16.0  # grid of the heart-rate modulation


@dataclasses.dataclass(frozen=True)
class Wave:
    """One Gaussian of a beat: centre from the R peak and width (standard deviation) at 60 beats/min."""

    centre_s: float
    width_s: float
    height_mV: float


@dataclasses.dataclass(frozen=True)
class Heart:
    """A person's ECG in one state.

    Attributes:
      waves: P, Q, R, S, T of a normal beat.
      rate_bpm: mean heart rate.
      mayer_bpm, breath_bpm: standard deviations of the rate around 0.1 Hz and around the breathing rate.
      breath_hz: breaths a second.
      ectopics_per_min: ventricular beats.
    """

    waves: tuple[Wave, ...]
    rate_bpm: float = 70.0
    mayer_bpm: float = 2.0
    breath_bpm: float = 3.0
    breath_hz: float = 0.25
    ectopics_per_min: float = 0.0


@dataclasses.dataclass(frozen=True)
class Beats:
    """R peaks in seconds (some before the start and after the end, whose waves reach in), and which are ectopic."""

    times_s: np.ndarray
    ectopic: np.ndarray

    def within(self, duration_s: float) -> np.ndarray:
        """Times of the peaks in [0, duration)."""
        return self.times_s[(self.times_s >= 0) & (self.times_s < duration_s)]


NORMAL_WAVES = (  # ours, by eye: lead II of a healthy adult
    Wave(-0.170, 0.024, 0.13),  # P
    Wave(-0.026, 0.009, -0.11),  # Q
    Wave(0.000, 0.011, 1.10),  # R
    Wave(0.028, 0.010, -0.22),  # S
    Wave(0.265, 0.045, 0.30),  # T, its slow rise
    Wave(0.305, 0.028, 0.10),  # and its steeper fall
)
_ECTOPIC_WAVES = (Wave(0.0, 0.035, 1.3), Wave(0.075, 0.040, -0.55), Wave(0.29, 0.060, -0.38))  # wide, no P, T opposed


def draw_beats(rng: np.random.Generator, heart: Heart, duration_s: float) -> Beats:
    """R peaks where the integral of a randomly modulated heart rate passes whole numbers; ectopics come early."""
    lead_s = 4.0
    num = int((duration_s + 2 * lead_s) * _CONTROL_HZ)
    rate_bpm = heart.rate_bpm + _band_noise(rng, num, 0.10, 0.02, heart.mayer_bpm)
    rate_bpm += _band_noise(rng, num, heart.breath_hz, 0.02, heart.breath_bpm)
    phase = np.concatenate([[0.0], np.cumsum(np.maximum(rate_bpm, 25.0) / 60.0 / _CONTROL_HZ)]) + rng.uniform()
    grid_s = np.arange(num + 1) / _CONTROL_HZ - lead_s
    times_s = np.interp(np.arange(np.ceil(phase[0]), np.floor(phase[-1]) + 1), phase, grid_s)
    share = min(0.4, heart.ectopics_per_min / heart.rate_bpm)
    ectopic = rng.uniform(size=len(times_s)) < share
    ectopic[0] = False
    ectopic[1:] &= ~ectopic[:-1]  # one by one: the next beat keeps its time, which makes the compensatory pause
    early = np.flatnonzero(ectopic)
    times_s[early] -= 0.35 * (times_s[early] - times_s[early - 1])
    return Beats(times_s, ectopic)


def render_ecg(heart: Heart, beats: Beats, num_samples: int, rate_hz: float) -> np.ndarray:
    """Clean ECG in mV, float64 of shape (num_samples,).

    Intervals within a beat shrink with the square root of the beat's own RR interval, as QT does (Bazett).
    """
    intervals_s = np.diff(beats.times_s, prepend=2 * beats.times_s[0] - beats.times_s[1])
    stretch_K = np.sqrt(np.clip(intervals_s, 0.35, 1.5))
    signal = np.zeros(num_samples)
    for waves, chosen_K in ((heart.waves, ~beats.ectopic), (_ECTOPIC_WAVES, beats.ectopic)):
        times_s, stretch = beats.times_s[chosen_K], stretch_K[chosen_K]
        offsets = np.arange(int(BEAT_SPAN_S[0] * 1.3 * rate_hz), int(BEAT_SPAN_S[1] * 1.3 * rate_hz))
        index_KW = np.round(times_s * rate_hz).astype(int)[:, None] + offsets
        beat_time_KW = (index_KW / rate_hz - times_s[:, None]) / stretch[:, None]
        height_KW = np.zeros(index_KW.shape)
        for wave in waves:
            # Q, R and S keep their width: conduction hardly changes with the rate.
            fixed = abs(wave.centre_s) < 0.1
            time_KW = beat_time_KW * stretch[:, None] if fixed else beat_time_KW
            height_KW += wave.height_mV * np.exp(-0.5 * ((time_KW - wave.centre_s) / wave.width_s) ** 2)
        inside = (index_KW >= 0) & (index_KW < num_samples)
        signal += np.bincount(index_KW[inside], height_KW[inside], minlength=num_samples)
    return signal


def render_pulse(beats: Beats, num_samples: int, rate_hz: float, delay_s: float, height: float) -> np.ndarray:
    """Blood-volume pulse: a systolic and a smaller diastolic wave `delay_s` after each R peak; arbitrary unit."""
    waves = (Wave(delay_s + 0.12, 0.06, height), Wave(delay_s + 0.38, 0.09, 0.35 * height))
    heart = Heart(waves)
    return render_ecg(heart, Beats(beats.times_s, np.zeros_like(beats.ectopic)), num_samples, rate_hz)


def skin_conductance(
    rng: np.random.Generator, num_samples: int, rate_hz: float, tonic_uS: float, responses_per_min: float
) -> np.ndarray:
    """EDA in uS: a drifting level and responses that rise in 0.75 s and fade in 2 s (both time constants ours)."""
    duration_s = num_samples / rate_hz
    level = tonic_uS * (1 + 0.02 * _walk(rng, num_samples, rate_hz, 0.03))
    num_responses = rng.poisson(responses_per_min * (duration_s + 10) / 60)
    onset_R = rng.uniform(-10, duration_s, num_responses)
    since_RT = np.maximum(np.arange(num_samples) / rate_hz - onset_R[:, None], 0)
    shape_RT = np.exp(-since_RT / 2.0) - np.exp(-since_RT / 0.75)
    heights_R = rng.lognormal(np.log(0.25), 0.5, num_responses)
    return np.maximum(level + heights_R @ shape_RT, 0.05)


def skin_temperature(rng: np.random.Generator, num_samples: int, rate_hz: float, start_C: float, slope_C: float):
    """Skin temperature in degC with a drift of `slope_C` a minute."""
    time_min = np.arange(num_samples) / rate_hz / 60
    return (
        start_C + slope_C * time_min + 0.03 * _walk(rng, num_samples, rate_hz, 0.03) + rng.normal(0, 0.01, num_samples)
    )


def ecg_noise(rng: np.random.Generator, num_samples: int, rate_hz: float, level: float, mains_hz: float) -> np.ndarray:
    """What an electrode adds, in mV: baseline wander, mains, muscle, and now and then a movement. Scales by `level`."""
    time_s = np.arange(num_samples) / rate_hz
    wander = 0.10 * _walk(rng, num_samples, rate_hz, 0.5)
    mains = 0.02 * rng.uniform(0, 1.5) * np.sin(2 * np.pi * mains_hz * time_s + rng.uniform(0, 2 * np.pi))
    muscle = 0.02 * rng.lognormal(0, 0.4) * rng.standard_normal(num_samples)
    noise = wander + mains + muscle
    for _ in range(rng.poisson(num_samples / rate_hz / 60)):  # a movement a minute
        centre_s, width_s = rng.uniform(0, time_s[-1]), rng.uniform(0.2, 0.8)
        noise += rng.normal(0, 0.4) * np.exp(-0.5 * ((time_s - centre_s) / width_s) ** 2)
    return level * noise


def draw_spans(rng: np.random.Generator, duration_s: float, per_min: float, length_s: tuple[float, float]):
    """Random spans as an (n, 2) array of seconds, cut at the end."""
    starts = np.sort(rng.uniform(0, duration_s, rng.poisson(per_min * duration_s / 60)))
    stops = np.minimum(starts + rng.uniform(*length_s, len(starts)), duration_s)
    return np.stack([starts, stops], axis=1)


def _band_noise(rng: np.random.Generator, num: int, centre_hz: float, width_hz: float, deviation: float) -> np.ndarray:
    """Noise with a Gaussian spectrum around `centre_hz` and the given standard deviation, on the control grid."""
    freq_hz = np.fft.rfftfreq(num, 1 / _CONTROL_HZ)
    amplitude = np.exp(-0.25 * ((freq_hz - centre_hz) / width_hz) ** 2)
    draws = rng.standard_normal(len(freq_hz)) + 1j * rng.standard_normal(len(freq_hz))
    scale = num / 2 / np.sqrt((amplitude[1:] ** 2).sum())
    return deviation * np.fft.irfft(amplitude * draws * scale, num)


def _walk(rng: np.random.Generator, num_samples: int, rate_hz: float, fastest_hz: float) -> np.ndarray:
    """A smooth wander of about unit size: ten slow sines of random phase up to `fastest_hz`."""
    time_s = np.arange(num_samples) / rate_hz
    freq_hz, phase = rng.uniform(0.04, 1, 10) * fastest_hz, rng.uniform(0, 2 * np.pi, 10)
    return np.sin(2 * np.pi * freq_hz[:, None] * time_s + phase[:, None]).sum(0) / np.sqrt(5)
