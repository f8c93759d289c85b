"""What the launch scripts share: the --config flag, --help, and errors as one line.

A script imports only absl, ml_collections and this file at its top, so that --help answers at once; jax and the package
are imported inside its functions. It ends with

    CONFIG = cli.define_config_flag()

    def main() -> None:
        experiment = CONFIG.value  # the dataclass made by the config file, with the overrides applied
        ...

    if __name__ == "__main__":
        cli.run(main)

Exit codes: 0 done; 2 a mistake in the input, the config or the call; 3 the loss became non-finite; 75 preempted, run
the same command again to go on; 141 nobody reads the output any more. Anything else is a bug and comes with its
traceback.
"""

import argparse
import errno
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from ecgjax.errors import UserError
from launch import overrides

flags.disclaim_key_flags()  # so that --help lists --config under the script that asks for it

# Errors of the machine that the user can mend, whichever file operation meets them.
_DISK_REMEDY = {
    errno.ENOSPC: "Free some space or choose another folder.",
    errno.EDQUOT: "Free some space or choose another folder.",
    errno.EACCES: "Change its permissions or choose another folder.",
    errno.EPERM: "Change its permissions or choose another folder.",
    errno.EROFS: "Choose another folder.",
}


def define_config_flag(
    help_text: str = "config file, FILE.py or FILE.py:VARIANT, or the folder of a run",
    from_flag: str = "",
    default: str = "",
    find: Callable[[str], str] = str,
) -> flags.FlagHolder:
    """Defines --config; every field of the dataclass it yields is a flag too (`--config.model.num_layers=4`).

    Args:
      help_text: for --help.
      from_flag: another flag, whose value stands for --config where that is not given.
      default: what stands for it where neither is.
      find: makes what --config takes of the other flag's value.
    """
    holder = config_flags.DEFINE_config_file("config", help_string=help_text)
    flags.FLAGS["config"].parser = overrides.ConfigFile("config", from_flag, default, find)
    if not (from_flag or default):
        flags.mark_flag_as_required("config")
    return holder


def define_distributed_flag() -> flags.FlagHolder:
    """Defines --distributed, for `training.mesh.start`."""
    return flags.DEFINE_bool("distributed", False, "join the other hosts' processes (Slurm, GKE and TPU pods)")


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Raises a UserError that names the first of these that exists, unless they may be replaced."""
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]}: exists. Choose another place, or pass --overwrite to replace it.")


def run(main: Callable[..., None], arguments: Sequence[str] = ()) -> NoReturn:
    """Parses the flags, calls `main` and exits. `arguments` names what `main` takes from the command line, in order."""
    if {"--help", "-help", "-h", "--helpshort"} & set(sys.argv[1:]):
        print(_help_text())
        sys.exit(0)
    try:
        _take_config_from_elsewhere()
        app.run(lambda argv: _call(main, _positional(argv[1:], arguments)), flags_parser=_parse)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        if not _reader_gone():
            raise
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in _DISK_REMEDY:
            raise
        _fail(f"{error.filename or 'the disk'}: {error.strerror}. {_DISK_REMEDY[error.errno]}")


def _call(main: Callable[..., None], values: Sequence[str]) -> None:
    main(*values)
    sys.stdout.flush()  # here, where `run` meets a reader that has gone, and not while Python exits


def _reader_gone() -> bool:
    """Whether nobody reads the output any more, as after `| head`; the rest of it is dropped."""
    outputs = select.poll()
    for descriptor in (1, 2):
        outputs.register(descriptor, 0)
    gone = [descriptor for descriptor, _ in outputs.poll(0)]  # errors and hang-ups are told unasked
    for descriptor in gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    return bool(gone)


def _fail(message: str, exit_code: int = UserError.exit_code) -> NoReturn:
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(exit_code)


def _positional(values: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    if len(values) != len(names):
        wanted = " ".join(names) if names else "flags only"
        raise UserError(f"this script takes {wanted}, but got: {' '.join(values) or 'nothing'}. Try --help.")
    return values


def _take_config_from_elsewhere() -> None:
    """ml_collections reads overrides only after a --config on the command line, so it is put there."""
    parser = flags.FLAGS["config"].parser if "config" in flags.FLAGS else None
    if parser and (parser.from_flag or parser.default):
        words = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        words.add_argument("--config", nargs="?")
        words.add_argument(f"--{parser.from_flag or 'none'}", nargs="?", dest="source")
        given = words.parse_known_args()[0]
        if not given.config and (elsewhere := parser.find(given.source) if given.source else parser.default):
            sys.argv.insert(1, f"--config={elsewhere}")


def _parse(argv: Sequence[str]) -> Sequence[str]:
    try:
        rest = flags.FLAGS(argv)
        if flags.FLAGS["verbosity"].using_default_value:
            flags.FLAGS.verbosity = logging.WARNING  # app.run would say INFO, which in libraries is chatter
        return rest
    except flags.IllegalFlagValueError as error:
        if missing := re.match(r"flag --(\w+)=None: ", str(error)):
            raise UserError(f"--{missing[1]} is missing. Try --help.") from error
        raise UserError(overrides.explain_illegal_value(str(error), flags.FLAGS)) from error
    except flags.UnrecognizedFlagError as error:
        if error.flagname.startswith("config.") and "config" in flags.FLAGS:
            source = flags.FLAGS["config"].parser.from_flag or "config"
            raise UserError(f"--{error.flagname} needs --{source} before it.") from error
        raise UserError(str(error)) from error
    except flags.Error as error:
        raise UserError(str(error)) from error


def _help_text() -> str:
    """The script's docstring and its own flags; not absl's."""
    lines = [sys.modules["__main__"].__doc__ or "", "flags:"]
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        name = f"  --{flag.name}" + ("" if flag.boolean else f"={flag.default if flag.default is not None else '...'}")
        lines.append(f"{name:<30} {flag.help}")
        if flag.name == "config":
            lines.append(f"{'  --config.FIELD=VALUE':<30} sets any of its fields, as in --config.data.batch_size=64")
    return "\n".join(lines)
