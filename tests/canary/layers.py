"""What lies inside bytes: compressed, encrypted, encoded or escaped, one in another. Shares no code with memferry."""

from __future__ import annotations

import base64
import binascii
import bz2
import contextlib
import hashlib
import html
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

import pyrage
import zstandard

DEEPEST = 4
"""Layers, one in another."""
MOST_BYTES = 256 << 20
"""That one layer of one piece is followed to: more is a bomb, and no leak hides behind so much."""
SITES = 2000
"""At most so many places of one piece are tried as the beginning of something compressed."""

Opener: TypeAlias = Callable[[bytes], Iterator[bytes]]
Path: TypeAlias = tuple[str, ...]


class Layer(NamedTuple):
    """Bytes, and by which layers they were reached; none: as they lie there."""

    path: Path
    data: bytes


def layers(data: bytes, keys: Sequence[str] = ()) -> Iterator[Layer]:
    """The bytes themselves and everything in them. `keys`: age identities, as text."""
    openers: dict[str, Opener] = {"age": _age(keys), **OPENERS}
    seen: set[bytes] = set()
    pending = [Layer((), data)]
    while pending:
        layer = pending.pop()
        mark = hashlib.blake2b(layer.data, digest_size=16).digest()
        if mark in seen or not layer.data:
            continue
        seen.add(mark)
        yield layer
        if len(layer.path) < DEEPEST:
            pending += [
                Layer((*layer.path, name), inner[:MOST_BYTES])
                for name, opener in openers.items()
                for inner in opener(layer.data)
                if inner != layer.data
            ]


# -- compressed


def _at_magic(*magics: bytes, opened: Callable[[memoryview], bytes]) -> Opener:
    """Wherever these first bytes stand, what opens from there, all of it together; what is behind is passed over."""

    def opener(data: bytes) -> Iterator[bytes]:
        view, found = memoryview(data), []
        for at in islice(_sites(data, magics), SITES):
            with contextlib.suppress(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError):
                found.append(opened(view[at:]))
        yield b"\n".join(filter(None, found))

    return opener


def _sites(data: bytes, magics: Iterable[bytes]) -> Iterator[int]:
    for magic in magics:
        at = data.find(magic)
        while at >= 0:
            yield at
            at = data.find(magic, at + 1)


def _gunzipped(data: memoryview) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(data, MOST_BYTES)


def _inflated(data: memoryview) -> bytes:
    return zlib.decompressobj().decompress(data, MOST_BYTES)


def _unzstd(data: memoryview) -> bytes:
    """One frame, and what a torn one still gives."""
    inner = io.BytesIO()
    with contextlib.suppress(zstandard.ZstdError), zstandard.ZstdDecompressor().stream_reader(data) as reader:
        while inner.tell() < MOST_BYTES and (part := reader.read(1 << 20)):
            inner.write(part)
    return inner.getvalue()


def _zip_members(data: bytes) -> Iterator[bytes]:
    if data.startswith(b"PK"):
        with contextlib.suppress(zipfile.BadZipFile, OSError, RuntimeError), zipfile.ZipFile(io.BytesIO(data)) as file:
            yield "\n".join(file.namelist()).encode()
            yield from (file.read(name) for name in file.namelist())


def _age(keys: Sequence[str]) -> Opener:
    identities = [pyrage.x25519.Identity.from_str(key) for key in keys]

    def opener(data: bytes) -> Iterator[bytes]:
        if identities and data.startswith((b"age-encryption.org/", b"-----BEGIN AGE")):
            with contextlib.suppress(pyrage.DecryptError):  # not for these keys
                yield bytes(pyrage.decrypt(data, identities))

    return opener


# -- encoded

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{22,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{4,})*")
_BASE32 = re.compile(rb"[A-Z2-7]{32,}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[ :]?){16,}")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_STEPS = range(4)


def _base64(data: bytes) -> Iterator[bytes]:
    """Every run, from each of the four places in it at which a group may begin; lines are joined."""
    runs = [re.sub(rb"\s", b"", run).translate(_TO_STANDARD) for run in _BASE64.findall(data)]
    for step in _STEPS if runs else ():
        yield b"\n".join(_unbase64(run[step:]) for run in runs)


def _unbase64(run: bytes) -> bytes:
    whole = run[: len(run) - (len(run) % 4 == 1)]
    try:
        return base64.b64decode(whole + b"=" * (-len(whole) % 4))
    except binascii.Error:
        return b""


def _base32(data: bytes) -> Iterator[bytes]:
    found = []
    for run in _BASE32.findall(data):
        with contextlib.suppress(binascii.Error):
            found.append(base64.b32decode(run + b"=" * (-len(run) % 8)))
    yield b"\n".join(found)


def _unhex(data: bytes) -> Iterator[bytes]:
    """Runs of hex digits, from either digit."""
    runs = [re.sub(rb"[ :]", b"", run) for run in _HEX.findall(data)]
    for step in range(2) if runs else ():
        yield b"\n".join(binascii.unhexlify(run[step : len(run) - (len(run) - step) % 2]) for run in runs)


# -- escaped

_SHORTEST = 24
"""Characters of a run that could hide a digest; fewer digits betray nothing."""


_LONGEST_START = 512


_LONGEST_START = 512
_LETTERS = bytes(code for code in range(128) if chr(code).isalnum()) + b"+/_.-"


def _runs(escape: bytes, letters: bytes, plain: Callable[[bytes], bytes]) -> Opener:
    """Runs of `letters` with escapes among them. What stands beside the escapes is read as it lies there."""
    among = re.escape(letters)
    run = re.compile(rb"%b[%b]*+(?:%b[%b]*+)*" % (escape, among, escape, among))

    def opener(data: bytes) -> Iterator[bytes]:
        found = []
        for match in run.finditer(data):
            before = data[max(0, match.start() - _LONGEST_START) : match.start()]
            whole = before[len(before.rstrip(letters)) :] + match[0]
            found += [plain(whole)] if len(whole) >= _SHORTEST else []
        yield b"\n".join(found)

    return opener


_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\\/\"'nrtbf]))")
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def _unescaped(run: bytes) -> bytes:
    """One level of the backslashes of JSON, Python and C."""
    return _ESCAPE.sub(_character, run)


def _character(match: re.Match[bytes]) -> bytes:
    if match[3]:
        return _PLAIN.get(match[3], match[3])
    return chr(int(match[1] or match[2], 16)).encode("utf-8", "surrogatepass")


def _from_html(run: bytes) -> bytes:
    return html.unescape(run.decode("ascii")).encode("utf-8", "surrogatepass")


_WIDE = re.compile(rb"\0{1,3}[\x20-\x7e](?:\0{1,3}[\x20-\x7e]){14,}")
_BROKEN = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{4,}(?:[\s-]+[0-9a-fA-F]{4,})+")


def _narrowed(data: bytes) -> Iterator[bytes]:
    """UTF-16 and UTF-32 of plain letters, wherever they stand, with the letter before their first zero."""
    wide = (data[max(0, match.start() - 1) : match.end()] for match in _WIDE.finditer(data))
    yield b"\n".join(run.replace(b"\0", b"") for run in wide)


def _joined(data: bytes) -> Iterator[bytes]:
    """Digits that were broken over lines, or into groups."""
    yield b"\n".join(re.sub(rb"[\s-]+", b"", run) for run in _BROKEN.findall(data) if len(run) > _SHORTEST)


OPENERS: Mapping[str, Opener] = {
    "gzip": _at_magic(b"\x1f\x8b\x08", opened=_gunzipped),
    "zlib": _at_magic(b"\x78\x9c", b"\x78\x01", b"\x78\xda", opened=_inflated),
    "zstd": _at_magic(b"\x28\xb5\x2f\xfd", opened=_unzstd),
    "bz2": _at_magic(b"BZh", opened=lambda data: bz2.BZ2Decompressor().decompress(data, MOST_BYTES)),
    "xz": _at_magic(b"\xfd7zXZ\0", opened=lambda data: lzma.LZMADecompressor().decompress(data, MOST_BYTES)),
    "zip": _zip_members,
    "base64": _base64,
    "base32": _base32,
    "hex": _unhex,
    "escapes": _runs(rb"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[\\/\"'nrtbf])", _LETTERS + b"=", _unescaped),
    "url": _runs(rb"%[0-9a-fA-F]{2}", _LETTERS + b"=", unquote_to_bytes),
    "html": _runs(rb"&#?[0-9a-zA-Z]{1,8};", _LETTERS + b"=", _from_html),
    "mail": _runs(rb"=(?:[0-9A-F]{2}|\r?\n)", _LETTERS, binascii.a2b_qp),
    "utf-16": _narrowed,
    "lines": _joined,
}
"""How things are hidden, willingly or not. Each gives what it finds inside, or nothing."""
