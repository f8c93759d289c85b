"""Scores and confusions of a pretext run, by hand and by scikit-learn."""

import dataclasses
import re

import numpy as np
import pytest
from sklearn import metrics

from ecgjax.evaluation import recognition
from ecgjax.evaluation.recognition import ByModality, Recognition
from ecgjax.evaluation.report import write_report


def found(num=300, seed=0) -> Recognition:
    rng = np.random.default_rng(seed)
    version_N = rng.integers(0, 3, num)
    probability_NV = np.clip(rng.uniform(0, 0.9, (num, 3)) + 0.3 * np.eye(3)[version_N], 0, 1)
    return Recognition(("original", "noise", "time_warp"), version_N, probability_NV, rng.normal(size=(3, 64)), 8.0)


def test_scores_of_a_head_are_scikit_learns():
    given = found()
    for v, row in enumerate(recognition.scores(given)):
        truth, said = given.version_N == v, given.probability_NV[:, v] > 0.5
        assert row.accuracy == pytest.approx(metrics.accuracy_score(truth, said))
        assert row.f1 == pytest.approx(metrics.f1_score(truth, said))
        assert row.balanced == pytest.approx(metrics.balanced_accuracy_score(truth, said))
        assert row.precision == pytest.approx(metrics.precision_score(truth, said))
        assert row.recall == pytest.approx(metrics.recall_score(truth, said))
        assert row.always == pytest.approx(max(truth.mean(), 1 - truth.mean()))
    assert [row.name for row in recognition.scores(given)] == ["original", "noise", "time warp"]


def test_the_surest_head_is_the_guess():
    given = found()
    guess = given.probability_NV.argmax(1)
    assert recognition.recognised(given) == pytest.approx(metrics.accuracy_score(given.version_N, guess))
    expected = metrics.confusion_matrix(given.version_N, guess, normalize="true")
    np.testing.assert_allclose(recognition.confusion(given), expected)


def test_heads_may_agree_or_all_say_no():
    said = np.array([[0.9, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.3]])
    given = dataclasses.replace(found(), version_N=np.array([0, 0, 2]), probability_NV=said)
    np.testing.assert_allclose(recognition.said_yes(given), [[0.5, 1, 0], [0, 0, 0], [0, 0, 0]])
    scores = recognition.scores(given)
    assert scores[2].recall == 0 and np.isnan(scores[2].precision)
    assert scores[1].precision == 0 and np.isnan(scores[1].recall)


def test_the_gallery_draws_every_version_and_the_original_behind_it():
    svg = recognition.gallery(found())
    assert all(f">{name}<" in svg for name in ("original", "noise", "time warp"))
    lines = re.findall(r'<path d="M[^"]{200,}"', svg)
    assert len(lines) == 2 * 3 - 1


def test_each_modality_has_its_share_its_matrix_and_its_column_in_the_page(tmp_path):
    eda = found(seed=1)
    bvp = dataclasses.replace(
        found(200, seed=2), gallery_VT=np.random.default_rng(1).normal(size=(3, 640)), rate_hz=80.0
    )
    write_report(tmp_path / "report.html", title="", run={}, by_modality=ByModality({"eda": eda, "bvp": bvp}, 0.8125))
    page = (tmp_path / "report.html").read_text()
    assert "<b>81.2 %</b> of the versions of windows (chance 33.3 %)" in page and "yes or no" not in page
    for name, each in (("eda", eda), ("bvp", bvp)):
        share = metrics.accuracy_score(each.version_N, each.probability_NV.argmax(1))
        assert f'<th scope="row">{name}</th><td>{len(each.version_N)}</td><td>{share:.3f}</td>' in page
        assert f'id="recognised_{name}-' in page and f">{name}: original<" in page
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_every_modality_of_the_gallery_is_drawn_over_its_own_seconds():
    bvp = dataclasses.replace(found(seed=2), gallery_VT=np.random.default_rng(1).normal(size=(3, 640)), rate_hz=40.0)
    svg = recognition.gallery(found(), bvp, titles=("eda", "bvp"))
    assert len(re.findall(r'<path d="M[^"]{200,}"', svg)) == 2 * (2 * 3 - 1)
    assert svg.count(">noise<") == 2
    eda_axis, bvp_axis, _ = svg.split(">seconds<")
    last = [max(map(float, re.findall(r">(\d+)</text>", axis))) for axis in (eda_axis, bvp_axis)]
    assert last == [7, 14]  # 8 and 16 seconds
