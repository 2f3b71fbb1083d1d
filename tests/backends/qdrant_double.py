"""A Qdrant server for tests: its REST interface in memory, with faults on demand.

Made from the published OpenAPI description (Apache-2.0, https://github.com/qdrant/qdrant): the models that the makers
of qdrant-client generate from it say what a request may hold and what an answer must, and both are checked against
them. Only what memferry uses is there; anything else is noted in `strange`, which no test may leave filled.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import TypeAdapter, ValidationError
from qdrant_client.http import models

VERSION = "1.20.0"

Fault: TypeAlias = Literal["reset", "lost reply", "slow"] | int
"""`reset`: the line breaks before anything was done; `lost reply`: after it was; a number: that status instead."""


class Refusal(Exception):
    """An error as the server answers it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Stored:
    """A point: its payload, and its vectors by name."""

    payload: dict[str, Any]
    vectors: dict[str, list[float]]


@dataclass
class Kept:
    """A collection."""

    vectors: dict[str, int]
    points: dict[str, Stored] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    created: dict[str, Any] = field(default_factory=dict)
    quantized: bool = False


class Due(NamedTuple):
    """A fault that waits. `path`: the end of the request's path that it is for; `after`: how many of those it lets
    pass; `headers`, `text`: of the answer."""

    fault: Fault
    after: int
    method: str
    path: str
    headers: Mapping[str, str]
    text: str


class Double:
    """The server's inside. `key`: what a request must show; `slow_s`: how long `slow` takes. `requests`: method and
    path of all that came; `changes`: how many points were written. `poison`: a text that no point may hold. `recorded`:
    every request as it came, its headers and its body, once it is made a list."""

    def __init__(self) -> None:
        self.collections: dict[str, Kept] = {}
        self.key: str | None = None
        self.poison: str | None = None
        self.slow_s = 2.0
        self.requests: list[tuple[str, str]] = []
        self.recorded: list[bytes] | None = None
        self.strange: list[str] = []
        self.changes = 0
        self.lock = threading.Lock()
        self.due: deque[Due] = deque()
        self._written: list[tuple[str, str]] = []

    def fail(
        self, fault: Fault, *, on: str = "", method: str = "", after: int = 0, text: str = "", **headers: str
    ) -> None:
        """Once, at a request whose path ends with `on`, and behind the faults that were asked for before."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.due.append(Due(fault, after, method, on, named, text or "something failed"))

    def take_fault(self, method: str, path: str) -> Due | None:
        """The next one, if it is for this request."""
        due = self.due[0] if self.due else None
        if due is None or not (path.endswith(due.path) and method.startswith(due.method)):
            return None
        self.due.popleft()
        if due.after:
            self.due.appendleft(due._replace(after=due.after - 1))
            return None
        return due

    def lose(self, count: int) -> None:
        """The last points that were acknowledged, as a server that is cut off before its disk has them."""
        for collection, id_ in self._written[-count:]:
            self.collections[collection].points.pop(id_, None)

    def kept(self, name: str) -> Kept:
        if name not in self.collections:
            raise Refusal(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.collections[name]

    # -- points

    def upsert(self, name: str, body: Any) -> Any:
        kept = self.kept(name)
        made = _parsed(models.PointsList, body)
        found = {_id(one.id): Stored(one.payload or {}, _vectors(kept, one.vector)) for one in made.points}
        if self.poison and any(self.poison in json.dumps(one.payload, ensure_ascii=False) for one in found.values()):
            raise Refusal(400, "Wrong input: this point is not taken")
        kept.points |= found
        self.changes += len(found)
        self._written += [(name, id_) for id_ in found]
        return _completed()

    def update_vectors(self, name: str, body: Any) -> Any:
        kept = self.kept(name)
        for one in _parsed(models.UpdateVectors, body).points:
            if _id(one.id) not in kept.points:
                raise Refusal(404, f"Not found: No point with id {one.id} found")
            kept.points[_id(one.id)].vectors |= _vectors(kept, one.vector)
            self.changes += 1
        return _completed()

    def retrieve(self, name: str, body: Any) -> Any:
        kept, asked = self.kept(name), _parsed(models.PointRequest, body)
        return [_record(id_, kept.points[id_]) for id_ in map(_id, asked.ids) if id_ in kept.points]

    def delete(self, name: str, body: Any) -> Any:
        kept = self.kept(name)
        selector: Any = _parsed(models.PointsSelector, body)
        if isinstance(selector, models.PointIdsList):
            doomed = [_id(one) for one in selector.points]
        else:
            doomed = [id_ for id_, one in kept.points.items() if _matches(one, selector.filter)]
        self.changes += sum(kept.points.pop(id_, None) is not None for id_ in doomed)
        return _completed()

    def scroll(self, name: str, body: Any) -> Any:
        kept, asked = self.kept(name), _parsed(models.ScrollRequest, body)
        start = _id(asked.offset) if asked.offset is not None else ""
        hits = sorted(id_ for id_, one in kept.points.items() if id_ >= start and _matches(one, asked.filter))
        limit = asked.limit or 10
        page, rest = hits[:limit], hits[limit:]
        return {
            "points": [_record(id_, kept.points[id_]) for id_ in page],
            "next_page_offset": rest[0] if rest else None,
        }

    def count(self, name: str, body: Any) -> Any:
        kept, asked = self.kept(name), _parsed(models.CountRequest, body)
        return {"count": sum(_matches(one, asked.filter) for one in kept.points.values())}

    # -- collections

    def create(self, name: str, body: Any) -> Any:
        asked = _parsed(models.CreateCollection, body)
        if name in self.collections:
            raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
        assert isinstance(asked.vectors, dict)
        self.collections[name] = Kept({vector: params.size for vector, params in asked.vectors.items()}, created=body)
        return True

    def update(self, name: str, body: Any) -> Any:
        asked = _parsed(models.UpdateCollection, body)
        self.kept(name).quantized = asked.quantization_config is not None
        return True

    def add_vector(self, name: str, vector: str, body: Any) -> Any:
        kept, asked = self.kept(name), _parsed(models.DenseVectorNameConfig, body)
        if kept.vectors.setdefault(vector, asked.dense.size) != asked.dense.size:
            raise Refusal(400, f"Wrong input: vector {vector} exists with other parameters")
        return _completed()

    def index(self, name: str, body: Any) -> Any:
        asked = _parsed(models.CreateFieldIndex, body)
        self.kept(name).indexes[asked.field_name] = str(asked.field_schema.value)  # type: ignore[union-attr]
        return _completed()

    def info(self, name: str) -> Any:
        kept = self.kept(name)
        vectors = {vector: {"size": size, "distance": "Cosine"} for vector, size in kept.vectors.items()}
        scalar = {"scalar": {"type": "int8"}} if kept.quantized else None
        return {
            "status": "green", "optimizer_status": "ok", "segments_count": 1, "points_count": len(kept.points),
            "payload_schema": {path: {"data_type": kind, "points": 0} for path, kind in kept.indexes.items()},
            "config": {
                "params": {"vectors": vectors},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {
                    "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "quantization_config": scalar,
            },
        }  # fmt: skip


Answer: TypeAlias = tuple[Any, Any]
"""What a route answers, and the model that it must fit."""


def routed(double: Double, method: str, path: str, body: Any) -> Answer:
    """Do what a request asks."""
    parts = [unquote(part) for part in path.split("/")[1:]]
    match method, parts:
        case "GET", [""]:
            return None, None
        case "GET", ["collections"]:
            return {"collections": [{"name": name} for name in double.collections]}, models.CollectionsResponse
        case "GET", ["collections", name, "exists"]:
            return {"exists": name in double.collections}, models.CollectionExistence
        case "GET", ["collections", name]:
            return double.info(name), models.CollectionInfo
        case "PUT", ["collections", name]:
            return double.create(name, body), bool
        case "PATCH", ["collections", name]:
            return double.update(name, body), bool
        case "PUT", ["collections", name, "vectors", vector]:
            return double.add_vector(name, vector, body), models.UpdateResult
        case method, ["collections", name, *rest]:
            return _of_points(double, method, "/".join(rest))(name, body)
    raise Refusal(404, f"no route {method} {path}")


def _of_points(double: Double, method: str, rest: str) -> Callable[[str, Any], Answer]:
    routes: Mapping[tuple[str, str], tuple[Callable[[str, Any], Any], Any]] = {
        ("PUT", "index"): (double.index, models.UpdateResult),
        ("PUT", "points"): (double.upsert, models.UpdateResult),
        ("POST", "points"): (double.retrieve, list[models.Record]),
        ("PUT", "points/vectors"): (double.update_vectors, models.UpdateResult),
        ("POST", "points/delete"): (double.delete, models.UpdateResult),
        ("POST", "points/scroll"): (double.scroll, models.ScrollResult),
        ("POST", "points/count"): (double.count, models.CountResult),
    }
    if (method, rest) not in routes:
        raise Refusal(404, f"no route {method} {rest}")
    does, model = routes[method, rest]
    return lambda name, body: (does(name, body), model)


CHANGES = {("PUT", "points"), ("PUT", "vectors"), ("POST", "delete"), ("PUT", "index")}
"""By method and the end of the path: what must be asked to wait until it is done."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: Double

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _serve(self) -> None:
        double, path = self.double, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with double.lock:
            double.requests.append((self.command, path))
            if double.recorded is not None:
                double.recorded.append(f"{self.requestline}\n{self.headers}".encode("latin-1") + body)
            due = double.take_fault(self.command, path)
        if due is not None and due.fault == "slow":
            time.sleep(double.slow_s)  # the fault itself, nothing is waited for
        if due is not None and due.fault == "reset":
            return self._cut()
        if due is not None and isinstance(due.fault, int):
            return self._answer(due.fault, {"status": {"error": due.text}, "time": 0.0}, due.headers)
        status, answer = self._done(path, body)
        if due is not None and due.fault == "lost reply":
            return self._cut()
        return self._answer(status, answer, {})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _done(self, path: str, body: bytes) -> tuple[int, Any]:
        double = self.double
        if double.key is not None and self.headers.get("api-key") != double.key:
            return 401, {"status": {"error": "Must provide an API key or an Authorization bearer token"}, "time": 0.0}
        self._check_wait(path)
        try:
            with double.lock:
                result, model = routed(double, self.command, path, json.loads(body) if body else None)
        except Refusal as refusal:
            if "no route" in str(refusal):
                double.strange.append(str(refusal))
            return refusal.status, {"status": {"error": str(refusal)}, "time": 0.0}
        if model is None:
            return 200, models.VersionInfo(title="qdrant - vector search engine", version=VERSION).model_dump()
        TypeAdapter(model).validate_python(result)
        return 200, {"result": result, "status": "ok", "time": 0.0}

    def _check_wait(self, path: str) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if (self.command, path.rpartition("/")[2]) in CHANGES and asked.get("wait") != ["true"]:
            self.double.strange.append(f"{self.command} {path} does not wait")

    def _answer(self, status: int, answer: Any, headers: Mapping[str, str]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        """A reset, not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A line that was cut on purpose."""


@contextmanager
def serving(double: Double) -> Iterator[str]:
    """The double on a free port; its URL."""
    handler = type("Handler", (_Handler,), {"double": double})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# -- values


def _parsed(model: Any, body: Any) -> Any:
    try:
        return TypeAdapter(model).validate_python(body)
    except ValidationError as error:
        raise Refusal(400, f"Format error in JSON body: {error}") from error


def _id(given: Any) -> str:
    return str(uuid.UUID(str(given)))


def _vectors(kept: Kept, given: Any) -> dict[str, list[float]]:
    for name, row in given.items():
        if name not in kept.vectors:
            raise Refusal(400, f"Wrong input: Not existing vector name error: {name}")
        if len(row) != kept.vectors[name]:
            expected = f"expected dim: {kept.vectors[name]}, got {len(row)}"
            raise Refusal(400, f"Wrong input: Vector dimension error: {expected}")
    return dict(given)


def _record(id_: str, one: Stored) -> dict[str, Any]:
    return {"id": id_, "payload": one.payload}


def _completed() -> dict[str, Any]:
    return {"operation_id": 1, "status": "completed"}


def _matches(one: Stored, wanted: models.Filter | None) -> bool:
    if wanted is None:
        return True
    must: Any = wanted.must or []
    never: Any = wanted.must_not or []
    return all(_holds(one, condition) for condition in must) and not any(_holds(one, each) for each in never)


def _holds(one: Stored, condition: Any) -> bool:
    if isinstance(condition, models.HasVectorCondition):
        return condition.has_vector in one.vectors
    assert isinstance(condition, models.FieldCondition)
    value: Any = one.payload
    for part in condition.key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(condition.match, models.MatchValue):
        return bool(value == condition.match.value)
    assert isinstance(condition.match, models.MatchAny)
    return value in condition.match.any
