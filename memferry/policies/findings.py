"""What a look into texts for secrets and personal data gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Finding(NamedTuple):
    """A stretch of one text that should not leave: characters `start`..`end`, half-open, of text number `text`.

    `rule`: the name that a person sees and rules can match, lower case with dashes (`aws-access-key`, `password`,
    `email`). A secret that lies in the text in disguise (encoded, split) spans what hides it.
    """

    text: int
    rule: str
    start: int
    end: int


class Scanner(Protocol):
    """Looks for what should not leave. The same texts give the same findings."""

    def scan(self, texts: Sequence[str]) -> Sequence[Finding]:
        """All findings, by text and start. One call for many texts: engines are fast on much and slow on little.
        Raises ScannerBroken where it cannot do its work: then nothing may leave."""
        ...
