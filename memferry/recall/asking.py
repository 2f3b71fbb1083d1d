"""Asking the process that keeps the index open (`answering`): what is said, where it listens, and how to ask it.

Any trouble is no answer: whoever asks reads the index itself then. What is said is JSON and decoded into the types
below; `multiprocessing.connection` carries bytes here and pickles nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

import memferry
from memferry.config import Config
from memferry.recall.search import Answers, Wanted

if sys.platform == "win32":
    from multiprocessing.connection import Client, PipeConnection

    Line = PipeConnection
else:
    from multiprocessing.connection import Connection

    Line = Connection

NOTE = "answering.json"
"""In the state directory, readable by its owner alone."""
PATIENCE_S = 10
"""For an answer: a model may have to be loaded first."""
LONGEST_ANSWER = 1 << 28


class Note(NamedTuple):
    """Where it listens. `key`: whoever asks has read this file. `version`: of its memferry."""

    address: str
    key: str
    version: str


class Question(msgspec.Struct, frozen=True):
    """`settings`: the asker's for recall; an answer by others would not be the same."""

    key: str
    settings: str
    shareable: bool
    tier: str | None
    wanted: Wanted


encode = msgspec.json.Encoder().encode
_note = msgspec.json.Decoder(Note)
_answers = msgspec.json.Decoder(Answers | None)
"""None: refused. Asking the index itself also tells what is wrong."""


def ask(config: Config, wanted: Wanted, *, shareable: bool, tier: str | None) -> Answers | None:
    """None: nobody answers, or not in time."""
    try:
        note = _note.decode((config.state / NOTE).read_bytes())
        if note.version != memferry.__version__:
            return None
        question = Question(note.key, settings_of(config), shareable, tier, wanted)
        with contextlib.closing(connected(note.address)) as line:
            line.send_bytes(encode(question))
            return _answers.decode(line.recv_bytes(LONGEST_ANSWER)) if line.poll(PATIENCE_S) else None
    except (OSError, EOFError, msgspec.MsgspecError):
        return None


def settings_of(config: Config) -> str:
    """Of recall, without a secret."""
    return repr(config.recall)


def forget(state: Path, key: str) -> None:
    """Take the note away, unless it is another's by now."""
    path = state / NOTE
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        if _note.decode(path.read_bytes()).key == key:
            path.unlink()


if sys.platform == "win32":

    def connected(address: str) -> Line:
        """A line to it. Plain OSErrors."""
        return Client(address, "AF_PIPE")

    def limited(line: Line) -> Line:
        """A pipe has no limit of its own; whoever holds one end up holds up nobody but this user's questions."""
        return line

else:

    def connected(address: str) -> Line:
        """A line to it. Plain OSErrors, also where it does not accept in time."""
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(PATIENCE_S)
            one.connect(address)
            one.setblocking(True)
            return limited(Line(one.detach()))

    def limited(line: Line) -> Line:
        """The same; whoever stops amid a message is waited for no longer than PATIENCE_S."""
        with socket.socket(fileno=os.dup(line.fileno())) as one:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                one.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE_S, 0))
        return line
