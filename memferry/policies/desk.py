"""What becomes of findings: a person's decision counts, else the first rule of the user's that matches, else the record
is held. And cutting out of a record what is to be redacted; what is left is a record of its own, to be judged again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from memferry.model import Hold, Record
from memferry.policies import redact
from memferry.policies.contents import Contents, contents_of
from memferry.policies.findings import Scanner
from memferry.policies.labels import texts_of
from memferry.policies.redact import Marker, Stretch
from memferry.policies.rule import SECRETS, Do
from memferry.policies.rules import Rules

Decided: TypeAlias = Callable[[str, str], Do | None]
"""What a person decided about a secret (space, text); None: nothing."""
Reparse: TypeAlias = Callable[[Record, bytes], Record | None]
"""A record with another body, as its format reads it; None: that is not one record any more, or not under its name."""

NOT_CUT = Hold("redact.left", "what is to be cut out does not stand in one of its texts")


class Found(NamedTuple):
    """Something the scanner found: its `name`, and where in which text, which is number `number` of its group."""

    name: str
    start: int
    end: int
    text: str
    number: int = 0

    @property
    def secret(self) -> str:
        return self.text[self.start : self.end]


class Desk(NamedTuple):
    """Who decides. Without a scanner nothing is found, without a marker nothing is redacted but held."""

    rules: Rules = Rules()
    scanner: Scanner | None = None
    decided: Decided = lambda space, secret: None
    marker: Marker | None = None
    reparse: Reparse = lambda record, body: None

    # -- finding

    def find(self, groups: Sequence[Sequence[str]]) -> list[list[Found]]:
        """What stands in groups of texts: for each group, its findings. One call of the scanner for all of them."""
        found: list[list[Found]] = [[] for _ in groups]
        if self.scanner is None:
            return found
        places = [(group, number) for group, texts in enumerate(groups) for number in range(len(texts))]
        texts = [text for group in groups for text in group]
        for one in self.scanner.scan(texts) if texts else ():
            text = texts[one.text]
            if not redact.is_marker(text, one.start, one.end):
                group, number = places[one.text]
                found[group].append(Found(one.rule, one.start, one.end, text, number))
        return found

    def texts(self, record: Record) -> list[str]:
        """Everything that is looked at."""
        return texts_of(record) + ([] if record.around is None else texts_of(_surroundings(record)))

    # -- deciding

    def does(self, record: Record, contents: Contents, one: Found) -> tuple[Do, str]:
        """What becomes of a finding, and why."""
        decided = self.decided(record.source.space, one.secret)
        if decided is not None:
            return decided, "you decided so"
        rule = self.rules.decide(record, contents, one.name, one.secret)
        if rule is not None:
            return rule.do, rule.reason or f"your rule {rule.name} says so"
        return "hold", "it holds what should not leave"

    def verdict(self, record: Record, contents: Contents, found: Iterable[Found]) -> Hold | None:
        """The first finding that holds the record."""
        for one in found:
            do, why = self.does(record, contents, one)
            if do == "hold" or (do == "redact" and self.marker is None):
                return Hold(SECRETS + one.name, why)
        return None

    def is_to_be_cut(self, record: Record, contents: Contents, found: Iterable[Found]) -> bool:
        """Whether something is to be redacted. Ask when nothing holds the record."""
        if any(self.does(record, contents, one)[0] == "redact" for one in found):
            return True
        patterns = self.rules.cuts(record, contents) if self.rules.cut else ()
        return any(pattern.search(text) for pattern in patterns for text in self.texts(record))

    # -- redacting

    def without_blocks(self, record: Record) -> tuple[Record, tuple[str, ...]] | None:
        """A document without its `<private>` blocks, and these, where a rule wants that and it can be done."""
        if record.text is None or not self.rules.cuts_blocks(record, contents_of(record)):
            return None
        left = redact.without_blocks(record.body.decode())
        made = self.reparse(record, left.text.encode()) if left.cut else None
        return None if made is None else (_marked(made), left.cut)

    def cut(self, records: Sequence[Record]) -> list[Record | None]:
        """Each record with what is to be redacted cut out; None where that cannot be done."""
        sources = [_texts_of_body(record) for record in records]
        found = self.find([texts for _, texts in sources])
        return [self._cut(*one) for one in zip(records, sources, found, strict=True)]

    def _cut(self, record: Record, source: _Source, found: Sequence[Found]) -> Record | None:
        contents = contents_of(record)
        stretches = self._matches(record, contents, source.texts)
        for one in found:
            if self.does(record, contents, one)[0] == "redact":
                stretches[one.number].append(Stretch(one.start, one.end, one.name))
        body = self._rewritten(record, source, stretches)
        made = self.reparse(record, body.encode())
        return None if made is None or made.body == record.body else _marked(made)

    def _matches(self, record: Record, contents: Contents, texts: Sequence[str]) -> list[list[Stretch]]:
        """What the user's own patterns match in each text."""
        patterns = self.rules.cuts(record, contents) if self.rules.cut else ()
        return [[Stretch(*hit.span(), redact.OWN) for one in patterns for hit in one.finditer(text)] for text in texts]

    def _rewritten(self, record: Record, source: _Source, stretches: Sequence[Sequence[Stretch]]) -> str:
        assert self.marker is not None
        space = record.source.space
        if source.literals is None:
            return redact.cut(source.texts[0], space, stretches[0], self.marker)
        raw = record.body.decode()
        changed = [
            (literal, redact.cut_literal(raw, space, literal, some, self.marker))
            for literal, some in zip(source.literals, stretches, strict=True)
            if some
        ]
        return redact.put_together(raw, changed)

    def judge_again(self, records: Sequence[Record]) -> list[Hold | None]:
        """Whether what was to be cut out is gone from what would be sent."""
        found = self.find([self.texts(record) for record in records])
        return [
            NOT_CUT if self.verdict(record, contents, some) or self.is_to_be_cut(record, contents, some) else None
            for record, some in zip(records, found, strict=True)
            for contents in [contents_of(record)]
        ]


class _Source(NamedTuple):
    """The texts of a body that can be cut. `literals`: where they stand in JSON, None for a document."""

    literals: Sequence[redact.Literal] | None
    texts: list[str]


def _texts_of_body(record: Record) -> _Source:
    if record.text is not None:
        return _Source(None, [record.body.decode()])
    literals = list(redact.literals(record.body.decode()))
    return _Source(literals, [one.text for one in literals])


def _surroundings(record: Record) -> Record:
    assert record.around is not None
    return msgspec.structs.replace(record, body=record.around.body, fields=record.around.fields, around=None)


def _marked(record: Record) -> Record:
    return msgspec.structs.replace(record, redacted=True)
