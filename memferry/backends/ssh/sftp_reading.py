"""The contents of several files at once, each together with what the file was when it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from memferry.backends.ssh import sftp
from memferry.backends.ssh.sftp import Attributes, Garbled, Handle, Reply, Request, Status
from memferry.backends.ssh.sftp_client import Sftp

_LEAST_BYTES = 512
_MOST_CRUMBS = 3
"""A server that gives less at a time, other than at the end, does so to keep us busy."""


class Content(NamedTuple):
    """The bytes of a file, or the first of them, and its attributes: both of the very file that was open, whatever
    has been put under its name since somebody looked there."""

    there: Attributes
    data: bytes


def contents(
    conversation: Sftp, handles: Mapping[str, Handle], guesses: Mapping[str, int], most: int
) -> dict[str, Content | Status]:
    """Up to `most` bytes of each open file, or why they cannot be read. `guesses`: how large each one probably is. One
    round trip where the guesses are right and the server gives what it is asked for."""
    readings = {key: _Reading(handle, min(most, guesses[key]), most) for key, handle in handles.items()}
    chunk, crumbs = sftp.CHUNK_BYTES, 0
    while rest := [one for one in readings.values() if not one.done]:
        asked = [(one, part) for one in rest for part in one.parts(chunk)]
        answers = conversation.answers(one.request(part) for one, part in asked)
        for (one, part), reply in zip(asked, answers, strict=True):
            one.take(part, reply)
        least = min(one.least for one in rest)
        chunk, crumbs = max(_LEAST_BYTES, min(chunk, least)), crumbs + (least < _LEAST_BYTES)
        if crumbs > _MOST_CRUMBS:
            raise Garbled("it sends files in tiny pieces")
    return {key: one.result() for key, one in readings.items()}


class _Part(NamedTuple):
    at: int
    size: int


class _Reading:
    """One file, part by part. `least`: the smallest part that came short."""

    def __init__(self, handle: Handle, wanted: int, most: int) -> None:
        self._handle = handle
        self._wanted = wanted
        self._most = most
        self._data = bytearray()
        self._there: Attributes | None = None
        self._problem: Status | None = None
        self._ended = False
        self.least = sftp.CHUNK_BYTES

    @property
    def done(self) -> bool:
        if self._problem or self._ended:
            return True
        return self._there is not None and len(self._data) >= self._wanted

    def parts(self, chunk: int) -> Iterator[_Part | None]:
        """What to ask for next; None: what kind of file it is."""
        if self._there is None:
            yield None
        for at in range(len(self._data), self._wanted, chunk):
            yield _Part(at, min(chunk, self._wanted - at))

    def request(self, part: _Part | None) -> Request:
        return sftp.read(self._handle, *part) if part else sftp.fstat(self._handle)

    def take(self, part: _Part | None, reply: Reply) -> None:
        if isinstance(reply, Attributes):
            self._there, self._wanted = reply, min(self._most, reply.size)
        elif isinstance(reply, Status) and reply.code != sftp.EOF:
            self._problem = self._problem or reply
        elif part and part.at == len(self._data):  # else one before it came short, and both are asked for again
            self._add(reply if isinstance(reply, bytes) else b"", part.size)

    def _add(self, data: bytes, asked: int) -> None:
        self._data += data
        self._ended = not data
        if data and len(data) < asked:
            self.least = min(self.least, len(data))

    def result(self) -> Content | Status:
        if self._problem or self._there is None:
            return self._problem or Status(sftp.FAILURE)
        return Content(self._there, bytes(self._data[: self._most]))
