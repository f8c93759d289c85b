"""The report says what was found and no more, shows what it was given, and loads nothing."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import jax
import numpy as np
import pytest
from test_metrics import made_up

from ecgjax.evaluation import metrics, report, scoreboard, tables
from ecgjax.evaluation.recognition import Recognition
from ecgjax.evaluation.report import Attention, Reconstruction, write_report
from ecgjax.evaluation.traces import learning_curves, token_times_s
from ecgjax.models import conv_transformer
from ecgjax.models.base import Activation
from ecgjax.training import provenance
from tests import tiny

MANIFEST = {
    "dataset": {"name": "made up", "config": {}},
    "subjects": ["a", "b"],
    "num_recordings": 3,
    "modalities": {"ecg": {"rate_hz": 128.0, "unit": "mV", "channels": ["I"], "normalise": "subject", "hours": 0.9}},
    "dropped": {"ecg": {"flat": 360.0, "clipped": 0.0}},
    "skipped_files": {"truncated": ["x.edf: truncated."]},
    "events": {"sorted labels": 2},
    "content_hash": "0123456789abcdef",
}
CURVES = [{"step": s, "train/loss": 1 / s, "train/learning_rate": 0.1} for s in (1, 2, 3)] + [
    {"step": s, "validation/loss": 2 / s} for s in (2, 3)
]


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed in order."""

    VOID = ("meta", "br", "input", "img", "link")

    def __init__(self, html: str):
        super().__init__()
        self.open, self.tags, self.ids, self.words = [], [], [], []
        self.feed(html)
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


def skilled(skill: float, **columns):
    """Predictions that lean towards the truth by `skill`, and otherwise are those of `made_up`."""
    p = made_up(num=300, **columns)
    probability_NC = (p.probability_NC + skill * np.eye(2)[p.label_N]) / (1 + skill)
    return dataclasses.replace(p, probability_NC=probability_NC)


def page_of(tmp_path, **arguments) -> Page:
    write_report(tmp_path / "report.html", **({"title": "a run", "run": {}} | arguments))
    assert [f.name for f in tmp_path.iterdir()] == ["report.html"]
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def everything() -> dict:
    rng = np.random.default_rng(0)
    signal_KT = rng.normal(size=(2, 256))
    return {
        "run": {
            "command": "python -m x --a=1 '--b=(1, 2)'",
            "seed": 7,
            "protocol": "subject",
            "config": {"optim": {"rate": 0.01}},
        },
        "data": [MANIFEST],
        "curves": CURVES,
        "predictions": {"net": skilled(0.3), "heart rate": skilled(0.0)},
        "reconstruction": Reconstruction(signal_KT, rng.random((2, 256)) < 0.1, signal_KT, 128.0),
        "attention": Attention(signal_KT, np.full((2, 2, 16), 1 / 16), 128.0, ("a", "b")),
        "recognised": Recognition(("original", "noise"), np.arange(4) % 2, rng.random((4, 2)), signal_KT, 128.0),
        "notes": ["A note."],
    }


def test_everything_is_shown_in_a_well_formed_page(tmp_path):
    page = page_of(tmp_path, **everything())
    figures = [a["aria-label"] for tag, a in page.tags if tag == "div" and a.get("role") == "img"]
    assert len(figures) == 11 and all(figures)
    assert len(page.ids) == len(set(page.ids)), "an id is used twice"
    for word in (
        "Scores",
        "Folds and subjects",
        "Training",
        "Reconstruction",
        "Where the model looks",
        "Telling",
        "A note.",
    ):
        assert word in page.text
    assert "python -m x \\ --a=1 \\ '--b=(1, 2)'" in page.text
    assert "optim.rate 0.01" in page.text and "seed 7" in page.text
    assert "ecg flat 6.0 10.0 %" in page.text and "clipped" not in page.text
    assert "x.edf: truncated." in page.text and "sorted labels (2)" in page.text
    assert all(a.get("scope") in ("col", "row") for tag, a in page.tags if tag == "th")


def test_folds_with_people_enough_have_intervals(tmp_path):
    net = skilled(0.3, fold_N=np.arange(300) % 2)
    page = page_of(tmp_path, predictions={"net": net})
    part = net.select(net.fold_N == 1)
    value, num = metrics.pooled(part)["auroc"], len(np.unique(part.subject_N))
    low, high = metrics.interval(value, metrics.bootstrap(part)["auroc"], num, "auroc")
    assert f"{value:.3f} {low:.2f}–{high:.2f}" in page.text and "resamples of the fold's subjects" in page.text
    four = dataclasses.replace(net, fold_N=net.subject_N.astype(int) // 4)
    page = page_of(tmp_path, predictions={"net": four})
    assert "No fold tests the 5 subjects" in page.text and "resamples of the fold's" not in page.text


def test_the_mean_over_subjects_has_an_interval(tmp_path):
    net = skilled(0.3)
    page = page_of(tmp_path, predictions={"net": net})
    told = "from {1:.3f} to {2:.3f}".format(*metrics.mean_over_subjects(metrics.per_subject(net)["auroc"]))
    assert any(told in a.get("aria-label", "") for _, a in page.tags)
    assert "Line and band: the mean over subjects, and its 95 % interval from 1,000 resamples of them." in page.text


def test_the_legend_names_what_is_drawn(tmp_path):
    both, one = (page_of(tmp_path, curves=c).text for c in (CURVES, [c for c in CURVES if "validation/loss" in c]))
    assert "training validation" in both
    assert "validation" in one and "training" not in one


def test_the_share_recognised_is_the_headline_where_it_is_told(tmp_path):
    curves = [{"step": s, "validation/loss": 2 / s, "validation/recognised": 0.9 - 0.1 * s} for s in (2, 3)]
    page = page_of(tmp_path, curves=[*CURVES[:3], *curves])
    assert "70.0 % of the versions of unseen windows recognised, at step 2" in page.text


def test_explained_power_is_the_headline_where_it_is_told(tmp_path):
    curves = [{"step": s, "validation/loss": 2 / s, "validation/explained": 0.1 * s} for s in (2, 3)]
    page = page_of(tmp_path, curves=[*CURVES[:3], *curves])
    assert "30.0 % of the hidden samples' power explained, at step 3" in page.text
    assert "lowest validation loss" not in page.text


def test_attention_stands_where_the_encoder_s_tokens_are_centred():
    fields = {
        "conv_norm": conv_transformer.ConvNorm.NONE,
        "activation": Activation.GELU,
    }  # the others blur or cut the reach
    stem = conv_transformer.ConvStem(conv_transformer.Config(**tiny.MODEL | fields))
    noise = jax.random.normal(jax.random.key(1), (1, 512, 1))
    variables = stem.init(jax.random.key(0), noise)

    def token(ecg_BTC, i):
        return stem.apply(variables, ecg_BTC)[0, i].sum()

    reached = np.flatnonzero(jax.grad(token)(noise, 3)[0, :, 0])
    assert token_times_s(8, 512, 128.0)[3] * 128.0 == pytest.approx((reached[0] + reached[-1]) / 2)


def test_sections_without_input_are_absent(tmp_path):
    page = page_of(tmp_path, curves=CURVES)
    assert "0.6667 lowest validation loss, at step 3" in page.text
    for word in ("Scores", "Reconstruction", "Where the model looks", "Telling", "Data", "Before you believe it"):
        assert word not in page.text


def test_nothing_is_loaded_and_colours_come_from_the_page(tmp_path):
    page_of(tmp_path, **everything())
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href|url\()=?["'(]?(?!#)[a-z]+:""", html)
    assert not re.findall(r"#01020\d", html), "a placeholder colour was left in a figure"
    referred = set(re.findall(r'(?:href="|url\()#([^")]+)', html))
    assert referred <= set(Page(html).ids)
    assert "var(--model)" in html and "currentColor" in html


def test_names_from_files_cannot_become_markup(tmp_path):
    rude = "<script>alert(1)</script> $\\x$ & \"'"
    p = skilled(0.3, classes=(rude, "b"))
    p = dataclasses.replace(p, subject_N=np.char.add(rude, p.subject_N))
    page = page_of(tmp_path, title=rude, run={"where": rude}, predictions={rude: p}, notes=[rude])
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1
    assert page.text.count("alert(1)") > 5


@pytest.mark.parametrize(
    ("model", "other", "verdict"),
    [
        (skilled(0.3), skilled(0.0), "Better than"),
        (skilled(0.0), skilled(0.3), "Worse than"),
        (skilled(0.0, seed=1), skilled(0.0), "Not distinguishable from"),  # two draws of the same skill
        (skilled(0.0), skilled(0.0, seed=1), "Not distinguishable from"),
    ],
    ids=("better", "worse", "a little better", "a little worse"),
)
def test_the_verdict_is_as_strong_as_the_interval_allows(tmp_path, model, other, verdict):
    page = page_of(tmp_path, predictions={"net": model, "heart rate": other})
    assert f"{verdict} the best of the others, heart rate" in page.text
    assert ("may be chance" in page.text) == verdict.startswith("Not")


def test_doubts_are_raised_where_they_are_due(tmp_path):
    good = skilled(0.3)
    assert "Before you believe it" not in page_of(tmp_path, predictions={"net": good}).text
    perfect = dataclasses.replace(good, probability_NC=np.eye(2)[good.label_N])
    assert "Suspect a leak" in page_of(tmp_path, predictions={"net": perfect}).text
    few = dataclasses.replace(good, subject_N=(np.arange(300) % 4).astype(str))
    assert "Only 4 subjects" in page_of(tmp_path, predictions={"net": few}).text
    page = page_of(tmp_path, predictions={"net": good}, run={"protocol": "window"})
    assert "Optimistic: people on both sides" in page.text and "dealt to the folds at random" in page.text
    page = page_of(tmp_path, predictions={"net": good}, run={"protocol": "oracle"})
    assert "the epoch is tested that scored best on the very people" in page.text
    honest = page_of(tmp_path, predictions={"net": good}, run={"protocol": "subject"})
    assert "An upper bound, not a result: AUROC" in page.text and "An upper bound" not in honest.text
    assert ("div", {"class": "big"}) in honest.tags and ("div", {"class": "big"}) not in page.tags
    assert scoreboard.caution_of("window") and scoreboard.caution_of("oracle")
    assert not scoreboard.caution_of("subject") and not scoreboard.caution_of("loso")
    rare = dataclasses.replace(good, label_N=(good.subject_N == "3").astype(int))  # one person's, of twelve
    page = page_of(tmp_path, predictions={"net": rare})
    assert re.search(r"3\d % of the resamples lack a class", page.text)  # (11 / 12) ** 12 = 0.35
    lone = dataclasses.replace(good, fold_N=good.label_N)  # each fold tests one class
    assert "AUROC is not defined in 2 of 2 folds" in page_of(tmp_path, predictions={"net": lone}).text


def test_one_class_and_many_classes_have_a_report_too(tmp_path):
    one = dataclasses.replace(skilled(0.3), label_N=np.zeros(300, int))
    page = page_of(tmp_path, predictions={"net": one, "class prior": one})
    assert "accuracy, 95 % interval" in page.text
    many = made_up(num_classes=6, seed_N=np.arange(400) % 2, fold_N=np.arange(400) % 20)
    page = page_of(tmp_path, predictions={"net": many})
    assert "averaged over seeds" in page.text


def test_a_failed_report_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr(report, "_store", lambda manifest: {})  # the template misses its fields
    with pytest.raises(Exception, match="has no attribute"):
        write_report(tmp_path / "report.html", title="", run={}, data=[MANIFEST])
    assert (tmp_path / "report.html").read_text() == "old"


def test_environment_names_command_commit_and_versions():
    found = provenance.environment()
    assert found["command"].startswith("python -m ")
    assert "jax 0." in found["versions"] and found["commit"]
    json.dumps(found)


def test_tables_hold_scores_with_intervals_in_line():
    rows = tables.compare({"net": skilled(0.3), "heart | rate": skilled(0.0)}, num_resamples=50)
    head, rule, first, second = tables.format_table(rows).splitlines()
    assert len({len(head), len(rule), len(first), len(second)}) == 1
    low, high = rows[0].intervals["auroc"]
    assert f"{rows[0].scores['auroc']:.3f} [{low:.3f}, {high:.3f}]" in first
    lines = tables.markdown_table(rows).splitlines()
    assert lines[3].startswith("| heart \\| rate |")
    assert {re.sub(r"\\\|", "", line).count("|") for line in lines} == {7}


def test_gain_is_paired_by_subject():
    net, rate = skilled(0.3), skilled(0.0)
    row = tables.compare({"net": net, "rate": rate}, num_resamples=50)[1]
    gain, low, high = row.gains["auroc"]
    assert gain == pytest.approx(tables.compare({"net": net})[0].scores["auroc"] - row.scores["auroc"])
    assert low < gain < high
    strangers = dataclasses.replace(rate, subject_N=np.char.add("x", rate.subject_N))
    assert np.isnan(tables.compare({"net": net, "rate": strangers}, num_resamples=50)[1].gains["auroc"]).all()
    assert tables.compare({"net": net}, num_resamples=50)[0].gains["auroc"] == (0.0, 0.0, 0.0)


def test_curves_need_two_finite_points_and_leave_out_the_learning_rate():
    assert learning_curves([]) == ""
    assert learning_curves([{"step": 1, "train/loss": 1.0}, {"step": 2, "train/loss": np.nan}]) == ""
    parts = [row | {"validation/accuracy": 0.5, "validation/accuracy/noise": 0.5} for row in CURVES]
    svg = learning_curves(parts)
    assert ">loss<" in svg and ">accuracy<" in svg and "learning rate" not in svg and "noise" not in svg
