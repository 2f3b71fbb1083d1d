"""Long texts in stretches: what is found is a passage, what is shown is its record. Pure."""

from __future__ import annotations

from memferry.cutting import stretches

LONGEST = 1200
"""Characters of a passage: about what the models read at once."""


def split(text: str) -> list[str]:
    """At most LONGEST characters each, in order, nothing lost but blanks at the edges. The same text always gives the
    same passages."""
    if len(text) <= LONGEST:
        return [text]
    return [passage for one in stretches(text, LONGEST) if (passage := one.strip())] or [""]


def passages(head: str, text: str) -> list[str]:
    """Of a record, as they are searched: each with the record's title, speaker and date in front."""
    return [f"{head}: {piece}" if head else piece for piece in split(text)]
