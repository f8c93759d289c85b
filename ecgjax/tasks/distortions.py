"""Distortions of signals, on the device: pure functions of windows, a key and strengths, for any length and rate.

The six of Sarkar & Etemad (TAFFC 2020), then two more of Wu et al. (TAFFC 2023), as their released codes have them.
Every window is drawn for by itself; the channels of a window undergo the same permutation, warp and crop. Where chance
takes part, `draw_...` makes the draws and the function that carries them out is exact given those draws. A window that
is NaN throughout, of a sensor that failed, stays so.
"""

import dataclasses
import enum
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ecgjax.errors import UserError


class Distortion(enum.Enum):
    """The first six in the order of the published labels; 0 is the original. Draws go by place: new ones come last."""

    NOISE = "noise"
    SCALING = "scaling"
    NEGATION = "negation"
    INVERSION = "inversion"  # of time
    PERMUTATION = "permutation"
    TIME_WARP = "time_warp"
    CROP = "crop"
    MAGNITUDE_WARP = "magnitude_warp"


class Squeeze(enum.Enum):
    """How long the pieces become that a time-warp does not stretch."""

    INVERSE = "inverse"  # times 1 / stretch; the warped signal is longer than the window, and cropped at random
    FILL = "fill"  # they share what the stretched ones leave of the window


@dataclasses.dataclass
class Strengths:
    """How strong each distortion is; a task's Config inherits these fields, so that each is a flag.

    Figures are those of Sarkar's released code, and of Wu's for crop and magnitude-warp.
    """

    snr_db: float = 15.0  # of a window's mean square, over that of the noise
    scale: float = 1.1
    permutation_pieces: int = 20
    warp_pieces: int = 9
    warp_stretch: float = 1.05  # of half the pieces, rounded up
    warp_squeeze: Squeeze = Squeeze.INVERSE
    crop_pieces: int = 4
    magnitude_knots: int = 6  # the first and the last sample's included
    magnitude_sd: float = 0.2  # of the factors at the knots, around 1

    def check(self) -> None:
        """Raises a UserError for a strength no window could take."""
        for name, fits, wanted in (
            ("snr_db", -100 <= self.snr_db <= 100, "between -100 and 100 dB"),
            ("scale", 0.001 <= self.scale <= 1000 and abs(self.scale - 1) > 1e-6, "from 0.001 to 1000, and not 1"),
            ("permutation_pieces", self.permutation_pieces >= 2, "of at least 2"),
            ("warp_pieces", self.warp_pieces >= 2, "of at least 2"),
            ("warp_stretch", 1 < self.warp_stretch <= 100, "above 1, up to 100"),
            ("crop_pieces", self.crop_pieces >= 2, "of at least 2"),
            ("magnitude_knots", self.magnitude_knots >= 2, "of at least 2"),
            ("magnitude_sd", 0 < self.magnitude_sd <= 100, "above 0, up to 100"),
        ):
            if not fits:
                raise UserError(f"task.{name}={getattr(self, name)}: give a number {wanted}.")


def distort(kind: Distortion, x_BTC: Float[Array, "B T C"], key: jax.Array, how: Strengths) -> Float[Array, "B T C"]:
    """One distortion of every window. The draws of a kind do not depend on which others are asked for.

    Raises:
      UserError: the windows are too short for the pieces.
    """
    key, samples = jax.random.fold_in(key, list(Distortion).index(kind)), x_BTC.shape[1]
    match kind:
        case Distortion.NOISE:
            return add_noise(x_BTC, jax.random.normal(key, x_BTC.shape, x_BTC.dtype), how.snr_db)
        case Distortion.SCALING:
            return x_BTC * how.scale
        case Distortion.NEGATION:
            return -x_BTC
        case Distortion.INVERSION:
            return jnp.flip(x_BTC, axis=1)
        case Distortion.PERMUTATION:
            return permute(x_BTC, draw_orders(key, len(x_BTC), permutation_pieces(samples, how.permutation_pieces)))
        case Distortion.TIME_WARP:
            warp = Warp.of(samples, how)
            return warp.apply(x_BTC, *warp.draw(key, len(x_BTC)))
        case Distortion.CROP:
            return crop(x_BTC, jax.random.randint(key, (len(x_BTC),), 0, how.crop_pieces), how.crop_pieces)
        case Distortion.MAGNITUDE_WARP:
            normal_BK = jax.random.normal(key, (len(x_BTC), how.magnitude_knots), x_BTC.dtype)
            return warp_magnitude(x_BTC, 1 + how.magnitude_sd * normal_BK)


def versions(
    x_BTC: Float[Array, "B T C"], key: jax.Array, kinds: Sequence[Distortion], how: Strengths
) -> Float[Array, "B V T C"]:
    """Every window as it is, then distorted in each way."""
    return jnp.stack([x_BTC, *(distort(kind, x_BTC, key, how) for kind in kinds)], axis=1)


def one_version(
    x_BTC: Float[Array, "B T C"],
    version_B: Int[Array, " B"],
    key: jax.Array,
    kinds: Sequence[Distortion],
    how: Strengths,
) -> Float[Array, "B T C"]:
    """Row `version_B` of what `versions` would give of each window."""
    chosen_BTC = x_BTC
    for number, kind in enumerate(kinds, 1):
        is_this_B11 = (version_B == number)[:, None, None]
        chosen_BTC = jnp.where(is_this_B11, distort(kind, x_BTC, key, how), chosen_BTC)
    return chosen_BTC


def add_noise(x_BTC: Float[Array, "B T C"], normal_BTC: Float[Array, "B T C"], snr_db: float) -> Float[Array, "B T C"]:
    """Noise whose power is that of its window and channel (the mean square, mean not removed) over the ratio."""
    power_B1C = jnp.mean(jnp.square(x_BTC), axis=1, keepdims=True)
    return x_BTC + normal_BTC * jnp.sqrt(power_B1C * 10 ** (-snr_db / 10))


def permutation_pieces(samples: int, asked: int) -> int:
    """Into how many pieces a window is cut: as many of samples // asked samples as it takes to reach its end.

    So 2,560 samples asked for in 15 pieces come in 16, as in the published code.

    Raises:
      UserError: there are fewer samples than pieces.
    """
    if samples < asked:
        raise UserError(_too_short("permutation_pieces", asked, samples))
    return math.ceil(samples / (samples // asked))


def draw_orders(key: jax.Array, batch: int, pieces: int) -> Int[Array, "B P"]:
    """A permutation for each window, all equally likely, the one that changes nothing included."""
    in_order_BP = jnp.broadcast_to(jnp.arange(pieces), (batch, pieces))
    return jax.random.permutation(key, in_order_BP, axis=1, independent=True)


def permute(x_BTC: Float[Array, "B T C"], order_BP: Int[Array, "B P"]) -> Float[Array, "B T C"]:
    """Pieces of equal length in a new order; samples at the end that fill no piece become zeros (or stay NaN)."""
    (batch, samples, channels), pieces = x_BTC.shape, order_BP.shape[1]
    used = samples // pieces * pieces
    x_BPSC = x_BTC[:, :used].reshape(batch, pieces, -1, channels)
    moved_BPSC = jax.vmap(lambda x_PSC, order_P: x_PSC[order_P])(x_BPSC, order_BP)
    rest_BTC = x_BTC[:, used:]
    blank_BTC = jnp.where(jnp.isnan(rest_BTC), rest_BTC, 0)
    return jnp.concatenate([moved_BPSC.reshape(batch, used, channels), blank_BTC], axis=1)


def crop(x_BTC: Float[Array, "B T C"], piece_B: Int[Array, " B"], pieces: int) -> Float[Array, "B T C"]:
    """One of the pieces of T // pieces samples, stretched to the window's length as `scipy.signal.resample` does.

    Samples at the end that fill no piece are never taken. Resampling takes the piece for periodic, so its ends ring. It
    is a product with a constant T x T // pieces matrix: for a Fourier transform, XLA would gather the windows of all
    devices on each.

    Raises:
      UserError: there are fewer samples than pieces, or the matrix would be too large.
    """
    from scipy import signal

    batch, samples, channels = x_BTC.shape
    length = samples // pieces
    if not length:
        raise UserError(_too_short("crop_pieces", pieces, samples))
    if samples * length > 2**26:  # 256 MiB
        raise UserError(f"task.crop_pieces={pieces}: pieces of {length} samples are too long. Raise it.")
    resample_TS = jnp.asarray(signal.resample(np.eye(length), samples), x_BTC.dtype)
    x_BPSC = x_BTC[:, : pieces * length].reshape(batch, pieces, length, channels)
    taken_BSC = jax.vmap(lambda x_PSC, piece: x_PSC.at[piece].get(mode="promise_in_bounds"))(x_BPSC, piece_B)
    return jnp.einsum("TS,BSC->BTC", resample_TS, taken_BSC, precision=jax.lax.Precision.HIGHEST)


def warp_magnitude(x_BTC: Float[Array, "B T C"], factor_BK: Float[Array, "B K"]) -> Float[Array, "B T C"]:
    """Times a cubic spline (SciPy's, not-a-knot) through factors at even knots, the first and last sample included.

    Raises:
      UserError: there are fewer samples than knots.
    """
    from scipy.interpolate import CubicSpline

    samples, knots = x_BTC.shape[1], factor_BK.shape[1]
    if samples < knots:
        raise UserError(_too_short("magnitude_knots", knots, samples))
    spline = CubicSpline(np.linspace(0, samples - 1, knots), np.eye(knots))  # linear in the factors
    basis_TK = jnp.asarray(spline(np.arange(samples)), x_BTC.dtype)
    factor_BT = jnp.einsum("TK,BK->BT", basis_TK, factor_BK, precision=jax.lax.Precision.HIGHEST)
    return x_BTC * factor_BT[:, :, None]


@dataclasses.dataclass(frozen=True)
class Warp:
    """A time-warp's lengths in samples: windows are cut in pieces, some get longer and the others shorter.

    Samples at the end that fill no piece are dropped.
    """

    samples: int  # of a window
    pieces: int
    piece: int
    stretched: int
    squeezed: int

    @classmethod
    def of(cls, samples: int, how: Strengths) -> "Warp":
        """Lengths are rounded up, as in the published code.

        Raises:
          UserError: there are fewer samples than pieces, or the stretched ones leave no room for the others.
        """
        piece = samples // how.warp_pieces
        if not piece:
            raise UserError(_too_short("warp_pieces", how.warp_pieces, samples))
        stretched, squeezed = math.ceil(piece * how.warp_stretch), math.ceil(piece * (1 / how.warp_stretch))
        if how.warp_squeeze is Squeeze.FILL:
            long = math.ceil(how.warp_pieces / 2)
            squeezed = (samples - long * stretched) // (how.warp_pieces - long)
        if squeezed < 1:
            raise UserError(
                f"task.warp_stretch={how.warp_stretch}: the stretched pieces fill the window of {samples} samples. "
                "Lower it, or set task.warp_squeeze=inverse."
            )
        if 2 * piece * stretched >= 2**31:  # positions are counted in int32
            raise UserError(f"task.warp_pieces={how.warp_pieces}: pieces of {piece} samples are too long. Raise it.")
        return cls(samples, how.warp_pieces, piece, stretched, squeezed)

    @property
    def num_stretched(self) -> int:
        return math.ceil(self.pieces / 2)

    @property
    def warped(self) -> int:
        """Samples of the whole warped signal, the same for every draw."""
        return self.num_stretched * self.stretched + (self.pieces - self.num_stretched) * self.squeezed

    def draw(self, key: jax.Array, batch: int) -> tuple[Bool[Array, "B P"], Int[Array, " B"]]:
        """(which pieces are stretched, where in the warped signal the new window starts)."""
        pieces_key, start_key = jax.random.split(key)
        is_stretched_BP = draw_orders(pieces_key, batch, self.pieces) < self.num_stretched
        # The last start that fits is left out, as by the published code.
        return is_stretched_BP, jax.random.randint(start_key, (batch,), 0, max(self.warped - self.samples, 1))

    def apply(
        self, x_BTC: Float[Array, "B T C"], is_stretched_BP: Bool[Array, "B P"], start_B: Int[Array, " B"]
    ) -> Float[Array, "B T C"]:
        """Each piece resampled linearly between its samples, sample centres at (i + 0.5) / length, edges held.

        That is OpenCV's INTER_LINEAR, but for its rounding of positions, 1e-4 of a sample. A warped signal shorter than
        the window is held at its last value (ours).
        """
        length_BP = jnp.where(is_stretched_BP, self.stretched, self.squeezed)
        end_BP = jnp.cumsum(length_BP, axis=1)
        at_BT = jnp.minimum(start_B[:, None] + jnp.arange(self.samples)[None], self.warped - 1)
        number_BT = jnp.sum(at_BT[:, :, None] >= end_BP[:, None], axis=-1)
        length_BT = jnp.take_along_axis(length_BP, number_BT, axis=1)
        within_BT = at_BT - jnp.take_along_axis(end_BP - length_BP, number_BT, axis=1)
        # (within + 0.5) * piece / length - 0.5 as a fraction over 2 * length: in whole numbers it is exact.
        source_BT = jnp.clip((2 * within_BT + 1) * self.piece - length_BT, 0, (self.piece - 1) * 2 * length_BT)
        low_BT = source_BT // (2 * length_BT)
        share_BT = (source_BT - low_BT * 2 * length_BT).astype(x_BTC.dtype) / (2 * length_BT).astype(x_BTC.dtype)
        high_BT = jnp.minimum(low_BT + 1, self.piece - 1)

        def take(x_TC: jax.Array, at_T: jax.Array) -> jax.Array:
            return x_TC.at[at_T].get(mode="promise_in_bounds")

        low_BTC, high_BTC = (jax.vmap(take)(x_BTC, number_BT * self.piece + i_BT) for i_BT in (low_BT, high_BT))
        return low_BTC + share_BT[:, :, None] * (high_BTC - low_BTC)


def _too_short(field: str, pieces: int, samples: int) -> str:
    return f"task.{field}={pieces}: a window has only {samples} samples. Lower it, or raise data.window_s."
