"""How annotations are checked under pytest; pyproject.toml names `check` to jaxtyping's import hook."""

from collections.abc import Callable

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep3119Exception

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float: rate_hz=256


def check(function: Callable) -> Callable:
    """Checks calls of `function`, with two exceptions.

    Constructors are left alone: JAX rebuilds pytree classes around specs, shardings and placeholders, which are no
    arrays and rightly so. So are functions that take a `Protocol`, which a running program cannot check.
    """
    if function.__name__ == "__init__":
        return function
    try:
        return _beartype(function)
    except BeartypeDecorHintPep3119Exception:
        return function
