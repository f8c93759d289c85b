"""Learning-rate schedule and optimizer from the config, built of optax's parts."""

import re
from typing import Any

import jax
import numpy as np
import optax

from ecgjax import config
from ecgjax.config import Optimizer, Schedule
from ecgjax.errors import UserError
from ecgjax.training.mesh import path_of


def learning_rates(optim: config.Optim, num_steps: int, steps_per_epoch: float) -> np.ndarray:
    """The learning rate of every step: linear warm-up, then the schedule. Shape (num_steps,)."""
    warmup = min(round(optim.warmup_epochs * steps_per_epoch), num_steps)
    rest, peak = max(num_steps - warmup, 1), optim.learning_rate
    match optim.schedule:
        case Schedule.CONSTANT:
            main = optax.constant_schedule(peak)
        case Schedule.LINEAR:
            main = optax.linear_schedule(peak, 0.0, rest)
        case Schedule.COSINE:
            main = optax.cosine_decay_schedule(peak, rest)
        case Schedule.STEP:
            every = optim.decay_steps or max(round(optim.decay_epochs * steps_per_epoch), 1)
            main = optax.exponential_decay(peak, every, optim.decay_factor, staircase=True)
    # From peak / warmup rather than 0: a first step that changes nothing would be a step lost.
    start = optax.linear_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1))
    schedule = optax.join_schedules([start, main], [warmup]) if warmup else main
    return np.broadcast_to(np.asarray(jax.vmap(schedule)(np.arange(num_steps)), np.float32), (num_steps,))


def multiplier(path: str, optim: config.Optim) -> float:
    """Factor on the learning rate of the parameter at `path`; 0 freezes it."""
    return next((factor for pattern, factor in optim.multipliers if re.search(pattern, path)), 1.0)


def freezes_encoder(params: Any, optim: config.Optim) -> bool:
    """Whether no parameter of the encoder is trained; it then also runs without dropout."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    paths = [path_of(keys) for keys, _ in leaves]
    return all(multiplier(path, optim) == 0 for path in paths if path.startswith("encoder/"))


def make_optimizer(optim: config.Optim, params: Any) -> optax.GradientTransformation:
    """Clip, precondition, decay; the step takes the result times the learning rate off the parameters.

    Frozen parameters take no part, neither in the clipped norm nor in memory.

    Weight decay acts on arrays of two axes or more that are no bias: added to the gradient for Adam and SGD, which is
    the slope of a term of half the squares in the loss (L2), and to the update for AdamW.

    Raises:
      UserError: a multiplier's regex matches no parameter, or all parameters are frozen.
    """
    paths = jax.tree_util.tree_map_with_path(lambda keys, _: path_of(keys), params)
    every_path = jax.tree.leaves(paths)
    for pattern, _ in optim.multipliers:
        if not any(re.search(pattern, path) for path in every_path):
            raise UserError(f'optim.multipliers: "{pattern}" matches no parameter, such as {every_path[0]}.')
    factors = jax.tree.map(lambda path: multiplier(path, optim), paths)
    if not any(jax.tree.leaves(factors)):
        raise UserError("optim.multipliers freeze every parameter; nothing is left to train.")

    decay = [optax.add_decayed_weights(optim.weight_decay, mask=_decays)] if optim.weight_decay else []
    match optim.optimizer:
        case Optimizer.ADAM:
            parts = [*decay, optax.scale_by_adam(optim.b1, optim.b2)]
        case Optimizer.ADAMW:
            parts = [optax.scale_by_adam(optim.b1, optim.b2), *decay]
        case Optimizer.SGD:
            parts = [*decay, optax.trace(optim.momentum)]
    clip = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm else []
    groups = jax.tree.map(lambda factor: "train" if factor else "freeze", factors)
    spread = optax.stateless(lambda updates, _: jax.tree.map(lambda u, f: u * f, updates, _trained(factors, groups)))
    return optax.partition({"train": optax.chain(*clip, *parts, spread), "freeze": optax.set_to_zero()}, groups)


def _decays(params: Any) -> Any:
    """By name too: the biases of stacked layers have two axes."""
    return jax.tree_util.tree_map_with_path(lambda keys, x: x.ndim > 1 and not path_of(keys).endswith("bias"), params)


def _trained(factors: Any, groups: Any) -> Any:
    """Factors in the shape `optax.partition` hands its inner transforms: frozen leaves masked out."""
    return jax.tree.map(lambda f, group: f if group == "train" else optax.MaskedNode(), factors, groups)
