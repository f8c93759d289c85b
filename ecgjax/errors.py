"""Errors a user can mend. Each names the file or field, says what to do, and has an exit code."""

import difflib
import re
from collections.abc import Iterable

_LONGEST = 2000  # letters of what a DataError says


class UserError(Exception):
    """A mistake in the input, the config or the call. Launch scripts print it as one line and exit with its code."""

    exit_code = 2


class NonFiniteLossError(UserError):
    """The loss or the weights became NaN or infinite; the batch that did it is saved."""

    exit_code = 3


class Preempted(UserError):
    """A signal asked to stop, and the state is saved: the same command goes on (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


class DataError(UserError):
    """A file that cannot be used. `prepare` counts it and goes on, unless told to be strict.

    Attributes:
      path: the file (or record) at fault.
      reason: a short, countable reason such as "truncated" or "no channel".
    """

    def __init__(self, path: object, reason: str, remedy: str = ""):
        self.path, self.reason, self.remedy = str(path), reason, remedy
        text = f"{path}: {reason}." + (f" {remedy}" if remedy else "")
        # One line, whatever it quotes of a file or a library: no line breaks, no commands to a terminal, no end.
        super().__init__("".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST]))

    def __reduce__(self):  # crosses process borders, where exceptions travel by their constructor
        return type(self), (self.path, self.reason, self.remedy)


def require(fits: bool, field: str, value: object, wanted: str) -> None:
    """Raises a UserError that names the field and what it takes, unless its value fits."""
    if not fits:
        raise UserError(f"{field}={value}: give {wanted}.")


def regex(pattern: str, field: str, flags: int = 0) -> re.Pattern[str]:
    """The pattern, compiled. Raises a UserError that names the field unless it is a regular expression."""
    try:
        return re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f'{field}: "{pattern}" is no regular expression: {error}. Any text is written ".*".') from error


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """' Did you mean "x"?' for the nearest option, or the list of all of them."""
    options = sorted(options)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else f" Known: {', '.join(options) or 'none'}."
