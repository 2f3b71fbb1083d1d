"""Writing a shard anew, so that nothing of what was deleted is left in its files.

What the engine deletes it only hides: the bytes stay in its log and in its pages (seen with qdrant-edge-py 0.9). So the
points that remain are copied into a new folder, which then takes the old one's name. Beside a collection's folder lie,
behind a dot and its name: the mark that this is to be done, the new folder, the old one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import qdrant_edge as edge

from memferry import durable
from memferry.backends.qdrant.engine import INDEXES, PAGE

MARK, NEW, OLD = ".purge", ".new", ".old"
SCHEMAS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "datetime": edge.PayloadSchemaType.Datetime,
}


def mark(path: Path, collection: str) -> None:
    """Durably: it is to be written anew."""
    _beside(path, collection, MARK).touch(mode=0o600)
    sync(path)


def is_marked(path: Path, collection: str) -> bool:
    """Whether it is to be written anew."""
    return _beside(path, collection, MARK).exists()


def unmark(path: Path, collection: str) -> None:
    """It was."""
    _beside(path, collection, MARK).unlink()


def copy(path: Path, collection: str, shard: edge.EdgeShard, sizes: Mapping[str, int]) -> None:
    """All that is there into the new folder. `sizes`: of its vectors, by name."""
    made = _beside(path, collection, NEW)
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    vectors = {name: edge.EdgeVectorParams(size, edge.Distance.Cosine) for name, size in sizes.items()}
    target = edge.EdgeShard.create(str(made), edge.EdgeConfig(vectors=vectors))
    for field, schema in INDEXES.items():
        target.update(edge.UpdateOperation.create_field_index(field, SCHEMAS[schema]))
    for page in _pages(shard):
        target.update(edge.UpdateOperation.upsert_points(page))
    target.flush()
    target.close()


def exchange(path: Path, collection: str) -> None:
    """The new folder for the old one: two renames, between which a crash is mended by `mend`."""
    old = _beside(path, collection, OLD)
    (path / collection).rename(old)
    _beside(path, collection, NEW).rename(path / collection)
    sync(path)
    shutil.rmtree(old)


def is_under_way(path: Path, collection: str) -> bool:
    """Whether a crash has left it between the two."""
    return _beside(path, collection, OLD).exists()


def mend(path: Path) -> None:
    """What a crash left of an exchange; by who holds the lock."""
    for old in path.glob(f".*{OLD}"):
        folder = path / old.name[1 : -len(OLD)]
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)
    for new in path.glob(f".*{NEW}"):
        shutil.rmtree(new)


def sync(path: Path) -> None:
    """What was made, renamed and removed in a folder stays so."""
    with durable.Folder.open(path) as folder:
        folder.sync()


def _pages(shard: edge.EdgeShard) -> Iterator[list[edge.Point]]:
    offset = None
    while True:
        request = edge.ScrollRequest(offset, PAGE, None, with_payload=True, with_vector=True)
        page, offset = shard.scroll(request)
        yield [edge.Point(one.id, one.vector, one.payload) for one in page if one.vector is not None]
        if offset is None:
            return


def _beside(path: Path, collection: str, what: str) -> Path:
    return path / f".{collection}{what}"
