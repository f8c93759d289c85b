"""Config files and the overrides on them, checked before ml_collections applies them: a slip names its field."""

import ast
import dataclasses
import enum
import functools
import importlib.util
import re
import sys
import traceback
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from ecgjax.errors import UserError, did_you_mean


def load_config(argument: str) -> Any:
    """Runs `get_config()` of a config file, or `get_config(variant)` for `FILE.py:VARIANT`; or reads a run's config.

    A config file with variants lists them in a tuple `VARIANTS`. The folder of a run, or of one of its checkpoints,
    stands for the config that trained it.

    Raises:
      UserError: no such file, run or variant, or the file raises; names the line.
    """
    name, _, variant = argument.partition(":")
    path = Path(name)
    if path.is_dir():
        from ecgjax.evaluation import apply

        return apply.read_experiment(path)
    if not path.is_file() or path.suffix != ".py":
        siblings = [str(p) for p in path.parent.glob("*.py") if p.name != "__init__.py"]
        raise UserError(f'no config file and no run "{name}".{did_you_mean(name, siblings) if siblings else ""}')
    try:
        spec = importlib.util.spec_from_file_location("config_file", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _check_variant(name, variant, module)
        config = module.get_config(*([variant] if variant else []))
    except UserError:
        raise
    except Exception as error:  # whatever the user's own code raises is the user's to mend
        raise UserError(f"config file {_where(error, path)}: {type(error).__name__}: {error}") from error
    if not dataclasses.is_dataclass(config):
        raise UserError(f"config file {name}: get_config() must return a dataclass, not {type(config).__name__}.")
    return config


def _check_variant(name: str, variant: str, module: Any) -> None:
    if not hasattr(module, "get_config"):
        raise UserError(f"config file {name} has no function get_config().")
    if variant and not hasattr(module, "VARIANTS"):
        raise UserError(f'config file {name} has no variants, so "{variant}" means nothing. Use --config={name}.')
    if variant and variant not in module.VARIANTS:
        raise UserError(f'config file {name} has no variant "{variant}".{did_you_mean(variant, module.VARIANTS)}')


def _where(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename) == path.absolute():
        return f"{path}, line {error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path.absolute()]
    return f"{path}, line {lines[-1]}" if lines else str(path)


class ConfigFile(flags.ArgumentParser):
    """The parser behind --config: loads the file and checks the name of every override on the command line."""

    def __init__(self, flag_name: str, from_flag: str = "", default: str = "", find: Callable[[str], str] = str):
        self._flag_name, self.from_flag, self.default, self.find = flag_name, from_flag, default, find

    def parse(self, argument: str) -> Any:
        config = load_config(argument)
        for text in flags.FLAGS.read_flags_from_files(sys.argv[1:], force_gnu=False):
            if match := re.match(rf"--?(?:no)?{self._flag_name}\.([^=]+)", text):
                field_type = _field_type(config, match[1])
                if typing.get_origin(field_type) is tuple:
                    config_flags.register_flag_parser_for_type(field_type, TupleParser(field_type))
        return config

    def flag_type(self) -> str:
        return "config file"


def _field_type(config: Any, path: str) -> Any:
    """Type of the field at a dotted path, or a UserError that names the nearest field there is."""
    *groups, last = path.split(".")
    holder, name = config, type(config).__name__
    for group in [*groups, last]:
        fields = {f.name: f.type for f in dataclasses.fields(holder)} if dataclasses.is_dataclass(holder) else {}
        if not fields:
            raise UserError(f'{name} is a single value and has no field "{group}".')
        if group not in fields:
            where = f"{name} ({_type_name(type(holder))})" if holder is not config else name
            raise UserError(f'no field "{group}" in {where}.{did_you_mean(group, fields)}')
        field_type, holder, name = fields[group], getattr(holder, group), group
    if dataclasses.is_dataclass(holder):
        names = ", ".join(f.name for f in dataclasses.fields(holder))
        raise UserError(f"{path} is a group of fields; set one of them: {names}.")
    return field_type


def put(config: Any, path: str, text: str) -> None:
    """Sets one field of a config from text, as `--config.PATH=TEXT` would.

    Raises:
      UserError: there is no such field, or the text is no value of its type.
    """
    field_type = _field_type(config, path)
    *groups, name = path.split(".")
    if field_type is str and re.fullmatch(r"\(.*\)", text):
        text = text[1:-1]  # brackets that hold a list such as data.store=(a,b) together
    try:
        value = _parser(field_type).parse(text)
    except (ValueError, TypeError) as error:
        raise UserError(f'{path}: "{text}" is not {_expected(field_type)}.') from error
    setattr(functools.reduce(getattr, groups, config), name, value)


def _parser(field_type: Any) -> flags.ArgumentParser:
    if typing.get_origin(field_type) is tuple:
        return TupleParser(field_type)
    if issubclass(field_type, enum.Enum):
        return flags.EnumClassParser(field_type, case_sensitive=False)
    kinds = {bool: flags.BooleanParser, int: flags.IntegerParser, float: flags.FloatParser}
    return kinds.get(field_type, flags.ArgumentParser)()


def _type_name(cls: type) -> str:
    """`conv_transformer.Config`: plug-ins all call theirs Config, so the module tells them apart."""
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}" if cls.__name__ == "Config" else cls.__name__


class TupleParser(flags.ArgumentParser):
    """Tuples with checked elements: `(64,128)`, `64`, `ecg,eda`, `(ecg,eda)`, `0,007` (names need no quotes), `()`."""

    def __init__(self, field_type: Any):
        self._field_type = field_type

    def parse(self, argument: Any) -> tuple:
        if isinstance(argument, tuple):
            return argument
        text = argument.strip()
        try:
            value = _literal(ast.parse(text, mode="eval").body, text)
        except (ValueError, SyntaxError):
            inner = re.sub(r"^\((.*)\)$", r"\1", text)  # bare words, perhaps in brackets
            value = tuple(_Typed(part.strip(), part.strip()) for part in inner.split(",") if part.strip())
        return _convert(value if isinstance(value, tuple) else (value,), self._field_type)

    def flag_type(self) -> str:
        return "tuple"


@dataclasses.dataclass(frozen=True)
class _Typed:
    """A single value, and the text that was typed for it."""

    value: Any
    text: str


def _literal(node: ast.expr, text: str) -> Any:
    """What a Python literal says: lists as tuples, all else as `_Typed`; ValueError where it is none."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_literal(part, text) for part in node.elts)
    return _Typed(ast.literal_eval(node), ast.get_source_segment(text, node))


def _convert(given: Any, wanted: Any) -> Any:
    """`given` as the annotated type; ValueError where it does not fit.

    A whole number may stand for a float, and for a text whatever was typed: columns may be called 0 or 007.
    """
    if isinstance(given, tuple) != (typing.get_origin(wanted) is tuple):
        raise ValueError(given)
    if isinstance(given, tuple):
        types = typing.get_args(wanted)
        if types[-1] is Ellipsis:
            types = (types[0],) * len(given)
        return tuple(_convert(part, part_type) for part, part_type in zip(given, types, strict=True))
    value = given.value
    if wanted is str and not isinstance(value, str):
        return given.text
    if wanted is float and type(value) is int:
        return float(value)
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return flags.EnumClassParser(wanted, case_sensitive=False).parse(value)
    if type(value) is not wanted:
        raise ValueError(value)
    return value


def explain_illegal_value(message: str, flag_values: flags.FlagValues) -> str:
    """absl's message, or for a field of the config: the field, the value and what it takes."""
    match = re.match(r"flag --config\.(\S+?)=(.*?): ", message, re.DOTALL)
    if not match:
        return message
    return f'--config.{match[1]}: "{match[2]}" is not {_expected(_field_type(flag_values["config"].value, match[1]))}.'


def _expected(field_type: Any) -> str:
    if isinstance(field_type, type) and issubclass(field_type, enum.Enum):
        return f"one of {', '.join(name.lower() for name in field_type.__members__)}"
    names = {bool: "true or false", int: "a whole number (int)", float: "a number (float)"}
    return names.get(field_type) or f"a {field_type}"
