"""A finding that took the first word of the next line with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from memferry.policies.findings import Finding

_WORD = re.compile(r"[\s>#*|-]*\n[\s>#*|-]*[A-Z]?[a-z]*")


def without_overrun(text: str, findings: Sequence[Finding]) -> list[Finding]:
    """Without those that are another one and the first word of the next line: where lines are joined, nothing parts the
    two. A redaction would cut out that word, and a decision would not survive an edit of that line."""
    ends: dict[tuple[int, str], list[int]] = {}
    for one in findings:
        ends.setdefault((one.start, one.rule), []).append(one.end)
    return [one for one in findings if not _runs_over(text, one, ends[one.start, one.rule])]


def _runs_over(text: str, one: Finding, ends: Sequence[int]) -> bool:
    return any(end < one.end and _WORD.fullmatch(text, end, one.end) for end in ends)
