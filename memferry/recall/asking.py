"""Asking the process that keeps the index open (`answering`): what is said, where it listens, and how to ask it.

Any trouble is no answer: whoever asks reads the index itself then. What is said is JSON and made into the types
below, by the standard library: msgspec takes 0.1 ms less for both, and would be an eighth of the process that answers.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, NamedTuple

from memferry.config import Config
from memferry.recall.line import connected
from memferry.recall.lookup import Filters
from memferry.recall.meeting import noted
from memferry.recall.search import Answers, Hit, Wanted

NOTE = "answering.json"
"""In the state directory, readable by its owner alone."""
PATIENCE_S = 10
"""For an answer: a model may have to be loaded first."""
LONGEST_ANSWER = 1 << 28

_json = json.JSONEncoder(check_circular=False).encode
_TUPLES = [Hit._fields.index(name) for name in ("tags", "origins")]
"""JSON knows no tuples."""


class Question(NamedTuple):
    """`settings`: the asker's for recall; an answer by others would not be the same."""

    key: str
    settings: str
    shareable: bool
    tier: str | None
    wanted: Wanted


def encode(said: Question | Answers | None) -> bytes:
    """As `question_in` and `answers_in` read it."""
    return _json(said).encode()


def question_in(said: bytes) -> Question:
    """ValueError: it is something else, whoever says it."""
    try:
        key, settings, shareable, tier, (query, limit, filters) = json.loads(said)
        question = Question(key, settings, shareable, tier, Wanted(query, limit, Filters(*filters)))
    except (TypeError, RecursionError) as error:
        raise ValueError("this is no question") from error
    texts = all(isinstance(one, str) for one in (key, settings, query))
    perhaps = all(one is None or isinstance(one, str) for one in (tier, *filters))
    if not (texts and perhaps and isinstance(shareable, bool) and type(limit) is int):
        raise ValueError("this is no question")
    return question


def answers_in(said: bytes) -> Answers | None:
    """None: refused; asking the index itself also tells what is wrong. ValueError, TypeError: it is something else."""
    found = json.loads(said)
    if found is None:
        return None
    hits, notices = found
    return Answers([_hit(one) for one in hits], tuple(notices))


def _hit(said: list[Any]) -> Hit:
    for place in _TUPLES:
        said[place] = tuple(said[place])
    return Hit(*said)


def ask(config: Config, wanted: Wanted, *, shareable: bool, tier: str | None) -> Answers | None:
    """None: nobody answers, or not in time."""
    note = noted(config.state / NOTE)
    if note is None:
        return None
    try:
        question = Question(note.key, settings_of(config), shareable, tier, wanted)
        with contextlib.closing(connected(note.address, PATIENCE_S)) as line:
            line.say(encode(question))
            return answers_in(line.hear(LONGEST_ANSWER, PATIENCE_S))
    except (OSError, EOFError, ValueError, TypeError):
        return None


def settings_of(config: Config) -> str:
    """Of recall, without a secret."""
    return repr(config.recall)
