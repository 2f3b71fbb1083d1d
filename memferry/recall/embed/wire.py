"""What a worker is asked and answers: frames over its stdin and stdout, each a length in 4 bytes and MessagePack."""

from __future__ import annotations

from typing import IO, TypeAlias, TypeVar

import msgspec

from memferry.embedder import Model
from memferry.recall.embed.registry import Choice

LONGEST = 1 << 30


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Tagged by the name of its class."""


class Start(Message, frozen=True):
    """The first: which model, and after how many seconds without a question the worker ends."""

    choice: Choice
    idle_s: float


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


Request: TypeAlias = Start | Describe | EmbedDocuments | EmbedQuery | Read | Nearest | Compare
Answer: TypeAlias = Described | Vectors | Readings | Scored | Failed
_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(Request)
_answers = msgspec.msgpack.Decoder(Answer)


def send(stream: IO[bytes], message: Message) -> None:
    """OSError: nobody listens."""
    body = _encode(message)
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
