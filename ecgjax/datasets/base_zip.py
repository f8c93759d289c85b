"""Members of zip archives, read once the directory has been found harmless. Nothing is unpacked to disk."""

import lzma
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ecgjax.errors import DataError

_MAX_RATIO = 200  # ours; text packs to a fifth, numbers less
_REFETCH = "Fetch it again."
# What zipfile raises where bytes are damaged; RuntimeError: encrypted, or packed in a way it does not know.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, EOFError, OSError, OverflowError, RuntimeError)


def members(path: Path, max_bytes: int, max_files: int) -> tuple[zipfile.ZipInfo, ...]:
    """Files of an archive, but for those a file manager adds.

    Raises:
      DataError: it is missing, truncated or no zip, has more than `max_files`, or would unpack to more than
        `max_bytes`, to 200 times its own size, or to a place outside itself.
    """
    if not path.is_file():
        raise DataError(path, "missing file", "Check the folder.")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _DAMAGED as error:
        with path.open("rb") as file:
            reason = "truncated" if file.read(2) == b"PK" else "not a zip"
        raise DataError(path, reason, f"{error}. {_REFETCH}") from error
    _check(path, infos, max_bytes, max_files)
    return tuple(info for info in infos if not (info.is_dir() or _is_hidden(info)))


def unpack(path: Path, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """Content of a member. Raises DataError where it is damaged, encrypted, or larger."""
    if info.file_size > max_bytes:
        raise DataError(path / info.filename, "too large", f"It unpacks to {info.file_size} bytes, over {max_bytes}.")
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(info)
    except _DAMAGED as error:
        raise DataError(path / info.filename, "damaged archive", f"{error}. {_REFETCH}") from error


def _is_hidden(info: zipfile.ZipInfo) -> bool:
    return any(part.startswith((".", "__")) for part in PurePosixPath(info.filename).parts)


def _check(path: Path, infos: list[zipfile.ZipInfo], max_bytes: int, max_files: int) -> None:
    def refuse(why: str):
        raise DataError(path, "unsafe archive", f"{why} Unpack it yourself if you trust it.")

    size, total = path.stat().st_size, sum(info.file_size for info in infos)
    if len(infos) > max_files:
        refuse(f"It holds {len(infos)} files, over {max_files}.")
    if total > max_bytes or total > _MAX_RATIO * size:
        refuse(f"It would unpack from {size} to {total} bytes.")
    for info in infos:
        name = info.filename.replace("\\", "/")
        if not name:
            refuse("It holds a file without a name.")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
            refuse(f"It names a place outside itself, {info.filename!r}.")
        if stat.S_ISLNK(info.external_attr >> 16):
            refuse(f"It holds a link, {info.filename!r}.")
