"""How well a model tells the versions of a window apart: scores of each head, confusions, and a gallery."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ecgjax.evaluation import figures, svg
from ecgjax.evaluation.svg import FAINT, MODEL


@dataclasses.dataclass(frozen=True)
class Recognition:
    """What a task such as `tasks.transform_recognition` predicted.

    Attributes:
      names: of the versions, the original first; a head for each.
      version_N: which version each of N signals was.
      probability_NV: of each head that it was its own.
      gallery_VT: every version of one window.
      rate_hz: of the gallery.
    """

    names: tuple[str, ...]
    version_N: Int[np.ndarray, " N"]
    probability_NV: Float[np.ndarray, "N V"]
    gallery_VT: Float[np.ndarray, "V T"]
    rate_hz: float


@dataclasses.dataclass(frozen=True)
class ByModality:
    """What a task such as `tasks.modality_recognition` predicted.

    Attributes:
      heads: of each modality, of the signals there are; the probabilities of each signal add up to 1.
      together: share of the versions of windows recognised by all their modalities together.
    """

    heads: dict[str, Recognition]
    together: float


@dataclasses.dataclass(frozen=True)
class Score:
    """Of one head, as a yes-or-no classifier; ratios over nothing are NaN.

    Attributes:
      always: accuracy of the better of always saying no and always saying yes.
      balanced: mean of the shares recognised of its own version and of all others; 0.5 says nothing, however many
        versions there are.
    """

    name: str
    accuracy: float
    always: float
    balanced: float
    f1: float
    precision: float
    recall: float


def scores(found: Recognition) -> list[Score]:
    rows = []
    for v, name in enumerate(found.names):
        said_N, is_N = found.probability_NV[:, v] > 0.5, found.version_N == v
        hits, said, came, share = (said_N & is_N).sum(), said_N.sum(), is_N.sum(), is_N.mean()
        with np.errstate(invalid="ignore"):
            ratios = ((2 * hits, said + came), (hits, said), (hits, came), ((~said_N & ~is_N).sum(), (~is_N).sum()))
            f1, precision, recall, spared = (float(np.divide(a, b)) for a, b in ratios)
        right, always = float((said_N == is_N).mean()), max(share, 1 - share)
        rows.append(Score(_plain(name), right, always, (recall + spared) / 2, f1, precision, recall))
    return rows


def recognised(found: Recognition) -> float:
    """Share of signals whose own head was the surest."""
    return float((found.probability_NV.argmax(1) == found.version_N).mean())


def confusion(found: Recognition) -> Float[np.ndarray, "V V"]:
    """[true version, head]: share of the signals of that version for which that head was the surest."""
    surest_NV = np.eye(len(found.names))[found.probability_NV.argmax(1)]
    return _share_of_each(found, surest_NV)


def said_yes(found: Recognition) -> Float[np.ndarray, "V V"]:
    """[true version, head]: share of the signals of that version to which that head said yes."""
    return _share_of_each(found, found.probability_NV > 0.5)


def _share_of_each(found: Recognition, said_NV: np.ndarray) -> np.ndarray:
    is_NV = found.version_N[:, None] == np.arange(len(found.names))
    return is_NV.T.astype(float) @ said_NV / np.maximum(is_NV.sum(0), 1)[:, None]


def confusion_figure(found: Recognition, name: str = "recognised", across: str = "surest head") -> str:
    """`name` keeps it apart from other figures of the page; `across` says what the columns are."""
    return figures.matrix(confusion(found), _names(found), name, across, "was")


def said_yes_figure(found: Recognition) -> str:
    return figures.matrix(said_yes(found), _names(found), "said_yes", "head that said yes", "was")


def gallery(*shown: Recognition, titles: Sequence[str] = ()) -> str:
    """Every version of a window, the original behind it; of several modalities one column each, under its title."""
    num, names = len(shown[0].names), _names(shown[0])
    with svg.style():
        figure, axes = svg.new(
            8.8, 0.4 + 0.95 * num, nrows=num, ncols=len(shown), sharex="col", sharey="col", squeeze=False
        )
        for column, found in enumerate(shown):
            time_s = np.arange(found.gallery_VT.shape[1]) / found.rate_hz
            for v, panel in enumerate(axes[:, column]):
                if v:
                    panel.plot(time_s, found.gallery_VT[0], color=FAINT, linewidth=0.8, alpha=0.55)
                panel.plot(time_s, found.gallery_VT[v], color=MODEL, linewidth=1.0)
                panel.set_title(f"{titles[column]}: {names[v]}" if titles and not v else names[v])
                panel.margins(x=0)
                panel.set_yticks([])
                panel.spines["left"].set_visible(False)
                if v < num - 1:
                    panel.spines["bottom"].set_visible(False)
                    panel.tick_params(axis="x", length=0)
            axes[-1, column].set_xlabel("seconds")
        return svg.render(figure, "gallery")


def _names(found: Recognition) -> tuple[str, ...]:
    return tuple(map(_plain, found.names))


def _plain(name: str) -> str:
    return name.replace("_", " ")
