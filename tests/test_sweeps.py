"""Cells of a sweep: which there are, where they lie, what they say."""

import dataclasses
import math

import pytest

from ecgjax.config import ChooseOn, Experiment, Protocol
from ecgjax.errors import UserError
from ecgjax.evaluation import summary, sweeps, sweeps_figure, tables
from ecgjax.evaluation.sweeps import Axis, Cell, Result, Score
from ecgjax.models import conv_transformer
from ecgjax.tasks import masked_reconstruction
from launch import overrides


def experiment() -> Experiment:
    return Experiment(task=masked_reconstruction.Config(), model=conv_transformer.Config())


def make(*texts: str, together: bool = False) -> list[Cell]:
    return sweeps.cells(experiment(), [sweeps.parse(text) for text in texts], together, overrides.put)


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("seed=0,1,2", Axis("seed", ("0", "1", "2"))),
        ("config.task.mask_span=5", Axis("task.mask_span", ("5",))),
        ("model.strides=(4,4,2),(8,8,1)", Axis("model.strides", ("(4,4,2)", "(8,8,1)"))),
        ("optim.multipliers=(('^encoder/',0.0),),()", Axis("optim.multipliers", ("(('^encoder/',0.0),)", "()"))),
        ("data.store=a=b,c", Axis("data.store", ("a=b", "c"))),
    ],
)
def test_values_are_parted_at_commas_outside_brackets(text, axis):
    assert sweeps.parse(text) == axis


@pytest.mark.parametrize("text", ["seed", "seed=", "=1", "seed=1,,2", "seed=1,1"])
def test_what_is_no_sweep_is_refused(text):
    with pytest.raises(UserError, match="--sweep"):
        sweeps.parse(text)


def test_every_combination_is_a_cell_with_its_own_experiment():
    cells = make("task.mask_span=5,10", "seed=0,1,2")
    assert [(c.experiment.task.mask_span, c.experiment.seed) for c in cells] == [
        (5, 0), (5, 1), (5, 2), (10, 0), (10, 1), (10, 2),
    ]  # fmt: skip
    assert cells[3].name == "mask_span=10,seed=0"
    assert cells[3].settings == {"task.mask_span": "10", "seed": "0"}


def test_zipped_fields_go_in_step():
    cells = make("task.mask_span=5,10", "seed=0,1", together=True)
    assert [(c.experiment.task.mask_span, c.experiment.seed) for c in cells] == [(5, 0), (10, 1)]
    with pytest.raises(UserError, match="--zip needs as many values"):
        make("task.mask_span=5,10", "seed=0,1,2", together=True)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("task.mask_spam=5",), 'no field "mask_spam" in task .*Did you mean "mask_span"'),
        (("task.mask_span=5,x",), 'task.mask_span: "x" is not a whole number'),
        (("model.norm_order=sideways",), 'model.norm_order: "sideways" is not one of'),
        (("model.strides=(a,b)",), 'model.strides: "\\(a,b\\)" is not'),
        (("train.tensorboard=maybe",), "train.tensorboard: .maybe. is not true or false"),
        (("task=1",), "task is a group of fields"),
        (("seed=1", "seed=2"), "seed is swept twice"),
        (("init_from=a/x,b/x",), "would share the folder init_from=x"),
    ],
)
def test_every_value_is_checked_before_any_cell_runs(texts, message):
    with pytest.raises(UserError, match=message):
        make(*texts)


def test_values_of_every_kind_are_set():
    (cell,) = make(
        "model.norm_order=pre",
        "model.strides=(8,4,1)",
        "train.tensorboard=false",
        "optim.clip_norm=1",
        "init_from=a/b",
    )
    e = cell.experiment
    assert (e.model.norm_order.value, e.model.strides, e.train.tensorboard) == ("pre", (8, 4, 1), False)
    assert (e.optim.clip_norm, type(e.optim.clip_norm), e.init_from) == (1.0, float, "a/b")


def test_brackets_hold_a_text_with_commas_together():
    """Such as leaving one corpus out of three."""
    cells = make("data.store=(s/a,s/b),(s/a,s/c),s/b")
    assert [cell.experiment.data.store for cell in cells] == ["s/a,s/b", "s/a,s/c", "s/b"]
    assert [cell.name for cell in cells] == ["store=_s_a_s_b_", "store=_s_a_s_c_", "store=b"]


def test_a_folder_name_holds_nothing_a_file_system_dislikes():
    name = sweeps.folder_name({"optim.multipliers": "(('^encoder/.*', 0.0),)", "init_from": "runs/a b/x/"})
    assert name == "multipliers=_encoder_._0.0_,init_from=x"


def result(settings: dict[str, str], **rows: float) -> Result:
    cell = Cell(sweeps.folder_name(settings), settings, experiment())
    return Result(cell, {name: {"auroc": Score(value, value - 0.1, value + 0.1)} for name, value in rows.items()})


def test_a_baseline_that_no_setting_touches_is_told_once():
    results = [
        result({"task.snr_db": snr, "seed": "0"}, ecgjax=value, prior=0.5, rate=other)
        for snr, value, other in (("2", 0.6, 0.7), ("5", 0.8, 0.71))
    ]
    assert sweeps.table(results) == [
        ["", "snr_db", "seed", "AUROC"],
        ["ecgjax", "2", "0", "0.600 [0.500, 0.700]"],
        ["ecgjax", "5", "0", "0.800 [0.700, 0.900]"],
        ["prior", "any", "any", "0.500 [0.400, 0.600]"],
        ["rate", "2", "0", "0.700 [0.600, 0.800]"],
        ["rate", "5", "0", "0.710 [0.610, 0.810]"],
    ]
    assert tables.markdown(sweeps.table(results)).splitlines()[1] == "| --- | ---: | ---: | ---: |"


@pytest.mark.parametrize("values", [("2", "5", "10"), ("0", "1", "2"), ("1", "12"), ("noise", "scaling", "both")])
def test_the_figure_shows_every_cell(values):
    settings = [{"task.x": value, "seed": seed} for value in values for seed in "01"]
    results = [result(each, ecgjax=0.6 + 0.05 * i, prior=0.5) for i, each in enumerate(settings)]
    drawn = sweeps_figure.figure(results)
    assert drawn.startswith("<svg")
    for text in (*values, "seed=0", "seed=1", "AUROC", "prior"):
        assert f">{text}<" in drawn, text
    assert (">task.x<" in drawn) == values[0].isdigit()


def test_fields_that_end_alike_keep_their_whole_names():
    short = {"seed": "seed", "data.split.seed": "data.split.seed", "task.snr_db": "snr_db"}
    assert sweeps.short_names(short) == short
    settings = {"optim.decay": "2", "data.decay": "x/y"}
    assert sweeps.folder_name(settings) == "optim.decay=2,data.decay=y"
    assert sweeps.table([result(settings, ecgjax=0.5)])[0] == ["", "optim.decay", "data.decay", "AUROC"]


def test_scores_that_one_cell_lacks_are_no_columns():
    both, one = result({"seed": "0"}, ecgjax=0.5), result({"seed": "1"}, ecgjax=0.5)
    both.scores["ecgjax"]["accuracy"] = Score(0.5)
    assert sweeps.columns([both, one]) == sweeps.columns([one, both]) == ["auroc"]


def test_cells_of_another_sweep_lie_on_an_axis_of_what_was_swept_there():
    for places, axis in ((("a/snr_db=2", "a/snr_db=5/"), "snr_db"), (("a/snr_db=2", "a/pieces=5"), ""), (("a/2",), "")):
        assert sweeps_figure._swept_in(places) == axis
    results = [result({"init_from": f"runs/snr/snr_db={snr}"}, ecgjax=0.6) for snr in (2, 5)]
    assert all(f">{text}<" in sweeps_figure.figure(results) for text in ("snr_db", "2", "5"))


def test_folders_are_told_apart_by_what_they_do_not_share():
    names = {"runs/snr/snr_db=5": "5", "runs/snr/snr_db=10": "10"}
    assert sweeps_figure._shortened(list(names)) == names
    long = "(noise,scaling,negation,inversion,permutation,time_warp)"
    short = sweeps_figure._shortened(["runs/noise", f"runs/{long}"])
    assert short["runs/noise"] == "noise"
    assert short[f"runs/{long}"] == long[:33] + "…"
    alike = [long + "1", long + "2"]  # short, they would be the same
    assert sweeps_figure._shortened(alike) == dict(zip(alike, alike, strict=True))
    assert sweeps_figure._shortened(["runs/noise"]) == {"runs/noise": "runs/noise"}


def test_what_an_optimistic_protocol_means_goes_with_every_table(tmp_path):
    for protocol, choose_on, told in (
        ("WINDOW", "OTHERS", "Windows were dealt"),
        ("SUBJECT", "TESTED", "Of every fold,"),
    ):
        optimistic = result({"seed": "0"}, ecgjax=0.9)
        split = optimistic.cell.experiment.data.split
        split.protocol, split.choose_epoch_on = Protocol[protocol], ChooseOn[choose_on]
        printed = summary.report_sweep(optimistic.cell.experiment, [optimistic], [], tmp_path)
        assert printed.count(told) == 1
        assert all(told in (tmp_path / name).read_text() for name in ("sweep.md", "report.html"))
    honest = result({"seed": "0"}, ecgjax=0.9)
    assert "Optimistic" not in summary.report_sweep(honest.cell.experiment, [honest], [], tmp_path)


def test_scores_without_an_interval_have_none_in_the_table():
    bare = dataclasses.replace(
        result({"seed": "0"}), scores={"validation": {"loss": Score(0.25), "explained": Score(math.nan)}}
    )
    assert sweeps.table([bare]) == [["", "seed", "explained", "loss"], ["validation", "0", "–", "0.250"]]
