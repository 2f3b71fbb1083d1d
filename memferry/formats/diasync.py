"""DiaSync memory (`.memory/`): append-only streams, shared events, views, and the texts derived from them.

```
_meta/*_event_ids.jsonl                                     which events were worked on: of this machine
_meta/*.json                                                what the memory is: read as documents
streams/ bus/ views/ governance/ coordination/   *.jsonl    ledgers; coordination/cursors of this machine
projects/ views/attach/                    *.jsonl *.md     derived from the ledgers
archive/                                      *.jsonl.gz    ledgers that were put away
index/                                                      rebuilt by the tool: never carried
evidence/                                                   carried only where the configuration includes it
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memferry.formats.base import Kind
from memferry.formats.document import Documents
from memferry.formats.ledger import JsonLines

NAME = "diasync"
DOCUMENT = "document"
LEDGERS = frozenset({"streams", "bus", "views", "governance", "coordination"})
DERIVED = frozenset({"projects", "views", "governance"})
OF_THIS_MACHINE = frozenset({"coordination/cursors.jsonl"})
IDS = {"diasync-v1-event": "event_id", "diasync-v1-object": "id"}


def own_id(fields: Mapping[str, object]) -> str | None:
    """The id of an event or an object. Other lines are notes about these: several may share an id, so none is a key."""
    schema = fields.get("schema_version")
    name = IDS.get(schema) if type(schema) is str else None
    if name is None:
        return None
    value = fields.get(name)
    return value if type(value) is str and value else None


class Diasync:
    """The memory of one repository."""

    name = NAME

    def recognises(self, names: Sequence[str]) -> bool:
        return {"streams/", "bus/"} <= set(names) or {"_meta/", "views/"} <= set(names)

    def kind(self, file: str) -> Kind | None:
        top, _, rest = file.partition("/")
        if any(part.startswith(".") for part in file.split("/")):
            return None
        if top == "_meta":
            return _meta(rest)
        if top == "archive":
            return _LEDGER if file.endswith((".jsonl", ".jsonl.gz")) else None
        if file.endswith(".jsonl"):
            return _ledger(top, file)
        return _COPY if top in DERIVED and file.endswith(".md") else None


def _meta(name: str) -> Kind | None:
    if name.endswith("_event_ids.jsonl"):
        return _WORKED_ON
    return _TEXT if name.endswith(".json") else None


def _ledger(top: str, file: str) -> Kind | None:
    if file in OF_THIS_MACHINE:
        return _LOCAL
    if top in LEDGERS:
        return _LEDGER
    return _AGENDA if top in DERIVED else None


_LINES = JsonLines(own_id)
_TEXTS = Documents()
_LEDGER = Kind(NAME, _LINES)
_LOCAL = Kind(NAME, _LINES, local=True)
_AGENDA = Kind(NAME, _LINES, derived=True)
_WORKED_ON = Kind(NAME, _LINES, derived=True, local=True)
_TEXT = Kind(DOCUMENT, _TEXTS)
_COPY = Kind(DOCUMENT, _TEXTS, derived=True)

FORMAT = Diasync()
