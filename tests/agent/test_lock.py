"""One instance per state directory, and a dead one holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from memferry.agent.lock import LOCK_FILE, Holder, StateLock, holder
from memferry.errors import StateError, StateLocked

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and modes")

HOLD = """
import sys
from pathlib import Path
from memferry.agent.lock import StateLock
from memferry.errors import StateLocked
try:
    with StateLock(Path(sys.argv[1]), "run"):
        print("held", flush=True)
        sys.stdin.read()
except StateLocked as error:
    print("locked", flush=True)
    sys.exit(error.exit_code)
"""


@contextmanager
def instance(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that tries to hold `directory` until its stdin ends."""
    command = [sys.executable, "-c", HOLD, str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    with instance(tmp_path) as other:
        assert says(other) == "held"
        with pytest.raises(StateLocked) as caught, StateLock(tmp_path, "push"):
            pytest.fail("two hold one state")
        assert f"memferry run (process {other.pid}) holds the state directory {tmp_path}" in str(caught.value)
        assert str(other.pid) in caught.value.hint
        assert caught.value.exit_code == 3


def test_the_lock_is_free_after_use_and_the_file_stays(tmp_path: Path) -> None:
    for _ in range(2):
        with StateLock(tmp_path, "push"):
            assert holder(tmp_path) == Holder(os.getpid(), "push")
        assert holder(tmp_path) is None
    assert (tmp_path / LOCK_FILE).read_bytes() == b""


def test_one_process_cannot_take_it_twice(tmp_path: Path) -> None:
    with StateLock(tmp_path, "push"), pytest.raises(StateLocked), StateLock(tmp_path, "pull"):
        pytest.fail("taken twice")


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), StateLock(tmp_path, "push"):
        raise ZeroDivisionError
    with StateLock(tmp_path, "push"):
        pass


@posix
def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        with instance(tmp_path) as other:
            assert says(other) == "held"
            other.send_signal(signal.SIGKILL)
            other.wait(10)
            began = time.monotonic()
            assert holder(tmp_path) is None
            with StateLock(tmp_path, "push"):
                assert time.monotonic() - began < 5


@posix
def test_a_stopped_holder_still_holds(tmp_path: Path) -> None:
    with instance(tmp_path) as other:
        assert says(other) == "held"
        other.send_signal(signal.SIGSTOP)
        assert holder(tmp_path) == Holder(other.pid, "run")
        with pytest.raises(StateLocked), StateLock(tmp_path, "push"):
            pytest.fail("two hold one state")


def test_of_ten_that_start_at_once_one_runs_and_nine_leave(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(instance(tmp_path)) for _ in range(10)]
        answers = [says(process) for process in processes]
        assert sorted(answers) == ["held"] + ["locked"] * 9
        codes = [process.wait(10) for process, answer in zip(processes, answers, strict=True) if answer == "locked"]
        assert codes == [3] * 9


def test_looking_at_the_holder_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """A look takes a shared lock for an instant; whoever wants the lock then waits that instant."""
    if sys.platform == "win32":
        pytest.skip("looks through flock")
    import fcntl

    (tmp_path / LOCK_FILE).touch()
    with (tmp_path / LOCK_FILE).open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                fcntl.flock(looking, fcntl.LOCK_UN)

        with StateLock(tmp_path, "push", sleep=sleep):
            assert len(waits) == 2


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with StateLock(tmp_path / "a/state", "push"):
        if sys.platform != "win32":
            assert (tmp_path / "a/state").stat().st_mode & 0o777 == 0o700
            assert (tmp_path / "a/state" / LOCK_FILE).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_used_says_what_to_do(unprivileged: Path) -> None:
    state = unprivileged / "state"
    state.mkdir()
    state.chmod(0)
    with pytest.raises(StateError, match="Permission denied") as caught, StateLock(state, "push"):
        pytest.fail("entered")
    assert "permissions" in caught.value.hint
    with pytest.raises(StateError, match="Permission denied"):
        holder(state)


@posix
def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError), StateLock(tmp_path, "push"):
        pytest.fail("entered")
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"


@posix
def test_a_lock_file_that_was_removed_meanwhile_is_not_locked_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between open and lock the file is replaced: the lock must be on the one that others will find."""
    real = os.open

    def open_and_replace(path: Path, flags: int, mode: int = 0o777) -> int:
        monkeypatch.setattr(os, "open", real)
        descriptor = real(path, flags, mode)
        (tmp_path / LOCK_FILE).unlink()
        (tmp_path / LOCK_FILE).touch()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_replace)
    with StateLock(tmp_path, "push"):
        assert holder(tmp_path) == Holder(os.getpid(), "push")


def test_rubbish_in_the_file_is_no_obstacle(tmp_path: Path) -> None:
    for rubbish in (b"\xff\xfe", b"[]", b'{"pid": "x"}', b"x" * 100_000):
        (tmp_path / LOCK_FILE).write_bytes(rubbish)
        assert holder(tmp_path) is None
        with StateLock(tmp_path, "push"):
            (tmp_path / LOCK_FILE).write_bytes(rubbish)
            assert holder(tmp_path) == Holder(0, "")
