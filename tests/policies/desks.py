"""What several tests of rules and redaction need: a search that is simple enough to be sure of, and a desk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from memferry.config import rulestext, yamltext
from memferry.config.node import Node
from memferry.formats import registry
from memferry.formats.again import with_body
from memferry.model import Record
from memferry.policies.base import Held, Kept, Search
from memferry.policies.chain import judge
from memferry.policies.desk import Desk
from memferry.policies.findings import Finding
from memferry.policies.redact import Marker
from memferry.policies.rule import Do
from memferry.policies.rules import Rules
from memferry.policies.strings import strings_of
from tests.policies.held import FINGERPRINT, MemoryKnown

SHAPES = {
    "password": r"(?i)(?:password|passwd|口令)\s*[:=]\s*(\S+)",
    "aws-access-key": r"(AKIA[0-9A-Z]{16})",
    "email": r"([\w.]+@[\w.]+\.\w+)",
}


def search(records: Sequence[Record]) -> Mapping[int, Sequence[Finding]]:
    """Finds passwords, AWS keys and mail addresses, in keys too."""
    found: dict[int, list[Finding]] = {}
    for number, record in enumerate(records):
        for text, one in enumerate(strings_of(record)):
            for rule, shape in SHAPES.items():
                for hit in re.finditer(shape, one.value):
                    found.setdefault(number, []).append(Finding(text, rule, *hit.span(1)))
    return found


def rules(text: str) -> Rules:
    """From YAML."""
    from pathlib import Path

    document = yamltext.parse(text, "rules.yaml")
    return Rules(rulestext.rules(Node(document.value, "", document.lines, Path("rules.yaml"))))


def reparse(record: Record, body: bytes) -> Record | None:
    kind = registry.by_name(record.source.format).kind(record.source.file)
    assert kind is not None
    return with_body(kind, record, body)


def desk(
    text: str = "[]",
    decided: Callable[[str, str], Do | None] = lambda space, secret: None,
    search: Search | None = search,
) -> Desk:
    """With these rules, the search above and a marker."""
    return Desk(rules(text), search, decided, Marker(b"k" * 32), reparse)


def judged(records: Sequence[Record], at: Desk, known: MemoryKnown | None = None) -> list[Kept | Held]:
    return judge(records, known or MemoryKnown(), FINGERPRINT, desk=at)


def verdicts(records: Sequence[Record], at: Desk) -> list[str]:
    """The rule that holds each record; `redacted`, or `leaves`."""
    return [
        one.verdict.rule if isinstance(one, Held) else "redacted" if one.record.redacted else "leaves"
        for one in judged(records, at)
    ]


redacting = partial(desk, "[{name: all, do: redact, finding: '*'}]")


def without_digits(text: str) -> str:
    """Markers as they are on every machine."""
    return re.sub(r"(\[redacted:[a-z-]+):[0-9a-f]{6}\]", r"\1]", text)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
