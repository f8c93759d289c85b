"""Encoders against the same layers of PyTorch, with the same weights."""

import enum
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from ecgjax.models import base, conv
from ecgjax.models import conv_transformer as ct

torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install -e '.[torch]'")
from benchmarks import torch_twin  # noqa: E402

BATCH, SAMPLES, HEADS, WIDTH = 2, 264, 2, 32  # enough tokens for attention in turn

# (name here, name there, how the array there becomes the one here); g is the number found in the name.
SPLIT = (3, HEADS, WIDTH // HEADS)
TABLE = (
    (r"cls", "cls", lambda a: a),
    (r"conv/conv_(\d)/kernel", "convs.{g}.weight", lambda a: a.transpose(2, 1, 0)),
    (r"conv/conv_(\d)/bias", "convs.{g}.bias", lambda a: a),
    (r"conv/norm_0/scale", "norm_0.weight", lambda a: a),
    (r"conv/norm_0/bias", "norm_0.bias", lambda a: a),
    (r"layer_(\d)/attention/qkv/kernel", "layers.{g}.self_attn.in_proj_weight", lambda a: a.T.reshape(WIDTH, *SPLIT)),
    (r"layer_(\d)/attention/qkv/bias", "layers.{g}.self_attn.in_proj_bias", lambda a: a.reshape(SPLIT)),
    (
        r"layer_(\d)/attention/out/kernel",
        "layers.{g}.self_attn.out_proj.weight",
        lambda a: a.T.reshape(HEADS, -1, WIDTH),
    ),
    (r"layer_(\d)/attention/out/bias", "layers.{g}.self_attn.out_proj.bias", lambda a: a),
    (r"layer_(\d)/attention_norm/scale", "layers.{g}.norm1.weight", lambda a: a),
    (r"layer_(\d)/attention_norm/bias", "layers.{g}.norm1.bias", lambda a: a),
    (r"layer_(\d)/mlp_in/kernel", "layers.{g}.linear1.weight", lambda a: a.T),
    (r"layer_(\d)/mlp_in/bias", "layers.{g}.linear1.bias", lambda a: a),
    (r"layer_(\d)/mlp_out/kernel", "layers.{g}.linear2.weight", lambda a: a.T),
    (r"layer_(\d)/mlp_out/bias", "layers.{g}.linear2.bias", lambda a: a),
    (r"layer_(\d)/mlp_norm/scale", "layers.{g}.norm2.weight", lambda a: a),
    (r"layer_(\d)/mlp_norm/bias", "layers.{g}.norm2.bias", lambda a: a),
    (r"norm/scale", "norm.weight", lambda a: a),
    (r"norm/bias", "norm.bias", lambda a: a),
)
CONV_TABLE = (
    (r"conv_(\d)/kernel", "convs.{g}.weight", lambda a: a.reshape(*a.shape[:2], -1).transpose(2, 1, 0)),
    (r"conv_(\d)/bias", "convs.{g}.bias", lambda a: a),
)


class Double(enum.Enum):
    """No precision anyone trains in, so no member of `base.Precision`."""

    FLOAT64 = "float64"


def in_our_words(theirs: dict, table=TABLE) -> dict:
    """PyTorch's named arrays as our tree of parameters; all of them are used."""
    ours, used = {}, set()
    for pattern, name, convert in table:
        matcher = re.escape(name).replace(r"\{g\}", r"(\d)")
        for found in filter(None, (re.fullmatch(matcher, name) for name in theirs)):
            number = found.group(1) if found.groups() else ""
            ours[pattern.replace(r"(\d)", number)] = jnp.asarray(convert(theirs[found.group()].numpy()))
            used.add(found.group())
    assert used == set(theirs)
    return traverse_util.unflatten_dict(ours, sep="/")


def make_pair(strides, order, activation, seed=0):
    config = ct.Config(
        channels=(8, 16, WIDTH),
        strides=strides,
        width=WIDTH,
        hidden=48,
        num_heads=HEADS,
        norm_order=order,
        activation=activation,
    )
    torch.manual_seed(seed)
    twin = torch_twin.Encoder(config).eval()
    for parameter in twin.parameters():  # biases and scales are 0 and 1 at first, and would hide mistakes
        parameter.data += 0.1 * torch.randn_like(parameter)
    return config, twin


variants = pytest.mark.parametrize(
    ("strides", "order", "activation"),
    [
        ((1, 1, 1), base.NormOrder.POST, base.Activation.RELU),
        ((1, 1, 1), base.NormOrder.PRE, base.Activation.GELU),
        ((4, 4, 2), base.NormOrder.POST, base.Activation.GELU),
    ],
)


def signal() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((BATCH, SAMPLES, 1))


@variants
def test_forward_pass_in_float32(strides, order, activation):
    config, twin = make_pair(strides, order, activation)
    params = in_our_words({name: p.data for name, p in twin.named_parameters()})
    signals = {"ecg": jnp.asarray(signal(), jnp.float32)}
    ours = jax.jit(lambda p, s: config.make().apply({"params": p}, s, train=False))(params, signals)
    theirs = twin(torch.tensor(signal(), dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(ours.tokens_BLD, theirs[:, 1:], atol=1e-5)
    np.testing.assert_allclose(ours.pooled_BD, theirs[:, 0], atol=1e-5)


@variants
def test_forward_pass_and_gradients_in_float64(strides, order, activation):
    config, twin = make_pair(strides, order, activation)
    twin = twin.double()
    twin.positions = torch.tensor(base.sinusoids(1281, WIDTH))
    x = torch.tensor(signal(), requires_grad=True)
    tokens = twin(x)
    direction = np.random.default_rng(1).standard_normal(tokens.shape)
    (tokens * torch.tensor(direction)).sum().backward()

    with jax.enable_x64(True):
        config.dtype = Double.FLOAT64
        params = in_our_words({name: p.data for name, p in twin.named_parameters()})
        encoder = config.make()

        @jax.jit
        def loss(params, signal_BTC):
            encoded = encoder.apply({"params": params}, {"ecg": signal_BTC}, train=False)
            ours = jnp.concatenate([encoded.pooled_BD[:, None], encoded.tokens_BLD], axis=1)
            return jnp.sum(ours * direction), ours

        (_, ours), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, jnp.asarray(signal()))
        expected = in_our_words({name: p.grad for name, p in twin.named_parameters()}), x.grad.numpy()
        assert ours.dtype == jnp.float64
        np.testing.assert_allclose(ours, tokens.detach().numpy(), atol=1e-12)
        check_gradients(gradients, expected)


def check_gradients(gradients, expected):
    assert jax.tree.structure(gradients) == jax.tree.structure(expected)
    for (path, got), want in zip(
        jax.tree_util.tree_leaves_with_path(gradients), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(got, want, atol=1e-11 * np.abs(want).max(), err_msg=jax.tree_util.keystr(path))


def make_conv_pair(inputs: int, flat: bool, **fields):
    config = conv.Config(**fields)
    torch.manual_seed(0)
    twin = torch_twin.ConvNet(config, inputs, flat)
    for layer in twin.convs:  # 0 at first
        layer.bias.data += 0.1 * torch.randn_like(layer.bias)
    return config, twin


conv_variants = pytest.mark.parametrize(
    ("inputs", "flat", "fields"),
    [
        (1, False, {}),
        (1, True, {}),
        (3, False, {"channels": (8, 12, 16, 20), "kernels": (5, 1, 4, 9), "pool_window": 6, "pool_stride": 3}),
    ],
)


@conv_variants
def test_conv_net_in_float32(inputs, flat, fields):
    config, twin = make_conv_pair(inputs, flat, **fields)
    params = in_our_words({name: p.data for name, p in twin.named_parameters()}, CONV_TABLE)
    x = np.random.default_rng(0).standard_normal((BATCH, SAMPLES, inputs), np.float32)
    encoded = jax.jit(lambda p, s: config.make().apply({"params": p}, s, train=False))(params, {"ecg": jnp.asarray(x)})
    for ours, theirs in zip((encoded.tokens_BLD, encoded.pooled_BD), twin(torch.tensor(x)), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("through_tokens", [False, True])
@conv_variants
def test_conv_net_and_its_gradients_in_float64(inputs, flat, fields, through_tokens):
    """Through a head of two layers on the pooled vector, with and without a use of the tokens beside it."""
    config, twin = make_conv_pair(inputs, flat, **fields)
    rng = np.random.default_rng(0)
    x, hidden, out = rng.standard_normal((BATCH, SAMPLES, inputs)), *rng.standard_normal((2, config.channels[-1], 7))
    x_torch = torch.tensor(x, requires_grad=True)
    tokens, pooled = twin.double()(x_torch)
    loss = (torch.tanh(pooled @ torch.tensor(hidden)) @ torch.tensor(out).T).sin().sum()
    (loss + through_tokens * tokens.square().mean()).backward()

    with jax.enable_x64(True):
        config.dtype = Double.FLOAT64
        params = in_our_words({name: p.data for name, p in twin.named_parameters()}, CONV_TABLE)

        @jax.jit
        def our_loss(params, signal_BTC):
            encoded = config.make().apply({"params": params}, {"ecg": signal_BTC}, train=True)
            loss = jnp.sum(jnp.sin(jnp.tanh(encoded.pooled_BD @ hidden) @ out.T))
            return loss + (jnp.mean(jnp.square(encoded.tokens_BLD)) if through_tokens else 0), encoded

        (_, ours), gradients = jax.value_and_grad(our_loss, argnums=(0, 1), has_aux=True)(params, jnp.asarray(x))
        assert ours.pooled_BD.dtype == jnp.float64
        np.testing.assert_allclose(ours.tokens_BLD, tokens.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(ours.pooled_BD, pooled.detach().numpy(), atol=1e-12)
        slopes = {name: p.grad for name, p in twin.named_parameters()}
        check_gradients(gradients, (in_our_words(slopes, CONV_TABLE), x_torch.grad.numpy()))


def whole_numbers(*shape) -> np.ndarray:
    """Few values, so that maxima are reached more than once, and sums of them are exact."""
    return np.random.default_rng(0).integers(-2, 3, shape).astype(np.float64)


@pytest.mark.parametrize(("window", "stride"), [(8, 2), (6, 2), (3, 1), (4, 4)])
def test_of_equal_maxima_the_first_has_the_gradient_in_pooling(window, stride):
    x = torch.tensor(whole_numbers(2, 3, 41), requires_grad=True)
    pooled = torch.nn.functional.max_pool1d(x, window, stride)
    slope = np.random.default_rng(1).standard_normal(pooled.shape)
    pooled.backward(torch.tensor(slope))
    with jax.enable_x64(True):
        x_BTD = jnp.asarray(whole_numbers(2, 3, 41).swapaxes(1, 2))
        ours, back = jax.vjp(lambda x_BTD: conv.max_pool(x_BTD, window, stride), x_BTD)
        np.testing.assert_array_equal(ours, pooled.detach().numpy().swapaxes(1, 2))
        np.testing.assert_allclose(back(jnp.asarray(slope.swapaxes(1, 2)))[0], x.grad.numpy().swapaxes(1, 2))


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("kernel", [1, 4, 5])
def test_of_equal_maxima_the_first_has_the_gradient_over_time(kernel, platform, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    x, weight = (torch.tensor(whole_numbers(*s), requires_grad=True) for s in ((3, 2, 29), (16, 2, kernel)))
    padded = torch.nn.functional.pad(x, ((kernel - 1) // 2, kernel // 2))
    y = torch.nn.functional.conv1d(padded, weight)
    pooled = torch.nn.functional.max_pool1d(y, 29)[..., 0]
    slope = whole_numbers(3, 16)
    pooled.backward(torch.tensor(slope))
    with jax.enable_x64(True):
        x_BTC, kernel_KCD = jnp.asarray(whole_numbers(3, 2, 29).swapaxes(1, 2)), whole_numbers(16, 2, kernel)
        ours, back = jax.vjp(conv.convolve_peak, x_BTC, jnp.asarray(kernel_KCD.transpose(2, 1, 0)))
        np.testing.assert_array_equal(ours, pooled.detach().numpy())
        x_slope, kernel_slope = back(jnp.asarray(slope))
        np.testing.assert_array_equal(x_slope, x.grad.numpy().swapaxes(1, 2))
        np.testing.assert_array_equal(kernel_slope, weight.grad.numpy().transpose(2, 1, 0))
