"""The contents of several files at once, each together with what the file was when it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from memferry.backends import sftp
from memferry.backends.sftp import Attributes, Garbled, Handle, Reply, Request, Sftp, Status

_LEAST_BYTES = 512
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
    chunk = sftp.CHUNK_BYTES
    while rest := [one for one in readings.values() if not one.done]:
        asked = [(one, at, request) for one in rest for at, request in one.requests(chunk)]
        answers = conversation.answers(request for _, _, request in asked)
        for (one, at, _), reply in zip(asked, answers, strict=True):
            one.take(at, reply)
        chunk = min(chunk, *(one.least for one in rest))
        if chunk < _LEAST_BYTES:
            raise Garbled("it gives files in crumbs")
    return {key: one.result() for key, one in readings.items()}


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

    def requests(self, chunk: int) -> Iterator[tuple[int | None, Request]]:
        if self._there is None:
            yield None, sftp.fstat(self._handle)
        for at in range(len(self._data), self._wanted, chunk):
            yield at, sftp.read(self._handle, at, min(chunk, self._wanted - at))

    def take(self, at: int | None, reply: Reply) -> None:
        if isinstance(reply, Attributes):
            self._there, self._wanted = reply, min(self._most, reply.size)
        elif isinstance(reply, Status) and reply.code != sftp.EOF:
            self._problem = self._problem or reply
        elif at == len(self._data):  # else a part before it came short, and both are asked for again
            self._add(reply if isinstance(reply, bytes) else b"")

    def _add(self, part: bytes) -> None:
        self._data += part
        self._ended = not part
        left = self._wanted - len(self._data)
        if part and left > 0 and len(part) < sftp.CHUNK_BYTES:
            self.least = min(self.least, len(part))

    def result(self) -> Content | Status:
        if self._problem or self._there is None:
            return self._problem or Status(sftp.FAILURE)
        return Content(self._there, bytes(self._data[: self._most]))
