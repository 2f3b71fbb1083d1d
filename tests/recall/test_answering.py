"""Questions to the process that keeps the index open: the same answers, and no answer at any trouble."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Listener
from pathlib import Path

import pytest

import memferry
from memferry.agent.index.answering import Answering
from memferry.config import Config
from memferry.recall import asking
from memferry.recall.answering import serve
from memferry.recall.asking import NOTE
from memferry.recall.line import connected
from memferry.recall.local import searcher
from memferry.recall.meeting import Note, listening, noted
from memferry.recall.search import Answers, Wanted
from tests.agent.machines import Machine

posix = pytest.mark.skipif(sys.platform == "win32", reason="a pipe there, which is no file")


@pytest.fixture
def near() -> Iterator[Path]:
    """A folder with a name so short that a socket fits into it, however many folders the tests themselves lie in."""
    with tempfile.TemporaryDirectory(prefix="mf-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def ant(near: Path) -> Machine:
    ant = Machine(near, "ant")
    said = [{"id": "open", "text": "the harbour is open"}, {"id": "own", "text": "harbour fees", "private": True}]
    ant.write("log.jsonl", "".join(f"{json.dumps(one)}\n" for one in said))
    ant.do("push")
    ant.do("index")
    return ant


@contextlib.contextmanager
def answering(config: Config) -> Iterator[threading.Thread]:
    """In a thread of this process, until the end of the block."""
    parent, end = os.pipe()
    ready = threading.Event()
    thread = threading.Thread(target=serve, args=(config, parent, ready.set))
    thread.start()
    try:
        assert ready.wait(20)
        yield thread
    finally:
        os.close(end)
        thread.join(20)
        os.close(parent)
    assert not thread.is_alive()


def ask(config: Config, query: str, *, shareable: bool = False, tier: str | None = "core") -> Answers | None:
    return asking.ask(config, Wanted(query), shareable=shareable, tier=tier)


def encoded(note: Note) -> bytes:
    return json.dumps(note).encode()


def the_note(machine: Machine) -> Note:
    note = noted(machine.state / NOTE)
    assert note is not None
    return note


def questions_of_other_types(key: str, config: Config) -> Iterator[bytes]:
    """By somebody who knows the key."""
    filters = [None] * 8
    wanted = ["harbour", 10, filters]
    asked = [key, asking.settings_of(config), False, None, wanted]
    for one in ([7, 10, filters], ["harbour", "10", filters], ["harbour", 10, [7, *filters[1:]]], ["harbour", 10], 7):
        yield json.dumps([*asked[:4], one]).encode()
    for number in range(4):
        yield json.dumps([*asked[:number], 7, *asked[number + 1 :]]).encode()


def keys(answers: Answers | None) -> list[str]:
    assert answers is not None
    return sorted(hit.key for hit in answers.hits)


def eventually(found: Callable[[], object], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_answer_is_the_one_that_reading_gives(ant: Machine) -> None:
    with contextlib.closing(searcher(ant.config, shareable=False, tier="core")) as asked:
        read = asked.search(Wanted("harbour fees"))
    with answering(ant.config):
        for _ in range(2):
            found = ask(ant.config, "harbour fees")
            assert found is not None
            assert json.dumps([hit._asdict() for hit in found.hits]) == json.dumps([hit._asdict() for hit in read.hits])


def test_what_may_be_passed_on_is_without_what_is_held(ant: Machine) -> None:
    with answering(ant.config):
        assert keys(ask(ant.config, "harbour")) == ["open", "own"]
        assert keys(ask(ant.config, "harbour", shareable=True)) == ["open"]
        assert keys(ask(ant.config, "harbour")) == ["open", "own"]


def test_what_is_new_withdrawn_or_made_again_is_noticed(ant: Machine) -> None:
    with answering(ant.config):
        assert keys(ask(ant.config, "harbour")) == ["open", "own"]
        ant.append("log.jsonl", {"id": "new", "text": "a new harbour"})
        ant.do("push")
        ant.do("index")
        assert keys(ask(ant.config, "harbour")) == ["new", "open", "own"]
        ant.do("forget", targets=["open"])
        ant.do("index")
        assert keys(ask(ant.config, "harbour")) == ["new", "own"]
        if sys.platform != "win32":  # there the service ends it first
            ant.do("index", rebuild=True)
            ant.append("log.jsonl", {"id": "late", "text": "a late harbour"})
            ant.do("push")
            ant.do("index")
            assert keys(ask(ant.config, "harbour")) == ["late", "new", "own"]


def test_what_cannot_be_answered_is_left_to_the_asker_and_ends_nothing(ant: Machine) -> None:
    with answering(ant.config):
        assert ask(ant.config, "?!") is None  # which is an error that the asker meets, too
        note = the_note(ant)
        for said in (b"", b"\x80\x04\x95", b"{}", b"[" * 9999, *questions_of_other_types(note.key, ant.config)):
            with contextlib.closing(connected(note.address, 5)) as line:
                line.say(said)
                assert json.loads(line.hear(99, 5)) is None
        connected(note.address, 5).close()
        assert keys(ask(ant.config, "harbour")) == ["open", "own"]


def test_nobody_is_answered_who_has_not_read_the_key(ant: Machine) -> None:
    with answering(ant.config):
        note = the_note(ant)
        (ant.state / NOTE).write_bytes(encoded(note._replace(key=secrets.token_hex(32))))
        assert ask(ant.config, "harbour") is None
        (ant.state / NOTE).write_bytes(encoded(note))
        assert keys(ask(ant.config, "harbour")) == ["open", "own"]


def test_one_of_another_version_is_not_asked(ant: Machine) -> None:
    with answering(ant.config):
        note = the_note(ant)
        (ant.state / NOTE).write_bytes(encoded(note._replace(version="0.0.1")))
        assert ask(ant.config, "harbour") is None
        (ant.state / NOTE).write_bytes(encoded(note))


def test_other_settings_end_it_so_that_another_begins_with_them(ant: Machine) -> None:
    other = ant.config._replace(recall=ant.config.recall._replace(recency=0.5))
    with answering(ant.config) as thread:
        assert ask(other, "harbour") is None
        thread.join(20)
        assert not (ant.state / NOTE).exists()


def test_it_ends_when_nobody_asks_and_leaves_nothing_behind(ant: Machine) -> None:
    idle = ant.config._replace(recall=ant.config.recall._replace(idle_s=0.2))
    with answering(idle) as thread:
        thread.join(20)
    assert list(ant.state.glob("answering*")) == []
    assert ask(idle, "harbour") is None


@posix
def test_only_its_user_can_read_the_note_or_connect(ant: Machine, careless: None) -> None:
    process = Answering(ant.config)
    process.begin()
    eventually(lambda: ask(ant.config, "harbour"))
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in ant.state.glob("answering*")}
    process.close()
    assert modes == {".json": 0, ".sock": 0}


@posix
def test_a_state_directory_with_a_long_name_has_its_socket_elsewhere(tmp_path: Path) -> None:
    far = Machine(tmp_path / ("x" * 100), "ant")
    far.write("log.jsonl", '{"id": "open", "text": "harbour"}\n')
    far.do("push")
    far.do("index")
    with answering(far.config):
        assert keys(ask(far.config, "harbour")) == ["open"]
        address = Path(the_note(far).address)
        assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700
    assert not address.parent.exists()


@posix
@pytest.mark.parametrize("after", [b"", b"\x00\x00\x01\x00half of it", None])
def test_one_that_ends_or_stops_amid_the_answer_is_no_answer(
    ant: Machine, after: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None: it says nothing and keeps the line open."""
    monkeypatch.setattr(asking, "PATIENCE_S", 1)
    held = []

    def stop(listener: Listener) -> None:
        with contextlib.suppress(OSError):
            line = listener.accept()
            line.recv_bytes()
            held.append(line)
            if after is not None:
                os.write(line.fileno(), after)
            if not after and after is not None:
                line.close()

    address = str(ant.state / "deaf.sock")
    (ant.state / NOTE).write_bytes(encoded(Note(address, "", memferry.__version__)))
    with Listener(address, "AF_UNIX") as listener:
        thread = threading.Thread(target=stop, args=(listener,))
        thread.start()
        started = time.monotonic()
        assert ask(ant.config, "harbour") is None
        assert time.monotonic() - started < 10
        thread.join(20)
    for line in held:
        line.close()


def test_one_that_was_killed_is_no_answer_and_another_takes_its_place(ant: Machine) -> None:
    process = Answering(ant.config)
    with contextlib.closing(process):
        process.begin()
        eventually(lambda: ask(ant.config, "harbour"))
        assert process._process is not None
        process._process.kill()
        process._process.wait()
        assert ask(ant.config, "harbour") is None
        process.begin()
        eventually(lambda: ask(ant.config, "harbour"))
        assert len(list(ant.state.glob("answering*.sock"))) == (0 if sys.platform == "win32" else 1)
    assert list(ant.state.glob("answering*")) == []


@posix
def test_where_no_socket_can_be_made_it_lies_elsewhere(near: Path) -> None:
    """A folder that is not there refuses one as a share does."""
    with (
        listening(near / "missing", "answering", 1, 20) as (where, listener),
        contextlib.closing(connected(where, 20)),
        contextlib.closing(listener.accept()),
    ):
        assert not where.startswith(str(near))
    assert not Path(where).exists()
