"""What a look into texts for secrets and personal data gives back."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """A stretch of one text that should not leave: characters `start`..`end`, half-open, of text number `text`.

    `rule`: the name that a person sees and rules can match, lower case with dashes (`aws-access-key`, `password`,
    `email`). A secret that lies in the text in disguise (encoded, split) spans what hides it.
    """

    text: int
    rule: str
    start: int
    end: int


TOO_LARGE = "too-large"
"""Found where there is too much to look at in time."""
