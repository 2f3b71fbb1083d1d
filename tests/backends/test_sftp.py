"""SFTP with a server that says anything at all. What a good one says, the tests of the store show."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.backends.ssh import errors, sftp
from memferry.backends.ssh.sftp import Attributes, Garbled, Handle, Status
from memferry.backends.ssh.sftp_client import AHEAD, Sftp
from memferry.backends.ssh.sftp_reading import Content, contents
from memferry.errors import AccessDenied


class Script:
    """A channel on which everything that will ever be said is known. `crumb`: bytes given at a time."""

    def __init__(self, *packets: bytes, crumb: int = 1 << 20) -> None:
        welcome = bytes([2]) + struct.pack(">I", 3)
        self._left = b"".join(struct.pack(">I", len(packet)) + packet for packet in (welcome, *packets))
        self._crumb = crumb
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, most: int) -> bytes:
        taken, self._left = self._left[: min(most, self._crumb)], self._left[min(most, self._crumb) :]
        return taken

    @classmethod
    def raw(cls, data: bytes) -> Script:
        script = cls()
        script._left += data
        return script


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def status(number: int, code: int) -> bytes:
    return bytes([101]) + struct.pack(">II", number, code) + string(b"text") + string(b"en")


def data(number: int, content: bytes) -> bytes:
    return bytes([103]) + struct.pack(">I", number) + string(content)


def attributes(number: int, size: int) -> bytes:
    return bytes([105]) + struct.pack(">IIQI", number, 1 | 4, size, 0o100600)


def test_answers_may_come_in_any_order_and_in_crumbs() -> None:
    conversation = Sftp(Script(data(3, b"c"), data(1, b"a"), data(2, b"b"), crumb=1))
    assert conversation.flight(sftp.lstat("x") for _ in range(3)) == [b"a", b"b", b"c"]
    assert conversation.round_trips == 1


def test_an_answer_that_nobody_waits_for_is_passed_over() -> None:
    conversation = Sftp(Script(status(1, 4), data(2, b"b")))
    conversation.post(sftp.close(Handle(b"h")))
    assert conversation.flight([sftp.lstat("x")]) == [b"b"]


def test_all_is_sent_before_an_answer_is_waited_for() -> None:
    script = Script(*(status(number, 0) for number in range(1, AHEAD + 1)))
    conversation = Sftp(script)
    answers = conversation.answers(sftp.lstat(str(number)) for number in range(AHEAD))
    assert next(answers) == Status(0, "text")
    assert script.sent.count(bytes([7])) >= AHEAD
    assert len(list(answers)) == AHEAD - 1


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x65",
        bytes([101]) + b"\0\0",
        bytes([104]) + struct.pack(">II", 1, 1 << 31),
        bytes([103]) + struct.pack(">II", 1, 1 << 31) + b"x",
        bytes([105]) + struct.pack(">II", 1, 0x80000000) + struct.pack(">I", 1 << 31),
        bytes([77]) + struct.pack(">I", 1),
        bytes(sftp.CHUNK_BYTES * 16),
    ],
)
def test_what_is_no_answer(packet: bytes) -> None:
    with pytest.raises(Garbled):
        Sftp(Script(packet)).flight([sftp.lstat("x")])


def test_answers_that_nobody_asked_for() -> None:
    with pytest.raises(Garbled):
        Sftp(Script(*(status(number, 0) for number in range(5, 500)))).flight([sftp.lstat("x")])


@given(st.binary(max_size=200))
def test_anything_is_an_answer_or_an_end(said: bytes) -> None:
    with contextlib.suppress(Garbled, EOFError):
        Sftp(Script.raw(said)).flight([sftp.lstat("x")])


# -- contents


def read(*packets: bytes, guess: int, most: int = 1 << 20) -> Content | Status:
    return contents(Sftp(Script(*packets)), {"k": Handle(b"h")}, {"k": guess}, most)["k"]


def test_a_file_that_is_what_one_thought() -> None:
    assert read(attributes(1, 3), data(2, b"abc"), guess=3) == Content(Attributes(3, 0o100600), b"abc")


def test_a_file_that_is_larger_or_smaller_by_now() -> None:
    grown = read(attributes(1, 5), data(2, b"abc"), data(3, b"de"), guess=3)
    assert grown == Content(Attributes(5, 0o100600), b"abcde")
    assert read(attributes(1, 2), data(2, b"ab"), guess=3) == Content(Attributes(2, 0o100600), b"ab")


def test_a_server_that_gives_less_than_it_is_asked_for() -> None:
    first, second = bytes(20_000), bytes(20_000)
    found = read(attributes(1, 40_000), data(2, first), data(3, b"\1" * 7_232), data(4, second), guess=40_000)
    assert isinstance(found, Content)
    assert found.data == first + second


def test_a_file_that_ends_before_it_should() -> None:
    found = read(attributes(1, 9), data(2, b"abc"), data(3, b""), guess=9)
    assert found == Content(Attributes(9, 0o100600), b"abc")
    found = read(attributes(1, 900_000), *(status(number, sftp.EOF) for number in range(2, 90)), guess=900_000)
    assert isinstance(found, Content)
    assert found.data == b""


def test_a_server_that_gives_crumbs_is_not_listened_to() -> None:
    def crumbs() -> Iterator[bytes]:
        yield attributes(1, 100_000)
        for number in range(2, 2000):
            yield data(number, b"x")

    with pytest.raises(Garbled, match="tiny pieces"):
        read(*crumbs(), guess=100_000)


def test_a_read_that_fails() -> None:
    assert read(attributes(1, 3), status(2, sftp.FAILURE), guess=3) == Status(sftp.FAILURE, "text")


def test_what_is_asked_now_may_be_heard_with_what_is_asked_next() -> None:
    conversation = Sftp(Script(data(1, b"a"), data(3, b"c"), data(2, b"b"), data(4, b"d")))
    asked = conversation.ask([sftp.lstat("x"), sftp.lstat("y")])
    assert conversation.flight([sftp.lstat("z")]) == [b"c"]
    conversation.forget(asked[:1])
    assert conversation.told(asked[1:]) == [b"b"]
    assert conversation.flight([sftp.lstat("z")]) == [b"d"]
    assert conversation.round_trips == 3, "of which one for what had not come yet"


@pytest.mark.parametrize(("path", "folder"), [("vault/machines/a/head", "vault/machines/a"), ("vault", ".")])
def test_where_a_login_may_not_write_the_folder_to_look_at_is_named(path: str, folder: str) -> None:
    refused = errors.refused(Status(sftp.PERMISSION_DENIED), path, "nas")
    assert isinstance(refused, AccessDenied)
    assert refused.hint.endswith(f": ssh nas ls -ld {folder}")
