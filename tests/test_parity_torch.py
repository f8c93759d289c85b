"""The encoder against the same layers of PyTorch, with the same weights."""

import enum
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from ecgjax.models import base
from ecgjax.models import conv_transformer as ct

torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install 'ecgjax[torch]'")
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


class Double(enum.Enum):
    """No precision anyone trains in, so no member of `base.Precision`."""

    FLOAT64 = "float64"


def in_our_words(theirs: dict) -> dict:
    """PyTorch's named arrays as our tree of parameters; all of them are used."""
    ours, used = {}, set()
    for pattern, name, convert in TABLE:
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
        assert jax.tree.structure(gradients) == jax.tree.structure(expected)
        for (path, got), want in zip(
            jax.tree_util.tree_leaves_with_path(gradients), jax.tree.leaves(expected), strict=True
        ):
            np.testing.assert_allclose(got, want, atol=1e-11 * np.abs(want).max(), err_msg=jax.tree_util.keystr(path))
