"""What the process of a model is asked and answers: MessagePack, a message a time.

It is started with `Start` on its stdin and says on its stdout where it listens, each behind a length of 4 bytes.
Whoever wants it connects there and says `Hello`; what follows are questions, an answer each.
"""

from __future__ import annotations

from typing import IO, TypeAlias, TypeVar

import msgspec

from memferry.embedder import Model
from memferry.recall.embed.registry import Choice
from memferry.recall.line import Line

LONGEST = 1 << 30
NOTE = "model.json"
"""In the folder of `Start`, readable by its owner alone: where the process listens."""


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Tagged by the name of its class."""


class Start(Message, frozen=True):
    """Which model, after how many seconds without a question it ends, and where others find it. -> Listening"""

    choice: Choice
    idle_s: float
    folder: str | None


class Hello(Message, frozen=True):
    """The first on a line. No answer, but the end of the line, to whoever has another key or wants another model.
    -> Welcome"""

    key: str
    choice: Choice


class Leave(Message, frozen=True):
    """The last on a line. It is answered at once, whatever the model is at. -> Left"""


class Describe(Message, frozen=True):
    """Load the model and tell which it is. -> Described"""


class EmbedDocuments(Message, frozen=True):
    """-> Vectors"""

    texts: list[str]


class EmbedQuery(Message, frozen=True):
    """-> Vectors, of one row"""

    text: str


class Read(Message, frozen=True):
    """Texts, to be stored. -> Readings"""

    texts: list[str]


class Nearest(Message, frozen=True):
    """The passages of some stores whose vectors are the nearest to that of a text. -> Scored"""

    stores: list[str]
    text: str
    limit: int


class Compare(Message, frozen=True):
    """A text with passages of some stores, one by one; those without a vector are left out. -> Scored"""

    stores: list[str]
    text: str
    ids: list[int]


class Listening(Message, frozen=True):
    """Where, and the key for `Hello`."""

    address: str
    key: str


class Welcome(Message, frozen=True):
    """To `Hello`."""


class Left(Message, frozen=True):
    """`alone`: nobody else is there, so the process ends."""

    alone: bool


class Described(Message, frozen=True):
    """`tokens`: it compares token by token."""

    model: Model
    tokens: bool


class Vectors(Message, frozen=True):
    """Rows of float32, one after the other."""

    rows: bytes


class Readings(Message, frozen=True):
    """As `base.packed_vector` and `base.packed_tokens` make them, in the order of the texts."""

    packed: list[tuple[bytes, bytes]]


class Scored(Message, frozen=True):
    """Passage ids and as many scores; none where the model has nothing to say about the text."""

    ids: list[int]
    scores: list[float]


class Failed(Message, frozen=True):
    """An EmbedderBroken in the worker."""

    problem: str
    hint: str


Request: TypeAlias = Start | Hello | Leave | Describe | EmbedDocuments | EmbedQuery | Read | Nearest | Compare
Answer: TypeAlias = Listening | Welcome | Left | Described | Vectors | Readings | Scored | Failed
_T = TypeVar("_T")
encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(Request)
_answers = msgspec.msgpack.Decoder(Answer)


def asked(line: Line, request: Request, patience_s: float | None = None) -> Answer:
    """None: as long as it takes. Raises OSError, EOFError, msgspec.MsgspecError."""
    line.say(encode(request))
    answered: Answer = _answers.decode(line.hear(LONGEST, patience_s))
    return answered


def heard(line: Line) -> Request:
    """The next, whenever it comes. Raises likewise."""
    found: Request = _requests.decode(line.hear(LONGEST, None))
    return found


# -- before there is a line


def send(stream: IO[bytes], message: Message) -> None:
    """OSError: nobody listens."""
    body = encode(message)
    stream.write(len(body).to_bytes(4, "big") + body)
    stream.flush()


def request(stream: IO[bytes]) -> Request | None:
    """The next; None at the end."""
    return _next(stream, _requests)


def answer(stream: IO[bytes]) -> Answer | None:
    """The next; None at the end."""
    return _next(stream, _answers)


def _next(stream: IO[bytes], decoder: msgspec.msgpack.Decoder[_T]) -> _T | None:
    head = stream.read(4)
    length = int.from_bytes(head, "big")
    if len(head) < 4 or length > LONGEST:
        return None
    body = stream.read(length)
    return decoder.decode(body) if len(body) == length else None
