"""Documents: Markdown and text, each one record under its path."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import date

from memferry.formats.base import Kind, Snapshot, Whole
from memferry.formats.front_matter import take_apart
from memferry.formats.strict_json import Unreadable, decode_text
from memferry.model import Record, Source

SUFFIXES = (".md", ".markdown", ".txt")
TIMES = ("updated", "date", "created", "updated_at", "created_at")

_BETWEEN_TAGS = re.compile(r"[,\s]+")


class Documents(Whole):
    """The whole file is the body; `fields` is its front matter, `text` what stands behind that."""

    removes = False

    def parse(self, source: Source, content: bytes) -> Snapshot:
        """Never None: a text that stops in the middle cannot be told from one that is whole."""
        return Snapshot((_record(source, content),))

    def render(self, bodies: Sequence[bytes], frame: tuple[str, str, str] | None) -> bytes:
        """The document is its one body."""
        return b"".join(bodies)


def _record(source: Source, content: bytes) -> Record:
    digest = hashlib.sha256(content).digest()
    try:
        text = _text(content)
    except Unreadable as exc:
        return Record(source, source.file, digest, content, 0, problem=exc.reason)
    fields, text, problem = take_apart(text)
    kind = fields.get("type")
    return Record(
        source, source.file, digest, content, 0, fields, text,
        kind if isinstance(kind, str) else None, _tags(fields), _time(fields), problem,
    )  # fmt: skip


def _text(content: bytes) -> str:
    """UTF-8, with or without a byte-order mark; a NUL byte means UTF-16 or no text at all."""
    if b"\0" in content:
        raise Unreadable("UTF-16 or NUL bytes")
    return decode_text(content.removeprefix(b"\xef\xbb\xbf"))


def _tags(fields: Mapping[object, object]) -> tuple[str, ...]:
    tags = fields.get("tags")
    if isinstance(tags, str):
        return tuple(tag for tag in _BETWEEN_TAGS.split(tags) if tag)
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def _time(fields: Mapping[object, object]) -> str | None:
    for name in TIMES:
        time = fields.get(name)
        if isinstance(time, date):
            return time.isoformat()
        if isinstance(time, str):
            return time
    return None


class Document:
    """Reads every file with a text's suffix."""

    name = "document"

    def recognises(self, names: Sequence[str]) -> bool:
        return False

    def kind(self, file: str) -> Kind | None:
        return _KIND if file.lower().endswith(SUFFIXES) else None


_KIND = Kind(Document.name, Documents())

FORMAT = Document()
