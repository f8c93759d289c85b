"""The picture of a trace over its signal: whole, and a picture whatever it is given."""

import numpy as np
import pytest
from matplotlib import image

from ecgjax.evaluation.traces import share, trace_png


@pytest.mark.parametrize("told", [{}, {"unit": "z-score", "title": "night.edf", "signal_start_s": 0.0}])
@pytest.mark.parametrize("num_classes", [2, 4])
def test_nothing_of_a_trace_is_cut_off(tmp_path, num_classes, told):
    signal_T, start_s_N = np.abs(np.sin(np.arange(800) / 5)), np.arange(9) * 10.0
    probability_NC = np.full((9, num_classes), 1 / num_classes)
    names = ("rest", "amusement after a film", "stress", "other")[:num_classes]
    trace_png(tmp_path / "trace.png", signal_T, 8.0, start_s_N, 10.0, probability_NC, names, **told)
    ink_HW = image.imread(tmp_path / "trace.png")[:, :, :3].min(axis=2) < 0.9
    assert ink_HW.any() and not (ink_HW[:4].any() or ink_HW[-4:].any() or ink_HW[:, :4].any() or ink_HW[:, -4:].any())


@pytest.mark.parametrize(("seconds", "num_classes"), [(30, 2), (30, 3), (4000, 2)])
def test_trace_is_a_png_whatever_the_length(tmp_path, seconds, num_classes):
    signal_T = np.sin(np.arange(seconds * 20) / 3)
    start_s_N = np.array([0.0, 5.0, 20.0])
    probability_NC = np.full((3, num_classes), 1 / num_classes)
    names = ("rest", "cost in $\\x$", "c")[:num_classes]
    trace_png(tmp_path / "trace.png", signal_T, 20.0, start_s_N, 5.0, probability_NC, names, unit="mV")
    assert (tmp_path / "trace.png").read_bytes().startswith(b"\x89PNG")
    assert [f.name for f in tmp_path.iterdir()] == ["trace.png"]


def test_attention_shared_between_modalities_is_the_mean_over_their_tokens():
    rng = np.random.default_rng(0)
    weight_KHLL = rng.dirichlet(np.ones(6), size=(2, 3, 6))
    found = share(weight_KHLL, ("eda", "bvp", "temp"), (1, 3, 2))
    np.testing.assert_allclose(found.share_MM.sum(1), 1)
    np.testing.assert_allclose(found.even_M, [1 / 6, 1 / 2, 1 / 3])
    np.testing.assert_allclose(found.share_MM[1, 2], weight_KHLL[:, :, 1:4, 4:].sum(-1).mean())
    np.testing.assert_allclose(found.share_MM[2, 0], weight_KHLL[:, :, 4:, 0].mean())
