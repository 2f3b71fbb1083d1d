"""Asking the process that keeps the index open (`answering`): what is said, where it listens, and how to ask it.

Any trouble is no answer: whoever asks reads the index itself then. What is said is JSON and decoded into the types
below.
"""

from __future__ import annotations

import contextlib

import msgspec

from memferry.config import Config
from memferry.recall.line import connected
from memferry.recall.meeting import noted
from memferry.recall.search import Answers, Wanted

NOTE = "answering.json"
"""In the state directory, readable by its owner alone."""
PATIENCE_S = 10
"""For an answer: a model may have to be loaded first."""
LONGEST_ANSWER = 1 << 28


class Question(msgspec.Struct, frozen=True):
    """`settings`: the asker's for recall; an answer by others would not be the same."""

    key: str
    settings: str
    shareable: bool
    tier: str | None
    wanted: Wanted


encode = msgspec.json.Encoder().encode
_answers = msgspec.json.Decoder(Answers | None)
"""None: refused. Asking the index itself also tells what is wrong."""


def ask(config: Config, wanted: Wanted, *, shareable: bool, tier: str | None) -> Answers | None:
    """None: nobody answers, or not in time."""
    note = noted(config.state / NOTE)
    if note is None:
        return None
    try:
        question = Question(note.key, settings_of(config), shareable, tier, wanted)
        with contextlib.closing(connected(note.address, PATIENCE_S)) as line:
            line.say(encode(question))
            answers: Answers | None = _answers.decode(line.hear(LONGEST_ANSWER, PATIENCE_S))
            return answers
    except (OSError, EOFError, msgspec.MsgspecError):
        return None


def settings_of(config: Config) -> str:
    """Of recall, without a secret."""
    return repr(config.recall)
