"""Long texts in stretches: what is found is a passage, what is shown is its record. Pure."""

from __future__ import annotations

LONGEST = 1200
"""Characters of a passage: about what the models read at once."""
_BREAKS = ("\n\n", "\n", "。", ". ", " ")


def split(text: str) -> list[str]:
    """At most LONGEST characters each, in order, nothing lost but blanks at the edges. The same text always gives the
    same passages."""
    if len(text) <= LONGEST:
        return [text]
    found = []
    start = 0
    while start < len(text):
        end = _end(text, start)
        found.append(text[start:end].strip())
        start = end
    return [passage for passage in found if passage] or [""]


def _end(text: str, start: int) -> int:
    """The best place to cut in the second half of what fits: between paragraphs, lines, sentences, words."""
    limit = start + LONGEST
    if limit >= len(text):
        return len(text)
    for mark in _BREAKS:
        at = text.rfind(mark, start + LONGEST // 2, limit)
        if at >= 0:
            return at + len(mark)
    return limit


def passages(head: str, text: str) -> list[str]:
    """Of a record, as they are searched: each with the record's title, speaker and date in front."""
    return [f"{head}: {piece}" if head else piece for piece in split(text)]
