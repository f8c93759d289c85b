"""Files and folders that appear complete or not at all: written beside their place, synced, and renamed at the end."""

import contextlib
import errno
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ecgjax.errors import UserError

SUFFIX = ".preparing"
_REPLACED = ".replaced"  # an old folder, for the moment between two renames
_OWNER = "owner.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """The folder beside `path` to write into, ours alone; removed at the end unless it was published.

    What a killed process of this machine left there is cleared away.

    Raises:
      UserError: another process writes there.
    """
    folder = path.with_name(path.name + SUFFIX)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            _clear_if_dead(folder)
            folder.mkdir()
        mark = {"host": socket.gethostname(), "pid": os.getpid()}
        (folder / _OWNER).write_text(json.dumps(mark))
    try:
        yield folder
    finally:
        if _owner(folder) == mark:
            shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, path: Path) -> None:
    """Gives a claimed folder its name; what had the name is removed after that."""
    old = path.with_name(path.name + _REPLACED)
    for inner in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
        _sync_folder(inner)
    if path.exists() and any(path.iterdir()):
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    folder.rename(path)
    (path / _OWNER).unlink()  # not before: as long as the folder is there, it must be known whose it is
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """A file to write, as UTF-8 or in mode "wb", that gets its name once it is complete and on the disk.

    If anything fails, a full disk or an error of the caller's, what was written is removed and what had the name stays.

    Raises:
      UserError: it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")  # another machine may write it at once
    try:
        with disk_errors(path):
            with partial.open(mode, encoding=None if "b" in mode else "utf-8") as file:
                yield file
                sync(file)
            partial.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def sync(file: IO) -> None:
    """Waits until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of writing into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(f"{path}: the disk is full. Free some space, or choose another folder.") from error
        raise UserError(f"{path}: cannot be written ({error.strerror or error}). Choose another folder.") from error


def _clear_if_dead(folder: Path) -> None:
    owner = _owner(folder)
    if owner.get("host") != socket.gethostname() or _alive(owner["pid"]):
        told = f"process {owner['pid']} on {owner['host']}" if owner else "an unknown process"
        raise UserError(f"{folder}: {told} is writing here. Wait for it; if it is dead, remove this folder.")
    shutil.rmtree(folder)


def _owner(folder: Path) -> dict:
    try:
        return json.loads((folder / _OWNER).read_text())
    except (OSError, ValueError):
        return {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
