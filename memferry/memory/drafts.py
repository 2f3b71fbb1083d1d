"""What somebody wants to be learned, and the entry that becomes of it."""

from __future__ import annotations

import time
from typing import NamedTuple

from memferry.errors import ConfigError, ScannerBroken
from memferry.memory.arrays import Entry
from memferry.policies import harmless
from memferry.values import iso

LOOKS_SECRET = "it looks like it holds a secret ({}), so it was kept private: it never leaves this machine"
UNTOLD = "whether it holds a secret cannot be told ({}), so it was kept private: it never leaves this machine"


class Draft(NamedTuple):
    """What is to be learned. `importance`, `confidence`: 0 to 1."""

    content: str
    type: str = "fact"
    importance: float = 0.7
    confidence: float = 0.8
    sensitivity: str = "internal"
    tags: tuple[str, ...] = ()
    source: str = "learn"
    agent: str = "agent"


def entry_of(draft: Draft, now: float, random: bytes) -> Entry:
    """As it stands in a file. `now`: seconds since 1970; `random`: 6 bytes that make its id its own. Raises
    ConfigError for what cannot be kept."""
    if not draft.content.strip():
        raise ConfigError("there is nothing to learn: the content is empty", hint="give it with --content TEXT")
    stamp = iso(now)
    return {
        "id": f"{draft.type[:3]}-{time.strftime('%Y%m%d%H%M%S', time.gmtime(now))}-{random.hex()}",
        "agent": draft.agent,
        "type": draft.type,
        "content": draft.content,
        "importance": draft.importance,
        "confidence": draft.confidence,
        "sensitivity": draft.sensitivity,
        "tags": list(dict.fromkeys(draft.tags)),
        "source": draft.source,
        "access_count": 0,
        "last_accessed": stamp,
        "created_at": stamp,
        "updated_at": stamp,
    }


def careful(draft: Draft) -> tuple[Draft, str | None]:
    """The draft, private where it holds a secret or nobody can tell; then also why, without a word of its content."""
    said = " ".join((draft.content, *draft.tags, draft.source))
    if draft.sensitivity == "private" or harmless.is_harmless(said):
        return draft, None
    from memferry.policies import secrets  # takes longer than everything else here

    try:
        rules = sorted({finding.rule for text in (draft.content, said) for finding in secrets.found(text)})
    except ScannerBroken as error:
        return draft._replace(sensitivity="private"), UNTOLD.format(error)
    return (draft._replace(sensitivity="private"), LOOKS_SECRET.format(", ".join(rules))) if rules else (draft, None)
