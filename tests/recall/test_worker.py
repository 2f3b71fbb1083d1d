"""A model in its own process: real processes, a real model."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from memferry.errors import EmbedderBroken
from memferry.recall.embed import rests, wire
from memferry.recall.embed.child import Worker
from memferry.recall.embed.minilm import MODEL, MiniLM
from memferry.recall.embed.registry import Choice
from memferry.recall.line import connected
from memferry.recall.meeting import noted

TEXT = "We moved the database to the new cluster."
NOBODY = Choice("http://127.0.0.1:9", "none")
"""A model that is quickly loaded and never answers."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    found = Worker(Choice())
    yield found
    found.close()


def eventually(claim: Callable[[], bool], limit_s: float = 20) -> bool:
    over = time.monotonic() + limit_s
    while not claim() and time.monotonic() < over:
        threading.Event().wait(0.02)
    return claim()


def pid_of(worker: Worker) -> int:
    assert worker._process is not None
    return worker._process.pid


def test_it_gives_what_the_model_gives(worker: Worker) -> None:
    assert worker.model == MODEL
    np.testing.assert_allclose(
        worker.embed_documents([TEXT, "yes"]), MiniLM().embed_documents([TEXT, "yes"]), atol=1e-4
    )
    assert worker.embed_query(TEXT).shape == (384,)
    assert worker.embed_documents([]).shape == (0, 384)


def test_nothing_runs_before_it_is_asked_and_nothing_after_close() -> None:
    worker = Worker(Choice())
    assert not worker.running
    worker.call(wire.EmbedQuery(TEXT), wire.Vectors)
    process = worker._process
    worker.close()
    assert process is not None
    assert process.returncode == 0


def test_it_ends_when_idle_and_comes_back() -> None:
    worker = Worker(Choice(), idle_s=0.2)
    before = worker.embed_query(TEXT)
    first = pid_of(worker)
    assert eventually(lambda: not worker.running)
    np.testing.assert_array_equal(worker.embed_query(TEXT), before)
    assert pid_of(worker) != first
    worker.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_worker_is_started_again(worker: Worker) -> None:
    before = worker.embed_query(TEXT)
    os.kill(pid_of(worker), signal.SIGKILL)
    np.testing.assert_array_equal(worker.embed_query(TEXT), before)


def test_threads_take_turns(worker: Worker) -> None:
    texts = [f"{number} apples" for number in range(8)]
    expected = [worker.embed_query(text) for text in texts]
    found: dict[str, object] = {}
    threads = [
        threading.Thread(target=lambda text=text: found.update({text: worker.embed_query(text)})) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal([found[text] for text in texts], expected)


def test_its_errors_are_ours(tmp_path: Path) -> None:
    worker = Worker(NOBODY)
    with pytest.raises(EmbedderBroken, match=r"endpoint at 127\.0\.0\.1"):
        worker.embed_query(TEXT)
    worker.close()


def test_a_process_that_cannot_start_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, twice, and rests then."""
    monkeypatch.setattr(sys, "executable", __import__("shutil").which("true") or "true")
    with pytest.raises(EmbedderBroken, match="ended once without an answer"):
        Worker(Choice()).embed_query(TEXT)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_it_ends_with_its_parent() -> None:
    program = """
        import os
        from memferry.recall.embed.child import Worker
        from memferry.recall.embed.registry import Choice
        worker = Worker(Choice())
        worker.embed_query("x")
        print(worker._process.pid, flush=True)
        os._exit(1)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert eventually(lambda: not Path(f"/proc/{int(run.stdout)}").exists())


def test_a_library_that_prints_does_not_get_between_the_answers(tmp_path: Path) -> None:
    """Its stdout is not the pipe any more once it runs."""
    program = """
        import sys
        from memferry.recall.embed import worker
        def noisy(choice):
            print("loading...")
            return original(choice)
        original, worker.made = worker.made, noisy
        worker.main()
    """
    script = tmp_path / "noisy.py"
    script.write_text(textwrap.dedent(program))
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        wire.send(process.stdin, wire.Start(Choice(), 60, None))
        listening = wire.answer(process.stdout)
    assert isinstance(listening, wire.Listening)
    with contextlib.closing(connected(listening.address, 20)) as line:
        assert wire.asked(line, wire.Hello(listening.key, Choice())) == wire.Welcome()
        assert wire.asked(line, wire.Describe()) == wire.Described(MODEL, True)
    assert process.wait(20) == 0


# -- one process for all


def test_who_names_the_same_folder_has_the_same_process(tmp_path: Path) -> None:
    """The service that makes vectors and the process that answers: 200 MB a model."""
    first, second = Worker(Choice(), tmp_path), Worker(Choice(), tmp_path)
    np.testing.assert_array_equal(first.embed_query(TEXT), second.embed_query(TEXT))
    process = first._process
    assert process is not None
    assert second._process is None
    first.close()
    assert process.poll() is None, "the other one is still there"
    second.embed_query("again")
    assert second.running
    second.close()
    assert process.wait(20) == 0
    assert not (tmp_path / wire.NOTE).exists()


def test_who_ask_at_once_start_one(tmp_path: Path) -> None:
    workers = [Worker(Choice(), tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=one.embed_query, args=(TEXT,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one._process is not None for one in workers) == 1
    for one in workers:
        one.close()


def test_a_question_is_answered_while_vectors_are_made(tmp_path: Path) -> None:
    """All texts of a batch would take seconds."""
    maker, asker = Worker(Choice(), tmp_path), Worker(Choice(), tmp_path)
    asker.embed_query(TEXT)
    maker.call(wire.Describe(), wire.Described)
    texts = [" ".join(f"word{n} of {k}" for n in range(40)) for k in range(16)]
    made = threading.Thread(target=maker.call, args=(wire.Read(texts), wire.Readings))
    made.start()
    for number in range(3):
        asker.embed_query(f"question {number}")
    assert made.is_alive(), "it was not waited for"
    made.join()
    for one in (maker, asker):
        one.close()


def test_another_model_has_a_process_of_its_own(tmp_path: Path) -> None:
    one, other = Worker(Choice(), tmp_path), Worker(NOBODY, tmp_path)
    one.embed_query(TEXT)
    with pytest.raises(EmbedderBroken, match="endpoint"):
        other.embed_query(TEXT)
    assert pid_of(one) != pid_of(other)
    assert one.embed_query("it is still there").shape == (384,)
    for worker in (one, other):
        worker.close()


def test_whoever_does_not_know_the_key_is_not_heard(tmp_path: Path) -> None:
    worker = Worker(Choice(), tmp_path)
    worker.embed_query(TEXT)
    note = noted(tmp_path / wire.NOTE)
    assert note is not None
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / wire.NOTE).stat().st_mode) == 0o600
    for hello in (wire.Hello("0" * 64, Choice()), wire.Describe()):
        with contextlib.closing(connected(note.address, 20)) as line, pytest.raises((EOFError, OSError)):
            wire.asked(line, hello)
    worker.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_note_of_a_killed_process_misleads_nobody(tmp_path: Path) -> None:
    first, second = Worker(Choice(), tmp_path), Worker(Choice(), tmp_path)
    first.embed_query(TEXT)
    second.embed_query(TEXT)
    os.kill(pid_of(first), signal.SIGKILL)
    np.testing.assert_array_equal(second.embed_query(TEXT), first.embed_query(TEXT))
    for one in (first, second):
        one.close()


# -- one that dies each time


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every process of a model ends as if it had no memory, and leaves a mark in the file that is returned."""
    marks, program = tmp_path / "marks", tmp_path / "sitecustomize.py"
    program.write_text(f"import os\nopen({str(marks)!r}, 'a').write('x')\nos._exit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    marks.touch()
    return marks


def test_a_model_that_dies_rests_longer_each_time(
    deadly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, now = Worker(Choice(), tmp_path), time.time()
    monkeypatch.setattr(rests.time, "time", lambda: now)
    lengths = []
    for failures in range(1, 9):
        with pytest.raises(EmbedderBroken, match="without an answer"):
            worker.embed_query(TEXT)
        assert len(deadly.read_text()) == 2 * failures, "a try starts it twice: it may have been idle"
        rest = rests.resting(tmp_path, "minilm")
        assert rest is not None
        assert rest.failures == failures
        lengths.append(rest.until - now)
        for _ in range(3):
            with pytest.raises(EmbedderBroken, match="it is tried again after"):
                Worker(Choice(), tmp_path).embed_query(TEXT)
        assert len(deadly.read_text()) == 2 * failures, "and nobody starts it meanwhile, other processes neither"
        now = rest.until
    assert lengths == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_model_that_works_again_has_no_failures(
    deadly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(Choice(), tmp_path)
    with pytest.raises(EmbedderBroken, match="ended once"):
        worker.embed_query(TEXT)
    monkeypatch.delenv("PYTHONPATH")
    later = time.time() + rests.FIRST_S
    monkeypatch.setattr(rests.time, "time", lambda: later)
    assert worker.embed_query(TEXT).shape == (384,)
    assert rests.resting(tmp_path, "minilm") is None
    worker.close()


def test_another_model_does_not_rest_for_it(deadly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbedderBroken):
        Worker(Choice(), tmp_path).embed_query(TEXT)
    monkeypatch.delenv("PYTHONPATH")
    worker = Worker(NOBODY, tmp_path)
    with pytest.raises(EmbedderBroken, match="endpoint"):
        worker.embed_query(TEXT)
    worker.close()
