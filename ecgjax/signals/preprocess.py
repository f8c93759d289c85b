"""From a recording as the device wrote it to clean signals on their stored grids: gate, resample, filter, normalise.

    prepared = prepare_recording(recording, Config())          # filtered, with the spans worth using
    (prepared,) = normalise([prepared], Config())              # z-scored over those spans

`launch.prepare` runs the first step in worker processes and the second while it writes the store; `launch.predict`
runs both on one file, with the config that the store's manifest kept (`plain.from_dict(Config, ...)`).
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from ecgjax.errors import DataError, UserError, did_you_mean
from ecgjax.signals import quality
from ecgjax.signals.moments import Moments, Normalise, good_samples, moments_of, scales
from ecgjax.signals.quality import Gate, Reason
from ecgjax.signals.recording import Label, Recording, Signal
from ecgjax.signals.spans import runs, union

MAX_FACTOR = 100_000  # of a polyphase filter, whose taps are twenty times as many


@dataclasses.dataclass
class Steps:
    """What is done to one modality.

    Attributes:
      resample_hz: stored rate. Polyphase, with a Kaiser-windowed anti-alias filter; upsampling is allowed.
      low_hz, high_hz: edges (-3 dB of one pass) of a Butterworth filter; 0 leaves that side open, both 0 means none.
      filter_order: order of the whole filter. A band-pass of order 8 is SciPy's N = 4, whose N counts each edge. It
        runs forwards and backwards, so the phase is zero and the attenuation that of twice the order.
      normalise: see `Normalise`.
      gate: which spans are dropped.
    """

    resample_hz: float
    low_hz: float = 0.0
    high_hz: float = 0.0
    filter_order: int = 4
    normalise: Normalise = Normalise.SUBJECT
    gate: Gate = dataclasses.field(default_factory=Gate)


def _ecg() -> Steps:
    # Rate, band, order and normalisation: Vazquez-Rodriguez et al. 2022, unverified. The gate is ours.
    gate = Gate(unit="mV", clip_s=0.03, max_range=20.0, burst_ratio=5.0, min_range=0.12)
    gate.max_pause_s = 4.0
    gate.min_bpm, gate.max_bpm, gate.min_prominence, gate.min_similarity = 20.0, 220.0, 4.0, 0.6
    return Steps(resample_hz=128.0, low_hz=0.8, high_hz=50.0, filter_order=8, gate=gate)


def _eda() -> Steps:  # levels: common practice, unverified; conductance rests on one value of a coarse scale for long
    return Steps(resample_hz=4.0, gate=Gate(unit="uS", flat_s=60.0, padding_s=5.0, min_level=0.05, max_level=60.0))


def _bvp() -> Steps:  # ours
    return Steps(resample_hz=64.0, low_hz=0.5, high_hz=8.0, gate=Gate(flat_s=2.0, padding_s=0.5))


def _temp() -> Steps:  # ours
    return Steps(resample_hz=4.0, gate=Gate(unit="degC", flat_s=600.0, padding_s=0.0, min_level=15.0, max_level=45.0))


def _resp() -> Steps:  # ours
    return Steps(resample_hz=32.0, low_hz=0.05, high_hz=2.0, gate=Gate(flat_s=10.0, padding_s=1.0))


def _emg() -> Steps:  # ours
    return Steps(resample_hz=256.0, low_hz=20.0, high_hz=120.0, gate=Gate(unit="mV", clip_s=0.03))


def _acc() -> Steps:  # ours; an arm at rest is flat
    return Steps(resample_hz=32.0, gate=Gate(flat_s=0.0, padding_s=0.0))


@dataclasses.dataclass
class Config:
    """Steps of every modality a recording may carry. Only ECG's come from a paper."""

    ecg: Steps = dataclasses.field(default_factory=_ecg)
    eda: Steps = dataclasses.field(default_factory=_eda)
    bvp: Steps = dataclasses.field(default_factory=_bvp)
    temp: Steps = dataclasses.field(default_factory=_temp)
    resp: Steps = dataclasses.field(default_factory=_resp)
    emg: Steps = dataclasses.field(default_factory=_emg)
    acc: Steps = dataclasses.field(default_factory=_acc)

    def steps(self) -> dict[str, Steps]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A recording on the stored grids. What `Recording` says of a field of the same name holds here.

    Attributes:
      signals: float32. What lies outside the good spans is bridged or bad, and only keeps the grid regular.
      moments: by modality, over the good spans.
      spans_s: by modality, good half-open spans (n, 2) in seconds on the recording's axis: every channel is good.
      dropped_s: by modality, seconds dropped by reason.
      recorded_hz, digests: by modality, the rate and `Signal.digest` of what was recorded.
    """

    key: str
    subject: str
    session: str
    trial: str
    start_time: str
    signals: dict[str, Signal]
    moments: dict[str, Moments]
    spans_s: dict[str, np.ndarray]
    labels: tuple[Label, ...]
    dropped_s: dict[str, dict[str, float]]
    events: tuple[str, ...]
    sources: tuple[str, ...]
    recorded_hz: dict[str, float]
    digests: dict[str, str]


def check(config: Config) -> None:
    """Raises UserError, naming the field, where the steps contradict themselves."""
    for modality, steps in config.steps().items():
        name = f"preprocess.{modality}"
        if not 0 < steps.resample_hz < math.inf:
            raise UserError(f"{name}.resample_hz is {steps.resample_hz:g}; give the stored rate in Hz.")
        for field in ("low_hz", "high_hz"):
            edge, nyquist_hz = getattr(steps, field), steps.resample_hz / 2
            if not 0 <= edge < nyquist_hz:
                raise UserError(
                    f"{name}.{field} is {edge:g} Hz; the filter's edges must be below half of "
                    f"{name}.resample_hz, {nyquist_hz:g} Hz. Lower it, or raise resample_hz (0 leaves this side open)."
                )
        if 0 < steps.high_hz <= steps.low_hz:
            raise UserError(f"{name}.low_hz ({steps.low_hz:g}) must be below {name}.high_hz ({steps.high_hz:g}).")
        if steps.filter_order < 1 or (steps.low_hz and steps.high_hz and steps.filter_order % 2):
            raise UserError(f"{name}.filter_order is {steps.filter_order}; a band-pass takes an even number from 2 up.")
        quality.check(steps.gate, f"{name}.gate")


def prepare_recording(recording: Recording, config: Config) -> Prepared:
    """Gates, resamples and filters every modality, each on its own clock: second 3 stays second 3 in all of them.

    A modality without a good span, or without variance in one of its channels there, is left out, and all of its time
    counted in `dropped_s`.

    Raises:
      DataError: a rate that cannot be resampled, or has nothing in the filter's band; or an unknown modality.
    """
    signals, moments, spans_s, dropped_s, events = {}, {}, {}, {}, list(recording.events)
    all_steps = config.steps()
    for modality, signal in sorted(recording.signals.items()):
        if modality not in all_steps:
            raise DataError(recording.key, f"modality {modality!r} is unknown", did_you_mean(modality, all_steps))
        steps = all_steps[modality]
        clean, code_T = _process(signal, steps, _factors(recording.key, modality, signal, steps))
        if np.isinf(signal.samples_TC).any():
            events.append(f"{modality}_infinite")
        if signal.rate_hz < steps.resample_hz:
            events.append(f"{modality}_upsampled")
        spans = runs(code_T == 0)
        if len(spans):
            found = moments_of(clean.samples_TC, spans)
            if np.all(found.std_C > 0):
                signals[modality], moments[modality] = clean, found
                spans_s[modality] = clean.start_s + spans / clean.rate_hz
            else:
                code_T[code_T == 0] = Reason.NO_VARIANCE
        dropped_s[modality] = _seconds(code_T, clean.rate_hz)
    return Prepared(
        key=recording.key,
        subject=recording.subject,
        session=recording.session,
        trial=recording.trial,
        start_time=recording.start_time,
        signals=signals,
        moments=moments,
        spans_s=spans_s,
        labels=recording.labels,
        dropped_s=dropped_s,
        events=tuple(events),
        sources=recording.sources,
        recorded_hz={m: recording.signals[m].rate_hz for m in signals},
        digests={m: recording.signals[m].digest() for m in signals},
    )


def _factors(key: str, modality: str, signal: Signal, steps: Steps) -> tuple[int, int]:
    if steps.low_hz and signal.rate_hz <= 2 * steps.low_hz:
        remedy = f"{modality} at {signal.rate_hz:g} Hz has nothing above preprocess.{modality}.low_hz={steps.low_hz:g}."
        raise DataError(key, "sampling rate too low", remedy)
    factors = resampling_factors(signal.rate_hz, steps.resample_hz, signal.duration_s)
    if factors is None:
        rates = f"{modality} from {signal.rate_hz!r} to {steps.resample_hz!r} Hz"
        raise DataError(key, "sampling rate cannot be converted", f"No factors up to {MAX_FACTOR} take {rates}.")
    return factors


def _process(signal: Signal, steps: Steps, factors: tuple[int, int]) -> tuple[Signal, np.ndarray]:
    """The clean signal, and why each of its samples is bad (0: good). One channel at a time, to bound memory."""
    up, down = factors
    unit_known = signal.unit == steps.gate.unit
    length = -(-len(signal.samples_TC) * up // down)
    out_TC = np.zeros((length, len(signal.channels)), np.float32)
    code_T = np.zeros(length, np.uint8)
    for channel in range(len(signal.channels)):
        x_T = signal.samples_TC[:, channel].astype(np.float64)
        faults = quality.raw_faults(x_T, signal.rate_hz, steps.gate, unit_known)
        y_T = butterworth(resample(x_T, up, down), steps)
        del x_T
        channel_code_T = _paint(faults, length, steps.resample_hz / signal.rate_hz, steps)
        quality.judge(y_T, channel_code_T, steps.resample_hz, steps.gate, unit_known)
        out_TC[:, channel] = y_T
        np.copyto(code_T, channel_code_T, where=code_T == 0)
    return Signal(out_TC, steps.resample_hz, signal.unit, signal.channels, signal.start_s), code_T


def _seconds(code_T: np.ndarray, rate_hz: float) -> dict[str, float]:
    bad = code_T[code_T != 0]  # mostly empty
    return {reason.label: n / rate_hz for reason in Reason if (n := int(np.count_nonzero(bad == reason)))}


def _paint(faults: dict[Reason, np.ndarray], length: int, rate_ratio: float, steps: Steps) -> np.ndarray:
    code_T = np.zeros(length, np.uint8)
    guard = steps.gate.guard_s * steps.resample_hz
    for reason in sorted(faults, reverse=True):
        start = np.floor(faults[reason][:, 0] * rate_ratio - guard).astype(np.int64)
        stop = np.ceil(faults[reason][:, 1] * rate_ratio + guard).astype(np.int64)
        for a, b in union(np.stack([np.maximum(start, 0), stop], axis=1)):
            code_T[a:b] = reason
    return code_T


def resampling_factors(rate_hz: float, resample_hz: float, duration_s: float) -> tuple[int, int] | None:
    """Smallest (up, down) that keep the last of the samples within half of one of its true time; None: too large."""
    exact = Fraction(resample_hz) / Fraction(rate_hz)
    drift = 0.5 / max(resample_hz * duration_s, 500.0)
    true = (MAX_FACTOR, 1e-12)  # tried first: most rates are written as they are
    for limit, tolerance in (true, *((10**digits, drift) for digits in range(1, 6))):
        near = exact.limit_denominator(limit)
        if 0 < near.numerator <= MAX_FACTOR and abs(near / exact - 1) <= tolerance:
            return near.numerator, near.denominator
    return None


def resample(x_T: Float[np.ndarray, " T"], up: int, down: int) -> Float[np.ndarray, " t"]:
    """`scipy.signal.resample_poly` along a line through the ends, so that an offset makes no step there."""
    if up == down or len(x_T) == 0:
        return x_T
    from scipy import signal

    return signal.resample_poly(x_T, up, down, padtype="line")


def butterworth(x_T: Float[np.ndarray, " T"], steps: Steps) -> Float[np.ndarray, " T"]:
    """`scipy.signal.sosfiltfilt` with its usual odd padding, or as much of it as a short signal has samples for."""
    if not (steps.low_hz or steps.high_hz) or len(x_T) == 0:
        return x_T
    from scipy import signal

    sos = _design(steps.filter_order, steps.low_hz, steps.high_hz, steps.resample_hz)
    padding = 3 * (2 * len(sos) + 1 - min((sos[:, 2] == 0).sum(), (sos[:, 5] == 0).sum()))
    return signal.sosfiltfilt(sos, x_T, padlen=min(padding, len(x_T) - 1))


@functools.cache
def _design(order: int, low_hz: float, high_hz: float, rate_hz: float) -> np.ndarray:
    from scipy import signal

    if low_hz and high_hz:
        return signal.butter(order // 2, (low_hz, high_hz), "bandpass", fs=rate_hz, output="sos")
    return signal.butter(order, low_hz or high_hz, "highpass" if low_hz else "lowpass", fs=rate_hz, output="sos")


def normalise(prepared: Sequence[Prepared], config: Config) -> list[Prepared]:
    """Z-scores recordings in memory as `launch.prepare` does; a subject's moments are those of the recordings given."""
    signals: list[dict[str, Signal]] = [{} for _ in prepared]
    for modality, steps in config.steps().items():
        having = [i for i, p in enumerate(prepared) if modality in p.signals]
        parts = [(prepared[i].key, prepared[i].subject, prepared[i].moments[modality]) for i in having]

        good = functools.partial(_good, [prepared[i] for i in having], modality)
        for i, (mean_C, std_C) in zip(having, scales(steps.normalise, parts, good), strict=True):
            signal = prepared[i].signals[modality]
            signals[i][modality] = dataclasses.replace(signal, samples_TC=(signal.samples_TC - mean_C) / std_C)
    return [dataclasses.replace(p, signals=s) for p, s in zip(prepared, signals, strict=True)]


def _good(prepared: Sequence[Prepared], modality: str, number: int) -> np.ndarray:
    signal, spans_s = prepared[number].signals[modality], prepared[number].spans_s[modality]
    return good_samples(signal.samples_TC, spans_s - signal.start_s, signal.rate_hz)
