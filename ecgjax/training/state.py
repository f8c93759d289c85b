"""What training changes, and the pure functions that change it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from ecgjax.models.base import POOLED, Encoded
from ecgjax.tasks.base import Batch, Metrics, Task

# Numbers folded into the run's key where no step is meant; no run gets that far.
INIT, EVALUATE = 2**31 - 1, 2**31 - 2


@struct.dataclass
class State:
    """A plain pytree: everything a run needs to go on, bit for bit.

    Attributes:
      step: steps done.
      key: the run's key; every draw is folded from it and the step, so nothing else need be remembered.
      params: two roots, "encoder" and "head".
      model_state: other collections (running statistics), with the same two roots.
      opt_state: the optimizer's.
    """

    step: jax.Array
    key: jax.Array
    params: dict[str, Any]
    model_state: dict[str, Any]
    opt_state: Any


@dataclasses.dataclass(frozen=True)
class Program:
    """The functions of a run, all static: what `State` is fed through.

    Attributes:
      encoder_trains: whether the encoder runs in training mode (dropout on) in a training step.
    """

    encoder: nn.Module
    head: nn.Module
    task: Task
    encoder_trains: bool = True


def init_variables(
    program: Program, key: jax.Array, signals: dict[str, jax.Array]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, model_state) for signals of these shapes."""
    encoder_key, head_key = jax.random.split(key)
    encoded, encoder = program.encoder.init_with_output(encoder_key, signals, train=False)
    head = program.head.init(head_key, encoded, signals, train=False)
    roots = {"encoder": encoder, "head": head}
    params = {root: variables["params"] for root, variables in roots.items()}
    kept = {root: variables.keys() - {"params", "intermediates"} for root, variables in roots.items()}
    return params, {root: {name: roots[root][name] for name in sorted(names)} for root, names in kept.items()}


def init_state(optimizer: optax.GradientTransformation, key: jax.Array, params: Any, model_state: Any) -> State:
    return State(jnp.zeros((), jnp.int32), key, params, model_state, optimizer.init(params))


def encode(
    program: Program, params: Any, model_state: Any, signals: dict[str, jax.Array], key: jax.Array, train: bool
) -> tuple[Encoded, dict[str, Any]]:
    """(encoded, the encoder's model state after)."""
    return program.encoder.apply(
        {"params": params["encoder"], **model_state["encoder"]},
        signals,
        train=train,
        rngs={"dropout": key},
        mutable=list(model_state["encoder"]) if train else [],
    )


def forward(
    program: Program, params: Any, model_state: Any, signals: dict[str, jax.Array], key: jax.Array, train: bool
) -> tuple[Encoded, Any, dict[str, Any]]:
    """(encoded, outputs of the head, model state after)."""
    encoder_key, head_key = jax.random.split(key)
    if POOLED in signals:
        encoded, encoder_state = Encoded(signals[POOLED][:, None][:, :0], signals[POOLED]), {}  # no tokens
    else:
        encoded, encoder_state = encode(
            program, params, model_state, signals, encoder_key, train and program.encoder_trains
        )
    outputs, head_state = program.head.apply(
        {"params": params["head"], **model_state["head"]},
        encoded,
        signals,
        train=train,
        rngs={"dropout": head_key},
        mutable=list(model_state["head"]) if train else [],
    )
    after = {"encoder": encoder_state or model_state["encoder"], "head": head_state or model_state["head"]}
    return encoded, outputs, after


def train_step(
    program: Program, optimizer: optax.GradientTransformation, state: State, batch: Batch, learning_rate: jax.Array
) -> tuple[State, Metrics]:
    """One update. Pure: the same state, batch and rate give the same bits.

    Besides the task's, metrics hold `grad_norm`, and `finite`: 1, or 0 where the state must not be saved.

    The rate is an argument rather than part of the optimizer, so that runs of different length share one program.
    """
    view_key, forward_key = jax.random.split(jax.random.fold_in(state.key, state.step))
    signals, targets = program.task.view(view_key, batch)

    def loss_fn(params: Any) -> tuple[jax.Array, tuple[Metrics, Any]]:
        _, outputs, after = forward(program, params, state.model_state, signals, forward_key, train=True)
        loss, metrics = program.task.loss(outputs, targets, batch["weight"])
        return loss, (metrics, after)

    grads, (metrics, model_state) = jax.grad(loss_fn, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = jax.tree.map(lambda p, u: p - learning_rate * u, state.params, updates)
    # The norm of what is trained: asking for the gradient of a frozen encoder would make XLA compute it.
    trained = grads if program.encoder_trains else grads["head"]
    metrics |= {"grad_norm": (optax.tree.norm(trained), jnp.ones(()))}
    after = State(state.step + 1, state.key, params, model_state, opt_state)
    return after, metrics | {"finite": (is_finite(after).astype(jnp.float32), jnp.ones(()))}


def is_finite(state: State) -> jax.Array:
    """Whether no number of it, the optimizer's moments included, is NaN or infinite."""
    leaves = jax.tree.leaves((state.params, state.model_state, state.opt_state))
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


def eval_step(program: Program, state: State, batch: Batch, number: jax.Array) -> tuple[Metrics, dict[str, jax.Array]]:
    """Metrics and predictions of evaluation batch `number`, whose draws depend on seed and number, not on the step."""
    view_key, forward_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(state.key, EVALUATE), number))
    signals, targets = program.task.view(view_key, batch)
    _, outputs, _ = forward(program, state.params, state.model_state, signals, forward_key, train=False)
    _, metrics = program.task.loss(outputs, targets, batch["weight"])
    return metrics, program.task.predict(outputs, targets)
