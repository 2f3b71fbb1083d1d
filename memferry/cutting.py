"""Long texts in stretches. Pure."""

from __future__ import annotations

from collections.abc import Iterator

_BREAKS = ("\n\n", "\n", "。", ". ", " ")


def stretches(text: str, longest: int) -> Iterator[str]:
    """At most `longest` characters each, in order, nothing lost; an empty text is one. The same text always gives the
    same."""
    start = 0
    while (limit := start + longest) < len(text):
        end = _end(text, start + longest // 2, limit)
        yield text[start:end]
        start = end
    yield text[start:]


def _end(text: str, earliest: int, limit: int) -> int:
    """The best place to cut: between paragraphs, lines, sentences, words."""
    for mark in _BREAKS:
        at = text.rfind(mark, earliest, limit)
        if at >= 0:
            return at + len(mark)
    return limit
