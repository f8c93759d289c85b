"""The network of Wu et al. against the same one in PyTorch: outputs, slopes, running statistics and training steps."""

import enum
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ecgjax.config import Optim, Optimizer
from ecgjax.interop import mapping, wer_ssl
from ecgjax.interop.mapping import Row, Table
from ecgjax.models import tcn_transformer
from ecgjax.models.base import Encoded, known
from ecgjax.tasks import classification
from ecgjax.tasks.modality_recognition import Config, ModalityRecognition, Targets
from ecgjax.training import digest, mesh, state
from ecgjax.training.optim import make_optimizer
from ecgjax.training.state import Program

torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install -e '.[torch]'")
from benchmarks import torch_twin  # noqa: E402

NAMES = ("eda", "bvp", "temp")
WINDOWS, SAMPLES = 2, 90  # 270 tokens: enough for attention in turn
NO_DROPOUT = {"tcn_dropout": 0.0, "dropout": 0.0, "attention_dropout": 0.0}


class Double(enum.Enum):
    """No precision anyone trains in, so no member of `base.Precision`."""

    FLOAT64 = "float64"


class AsGiven(ModalityRecognition):
    """The task on versions that are already made, so that both networks see the same."""

    def view(self, key, batch):
        signals = batch["signals"]
        return signals, Targets(batch["version"], {name: known(x_NTC) for name, x_NTC in signals.items()})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Of a busy machine, PyTorch would wait for all cores at every layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def perturb(network):
    """Biases and statistics begin at 0, scales and variances at 1, and would hide mistakes."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor += 0.1 * (torch.rand_like(tensor) if name.endswith("running_var") else torch.randn_like(tensor))
    return network


def make_twin(train: bool, double: bool = True):
    torch.manual_seed(0)
    twin = perturb(torch_twin.WerSsl(tcn_transformer.Config(**(NO_DROPOUT if train else {}))))
    if train:
        twin.drop.p = 0.0
    return (twin.double() if double else twin).train(train)


def make_program(train: bool, double: bool = True) -> Program:
    model = tcn_transformer.Config(**(NO_DROPOUT if train else {}))
    if double:
        model.dtype = Double.FLOAT64
    task = AsGiven(Config(**({"dropout": 0.0} if train else {})))
    return Program(model.make(), task.head(), task)


def signals() -> dict[str, np.ndarray]:
    """Windows at levels of their own, else the means over time would all be alike."""
    rng, shape = np.random.default_rng(0), (6 * WINDOWS, SAMPLES, 1)
    return {name: rng.standard_normal(shape) + 2 * rng.standard_normal((len(versions()), 1, 1)) for name in NAMES}


def versions() -> np.ndarray:
    return np.tile(np.arange(6), WINDOWS)


def in_our_words(program, theirs: dict[str, torch.Tensor], roots=("params", "model_state")) -> list:
    """Arrays by their names as params and model state, by the table that reads the released files."""
    given = {name: jnp.asarray(x) for name, x in signals().items()}
    abstract = jax.eval_shape(lambda key: state.init_variables(program, key, given), jax.random.key(0))
    tree = dict(zip(("params", "model_state"), abstract, strict=True))
    tree = {root: tree[root] for root in roots}
    wanted = {name: tuple(shape) for name, (shape, _) in digest.leaves(tree).items()}
    found = mapping.arrange(wer_ssl.TABLE, {name: tensor.numpy() for name, tensor in theirs.items()}, wanted)
    assert found.keys() == wanted.keys()
    placed = jax.tree_util.tree_map_with_path(lambda keys, _: jnp.asarray(found[mesh.path_of(keys)]), tree)
    return [placed[root] for root in roots]


def check(ours, theirs, precision, least=1e-3):
    """To a share of each array's largest number; slopes of biases before a batch norm are 0 but for rounding."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, got), want in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert got.dtype == want.dtype == np.float64
        atol = precision * max(np.abs(want).max(), least)
        np.testing.assert_allclose(got, want, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path))


def test_logits_in_float32():
    twin, program = make_twin(train=False, double=False), make_program(train=False, double=False)
    params, model_state = in_our_words(program, twin.state_dict())
    given = {name: jnp.asarray(x, jnp.float32) for name, x in signals().items()}
    outputs = jax.jit(lambda p, m, s: state.forward(program, p, m, s, jax.random.key(0), train=False)[1])(
        params, model_state, given
    )
    with torch.no_grad():
        theirs = twin(*(torch.tensor(x, dtype=torch.float32) for x in signals().values()))
    for name, expected in zip(NAMES, theirs, strict=True):
        assert outputs[name].dtype == jnp.float32
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=1e-5)
        assert expected.std(0).min() > 0.01, "else this shows little"


@pytest.mark.parametrize("train", [False, True])
def test_logits_slopes_and_running_statistics_in_float64(train):
    """In training, batch norm takes the statistics of the batch."""
    twin = make_twin(train)
    xs = [torch.tensor(x, requires_grad=True) for x in signals().values()]
    before = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    theirs = twin(*xs)
    loss = sum(torch.nn.functional.cross_entropy(logits, torch.tensor(versions())) for logits in theirs)
    loss.backward()

    with jax.enable_x64(True):
        program = make_program(train)
        params, model_state = in_our_words(program, before)

        @jax.jit
        def our_loss(params, signals):
            _, outputs, after = state.forward(program, params, model_state, signals, jax.random.key(0), train)
            _, targets = program.task.view(None, {"signals": signals, "version": jnp.asarray(versions())})
            return program.task.loss(outputs, targets, jnp.ones(WINDOWS))[0], (outputs, after)

        slope = jax.jit(jax.value_and_grad(our_loss, argnums=(0, 1), has_aux=True))
        (found, (outputs, after)), slopes = slope(params, jax.tree.map(jnp.asarray, signals()))
        for name, expected in zip(NAMES, theirs, strict=True):
            np.testing.assert_allclose(outputs[name], expected.detach(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found, loss.item(), rtol=1e-13)
        (expected,) = in_our_words(
            program, {n: p.grad for n, p in twin.named_parameters() if p.grad is not None}, ["params"]
        )
        check(slopes, (expected, {name: x.grad.numpy() for name, x in zip(NAMES, xs, strict=True)}), 1e-11)
        _, running = in_our_words(program, twin.state_dict())
        check(after, running, 1e-13)
        moved = [bool((x != y).all()) for x, y in zip(*map(jax.tree.leaves, (after, model_state)), strict=True)]
        assert moved == [train] * 6


def test_three_steps_with_momentum_end_at_the_same_weights():
    twin = make_twin(train=True)
    before = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        theirs = twin(*map(torch.tensor, signals().values()))
        sum(torch.nn.functional.cross_entropy(logits, torch.tensor(versions())) for logits in theirs).backward()
        optimizer.step()

    with jax.enable_x64(True):
        program = make_program(train=True)
        params, model_state = in_our_words(program, before)
        optim = make_optimizer(Optim(optimizer=Optimizer.SGD, momentum=0.9), params)
        now = state.init_state(optim, jax.random.key(0), params, model_state)
        batch = {"signals": signals(), "version": versions(), "weight": np.ones(WINDOWS)}
        step = jax.jit(functools.partial(state.train_step, program, optim))
        for _ in range(3):
            now, metrics = step(now, batch, np.float64(0.05))
        expected = in_our_words(program, twin.state_dict())
        check([now.params, now.model_state], expected, 1e-9, least=1.0)
        moved = jax.tree.map(lambda x, y: float(np.abs(x - y).max()), now.params, params)
        assert np.median(jax.tree.leaves(moved)) > 1e-3, "else this shows little"
        assert float(metrics["finite"][0]) == 1


# The head of the second stage is in no released file; this is how it would be written.
HEAD = Table(
    rows=(
        Row("0.weight", (128, 384), "params/hidden_0/kernel", (1, 0)),
        Row("0.bias", (128,), "params/hidden_0/bias"),
        Row("1.weight", (128,), "params/norm_0/scale"),
        Row("1.bias", (128,), "params/norm_0/bias"),
        Row("1.running_mean", (128,), "batch_stats/norm_0/mean"),
        Row("1.running_var", (128,), "batch_stats/norm_0/var"),
        Row("4.weight", (3, 128), "params/out/kernel", (1, 0)),
        Row("4.bias", (3,), "params/out/bias"),
    ),
    holes={},
)


def head_in_our_words(variables, theirs: dict[str, torch.Tensor]):
    wanted = {name: tuple(shape) for name, (shape, _) in digest.leaves(variables).items()}
    found = mapping.arrange(HEAD, {name: tensor.numpy() for name, tensor in theirs.items()}, wanted)
    return jax.tree_util.tree_map_with_path(lambda keys, _: jnp.asarray(found[mesh.path_of(keys)]), variables)


@pytest.mark.parametrize("train", [False, True])
def test_the_head_of_the_second_stage(train):
    """As by PyTorch's layers in turn: linear, batch norm, ReLU, dropout, linear."""
    torch.manual_seed(0)
    nn = torch.nn
    layers = (nn.Linear(384, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.0 if train else 0.2), nn.Linear(128, 3))
    twin = perturb(nn.Sequential(*layers)).double().train(train)
    before = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    rng = np.random.default_rng(0)
    pooled, label = rng.standard_normal((10, 384)), rng.integers(0, 3, 10)
    x = torch.tensor(pooled, requires_grad=True)
    theirs = twin(x)
    torch.nn.functional.cross_entropy(theirs, torch.tensor(label)).backward()

    with jax.enable_x64(True):
        config = classification.Config(3, classification.Loss.SOFTMAX, hidden=(128,), batch_norm=True)
        config.dropout = 0.0 if train else 0.2
        task, encoded = config.make(), Encoded(jnp.zeros((10, 0, 384)), jnp.asarray(pooled))
        head = task.head()
        shapes = jax.eval_shape(lambda key: head.init(key, encoded, {}, train=False), jax.random.key(0))
        variables = head_in_our_words(shapes, before)

        @jax.jit
        def our_loss(params, pooled_BD):
            given = {"params": params, "batch_stats": variables["batch_stats"]}
            encoded_now = encoded.replace(pooled_BD=pooled_BD)
            outputs, after = head.apply(given, encoded_now, {}, train=train, mutable=["batch_stats"])
            return task.loss(outputs, jnp.asarray(label), jnp.ones(10))[0], (outputs, after)

        slope = jax.jit(jax.value_and_grad(our_loss, argnums=(0, 1), has_aux=True))
        (_, (outputs, after)), slopes = slope(variables["params"], encoded.pooled_BD)
        np.testing.assert_allclose(outputs, theirs.detach(), rtol=0, atol=1e-13)
        grads = {name: p.grad for name, p in twin.named_parameters()}
        expected = head_in_our_words({"params": shapes["params"]}, grads)["params"]
        check(slopes, (expected, x.grad.numpy()), 1e-12)
        check(after, {"batch_stats": head_in_our_words(shapes, twin.state_dict())["batch_stats"]}, 1e-14)
        assert (not train) == bool((after["batch_stats"]["norm_0"]["mean"] == before["1.running_mean"].numpy()).all())
