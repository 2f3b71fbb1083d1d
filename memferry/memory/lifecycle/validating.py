"""validate: whether every line of a tree is what the format says, and refers to what is there. Reads only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from memferry.memory.lifecycle import ledgers, tree
from memferry.memory.lifecycle.ledgers import Line
from memferry.memory.lifecycle.notes import problem_of
from memferry.memory.lifecycle.records import (
    EVENT,
    OBJECT,
    REQUIRED_OF_EVENT,
    REQUIRED_OF_OBJECT,
    Fields,
)  # fmt: skip
from memferry.memory.lifecycle.words import (
    EVENT_TYPES,
    HORIZONS,
    LEVELS,
    OBJECT_TYPES,
    STATUSES,
    VISIBILITIES,
    is_date,
    seconds_of,
)  # fmt: skip
from memferry.policies.hashes import content_hash, idempotency_key
from memferry.values import iso

_TEXTS = re.compile(
    r"views/attach/[^/]+\.md|projects/[^/]+/(?:state|resume)[^/]*\.md|_meta/(?:[^/]+\.json|lock)|index/[^/]+"
    r"|evidence/.+|governance/.+\.md|(?:.+/)?\.[^/]+"
)


class _Seen(NamedTuple):
    """An object: where it stands, as `file:line`, what it was made of, and its hash."""

    where: str
    event_refs: str
    hash: Any


def _is_made_twice(one: _Seen, other: _Seen) -> bool:
    """Two machines may make the same object of the same event: then each has it in a shard of its own."""
    shards = [tree.place(seen.where.rpartition(":")[0]) for seen in (one, other)]
    return one.event_refs == other.event_refs and len({shard.origin for shard in shards if shard}) == 2


def _is_a_copy(one: _Seen, other: _Seen) -> bool:
    """What was archived may stand in its ledger still."""
    return one.hash == other.hash and any(seen.where.startswith("archive/") for seen in (one, other))


class Validation:
    """What is wrong with the tree at `root`. `errors`: it is not what the format says; `warnings`: it refers to what is
    not there; `notices`: it is well formed and wants attention, as `diagnose` tells."""

    def __init__(self, root: str, now: float) -> None:
        self._root = root
        self._now = now
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.notices: list[str] = []
        self._objects: dict[str, _Seen] = {}
        self._superseded: list[tuple[str, str]] = []
        self._decisions: dict[str, tuple[str, str]] = {}
        self._leases: dict[tuple[str, str], Fields] = {}

    def run(self) -> None:
        """Look at every file."""
        for file in _files(self._root, ""):
            self._look_at(file)
        for source, target in self._superseded:
            self._decisions.pop(target, None)
            if target not in self._objects:
                self.warnings.append(f"supersedes target missing: {source} -> {target}")
        self._look_at_keys()
        self._look_at_leases()

    def _look_at(self, file: str) -> None:
        place = tree.place(file)
        if os.path.islink(self._at(file)):
            self.errors.append(f"{file}: it is a link; no link is followed")
        elif place is not None:
            self._look_at_lines(file, place.zone, ledgers.read(self._at(file)))
            if not _ends(self._at(file)):
                self.errors.append(f"{file}: its last line is cut off")
        elif file.startswith("_meta/") and file.endswith(".json"):
            self._look_at_meta(file)
        elif file.startswith("archive/") and file.endswith(".gz"):
            self._look_at_archive(file)
        elif not _TEXTS.fullmatch(file):
            self.errors.append(f"{file}: it is not a file of this memory")

    def _look_at_lines(self, file: str, zone: str, lines: Iterable[Line]) -> None:
        check = {"streams": self._event, "bus": self._event, "views": self._object}.get(zone)
        for line in lines:
            where = f"{file}:{line.number}" if line.number else file
            if line.problem:
                self.errors.append(f"{where}: {line.problem}")
            else:
                self.errors += check(where, line.fields) if check else self._note(zone, where, line.fields)

    def _look_at_archive(self, file: str) -> None:
        from memferry.memory.lifecycle import archives  # knows how to unpack with care, which takes a while to load

        name = archives.ledger_of(file)
        place = tree.place(name) if name else None
        if place is None:
            self.errors.append(f"{file}: it is not an archive of this memory")
        else:
            self._look_at_lines(file, place.zone, archives.read(self._at(file)))

    def _look_at_meta(self, file: str) -> None:
        with open(self._at(file), "rb") as opened:
            problem = ledgers.decoded(opened.read(), 1, 0).problem
        if problem:
            self.errors.append(f"{file}: {problem}")

    # -- records

    def _event(self, where: str, fields: Fields) -> Iterator[str]:
        for problem in event_problems(fields):
            yield f"{where}: {problem}"

    def _object(self, where: str, fields: Fields) -> Iterator[str]:
        for problem in object_problems(fields):
            yield f"{where}: {problem}"
        id_ = fields.get("id")
        if not isinstance(id_, str):
            return
        seen = _Seen(where, str(fields.get("event_refs")), fields.get("hash"))
        known = self._objects.setdefault(id_, seen)
        if known != seen and not _is_made_twice(known, seen) and not _is_a_copy(known, seen):
            yield f"{where}: duplicate object id {id_}, which is at {known.where} already"
        if isinstance(supersedes := fields.get("supersedes"), str) and supersedes:
            self._superseded.append((id_, supersedes))
        evidence = fields.get("evidence_ref")
        if isinstance(evidence, str) and evidence and not os.path.exists(os.path.join(self._root, evidence)):
            self.warnings.append(f"missing evidence_ref for {id_}: {evidence}")
        if fields.get("type") == "decision" and fields.get("status") == "active" and fields.get("decision_key"):
            self._decisions[id_] = str(fields.get("scope")), str(fields["decision_key"])

    def _note(self, zone: str, where: str, fields: Fields) -> Iterator[str]:
        if problem := problem_of(zone, fields):
            yield f"{where}: {problem}"
        if "hash" in fields and fields["hash"] != content_hash(fields):
            yield f"{where}: hash mismatch"
        scope, key = fields.get("scope"), fields.get("key")
        if isinstance(scope, str) and isinstance(key, str) and "@" not in where:
            self._leases[scope, key] = fields

    # -- what wants attention

    def _look_at_keys(self) -> None:
        seen: dict[tuple[str, str], int] = {}
        for pair in self._decisions.values():
            seen[pair] = seen.get(pair, 0) + 1
        for (scope, key), number in seen.items():
            if number > 1:
                self.notices.append(f"duplicate active decision_key: scope={scope} key={key} count={number}")

    def _look_at_leases(self) -> None:
        for (scope, key), lease in self._leases.items():
            if lease.get("op") == "acquire" and str(lease.get("expires_at")) <= iso(self._now):
                self.notices.append(f"stale lease: scope={scope} key={key} instance={lease.get('instance_id')}")

    def _at(self, file: str) -> str:
        return os.path.join(self._root, *file.split("/"))


def event_problems(fields: Fields) -> Iterator[str]:
    """What the format says against an event."""
    yield from _missing(fields, REQUIRED_OF_EVENT)
    yield from _not_one_of(fields, {"schema_version": (EVENT,), "type": EVENT_TYPES, "visibility": VISIBILITIES})
    yield from _not_a(fields, {"payload": dict, "causal_refs": list, "lc": int})
    if not _is_time(fields.get("ts_wall")):
        yield "ts_wall is not an ISO time"
    if fields.get("hash") != content_hash(fields):
        yield "hash mismatch"
    if fields.get("idempotency_key") != idempotency_key(fields):
        yield "idempotency_key mismatch"


def object_problems(fields: Fields) -> Iterator[str]:
    """What the format says against an object."""
    yield from _missing(fields, REQUIRED_OF_OBJECT)
    yield from _not_one_of(fields, {
        "schema_version": (OBJECT,), "type": OBJECT_TYPES, "status": STATUSES, "horizon": HORIZONS,
        "salience": LEVELS, "visibility": VISIBILITIES,
    })  # fmt: skip
    yield from _not_a(fields, {"tags": list, "event_refs": list})
    confidence = fields.get("confidence")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        yield "confidence is not a number from 0 to 1"
    if not _is_time(fields.get("ts")):
        yield "ts is not an ISO time"
    for name in ("review_at", "due_at"):
        if name in fields and not is_date(fields[name]):
            yield f"{name} is not a date (YYYY-MM-DD)"
    if fields.get("hash") != content_hash(fields):
        yield "hash mismatch"


def _missing(fields: Fields, required: tuple[str, ...]) -> Iterator[str]:
    for name in required:
        if name not in fields:
            yield f"missing field: {name}"


def _not_one_of(fields: Fields, allowed: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for name, words in allowed.items():
        if fields.get(name) not in words:
            yield f"invalid {name}: {fields.get(name)}"


def _not_a(fields: Fields, kinds: dict[str, type]) -> Iterator[str]:
    for name, kind in kinds.items():
        if not isinstance(fields.get(name), kind):
            yield f"{name} is no {kind.__name__}"


def _is_time(value: Any) -> bool:
    try:
        seconds_of(value)
    except ValueError:
        return False
    return True


def _ends(path: str) -> bool:
    with open(path, "rb") as opened:
        opened.seek(0, os.SEEK_END)
        if opened.tell() == 0:
            return True
        opened.seek(-1, os.SEEK_END)
        return opened.read(1) == b"\n"


def _files(root: str, name: str) -> Iterator[str]:
    """Every file below, in the order of names. A link is named and not followed."""
    for entry in sorted(os.scandir(os.path.join(root, name)), key=lambda entry: entry.name):
        file = f"{name}/{entry.name}" if name else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(root, file)
        else:
            yield file


def validate(root: str, now: float, *, strict: bool) -> Fields:
    """The report; `ok` is false where there is an error, or a warning and `strict`."""
    found = Validation(root, now)
    if os.path.isdir(root):
        found.run()
    return {
        "ok": not found.errors and not (strict and found.warnings), "errors": found.errors,
        "warnings": found.warnings, "notices": found.notices, "error_count": len(found.errors),
        "warning_count": len(found.warnings), "notice_count": len(found.notices),
    }  # fmt: skip
