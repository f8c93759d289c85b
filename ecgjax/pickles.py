"""Pickles of plain containers, interpreted without running anything.

A pickle is a program that may call whatever it names, and even its allowed objects can be bent by it. So this is no
unpickler with a filter: the tables of `pickletools` say where an operation's argument ends, which runs nothing, and a
table of a few operations makes dicts, lists, tuples, numbers and texts of it. What a pickle names stays a name; the
caller says what calling it gives.

Byte strings, which in Python 2 are its texts too, become texts in latin1. The long ones, of arrays, stay in the file:
of them a `Stored` is given, whose bytes are read when they are asked for. So a pickle of a gigabyte takes next to no
memory, and what one can make us take is bounded by the number of its operations and the size of what is not such.
"""

import codecs
import collections
import functools
import io
import pickletools
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ORDERED = "collections OrderedDict"  # among the names that are admitted, it needs no `call`
NONSENSE = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError)
_KEYS = (str, int, float, type(None))  # a tuple within a tuple within ... overflows the stack when it is hashed
_MAX_KEY = 1 << 61  # numbers beyond it can be chosen to have one hash, and a dict of them would take for ever
_LONG = 1 << 16  # bytes; a longer string is no text
_MAX_OPERATIONS = 1 << 21  # a training checkpoint of 40,000 tensors has 1.2 million; 200 bytes or so each
_MAX_TAKEN = 1 << 29  # bytes, of all that does not stay in the file; ours
_BLOCK = 1 << 20


class Name(NamedTuple):
    """Something that the program names, as "module name". It has not been looked up."""

    text: str


class Stored(NamedTuple):
    """A long byte string, where it lies in the file; `quoted` as Python writes one in a program ('\\x00\\n...')."""

    offset: int
    length: int
    quoted: bool

    def blocks(self, file: io.BufferedIOBase) -> Iterator[bytes]:
        """Its bytes, a megabyte at a time.

        Raises:
          ValueError: it is not quoted as Python does.
          EOFError: the file has become shorter.
        """
        file.seek(self.offset)
        left, text = self.length, b""
        while left:
            block = file.read(min(left, _BLOCK))
            if not block:
                raise EOFError("it ends within a string")
            left -= len(block)
            if not self.quoted:
                yield block
                continue
            text += block
            cut = _between_escapes(text) if left else len(text)
            yield _unquoted(text[:cut])
            text = text[cut:]


class Foreign(Exception):
    """The program is more than plain containers; says what it asks for."""


def _nothing(*_: Any) -> Any:
    raise TypeError("a state or a persistent id, where there are none")


def read(
    file: io.BufferedIOBase,
    names: frozenset[str],
    call: Callable[..., Any],
    build: Callable[..., None] = _nothing,
    fetch: Callable[..., Any] = _nothing,
) -> Any:
    """The value that the pickle describes.

    Args:
      file: the pickle, of protocol 0 to 5.
      names: which it may name, as "module name", and no others.
      call: (name, *arguments), for each call in the program.
      build: (value, state), where the program gives a state to what `call` gave.
      fetch: (*parts of a persistent id), for each of those.

    Raises:
      Foreign: another name, or an operation beyond plain containers.
      EOFError: it ends early.
      those of `NONSENSE`: it makes no sense.
    """
    source, machine = _Source(file), _Machine(names, call, build, fetch)
    for _ in range(_MAX_OPERATIONS):
        if not (code := file.read(1)):
            raise EOFError("it ends early")
        operation = _CODES[code]
        if operation.name == "STOP":
            return machine.stack.pop()
        if operation.name not in _OPERATIONS:
            raise Foreign(f"the operation {operation.name}")
        argument = _ARGUMENTS.get(operation.name) or (operation.arg and operation.arg.reader)
        _OPERATIONS[operation.name](machine, argument(source) if argument else None)
    raise Foreign(f"more than {_MAX_OPERATIONS} operations")


class _Source:
    """The file as the readers of `pickletools` want it. Nothing is read that is not there, and no line without end."""

    def __init__(self, file: io.BufferedIOBase):
        self._file, self._size, self._taken = file, file.seek(0, io.SEEK_END), 0
        file.seek(0)

    def read(self, count: int) -> bytes:
        if count > self._size - self._file.tell():
            raise EOFError("it ends early")
        self._take(count)
        return self._file.read(count)

    def _take(self, count: int) -> None:
        self._taken += count
        if self._taken > _MAX_TAKEN:
            raise Foreign(f"more than {_MAX_TAKEN >> 20} MiB of texts")

    def leave(self, count: int) -> Stored:
        """What comes next stays in the file."""
        start = self._file.tell()
        if count > self._size - start:
            raise EOFError("it ends early")
        self._file.seek(start + count)
        return Stored(start, count, False)

    def readline(self) -> bytes:
        line = self.line()
        if isinstance(line, Stored):
            raise ValueError("a long line that is no string")
        return line + b"\n"

    def line(self) -> bytes | Stored:
        """The rest of a line, without its end; a long one stays in the file."""
        start, line = self._file.tell(), self._file.readline(_LONG)
        if line[-1:] == b"\n":
            self._take(len(line))
            return line[:-1]
        while block := self._file.read(_BLOCK):
            if (end := block.find(b"\n")) >= 0:
                stop = self._file.tell() - len(block) + end
                self._file.seek(stop + 1)
                return Stored(start, stop - start, True)
        raise EOFError("it ends early")


def _bytes(source: _Source, width: int) -> str | Stored:
    """Bytes after their number, which takes `width` bytes itself."""
    count = int.from_bytes(source.read(width), "little")
    return source.leave(count) if count > _LONG else source.read(count).decode("latin-1")


def _text(source: _Source, width: int) -> str:
    raw = source.read(int.from_bytes(source.read(width), "little"))
    if len(raw) > _LONG and re.search(rb"[\xc4-\xff]", raw):  # one rare letter, and all take four bytes each
        raise Foreign("a long text that is not in latin1")
    return raw.decode("utf-8")


def _quoted(source: _Source) -> str | Stored:
    """A byte string as protocol 0 has it: in quotes, and on a line of its own."""
    line = source.line()
    if isinstance(line, Stored):
        return Stored(line.offset + 1, line.length - 2, True)
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("a string without quotes")
    return _unquoted(line[1:-1]).decode("latin-1")


def _unquoted(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what no Python writes, such as \q
        return codecs.escape_decode(text)[0]


def _between_escapes(text: bytes) -> int:
    """The last place at which quoted text can be cut: no escape, of up to four bytes, goes on after it."""
    last = text.rfind(b"\\", -3)
    if last < 0:
        return len(text)
    first = len(text[: last + 1].rstrip(b"\\"))  # of a run of backslashes, which escape each other in twos
    return first + (last - first) // 2 * 2


class _Machine:
    def __init__(self, names: frozenset[str], call: Callable, build: Callable, fetch: Callable):
        self.names, self.call, self.give, self.fetch = names, call, build, fetch
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
        if text not in self.names:
            raise Foreign(text[:80])
        self.push(Name(text))

    def name_from_stack(self, _: Any) -> None:
        module, name = self.last(2)
        self.name(f"{_of(str, module)} {_of(str, name)}")

    def reduce(self, _: Any) -> None:
        arguments, name = self.pop(tuple), self.pop(Name)
        if name.text == ORDERED and arguments:
            raise TypeError("an OrderedDict with arguments")
        self.push(collections.OrderedDict() if name.text == ORDERED else self.call(name.text, *arguments))

    def build(self, _: Any) -> None:
        state, value = self.pop(), self.stack[-1]
        if isinstance(value, collections.OrderedDict):
            _of(dict, state)  # of a state dict of PyTorch: the versions of its layers, which we do not need
        else:
            self.give(value, state)


_CODES = {operation.code.encode("latin-1"): operation for operation in pickletools.opcodes}
_WIDTHS = {  # of the number of bytes, of arguments that `pickletools` would read whole, or as ASCII
    _bytes: {"SHORT_BINSTRING": 1, "BINSTRING": 4, "SHORT_BINBYTES": 1, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8},
    _text: {"SHORT_BINUNICODE": 1, "BINUNICODE": 4, "BINUNICODE8": 8},
}
_ARGUMENTS: dict[str, Callable[[_Source], Any]] = {
    "STRING": _quoted,
    "GLOBAL": lambda source: " ".join(source.readline()[:-1].decode("latin-1") for _ in range(2)),
    **{name: functools.partial(kind, width=width) for kind, names in _WIDTHS.items() for name, width in names.items()},
}
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, a: None),
    **{name: lambda m, a, v=v: m.push(v) for name, v in (("NONE", None), ("NEWTRUE", True), ("NEWFALSE", False))},
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"), _Machine.push),
    **dict.fromkeys(("UNICODE", *_ARGUMENTS), _Machine.push),
    "GLOBAL": _Machine.name,
    "MARK": _Machine.mark,
    **{f"EMPTY_{t.__name__.upper()}": lambda m, a, t=t: m.push(t()) for t in (dict, list, tuple)},
    "DICT": lambda m, a: m.push(_pairs(m.since_mark())),
    "LIST": lambda m, a: m.push(m.since_mark()),
    "TUPLE": lambda m, a: m.push(tuple(m.since_mark())),
    **{f"TUPLE{n}": lambda m, a, n=n: m.push(tuple(m.last(n))) for n in (1, 2, 3)},
    "APPEND": lambda m, a: m.extend(m.last(1)),
    "APPENDS": lambda m, a: m.extend(m.since_mark()),
    "SETITEM": lambda m, a: m.update(m.last(2)),
    "SETITEMS": lambda m, a: m.update(m.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, a: m.push(m.memo[a])),
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
    if not all(isinstance(key, _KEYS) and not (isinstance(key, int) and abs(key) >= _MAX_KEY) for key in keys):
        raise TypeError("the keys of a dict are no texts or numbers")
    return dict(zip(keys, values, strict=True))
