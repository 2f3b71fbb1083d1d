"""What is shown besides the result: progress on a terminal, logs, words and numbers."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.daemon.notify import Notifier
from memferry.cli import logs, output, progress
from memferry.cli.logfile import LogFile
from memferry.cli.progress import Progress, StatusLine
from memferry.cli.run import _Heart


class Terminal(io.StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


# -- progress


def test_a_terminal_sees_how_far_it_is_and_then_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    terminal = Terminal()
    with Progress(terminal, "push") as tick:
        tick("vault", 1200, 5000)
        terminal.written.clear()
        assert terminal.written.wait(30)
    assert "memferry push · vault 1,200 of 5,000 · 0 s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_what_is_quick_shows_nothing() -> None:
    terminal = Terminal()
    with Progress(terminal, "push") as tick:
        tick("vault", 1, 2)
    assert terminal.getvalue() == ""


def test_a_pipe_sees_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    pipe = io.StringIO()
    with Progress(pipe, "push") as tick:
        tick("vault", 1, 2)
    assert pipe.getvalue() == ""
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_the_line_is_gone_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    terminal = Terminal()

    def fail() -> None:
        with Progress(terminal, "push"):
            assert terminal.written.wait(30)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_a_line_that_stays_moves_the_live_one_down() -> None:
    terminal = Terminal()
    line = StatusLine(terminal)
    line.show("live\x1b[31m" + "x" * 200)
    line.say("stays")
    assert terminal.getvalue().endswith("\r\x1b[2Kstays\nlive\\x1b[31m" + "x" * (79 - len("live\\x1b[31m")))


def test_the_live_line_of_run_adds_up() -> None:
    terminal = Terminal()
    heart = _Heart(StatusLine(terminal), Notifier(None))
    heart.beat({"new": 2, "held": 1, "watching": "inotify", "waiting": {"vault": 3}})
    heart.beat({"new": 1, "held": 0, "watching": "inotify", "waiting": {"vault": 0}})
    first, second = terminal.getvalue().split("\r\x1b[2K")[1:]
    assert first.endswith("watching (inotify) · 2 new · 1 held · vault 3 waiting")
    assert second.endswith("watching (inotify) · 3 new · 1 held · all delivered")


# -- logs


@pytest.fixture
def logger() -> logging.Logger:
    return logging.getLogger("memferry")


@pytest.mark.parametrize(("terminal", "form"), [
    (io.StringIO(), r'ts=\d{4}-\d\d-\d\dT\S+Z level=warning part=agent\.daemon\.run msg="halted: \\"x\\""\n'),
    (Terminal(), r'\d\d:\d\d:\d\d halted: "x"\n'),
])  # fmt: skip
def test_a_log_line_is_for_its_reader(
    monkeypatch: pytest.MonkeyPatch, logger: logging.Logger, terminal: io.StringIO, form: str
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    logs.configure(0)
    logging.getLogger("memferry.agent.daemon.run").warning('halted: "%s"', "x")
    logging.getLogger("memferry.agent.daemon.run").info("not shown")
    logs.configure(0, usual=1)
    assert logger.level == logging.INFO
    logs.configure(5)
    assert logger.level == logging.DEBUG
    assert re.fullmatch(form, terminal.getvalue())


class Full(Terminal):
    """A disk that is, or a reader that is gone."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch, logger: logging.Logger) -> None:
    monkeypatch.setattr("sys.stderr", Full())
    line = StatusLine(sys.stderr)
    logs.configure(0, line)
    line.show("watching")
    logger.warning("halted")
    line.clear()


@pytest.mark.skipif(sys.platform == "win32", reason="closing a pipe is told otherwise there")
def test_nor_does_a_reader_of_it_that_is_gone_change_how_it_ends() -> None:
    code = (
        "import logging, sys; from memferry.cli import logs, main; logs.configure(0);"
        " logging.getLogger('memferry').warning('x'); main.run = lambda argv: 0; sys.exit(main.main())"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-c", code], stderr=writer, check=False, timeout=60)
    os.close(writer)
    assert ended.returncode == 0


# -- words and numbers


SIZES = {
    0: "0 B",
    999: "999 B",
    1000: "1.0 kB",
    999_499: "999.5 kB",
    999_999: "1.0 MB",
    1.5e9: "1.5 GB",
    2e15: "2000.0 TB",
}


@pytest.mark.parametrize(("number", "shown"), SIZES.items())
def test_sizes(number: float, shown: str) -> None:
    assert output.size(number) == shown


def test_counts() -> None:
    assert [output.count(number, "record") for number in (0, 1, 2000)] == ["0 records", "1 record", "2,000 records"]
    assert output.count(2, "memory") == "2 memories"


def test_shares_begin_with_the_largest() -> None:
    assert output.shares({"a": 1, "b": 1000}) == "b 1,000, a 1"


def test_a_time_that_never_was() -> None:
    assert output.moment(None) == "never"
    assert re.fullmatch(r"2026-11-2\d \d\d:\d\d:\d\d", output.moment(1795219200))


@given(st.text())
def test_what_is_shown_is_one_printable_line(text: str) -> None:
    assert output.safe(text).isprintable()


@given(st.lists(st.tuples(st.text(), st.text(), st.text())))
def test_columns_line_up(table: list[tuple[str, str, str]]) -> None:
    lines = list(output.rows(table))
    assert len(lines) == len(table)
    assert all(line.isprintable() for line in lines)


# -- a log file


def test_a_log_file_begins_anew_when_it_is_full_and_keeps_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "memferry.log"
    log = LogFile(path, limit_bytes=100)
    for number in range(30):
        log.write(f"line {number:02} ä\n")
    log.close()
    kept = (tmp_path / "logs" / "memferry.log.1").read_text("utf-8") + path.read_text("utf-8")
    assert kept.splitlines()[-1] == "line 29 ä"
    assert path.stat().st_size <= 100
    assert kept == "".join(f"line {number:02} ä\n" for number in range(30))[-len(kept) :]


def test_a_log_file_that_cannot_be_set_aside_goes_on(tmp_path: Path) -> None:
    """On Windows while somebody looks at it; here because a folder lies in its way."""
    path = tmp_path / "memferry.log"
    (tmp_path / "memferry.log.1").mkdir()
    log = LogFile(path, limit_bytes=30)
    for number in range(9):
        log.write(f"line {number}\n")
    log.close()
    assert path.read_text("utf-8") == "".join(f"line {number}\n" for number in range(9))


def test_a_service_without_a_console_says_in_its_log_why_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "memferry.log"
    command = [sys.executable, "-m", "memferry", "--config", str(tmp_path / "none.yaml"), "run", "--log", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "")
    assert "there is no configuration" in path.read_text("utf-8")
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600


UNFORESEEN = """
import threading
from memferry.cli import logs

class Thrown:
    def __del__(self):
        raise ValueError("a secret text")

def work():
    raise KeyError("a secret text")

logs.configure(0)
thread = threading.Thread(target=work, name="reader")
thread.start()
thread.join()
Thrown()
"""


def test_what_nobody_catches_is_told_without_its_text() -> None:
    done = subprocess.run([sys.executable, "-c", UNFORESEEN], capture_output=True, text=True, check=True, timeout=60)
    assert "secret" not in done.stdout + done.stderr
    assert re.search(r"^memferry: fault: KeyError at \S+ in thread reader$", done.stderr, re.MULTILINE)
    assert re.search(r"^memferry: fault: ValueError at \S+ while winding up$", done.stderr, re.MULTILINE)
