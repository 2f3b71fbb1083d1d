"""What a record says, taken from its fields in one walk: its objects, the ids it gives as names, its texts.

Which keys name records (`event_refs`, `supersedes`, `source_event_id`, `parentUuid`, ...) and which are labels, their
shape tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from memferry.model import Record
from memferry.policies.letters import is_prose
from memferry.policies.shapes import Shape, shape_of

SHORTEST = 8
"""Characters; what is shorter is neither an id worth finding in a text nor a sentence."""
LONGEST_TIME = 39
"""Characters of ASCII; what is longer and stands where a time or a type belongs may be a sentence."""
_IDS = frozenset({str, int})


class Contents(msgspec.Struct, frozen=True, gc=False):
    """`objects`: at any depth, the outermost first; `telling`: those of them that may say who may see them. `names`:
    values that name records. `texts`: all other strings that are long enough to matter, keys that are sentences too; of
    silent keys only what may be a sentence. A document's text stands first."""

    objects: list[Mapping[object, object]]
    telling: list[tuple[Mapping[object, object], Shape]]
    names: list[str]
    texts: list[str]

    def with_those_of(self, other: Contents) -> Contents:
        objects, telling = self.objects + other.objects, self.telling + other.telling
        return Contents(objects, telling, self.names + other.names, self.texts + other.texts)

    def with_text(self, text: str) -> Contents:
        """As if it said this, too."""
        if not is_prose(text):
            return self
        return Contents(self.objects, self.telling, self.names, [*self.texts, text])


NOTHING = Contents([], [], [], [])


def contents_of(record: Record) -> Contents:
    """Its fields at any depth, and its text."""
    objects: list[Mapping[object, object]] = []
    telling: list[tuple[Mapping[object, object], Shape]] = []
    names: list[str] = []
    texts = [] if record.text is None else [record.text]
    pending: list[object] = [record.fields]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            objects.append(value)
            shape = shape_of(value)
            if shape.tells:
                telling.append((value, shape))
            for key in shape.naming:
                _collect(value[key], names, pending)
            for child in map(value.__getitem__, shape.silent):
                if type(child) is str:
                    if (len(child) > LONGEST_TIME or not child.isascii()) and is_prose(child):
                        texts.append(child)
                elif type(child) is dict or type(child) is list:
                    pending.append(child)
            if shape.said:
                texts += shape.said
            children: Iterable[object] = map(value.__getitem__, shape.speaking)
        elif type(value) is list:
            children = value
        else:
            children = (value,)
        for child in children:
            if type(child) is str:
                if len(child) >= SHORTEST:
                    texts.append(child)
            elif type(child) is dict or type(child) is list:
                pending.append(child)
    return Contents(objects, telling, names, texts)


def around_of(record: Record) -> Record | None:
    """What surrounds an entry and speaks for it, as a record of its own."""
    around = record.around
    if around is None:
        return None
    return Record(record.source, record.key, record.digest, around.body, record.start, around.fields)


def _collect(value: object, names: list[str], pending: list[object]) -> None:
    if type(value) is str:
        names.append(value)
    elif type(value) is list:
        names += [str(child) for child in value if type(child) in _IDS]
        pending += [child for child in value if type(child) is dict or type(child) is list]
    elif type(value) is dict:
        pending.append(value)
    elif type(value) is int:
        names.append(str(value))
