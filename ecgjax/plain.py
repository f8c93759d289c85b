"""Dataclasses as plain JSON values and back, and what differs between two: how configs are written down."""

import contextlib
import dataclasses
import enum
import importlib
import typing
from typing import Any

from ecgjax.errors import UserError, did_you_mean


def to_dict(value: Any) -> Any:
    """A config as JSON: enums by name; a dataclass that stands where any may stand (a plug-in) also by "class"."""
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {
            name: to_dict(part) if hints[name] is not Any else {"class": _class_path(type(part)), **to_dict(part)}
            for name, part in fields.items()
        }
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (tuple, list)):
        return [to_dict(part) for part in value]
    if isinstance(value, dict):
        return {str(name): to_dict(part) for name, part in value.items()}
    return value


def from_dict(kind: Any, value: Any, where: str = "config") -> Any:
    """The inverse of `to_dict`, for the type or type hint `kind`. Fields that are absent keep their default.

    Raises:
      UserError: unknown field, enum or class; only classes of this package are made.
    """
    if kind is Any and isinstance(value, dict) and "class" in value:
        kind = _class_of(value["class"], where)
        value = {name: part for name, part in value.items() if name != "class"}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        for name in value:
            if name not in hints:
                raise UserError(f"{where} has no field {name}.{did_you_mean(name, hints)}")
        return kind(**{name: from_dict(hints[name], part, f"{where}.{name}") for name, part in value.items()})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if value not in kind.__members__:
            raise UserError(f"{where} is {value}.{did_you_mean(value, kind.__members__)}")
        return kind[value]
    if isinstance(value, list):
        parts = typing.get_args(kind) or (Any, ...)
        kinds = [parts[0]] * len(value) if parts[-1] is ... else parts
        if len(kinds) != len(value):
            raise UserError(f"{where} has {len(value)} entries, not {len(kinds)}.")
        return tuple(from_dict(part_kind, part, where) for part_kind, part in zip(kinds, value, strict=True))
    if isinstance(value, dict):
        part_kind = (typing.get_args(kind) or (str, Any))[1]
        return {name: from_dict(part_kind, part, f"{where}.{name}") for name, part in value.items()}
    return value


def fill(old: Any, like: Any) -> Any:
    """A config as `to_dict` wrote it, perhaps in an earlier version: what `like` has and it lacks is the default's."""
    if not (dataclasses.is_dataclass(like) and isinstance(old, dict)):
        return old
    filled = dict(old)
    for field in dataclasses.fields(like):
        if field.name in old:
            filled[field.name] = fill(old[field.name], getattr(like, field.name))
        elif field.default is not dataclasses.MISSING:
            filled[field.name] = to_dict(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            filled[field.name] = to_dict(field.default_factory())
    return filled


def diff(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """{path of the field: (old, new)} of two configs as `to_dict` gives them; an absent field is None."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return {} if old == new else {path: (old, new)}
    changes = {}
    for name in {**old, **new}:
        changes |= diff(old.get(name), new.get(name), f"{path}.{name}".lstrip("."))
    return changes


def _class_path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _class_of(path: str, where: str) -> type:
    """A class by its import path; a config.json may not import code from elsewhere."""
    module, _, name = str(path).partition(":")
    if module.split(".")[0] == __package__:
        with contextlib.suppress(ImportError, AttributeError):
            kind = getattr(importlib.import_module(module), name)
            if dataclasses.is_dataclass(kind):
                return kind
    raise UserError(f"{where}: {path} is no config class of this version of {__package__}.")
