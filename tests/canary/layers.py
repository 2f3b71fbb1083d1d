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
import string
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

import numpy as np
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


Seen: TypeAlias = dict[bytes, int]
"""Marks of bytes that were read, and below how few layers: what lies too deep is not opened any further."""


def layers(data: bytes, keys: Sequence[str] = (), seen: Seen | None = None) -> Iterator[Layer]:
    """The bytes themselves and everything in them. `keys`: age identities, as text. `seen`: what was given before,
    which is not given again; it learns of what is given now."""
    openers: dict[str, Opener] = {"age": _age(keys), **OPENERS}
    seen = {} if seen is None else seen
    pending = [Layer((), data)]
    while pending:
        layer = pending.pop()
        mark, depth = hashlib.blake2b(layer.data, digest_size=16).digest(), len(layer.path)
        if seen.get(mark, DEEPEST + 1) <= depth or not layer.data:
            continue
        seen[mark] = depth
        yield layer
        if depth < DEEPEST:
            pending += [
                Layer((*layer.path, name), inner[:MOST_BYTES])
                for name, opener in openers.items()
                for inner in opener(layer.data)
                if inner != layer.data
            ]


# -- compressed


def _at_magic(*magics: bytes, opened: Callable[[memoryview], bytes]) -> Opener:
    """Wherever these first bytes stand, what opens from there; what is behind is passed over."""

    def opener(data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for at in islice(_sites(data, magics), SITES):
            with contextlib.suppress(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError):
                yield opened(view[at:])

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


_PART = 1 << 14
"""Bytes that are unpacked at once: what can lie in more might be a bomb."""


def _unzstd(data: memoryview) -> bytes:
    """One frame, and what a torn one still gives."""
    inner, frame = io.BytesIO(), zstandard.ZstdDecompressor().decompressobj()
    with contextlib.suppress(zstandard.ZstdError):
        for at in range(0, len(data), _PART):
            inner.write(frame.decompress(data[at : at + _PART]))
            if frame.eof or inner.tell() >= MOST_BYTES:
                break
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

_DIGITS = b"0123456789abcdefABCDEF"
_BASE64 = string.ascii_letters.encode() + string.digits.encode() + b"+/_-"
_BASE32 = string.ascii_uppercase.encode() + b"234567"
_MORE_LINES = re.compile(rb"(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{4,})*")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[ :]?){16,}")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_STEPS = range(4)

Runs: TypeAlias = Callable[[bytes], Iterable[tuple[int, int]]]


def _runs_of(letters: bytes, least: int) -> Runs:
    """Where at least so many of these letters stand together, from and to: hardly anywhere, and found in no time."""
    table = np.isin(np.arange(256), np.frombuffer(letters, np.uint8))

    def runs(data: bytes) -> Iterable[tuple[int, int]]:
        inside = table[np.frombuffer(data, np.uint8)]
        edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
        starts, ends = edges[::2], edges[1::2]
        long = ends - starts >= least
        return zip(starts[long].tolist(), ends[long].tolist(), strict=True)

    return runs


def _within(runs: Runs, pattern: re.Pattern[bytes], data: bytes) -> Iterator[re.Match[bytes]]:
    return (match for start, end in runs(data) for match in pattern.finditer(data, start, end))


_BASE64_RUNS = _runs_of(_BASE64, 22)
_BASE32_RUNS = _runs_of(_BASE32, 32)
_HEX_RUNS = _runs_of(_DIGITS + b" :", 32)


def _base64(data: bytes) -> Iterator[bytes]:
    """Every run, from each of the four places in it at which a group may begin; lines are joined."""
    runs = [re.sub(rb"\s", b"", run).translate(_TO_STANDARD) for run in _base64_runs(data)]
    for step in _STEPS if runs else ():
        yield b"\n".join(_unbase64(run[step:]) for run in runs)


def _base64_runs(data: bytes) -> Iterator[bytes]:
    last = 0
    for start, end in _BASE64_RUNS(data):
        if start >= last and (more := _MORE_LINES.match(data, end)):
            last = more.end()
            yield data[start:last]


def _unbase64(run: bytes) -> bytes:
    whole = run[: len(run) - (len(run) % 4 == 1)]
    try:
        return base64.b64decode(whole + b"=" * (-len(whole) % 4))
    except binascii.Error:
        return b""


def _base32(data: bytes) -> Iterator[bytes]:
    found = []
    for start, end in _BASE32_RUNS(data):
        with contextlib.suppress(binascii.Error):
            found.append(base64.b32decode(data[start:end] + b"=" * (-(end - start) % 8)))
    yield b"\n".join(found)


def _unhex(data: bytes) -> Iterator[bytes]:
    """Runs of hex digits, from either digit."""
    runs = [re.sub(rb"[ :]", b"", match[0]) for match in _within(_HEX_RUNS, _HEX, data)]
    for step in range(2) if runs else ():
        yield b"\n".join(binascii.unhexlify(run[step : len(run) - (len(run) - step) % 2]) for run in runs)


# -- escaped

_SHORTEST = 24
"""Characters of a run that could hide a digest; fewer digits betray nothing."""


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
_WIDE_RUNS = _runs_of(bytes((0, *range(0x20, 0x7F))), 30)
_BROKEN = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{4,}(?:[\s-]+[0-9a-fA-F]{4,})+")
_BROKEN_RUNS = _runs_of(_DIGITS + string.whitespace.encode() + b"-", _SHORTEST + 1)


def _narrowed(data: bytes) -> Iterator[bytes]:
    """UTF-16 and UTF-32 of plain letters, wherever they stand, with the letter before their first zero."""
    found = _within(_WIDE_RUNS, _WIDE, data) if b"\0" in data else ()
    wide = (data[max(0, match.start() - 1) : match.end()] for match in found)
    yield b"\n".join(run.replace(b"\0", b"") for run in wide)


def _joined(data: bytes) -> Iterator[bytes]:
    """Digits that were broken over lines, or into groups."""
    broken = (match[0] for match in _within(_BROKEN_RUNS, _BROKEN, data))
    yield b"\n".join(re.sub(rb"[\s-]+", b"", run) for run in broken if len(run) > _SHORTEST)


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
