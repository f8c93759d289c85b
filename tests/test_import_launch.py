"""launch.import_weights on a file laid out as the released ones, against PyTorch's logits."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_import_weights
import torch_files

from configs import prepare_stress_predict
from ecgjax import plain
from ecgjax.config import Experiment
from ecgjax.data.prepare import Preparation, prepare
from ecgjax.data.store import open_store
from ecgjax.evaluation import apply
from ecgjax.interop import wer_ssl
from ecgjax.training import checkpoint, inherit, loop
from tests import modalities, tiny


def call(run_module, file, folder, *more):
    return run_module("launch.import_weights", "--format=wer_ssl", f"--input={file}", f"--workdir={folder}", *more)


@pytest.fixture(scope="module")
def imported(tmp_path_factory, run_module):
    """(folder of the run, the network in PyTorch that the file was saved from)."""
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install -e '.[torch]'")
    from benchmarks import torch_twin
    from ecgjax.models import tcn_transformer

    folder = tmp_path_factory.mktemp("import")
    torch.manual_seed(0)
    twin = torch_twin.WerSsl(tcn_transformer.Config())
    for tensor in twin.state_dict().values():  # what begins at 0 or 1 would hide mistakes
        if tensor.is_floating_point():
            tensor += 0.1 * torch.rand_like(tensor)
    optimizer = torch.optim.SGD(twin.parameters(), lr=5e-3, momentum=0.9)
    saved = {"epoch": 3, "optimizer": optimizer.state_dict(), "state_dict_fusion": twin.state_dict()}
    torch.save(saved, folder / "best_model.pth")
    done = call(run_module, folder / "best_model.pth", folder / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(folder / "run")]
    return folder / "run", twin.eval()


def test_logits_are_those_of_pytorch(imported):
    import torch

    run, twin = imported
    experiment = apply.read_experiment(run)
    experiment.data.eval_batch_size = jax.device_count()
    model = apply.load(run, experiment)
    rng = np.random.default_rng(0)
    signals = {m: rng.standard_normal((2, 240, 1), np.float32) for m in experiment.data.modalities}
    with torch.no_grad():
        theirs = twin(*(torch.tensor(signals[m]) for m in ("eda", "bvp", "temp")))
    program, (params, model_state) = (
        model.compiled.program,
        jax.device_get((model.state.params, model.state.model_state)),
    )

    @jax.jit
    def logits(signals):
        encoded = program.encoder.apply({"params": params["encoder"]}, signals, train=False)
        return program.head.apply({"params": params["head"], **model_state["head"]}, encoded, signals, train=False)

    ours = logits(jax.tree.map(jnp.asarray, signals))
    for modality, expected in zip(("eda", "bvp", "temp"), theirs, strict=True):
        np.testing.assert_allclose(ours[modality], expected.numpy(), atol=1e-5)
        assert expected.std() > 0.1, "else this shows little"


def test_the_run_says_of_itself_what_a_trained_one_does(imported, tmp_path):
    about = checkpoint.describe(imported[0])
    this, _ = loop.run(tiny.pretraining(tiny.make_store(tmp_path / "store"), num_epochs=0.1), tmp_path / "run")
    trained = checkpoint.describe(this.folder)["extra"]
    assert about["extra"].keys() == trained.keys() | {"origin"}
    assert about["extra"]["num_parameters"] == 147_794
    assert about["extra"]["modalities"]["bvp"] == {
        "rate_hz": 4.0, "unit": "unknown", "channels": ["BVP"], "normalise": "RECORDING",
    }  # fmt: skip
    assert about["extra"]["modalities"]["eda"].keys() <= trained["modalities"]["ecg"].keys()
    assert about["extra"]["preprocess"]["eda"].keys() == trained["preprocess"]["ecg"].keys()
    assert about["extra"]["origin"]["file"] == "best_model.pth" and len(about["extra"]["origin"]["sha256"]) == 64
    assert inherit.people_of(about["extra"]) == inherit.People()
    assert plain.to_dict(plain.from_dict(Experiment, about["extra"]["config"])) == about["extra"]["config"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import") / "store"
    steps = prepare_stress_predict.get_config("wu2023").preprocess
    prepare(Preparation(modalities.Wrist(num_people=2), steps, workers=1), folder)
    return folder


def test_the_encoder_starts_another_run(imported, store):
    run, _ = imported
    experiment = apply.read_experiment(run)
    experiment.data.eval_batch_size, experiment.init_from = jax.device_count(), str(run)
    model = apply.load(run, experiment)
    found = inherit.read_encoder(experiment, model.compiled.abstract, [open_store(store)])
    for ours, theirs in zip(
        *(jax.tree.leaves(p) for p in (found["params"], model.state.params["encoder"])), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_it_is_evaluated_on_windows_prepared_as_the_paper_s(imported, store, run_module, tmp_path):
    flags = (f"--config.data.store={store}", "--config.data.eval_batch_size=2", f"--out={tmp_path / 'out'}")
    done = run_module("launch.evaluate", f"--checkpoint={imported[0]}", *flags)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()


def test_inspect_tells_where_it_comes_from(imported, run_module):
    told = run_module("launch.inspect", imported[0], "--json")
    facts = json.loads(told.stdout)
    assert facts["imported"]["format"] == "wer_ssl" and facts["input"]["eda"]["samples_per_window"] == 240
    assert run_module("launch.inspect", imported[0]).returncode == 0


def test_what_cannot_be_imported_leaves_nothing(run_module, tmp_path):
    state = test_import_weights.theirs(wer_ssl.TABLE)
    state = {name: array.astype(np.float32) for name, array in state.items()}
    good = torch_files.save(tmp_path / "good.pth", {"epoch": 3, "state_dict_fusion": state})
    del state["fc22.bias"]
    bad = torch_files.save(tmp_path / "bad.pth", {"epoch": 3, "state_dict_fusion": state})
    other = torch_files.save(tmp_path / "other.pth", {"weights": state})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    two = ("--config.data.modalities=eda,bvp", "--config.model.modalities=eda,bvp")
    for file, folder, more, message in (
        (bad, "run", (), "bad.pth: lacks: fc22.bias."),
        (other, "run", (), "other.pth: holds no state_dict_fusion."),
        (good, "full", (), "full: exists. Give the name of a folder"),
        (good, "run", ("--config.model.width=64",), "model.width=64: the released weights are of 128."),
        (good, "run", ("--config.model.num_heads=8",), "model.num_heads=8: the released weights are of 4."),
        (good, "run", ("--config.task.distortions=noise,crop",), "task.distortions="),
        (good, "run", ("--config.data.modalities=eda,bvp,temp,acc",), "Set --config.data.modalities=eda,bvp,temp."),
        (good, "run", two, "the released weights are of ('eda', 'bvp', 'temp')."),
    ):
        done = call(run_module, file, tmp_path / folder, *more)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pth", "full", "good.pth", "other.pth"]
    done = call(run_module, good, tmp_path / "run", "--config=configs/wu2023_pretrain.py")
    assert done.returncode == 0 and (tmp_path / "run" / "config.json").is_file(), done.stderr
