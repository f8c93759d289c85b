"""Where the files of a data set lie: listing below a root, keys, and whose recording a file is."""

import functools
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from ecgjax.errors import DataError, UserError, regex

COPY = "copy_not_read"  # the event of a recording whose file is the first of several


def existing_root(root: str) -> Path:
    """The root as a path.

    Raises:
      UserError: no root was given, or there is nothing there.
    """
    if not root:
        raise UserError("No data folder given. Pass --config.dataset.root=DIR (or a file).")
    path = Path(root).expanduser()
    if not path.exists():
        raise UserError(f"{path}: no such file or folder. Check --config.dataset.root.")
    return path


def list_files(root: str, pattern: str, what: str) -> tuple[str, ...]:
    """Paths below the root whose file name matches the regex, ignoring case, sorted; hidden files are left out.

    Args:
      root: a folder, searched with its sub-folders, or one file, which is taken whatever its name.
      pattern: regex for the whole file name.
      what: what is looked for, for the error message.

    Raises:
      UserError: the root is missing or holds no such file, or a folder cannot be searched.
    """
    found = find_files(root, pattern)
    if not found:
        raise UserError(f"{existing_root(root)}: holds no {what}. Check --config.dataset.root.")
    return found


def find_files(root: str, pattern: str) -> tuple[str, ...]:
    """The same, where there may be none.

    Raises:
      UserError: the root is missing, or a folder cannot be searched.
    """
    path = existing_root(root)
    if path.is_file():
        return (path.name,)
    wanted = regex(pattern, "--config.dataset.files", re.IGNORECASE)
    return tuple(sorted(below + name for below, names in walk(path) for name in names if wanted.fullmatch(name)))


def walk(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Of a folder and each one below it: its path below the first, "" or with a slash at its end, and its files' names.

    Hidden files and folders are left out, and links to folders are not followed. In no order.

    Raises:
      UserError: a folder cannot be searched.
    """
    start = len(os.path.join(path, ""))
    for folder, inner, names in os.walk(path, onerror=_cannot_be_listed):
        inner[:] = [name for name in inner if not name.startswith(".")]
        below = f"{folder[start:]}/".replace(os.sep, "/").lstrip("/")  # text, for there may be a million folders
        yield below, [name for name in names if not name.startswith(".")]


def _cannot_be_listed(error: OSError) -> NoReturn:
    remedy = "Change its permissions, or choose a --config.dataset.root without it."
    raise UserError(f"{error.filename}: cannot be listed ({error.strerror}). {remedy}") from error


def first_of_each(
    named: Iterable[tuple[Any, Any]], none: str = "No file of this data set. Check --config.dataset.root."
) -> tuple[dict[Any, Any], set[Any]]:
    """(the first file of each name; those of them that have copies, which is told by the event COPY).

    Args:
      named: (name, file), in the order in which files are preferred.
      none: what is said where there is none.

    Raises:
      UserError: there is none.
    """
    first: dict[Any, Any] = {}
    copied = {first[name] for name, file in named if first.setdefault(name, file) != file}
    if not first:
        raise UserError(none)
    return first, copied


def locate(root: str, name: str) -> Path:
    """Path of a listed file: the root itself where the root is a file."""
    path = existing_root(root)
    return path if path.is_file() else path / name


def keep(num_files: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes a `read(path, *args)` keep in memory what it gave of the last files, as long as they do not change.

    For files of many recordings. Callers must not change what they get. A DataError is kept too: a file that is found
    damaged at its end is not read again for every recording.
    """

    def keeping(read: Callable[..., Any]) -> Callable[..., Any]:
        @functools.lru_cache(maxsize=num_files)
        def remembered(path: Path, changed: tuple[int, int], *args: Hashable) -> Any:
            try:
                return read(path, *args)
            except DataError as error:
                return error

        @functools.wraps(read)
        def reading(path: Path, *args: Hashable) -> Any:
            if not path.is_file():
                raise DataError(path, "missing file", "Check the folder.")
            state = path.stat()
            result = remembered(path, (state.st_mtime_ns, state.st_size), *args)
            if isinstance(result, DataError):
                raise result.with_traceback(None)
            return result

        return reading

    return keeping


keep_last = keep(1)


def is_inside(name: str) -> bool:
    """Whether a path that a file states leads to a place below the folder of that file, and nowhere else."""
    parts = name.split("/")
    return ":" not in name and "\0" not in name and not {"", ".", ".."} & set(parts)


def check_size(path: Path, max_bytes: int) -> None:
    """Raises DataError unless the file is there, and no larger: what is read in one piece must fit into memory."""
    if not path.is_file():
        raise DataError(path, "missing file", "Check the folder.")
    if path.stat().st_size > max_bytes:
        remedy = f"It has {path.stat().st_size} bytes, where {max_bytes} are more than such a file needs."
        raise DataError(path, "too large", remedy)


def nearest(root: str, file: str, name: str) -> Path | None:
    """The file of that name beside a listed file or above it, as far up as the parent of the root's folder."""
    top = existing_root(root).absolute()
    last = top.parent if top.is_dir() else top.parent.parent
    for folder in locate(root, file).absolute().parents:
        if (folder / name).is_file():
            return folder / name
        if folder == last:
            break
    return None


def dataset_name(name: str, root: str) -> str:
    """The given name, else that of the root."""
    return name or Path(root).resolve().name


def subject_of(pattern: str, name: str) -> str:
    """Whose recording a file is.

    Args:
      pattern: regex searched in `name`; its first group (or, without groups, the whole match) is the subject. Empty
        takes the file's own name: files of the same name in several folders are then one person, the side on which
        a split cannot leak.
      name: path of the file or record below the root, without suffix.

    Raises:
      UserError: the pattern is no regex.
      DataError: it does not occur in the name.
    """
    if not pattern:
        return name.rsplit("/", 1)[-1]
    match = regex(pattern, "--config.dataset.subject").search(name)
    subject = match and (match.group(1) if match.re.groups else match.group(0))
    if not subject:
        raise DataError(name, "no subject", f"--config.dataset.subject={pattern!r} does not occur in its path.")
    return subject


def session_of(pattern: str, name: str) -> str:
    """What the second group of the pattern finds in the name, "" without one."""
    match = regex(pattern, "--config.dataset.subject").search(name)
    return (match and match.re.groups > 1 and match.group(2)) or ""
