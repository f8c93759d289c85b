"""Damage to files: what a bad disk, a broken download, an editor or somebody who means harm makes of them."""

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable

FOLDER = object()  # instead of a file's bytes: there is a folder of its name
Files = dict[str, bytes]

TEXTS = (
    b"nan", b"-inf", b"inf", b"1e308", b"-1e308", b"1e999", b"1e-320", b"0", b"-1", b"", b" ", b"0x10", b"1_0", b"1,5",
    b"--1", b"2147483648", b"9223372036854775808", b"18446744073709551616", b"9" * 40, b"9" * 5000, b"0." + b"3" * 400,
    b"True", b"None", "\u0661".encode(), b"#VALUE!", b"1/0", b"1-1", b"\xb2",
)  # fmt: skip
PIECES = (
    b"\0", b"\xff", b"\0" * 64, b"\xff" * 64, b"\n", b"\r", b"\r\n", b",", b";", b"\t", b'"', b"'", b"\xef\xbb\xbf",
    b"\xff\xfe", b"../../etc/passwd", b"/etc/passwd", b"http://localhost/x", b"=1+1", b"[" * 3000, b"{" * 300,
    b"__import__('os').system('touch made')", b"cos\nsystem\n(S'touch made'\ntR.", "\u2028\u0085".encode(),
)  # fmt: skip
NUMBERS = ("<h", ">h", "<i", ">i", "<q", ">q", "<f", "<d", ">d")
WHOLE = (0, 1, -1, 2, 255, 32767, -32768, 65536, 2**31 - 1, -(2**31), 2**40, 2**63 - 1, -(2**63))
REAL = (0.0, -1.0, 1e-40, 1e30, 1e308, float("nan"), float("inf"), -float("inf"))


def mutate(files: Files, among: Iterable[str], rng: random.Random) -> tuple[dict[str, object], str]:
    """Damages one file `among` all. Gives those that are others then (bytes, None for one that has gone, or FOLDER),
    and what was done to them."""
    changes, told = {}, ""
    while all(files.get(name) == data for name, data in changes.items()):
        name = _pick(among, rng)
        if rng.random() < 0.15:
            changes, told = rng.choice(_OF_FILES)(files, name, rng)
            continue
        data, hows = files[name], []
        for _ in range(rng.choice((1, 1, 1, 1, 2, 5))):
            data, how = change(data, rng)
            hows.append(how)
        changes, told = {name: data}, f"{name}: {', '.join(hows)}"
    return changes, told


def change(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Bytes, or those of a part that is packed inside, that are others then; and how."""
    changed, how = data, ""
    while changed == data:
        changed, how = _change(data, rng)
    return changed, how


def _change(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    if rng.random() < 0.6:
        for unpack in (_change_member, _change_element):
            if changed := unpack(data, rng):
                return changed
    how = rng.choice(_OF_TEXTS + _OF_BYTES if b"\0" not in data[:2000] else _OF_BYTES)
    return how(data, rng), how.__name__.strip("_")


def _pick(files: Iterable[str], rng: random.Random) -> str:
    """A file of a kind: those whose names differ in numbers alone are as one."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(files):
        kinds.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    return rng.choice(kinds[rng.choice(sorted(kinds))])


def _place(size: int, rng: random.Random) -> int:
    """An offset, more often where the headers are."""
    edge = min(size, 600)
    return rng.choice((rng.randrange(edge), rng.randrange(edge), size - 1 - rng.randrange(edge), rng.randrange(size)))


# Of the folder.


def _remove(files: Files, name: str, rng: random.Random):
    return {name: None}, f"{name}: removed"


def _remove_folder(files: Files, name: str, rng: random.Random):
    place = name.rpartition("/")[0]
    return {other: None for other in files if other.rpartition("/")[0] == place}, f"{place}: its files removed"


def _empty(files: Files, name: str, rng: random.Random):
    return {name: b""}, f"{name}: emptied"


def _exchange(files: Files, name: str, rng: random.Random):
    other = _pick(files, rng)
    return {name: files[other], other: files[name]}, f"{name}: exchanged with {other}"


def _copy(files: Files, name: str, rng: random.Random):
    stem, dot, suffix = name.rpartition(".")
    number = re.sub(r"\d(?!.*\d)", lambda digit: str((int(digit[0]) + 1) % 10), name)
    copy = rng.choice((number, f"{stem} (1){dot}{suffix}", f"copy/{name}", f"{name}~"))
    return {copy: files[name]}, f"{name}: copied to {copy}"


def _folder_instead(files: Files, name: str, rng: random.Random):
    return {name: FOLDER}, f"{name}: a folder instead"


_OF_FILES = (_remove, _remove, _remove_folder, _empty, _exchange, _copy, _folder_instead)


# Of bytes.


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 50)) if data else 0):
        out[_place(len(out), rng)] = rng.randrange(256)
    return bytes(out)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: _place(len(data) + 1, rng)]


def _drop(data: bytes, rng: random.Random) -> bytes:
    at = _place(len(data) + 1, rng)
    return data[:at] + data[at + rng.choice((1, 2, 7, 60, 4000)) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = _place(len(data) + 1, rng)
    return data[:at] + rng.choice((rng.choice(PIECES), rng.randbytes(rng.randrange(1, 40)))) + data[at:]


def _blank(data: bytes, rng: random.Random) -> bytes:
    at = _place(len(data) + 1, rng)
    gone = data[at : at + rng.choice((1, 4, 16, 500))]
    return data[:at] + rng.choice((b"\0", b"\xff", b" ")) * len(gone) + data[at + len(gone) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    at = _place(len(data) + 1, rng)
    return data[: at + rng.choice((1, 8, 200, 3000))] + data[at:]


def _number(data: bytes, rng: random.Random) -> bytes:
    """Of four words of a length, an offset, a type or a sample."""
    form, at = rng.choice(NUMBERS), _place(len(data) + 1, rng) & ~rng.choice((0, 3, 7))
    whole = [value for value in WHOLE if (value ^ (value >> 63)).bit_length() < 8 * struct.calcsize(form)]
    value = rng.choice([value for value in REAL if form[1] == "d" or not 1e39 < abs(value) < 1e309])
    raw = struct.pack(form, value if form[1] in "fd" else rng.choice(whole))
    return data[:at] + raw + data[at + len(raw) :]


_OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip, _flip, _cut, _drop, _insert, _blank, _repeat, _number, _number
)  # fmt: skip


def _number_as_text(data: bytes, rng: random.Random) -> bytes:
    at = _place(len(data) + 1, rng)
    found = list(re.finditer(rb"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", data[at : at + 400]))
    if not found:
        return data
    one = rng.choice(found)
    return data[: at + one.start()] + rng.choice(TEXTS) + data[at + one.end() :]


def _lines(data: bytes, rng: random.Random) -> bytes:
    """One missing, twice, at another place, or with its cells in another order."""
    lines = data.split(b"\n")
    i = rng.choice((min(rng.randrange(8), len(lines) - 1), rng.randrange(len(lines))))
    j = rng.randrange(len(lines))
    how = rng.randrange(5)
    if how == 0:
        del lines[i]
    elif how == 1:
        lines.insert(j, lines[i])
    elif how == 2:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        separator = rng.choice((b",", b"\t", b";", b" "))
        cells = lines[i].split(separator)
        if how == 3:
            rng.shuffle(cells)
        else:
            cells[rng.randrange(len(cells))] = rng.choice(TEXTS + PIECES)
        lines[i] = separator.join(cells)
    return b"\n".join(lines)


_OF_TEXTS = (_number_as_text, _number_as_text, _number_as_text, _lines, _lines, _lines)


# Of what is packed, which checksums would else protect.


def _change_member(data: bytes, rng: random.Random) -> tuple[bytes, str] | None:
    """A zip, xlsx or npz with another member."""
    if not data.startswith(b"PK\3\4"):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error):
        return None  # damaged before
    name = rng.choice(sorted(members))
    value, how, renamed = members.pop(name), "renamed", name
    if rng.random() < 0.1:
        renamed = rng.choice((f"../{name}", f"/{name}", f"{name}x", f"a/{name}", name.upper(), "a" * 300))
    else:
        value, how = change(value, rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in [*members.items(), (renamed, value)]:
            info = zipfile.ZipInfo(member)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue(), f"{how} of {name}"


def _change_element(data: bytes, rng: random.Random) -> tuple[bytes, str] | None:
    """A MATLAB 5 file with another compressed element."""
    if not data.startswith(b"MATLAB 5.0"):
        return None
    found, at = [], 128
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        found += [(at, size)] * (kind == 15)
        at += 8 + size
    if not found:
        return None
    at, size = rng.choice(found)
    try:
        inside = zlib.decompress(data[at + 8 : at + 8 + size])
    except zlib.error:
        return None
    inside, how = change(inside, rng)
    packed = zlib.compress(inside)
    return data[:at] + struct.pack("<II", 15, len(packed)) + packed + data[at + 8 + size :], f"{how} of element at {at}"
