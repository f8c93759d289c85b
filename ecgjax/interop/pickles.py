"""Pickles of plain containers, interpreted without running anything.

A pickle is a program that may call whatever it names, and even its allowed objects can be bent by it. So this is no
unpickler with a filter: `pickletools` parses the program, which runs nothing, and a table of a few operations makes
dicts, lists, tuples, numbers and texts of it. What a pickle names stays a name; the caller says what calling it gives.
"""

import collections
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

_KEYS = (str, int, float, type(None))  # a tuple within a tuple within ... overflows the stack when it is hashed


class Name(NamedTuple):
    """Something that the program names, as "module name". It has not been looked up."""

    text: str


class Foreign(Exception):
    """The program is more than plain containers; says what it asks for."""


def read(program: bytes, names: frozenset[str], call: Callable[..., Any], fetch: Callable[..., Any]) -> Any:
    """The value that the pickle describes.

    Args:
      program: the pickle, of protocol 2 to 5.
      names: which it may name, as "module name"; beside "collections OrderedDict".
      call: (name, *arguments), for each call in the program.
      fetch: (*parts of a persistent id), for each of those.

    Raises:
      Foreign: another name, or an operation beyond plain containers.
      ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError: it makes no sense.
    """
    machine = _Machine(names, call, fetch)
    for operation, argument, _ in pickletools.genops(program):
        if operation.name == "STOP":
            return machine.stack.pop()
        if operation.name not in _OPERATIONS:
            raise Foreign(f"the operation {operation.name}")
        _OPERATIONS[operation.name](machine, argument)
    raise ValueError("it has no end")


class _Machine:
    def __init__(self, names: frozenset[str], call: Callable[..., Any], fetch: Callable[..., Any]):
        self.names, self.call, self.fetch = names, call, fetch
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, kind: type = object) -> Any:
        return _of(kind, self.stack.pop())

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def last(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def extend(self, items: list[Any]) -> None:
        _of(list, self.stack[-1]).extend(items)

    def update(self, items: list[Any]) -> None:
        _of(dict, self.stack[-1]).update(_pairs(items))

    def remember(self, number: int | None) -> None:
        self.memo[len(self.memo) if number is None else number] = self.stack[-1]

    def name(self, text: str) -> None:
        if text not in self.names | {_ORDERED}:
            raise Foreign(text[:80])
        self.push(Name(text))

    def name_from_stack(self, _: Any) -> None:
        module, name = self.last(2)
        self.name(f"{_of(str, module)} {_of(str, name)}")

    def reduce(self, _: Any) -> None:
        arguments, name = self.pop(tuple), self.pop(Name)
        if name.text == _ORDERED and arguments:
            raise TypeError("an OrderedDict with arguments")
        self.push(collections.OrderedDict() if name.text == _ORDERED else self.call(name.text, *arguments))

    def build(self, _: Any) -> None:
        """Attributes: those of a state dict tell the versions of its layers, which we do not need."""
        self.pop(dict)
        _of(collections.OrderedDict, self.stack[-1])


_ORDERED = "collections OrderedDict"
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _Machine.push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _Machine.push),
    "MARK": _Machine.mark,
    "EMPTY_DICT": lambda m, a: m.push({}),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "TUPLE": lambda m, a: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, a: m.push(tuple(m.last(1))),
    "TUPLE2": lambda m, a: m.push(tuple(m.last(2))),
    "TUPLE3": lambda m, a: m.push(tuple(m.last(3))),
    "APPEND": lambda m, a: m.extend(m.last(1)),
    "APPENDS": lambda m, a: m.extend(m.since_mark()),
    "SETITEM": lambda m, a: m.update(m.last(2)),
    "SETITEMS": lambda m, a: m.update(m.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, a: m.push(m.memo[a])),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "BINPERSID": lambda m, a: m.push(m.fetch(*m.pop(tuple))),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _pairs(items: list[Any]) -> dict[Any, Any]:
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values) or not all(isinstance(key, _KEYS) for key in keys):
        raise TypeError("the keys of a dict are no texts or numbers")
    return dict(zip(keys, values, strict=True))
