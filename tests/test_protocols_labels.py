"""Cross-validation where the classes are learnt from ratings: each fold by its own people."""

import numpy as np
import pytest

from ecgjax.config import LabelRule
from ecgjax.data.corpus import recording_keys
from ecgjax.evaluation.protocols import MODEL, cross_validate
from ecgjax.training import checkpoint
from tests import tiny

FOLDS = ("fold_00", "fold_01", "fold_02")


def places(predictions):
    return list(zip(predictions.recording_N.tolist(), predictions.start_s_N.tolist(), strict=True))


@pytest.mark.parametrize("rule", [LabelRule.MEDIAN, LabelRule.SUBJECT_MEAN])
def test_a_threshold_is_each_fold_s_own(tmp_path, rule):
    rated = tiny.finetuning(tiny.make_store(tmp_path / "store"), num_epochs=0.6, tensorboard=False)
    rated.data.label.name, rated.data.label.rule = "arousal", rule
    rated.data.split.seed = 2  # whose folds have medians with ratings between them
    found = cross_validate(rated, tmp_path / "run")
    extras = [checkpoint.describe(tmp_path / "run" / name)["extra"] for name in FOLDS]
    thresholds = np.array([extra["label"]["threshold"] for extra in extras])
    assert {extra["label"]["rule"] for extra in extras} == {"THRESHOLD" if rule is LabelRule.MEDIAN else "SUBJECT_MEAN"}
    assert len(set(thresholds)) == (3 if rule is LabelRule.MEDIAN else 1)
    model, windows = found.predictions[MODEL], found.corpus.eval_windows
    assert model.classes == ("low", "high")
    where = zip(recording_keys(found.corpus.stores, windows), windows.start_s, strict=True)
    row = dict(zip(where, range(len(windows)), strict=True))
    rows = [row[place] for place in places(model)]
    if rule is LabelRule.MEDIAN:
        expected = windows.rating[rows] > thresholds[model.fold_N]
        assert (expected != (windows.rating[rows] > thresholds[0])).any(), "else one threshold would do for all"
    else:
        _, trials = np.unique(windows.trial, return_index=True)
        mean = {s: windows.rating[[i for i in trials if windows.subject[i] == s]].mean() for s in windows.subjects}
        expected = windows.rating[rows] > [mean[s] for s in model.subject_N]
    for name, each in found.predictions.items():
        np.testing.assert_array_equal(each.label_N, expected, err_msg=name)
