"""What becomes of findings: a person's decision counts, else the first rule of the user's that matches, else the record
is held. And cutting out of a record what is to be redacted; what is left is a record of its own, to be judged again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from memferry.model import Hold, Record
from memferry.policies import hashes, redact, telling
from memferry.policies.base import Search
from memferry.policies.contents import Contents, contents_of
from memferry.policies.findings import TOO_LARGE
from memferry.policies.redact import Literal, Marker, Stretch
from memferry.policies.rule import SECRETS, Do
from memferry.policies.rules import Pattern, Rules, Texts
from memferry.policies.strings import ELSEWHERE, String, strings_of

Decided: TypeAlias = Callable[[str, str], Do | None]
"""What a person decided about a secret (space, text); None: nothing."""
Reparse: TypeAlias = Callable[[Record, bytes], Record | None]
"""A record with another body, as its format reads it; None: that is not one record any more, or not under its name."""

DECIDED = "you decided so"
"""Why something is held that a person wants to keep."""
NOT_CUT = Hold("redact.left", "what is to be cut out does not stand in a text of it that can be changed")
TOLD = Hold("redact.left", "a hash in it would let guesses of what is cut out be tested")
UNSEARCHED = "there is too much in it to look for secrets in time"
CONTEXT = 40
"""Characters shown on either side of a finding."""


class Found(NamedTuple):
    """Something that was found: its `name`, and where in which text, which is number `number` of its record's strings;
    ELSEWHERE: beside the record, and no text is given."""

    name: str
    start: int
    end: int
    text: str
    number: int = 0

    @property
    def secret(self) -> str:
        return self.text[self.start : self.end]


def masked(found: Found) -> str:
    """The finding's surroundings on one line, with little of itself: enough to know it again."""
    shown = found.secret[:2] if len(found.secret) >= 8 else ""
    before = found.text[max(0, found.start - CONTEXT) : found.start]
    after = found.text[found.end : found.end + CONTEXT]
    return " ".join(f"{before}{shown}•••{after}".split())


class Desk(NamedTuple):
    """Who decides. Without a search nothing is found, without a marker nothing is redacted but held."""

    rules: Rules = Rules()
    search: Search | None = None
    decided: Decided = lambda space, secret: None
    marker: Marker | None = None
    reparse: Reparse = lambda record, body: None

    # -- finding

    def find(self, records: Sequence[Record]) -> list[list[Found]]:
        """What stands in each record that should not leave; what is left of a redaction does not count."""
        found: list[list[Found]] = [[] for _ in records]
        for number, findings in self.search(records).items() if self.search and records else ():
            strings = strings_of(records[number]) if any(one.text != ELSEWHERE for one in findings) else []
            for one in findings:
                if one.text == ELSEWHERE:
                    found[number].append(Found(one.rule, 0, 0, "", ELSEWHERE))
                elif not redact.is_marker(text := strings[one.text].value, one.start, one.end):
                    found[number].append(Found(one.rule, one.start, one.end, text, one.text))
        return found

    # -- deciding

    def does(self, record: Record, contents: Contents, one: Found) -> tuple[Do, str]:
        """What becomes of a finding, and why."""
        decided = self.decided(record.source.space, one.secret) if one.number != ELSEWHERE else None
        if decided is not None:
            return decided, DECIDED
        rule = self.rules.decide(record, contents, one.name, one.secret)
        if rule is not None:
            return rule.do, rule.reason or f"your rule {rule.name} says so"
        return "hold", UNSEARCHED if one.name == TOO_LARGE else "it holds what looks like a secret"

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
        texts = Texts(record)
        return any(
            bool(_hits(one, record.source.file)) or (texts.have(one) and any(_hits(one, text) for text in texts.each))
            for one in patterns
        )

    # -- redacting

    def without_blocks(self, record: Record) -> tuple[Record, tuple[str, ...]] | None:
        """A document without its `<private>` blocks, and these, where a rule wants that and it can be done."""
        if record.text is None or not self.rules.cuts_blocks(record, contents_of(record)):
            return None
        left = redact.without_blocks(record.body.decode())
        made = self.reparse(record, left.text.encode()) if left.cut else None
        return None if made is None or telling.tells(made, record, left.cut) else (_marked(made), left.cut)

    def cut(self, record: Record, found: Sequence[Found]) -> Record | Hold:
        """The record with what is to be redacted cut out; a verdict where that cannot be done."""
        contents, strings = contents_of(record), strings_of(record)
        stretches = self._matches(record, contents, strings)
        for one in found:
            if self.does(record, contents, one)[0] == "redact":
                stretches.setdefault(one.number, []).append(Stretch(one.start, one.end, one.name))
        body = self._rewritten(record, strings, stretches)
        made = None if body is None else self.reparse(record, body.encode())
        made = made and self._with_its_own_hashes(made)
        if made is None or made.body == record.body:
            return NOT_CUT
        secrets = [strings[number].value[one.start : one.end] for number, some in stretches.items() for one in some]
        return TOLD if telling.tells(made, record, secrets) else _marked(made)

    def _with_its_own_hashes(self, record: Record) -> Record | None:
        """A DiaSync record whose hashes are of what is left of it."""
        renewed, raw, strings = hashes.renewed(record.fields), record.body.decode(), strings_of(record)
        places = _places(record, strings, raw) if renewed else {}
        if places is None:
            return None
        numbers = {one.path[0]: number for number, one in enumerate(strings) if len(one.path) == 1 and not one.key}
        changed = [(places[numbers[name]], json.dumps(value)) for name, value in renewed.items()]
        return self.reparse(record, redact.put_together(raw, sorted(changed)).encode()) if changed else record

    def _matches(self, record: Record, contents: Contents, strings: Sequence[String]) -> dict[int, list[Stretch]]:
        """What the user's own patterns match, by the number of the string."""
        found: dict[int, list[Stretch]] = {}
        for pattern in self.rules.cuts(record, contents) if self.rules.cut else ():
            for number, one in enumerate(strings):
                if hits := _hits(pattern, one.value):
                    found.setdefault(number, []).extend(hits)
        return found

    def _rewritten(
        self, record: Record, strings: Sequence[String], stretches: Mapping[int, Sequence[Stretch]]
    ) -> str | None:
        """None: something is to be cut out of what is no text, such as a key or a number."""
        assert self.marker is not None
        raw, space = record.body.decode(), record.source.space
        if record.text is not None:
            return redact.cut(raw, space, stretches.get(0, ()), self.marker)
        places = _places(record, strings, raw)
        if places is None or not stretches.keys() <= places.keys():
            return None
        return redact.put_together(raw, [
            (places[number], redact.cut_literal(raw, space, places[number], stretches[number], self.marker))
            for number in sorted(stretches)
        ])  # fmt: skip

    def judge_again(self, records: Sequence[Record]) -> list[Hold | None]:
        """Whether what was to be cut out is gone from what would be sent."""
        return [
            NOT_CUT if self.verdict(record, contents, found) or self.is_to_be_cut(record, contents, found) else None
            for record, found in zip(records, self.find(records), strict=True)
            for contents in [contents_of(record)]
        ]


def _hits(pattern: Pattern, text: str) -> list[Stretch]:
    """Where a pattern of the user's matches, but for what was redacted already."""
    spans = [hit.span() for hit in pattern.finditer(text)]
    return [Stretch(*span, redact.OWN) for span in spans if not redact.is_marker(text, *span)]


def _places(record: Record, strings: Sequence[String], raw: str) -> dict[int, Literal] | None:
    """Where the strings that are values stand in the JSON; None where the two do not agree."""
    values = [number for number, one in enumerate(strings) if not one.key and isinstance(_at(record, one), str)]
    found = list(redact.literals(raw))
    if [strings[number].value for number in values] != [one.text for one in found]:
        return None
    return dict(zip(values, found, strict=True))


def _at(record: Record, one: String) -> object:
    value: object = record.fields
    for step in one.path:
        value = value[step]  # type: ignore[index]
    return value


def _marked(record: Record) -> Record:
    return msgspec.structs.replace(record, redacted=True)
