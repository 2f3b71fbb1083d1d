"""An index in Qdrant as a place: what a server keeps and what came to it over the wire, and what the engine in
memferry's own process has on disk, as it lies there and as the engine gives it back."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from tests.backends.qdrant_double import Double
from tests.canary.search import Piece, Place, folder

PAGE = 500
_GAP = bytes(64)
_HOLE = re.compile(rb"\0{64,}")
"""The engine lays out its files ahead, two hundred megabytes of them for one point, nearly all of it holes."""


def server(double: Double) -> Place:
    """Its collections with all they say of themselves, every point of them, and the requests that were recorded."""
    for name, kept in double.collections.items():
        said = [name, kept.vectors, kept.indexes, kept.created]
        yield Piece(f"the collection {name}", json.dumps(said, ensure_ascii=False, default=str).encode())
        for id_, one in kept.points.items():
            yield from _point(name, id_, one.payload, one.vectors)
    for number, request in enumerate(double.recorded or ()):
        yield Piece(f"request {number}", request)


def engine(path: Path) -> Place:
    """Every file below it, and every point. No process may have it open."""
    for piece in folder(path):
        yield Piece(piece.name, _HOLE.sub(_GAP, piece.data))
    for one in sorted(path.glob("*/edge_config.json")):
        yield from _shard(one.parent)


def _shard(path: Path) -> Place:
    """What the files hold may be packed in the engine's own ways."""
    shard, offset = edge.EdgeShard.load(str(path)), None
    try:
        while True:
            page, offset = shard.scroll(edge.ScrollRequest(offset, PAGE, None, with_payload=True, with_vector=True))
            for one in page:
                yield from _point(path.name, str(one.id), one.payload or {}, one.vector)
            if offset is None:
                return
    finally:
        shard.close()


def _point(collection: str, id_: str, payload: Mapping[str, Any], vector: object) -> Place:
    name = f"the point {id_} of {collection}"
    yield Piece(name, json.dumps([id_, payload], ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for number, row in enumerate(_rows(vector)):
        yield Piece(f"vector {number} of {name}", array("f", row).tobytes())


def _rows(vector: object) -> Sequence[Sequence[float]]:
    """One vector, or several by name."""
    if isinstance(vector, Mapping):
        return [row for row in vector.values() if row]
    return [vector] if isinstance(vector, list) else []
