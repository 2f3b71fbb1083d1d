"""Whether an operation of a log can be believed, before anything is made of it. Pure.

The log it stands in was compared with its head; but whoever wrote both may be hostile, or mistaken.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import msgspec

from memferry.backends import names
from memferry.errors import ConfigError
from memferry.formats import registry
from memferry.formats.base import Kind, Whole
from memferry.keys import digest
from memferry.model import Op, Put, Retract, Settle, Sighting, Source

MAX_NUMBER = 1 << 53
decoded: Callable[[bytes], Op] = msgspec.json.Decoder(Op).decode
"""An operation of its JSON line. Raises UNDECODABLE."""
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TIME = re.compile(r"[0-7][0-9a-f]{15}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_time(text: str) -> bool:
    """Whether it is a value of a hybrid logical clock (`agent.state.clock`) at all."""
    return _TIME.fullmatch(text) is not None


def flaw_of(line: bytes) -> str | None:
    """Why a line of a log is no operation that can be believed; ends the sentence that its number begins."""
    try:
        op = decoded(line)
    except UNDECODABLE as error:
        return f"is none: {names.shown(str(error))[:200]}"
    if why := flaw(op):
        return why
    kind = _kind(op.format, op.file) if isinstance(op, Put) else None
    return "is not what its digest says" if isinstance(op, Put) and kind and not is_true(op, kind) else None


@lru_cache(100)
def _kind(format_: str, file: str) -> Kind | None:
    """None: of a format of another memferry."""
    try:
        return registry.by_name(format_).kind(file)
    except ConfigError:
        return None


def flaw(op: Op) -> str | None:
    """Why an operation cannot be one; ends the sentence that its number begins."""
    if not is_time(op.hlc):
        return "has no time"
    if isinstance(op, Retract | Settle) and not all(map(_is_name, op.ops)):
        return "names operations that cannot be"
    if isinstance(op, Sighting) and not _is_name((op.machine, op.through)):
        return "names a machine that cannot be"
    if isinstance(op, Put):
        return _flaw_of_put(op)
    return None


def _is_name(op: tuple[str, int]) -> bool:
    machine, seq = op
    return names.is_machine(machine) and 0 <= seq <= MAX_NUMBER


def _flaw_of_put(put: Put) -> str | None:
    if any(_DIGEST.fullmatch(one) is None for one in (put.digest, put.base or put.digest)):
        return "has no digest"
    if why := _problem(put.file):
        return f"names the file {names.shown(put.file)[:200]!r}, which {why}"
    return None


@lru_cache(100)
def _problem(file: str) -> str | None:
    return names.problem(file, portable=False)


@lru_cache(100)
def _is_whole(kind: Kind) -> bool:
    """Python takes 10 us to look at a protocol."""
    return isinstance(kind.reader, Whole)


def is_true(put: Put, kind: Kind) -> bool:
    """Whether key and digest are those of the body, and the body is one record."""
    reader, body = kind.reader, put.body.encode("utf-8", "surrogatepass")
    if _is_whole(kind):
        assert isinstance(reader, Whole)
        return _is_one(put, body, reader, kind.format)
    return b"\n" not in body and digest(body).hex() == put.digest


def _is_one(put: Put, body: bytes, reader: Whole, format_: str) -> bool:
    source = Source(put.space, put.file, format_)
    snapshot = reader.parse(source, body if put.key == put.file else reader.render([body], None))
    if snapshot is None or len(snapshot.records) != 1:
        return False
    (record,) = snapshot.records
    return record.digest.hex() == put.digest and put.key.partition("#")[0] == record.key.partition("#")[0]
