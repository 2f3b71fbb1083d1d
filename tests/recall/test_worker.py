"""A model in its own process: real processes, a real model."""

from __future__ import annotations

import os
import signal
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
from memferry.recall.embed import wire
from memferry.recall.embed.child import Worker
from memferry.recall.embed.minilm import MODEL, MiniLM
from memferry.recall.embed.registry import Choice

TEXT = "We moved the database to the new cluster."


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
    worker = Worker(Choice("http://127.0.0.1:9", "none"))
    with pytest.raises(EmbedderBroken, match=r"endpoint at 127\.0\.0\.1"):
        worker.embed_query(TEXT)
    worker.close()


def test_a_process_that_cannot_start_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, twice."""
    monkeypatch.setattr(sys, "executable", __import__("shutil").which("true") or "true")
    with pytest.raises(EmbedderBroken, match="ends without an answer"):
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
        wire.send(process.stdin, wire.Start(Choice(), 60))
        wire.send(process.stdin, wire.Describe())
        assert wire.answer(process.stdout) == wire.Described(MODEL, True)
    assert process.wait(20) == 0
