"""Whatever happens to the watcher, the scan is woken; and what went wrong is said once."""

from __future__ import annotations

import errno
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memferry.agent.files.wakes import Wake
from memferry.agent.files.watch import CALM_S, RETRY_S, Watcher

linux = pytest.mark.skipif(sys.platform != "linux", reason="about inotify")
WAIT_S = 20.0


class Woken:
    """The wakes that came, for a test to wait on."""

    def __init__(self) -> None:
        self._wakes: queue.Queue[Wake] = queue.Queue()

    def __call__(self, wake: Wake) -> None:
        self._wakes.put(wake)

    def until(self, fits: Callable[[Wake], bool]) -> list[Wake]:
        """All wakes up to the first that fits."""
        end = time.monotonic() + WAIT_S
        came: list[Wake] = []
        while True:
            came.append(self._wakes.get(timeout=max(0.0, end - time.monotonic())))
            if fits(came[-1]):
                return came

    def until_path(self, path: Path) -> list[Wake]:
        return self.until(lambda wake: wake.paths is not None and path in wake.paths)

    def until_reason(self, reason: str) -> Wake:
        return self.until(lambda wake: wake.reason == reason)[-1]

    def drain(self) -> list[Wake]:
        came = []
        while not self._wakes.empty():
            came.append(self._wakes.get())
        return came


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def space(tmp_path: Path) -> Path:
    (tmp_path / "space").mkdir()
    return tmp_path / "space"


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher(space: Path, woken: Woken, clock: Clock) -> Iterator[Watcher]:
    with Watcher([space], woken, clock=clock) as watching:
        assert watching.mode == "events"
        assert woken.drain() == [Wake(None, "start")]
        yield watching


# -- what wakes


@pytest.mark.usefixtures("watcher")
def test_every_change_of_a_file_names_it(space: Path, woken: Woken) -> None:
    file, other = space / "ledger.jsonl", space / "other"
    file.write_bytes(b"1\n")
    woken.until_path(file)
    with file.open("ab") as opened:
        opened.write(b"2\n")
    woken.until_path(file)
    file.rename(other)
    woken.until_path(other)
    other.unlink()
    woken.until_path(other)


@pytest.mark.usefixtures("watcher")
def test_reading_wakes_nobody(space: Path, woken: Woken) -> None:
    """Else the agent's own scan would wake the agent, for ever."""
    (space / "folder").mkdir()
    (space / "folder/file").write_bytes(b"1")
    woken.until_path(space / "folder/file")
    (space / "mark 1").touch()
    woken.until_path(space / "mark 1")
    for _ in range(3):
        assert [path.read_bytes() for path in space.rglob("file")] == [b"1"]
        os.listdir(space / "folder")
    (space / "mark 2").touch()
    came = woken.until_path(space / "mark 2")
    assert {path for wake in came for path in wake.paths or ()} == {space / "mark 2"}


@pytest.mark.usefixtures("watcher")
def test_a_new_folder_is_watched_and_wakes(space: Path, woken: Woken) -> None:
    (space / "a/b/c").mkdir(parents=True)
    woken.until_path(space / "a")
    (space / "a/b/c/file").write_bytes(b"1")
    woken.until_path(space / "a/b/c/file")


@pytest.mark.usefixtures("watcher")
def test_many_nested_folders_made_at_once(space: Path, woken: Woken, capfd: pytest.CaptureFixture[str]) -> None:
    """Every file is named, or a folder above it; and watchdog's megabytes of warnings stay away."""
    files = [space / f"{number}/a/b/c/file" for number in range(100)]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"1")
    missing = set(files)

    def covered(wake: Wake) -> bool:
        for path in wake.paths or ():
            missing.difference_update([file for file in missing if file.is_relative_to(path)])
        return not missing

    woken.until(covered)
    assert capfd.readouterr().err == ""


@linux
@pytest.mark.usefixtures("watcher")
def test_odd_names_reach_the_scan_as_they_are(space: Path, woken: Woken) -> None:
    for name in (b"caf\xe9", b"line\nbreak", b"x" * 255):
        path = Path(os.fsdecode(os.path.join(os.fsencode(space), name)))
        path.touch()
        woken.until_path(path)


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a right there")
def test_a_root_that_is_a_link_is_watched_under_its_own_name(space: Path, woken: Woken) -> None:
    link = space.parent / "link"
    link.symlink_to(space)
    with Watcher([link], woken):
        (space / "file").touch()
        woken.until_path(link / "file")


def test_several_roots_one_inside_the_other(space: Path, woken: Woken) -> None:
    inner = space / "inner"
    other = space.parent / "other"
    inner.mkdir()
    other.mkdir()
    with Watcher([space, inner, other], woken):
        (other / "file").touch()
        woken.until_path(other / "file")
        (inner / "file").touch()
        woken.until_path(inner / "file")


def test_after_stop_nothing_wakes_and_no_thread_is_left(space: Path, woken: Woken) -> None:
    before = threading.active_count()
    watcher = Watcher([space], woken)
    for _ in range(3):
        watcher.start()
        watcher.stop()
    woken.drain()
    (space / "file").touch()
    watcher.stop()
    assert threading.active_count() == before
    assert woken.drain() == []


@linux
def test_starting_and_stopping_leaks_no_descriptor(space: Path, woken: Woken) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with Watcher([space, space.parent / "missing"], woken):
            pass
    assert sorted(os.listdir("/proc/self/fd")) == before


# -- roots that come and go


def test_a_missing_root_is_watched_when_it_comes(space: Path, woken: Woken, clock: Clock) -> None:
    late = space.parent / "late"
    with Watcher([space, late], woken, clock=clock) as watcher:
        assert watcher.mode == "events"
        assert watcher.unwatched == (late,)
        (space / "file").touch()
        woken.until_path(space / "file")
        late.mkdir()
        watcher.check()
        assert not watcher.unwatched
        woken.until_reason("a space came, went or was replaced")
        (late / "file").touch()
        woken.until_path(late / "file")


def test_a_root_that_was_moved_away_and_made_anew_is_watched_anew(space: Path, woken: Woken, watcher: Watcher) -> None:
    space.rename(space.parent / "old")
    space.mkdir()
    watcher.check()
    woken.until_reason("a space came, went or was replaced")
    (space / "file").touch()
    woken.until_path(space / "file")


def test_a_root_that_was_deleted_and_comes_back(space: Path, woken: Woken, watcher: Watcher, clock: Clock) -> None:
    shutil.rmtree(space)
    clock.now += CALM_S
    watcher.check()
    assert watcher.unwatched == (space,)
    space.mkdir()
    watcher.check()
    woken.drain()
    (space / "file").touch()
    woken.until_path(space / "file")
    assert watcher.mode == "events"


def test_a_thread_that_dies_of_a_root_that_goes_is_no_reason_to_poll(
    space: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(space)
    monkeypatch.setattr("memferry.agent.files.observe.is_alive", lambda observer: False)
    watcher.check()
    assert watcher.mode == "events"
    assert watcher.problem is None


# -- threads that die


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("thread", ["observer", "emitter", "reader"])
def test_a_dead_thread_is_noticed_and_replaced(
    space: Path, woken: Woken, watcher: Watcher, clock: Clock, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    observer = watcher._observer
    assert observer is not None
    if thread == "reader" and not hasattr(observer, "reader"):
        pytest.skip("inotify only")
    emitter = next(iter(observer.emitters))
    dying = {"observer": observer, "emitter": emitter, "reader": getattr(observer, "reader", observer)}[thread]
    method = {"observer": "dispatch_events", "emitter": "queue_events", "reader": "handle_event"}[thread]

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(dying, method, fail)
    (space / "file 1").touch()
    (space / "file 2").touch()
    dying.join(WAIT_S)
    assert not dying.is_alive()
    clock.now += CALM_S
    woken.drain()
    watcher.check()
    woken.until_reason("watcher restarted")
    assert watcher.mode == "events"
    (space / "file 3").touch()
    woken.until_path(space / "file 3")


def test_a_watcher_that_dies_again_at_once_is_given_up_for_a_while(
    space: Path, woken: Woken, watcher: Watcher, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memferry.agent.files.observe.is_alive", lambda observer: False)
    clock.now += CALM_S
    watcher.check()
    assert watcher.mode == "events"
    watcher.check()
    assert watcher.mode == "polling"
    assert watcher.problem is not None
    monkeypatch.undo()
    clock.now += RETRY_S
    watcher.check()
    assert watcher.mode == "events"
    assert watcher.problem is None
    woken.drain()
    (space / "file").touch()
    woken.until_path(space / "file")


def test_check_leaves_a_healthy_watcher_alone(woken: Woken, watcher: Watcher) -> None:
    observer = watcher._observer
    for _ in range(10):
        watcher.check()
    assert watcher._observer is observer
    assert woken.drain() == []


# -- limits


@linux
@pytest.mark.parametrize(
    ("number", "setting"), [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")]
)
def test_a_start_that_is_refused_means_polling_with_one_warning(
    space: Path,
    woken: Woken,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    setting: str,
) -> None:
    from watchdog.observers import inotify_c

    def refuse(*_: object) -> int:
        import ctypes

        ctypes.set_errno(number)
        return -1

    name = "inotify_add_watch" if number == errno.ENOSPC else "inotify_init"
    monkeypatch.setattr(inotify_c, name, refuse)
    threads = threading.active_count()
    with caplog.at_level(logging.WARNING), Watcher([space], woken, clock=clock) as watcher:
        for _ in range(3):
            assert watcher.mode == "polling"
            assert watcher.problem is not None
            assert f"fs.inotify.{setting}" in watcher.problem
            assert f"sysctl fs.inotify.{setting}=" in watcher.hint
            assert threading.active_count() == threads
            clock.now += RETRY_S
            watcher.check()
        assert [record.name for record in caplog.records] == ["memferry.agent.files.watch"]
        assert all(wake.paths is None for wake in woken.drain())
        monkeypatch.undo()
        watcher.check()
        assert watcher.mode == "polling"
        clock.now += RETRY_S
        watcher.check()
        assert (watcher.mode, watcher.problem) == ("events", None)
        (space / "file").touch()
        woken.until_path(space / "file")


@linux
def test_a_folder_inside_that_is_refused_is_not_overlooked(
    space: Path, woken: Woken, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """watchdog itself goes on in silence with a tree that it watches in part."""
    from watchdog.observers import inotify_c

    add = inotify_c.inotify_add_watch

    def refuse_inner(descriptor: int, path: bytes, mask: int) -> inotify_c.WatchDescriptor:
        if path.endswith(b"inner"):
            import ctypes

            ctypes.set_errno(errno.ENOSPC)
            return inotify_c.WatchDescriptor(-1)
        return add(descriptor, path, mask)

    monkeypatch.setattr(inotify_c, "inotify_add_watch", refuse_inner)
    with Watcher([space], woken, clock=clock) as watcher:
        assert watcher.mode == "events"
        (space / "inner").mkdir()
        woken.until_reason("watch limit")
        watcher.check()
        assert watcher.mode == "polling"
        assert "max_user_watches" in str(watcher.problem)
    with Watcher([space], woken, clock=clock) as watcher:
        assert watcher.mode == "polling"


def in_namespace(setting: str, value: int, script: str, space: Path) -> str:
    """Run `script` where the kernel allows `value` of `user.<setting>`: in a user namespace of its own."""
    unshare = shutil.which("unshare")
    set_up = f"echo {value} > /proc/sys/user/{setting} && exec {sys.executable} -c \"$SCRIPT\" '{space}'"
    environment = {
        **os.environ,
        "SCRIPT": textwrap.dedent(script),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    if unshare is None:
        pytest.skip("needs unshare(1)")
    command = [unshare, "--user", "--map-root-user"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces, which this system refuses")
    done = subprocess.run(
        [*command, "sh", "-c", set_up], env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.stderr == "", done.stderr
    return done.stdout


@linux
@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_inotify_watches", 0), ("max_inotify_watches", 1), ("max_inotify_watches", 4), ("max_inotify_instances", 0)],
)
def test_a_real_limit_of_the_kernel(space: Path, setting: str, value: int) -> None:
    for number in range(10):
        (space / f"folder {number}").mkdir()
    script = """
        import logging, sys
        from pathlib import Path
        from memferry.agent.files.watch import Watcher
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s")
        with Watcher([Path(sys.argv[1])], lambda wake: print(wake.paths, wake.reason)) as watcher:
            print(watcher.mode, watcher.problem, watcher.hint)
    """
    *wakes, last = in_namespace(setting, value, script, space).splitlines()  # lines that the script printed
    assert "WARNING" in wakes
    assert "None watching failed" in wakes
    expected = {"max_inotify_watches": "max_user_watches", "max_inotify_instances": "max_user_instances"}[setting]
    assert last.startswith(f"polling this system's limit fs.inotify.{expected} is reached")
    assert f"sudo sysctl fs.inotify.{expected}=" in last


@linux
def test_a_real_limit_reached_later(space: Path) -> None:
    script = """
        import logging, queue, sys
        from pathlib import Path
        from memferry.agent.files.watch import Watcher
        logging.disable()
        space, wakes = Path(sys.argv[1]), queue.Queue()
        with Watcher([space], wakes.put) as watcher:
            print(watcher.mode)
            for number in range(10):
                (space / str(number)).mkdir()
            while wakes.get(timeout=10).reason != "watch limit":
                pass
            watcher.check()
            print(watcher.mode)
    """
    assert in_namespace("max_inotify_watches", 5, script, space) == "events\npolling\n"


# -- lost events


@linux
@pytest.mark.skipif(
    sys.platform == "linux" and int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) > 100_000,
    reason="the kernel's queue is too long to fill in a test",
)
def test_a_stopped_process_that_missed_events_says_so(space: Path) -> None:
    """A process is stopped while more happens than the kernel queues; then it must ask for a whole scan."""
    script = """
        import sys
        from pathlib import Path
        from memferry.agent.files.watch import Watcher
        def tell(wake):
            if wake.reason != "event":
                print(wake.paths, wake.reason, flush=True)
            elif any(path.name == "after" for path in wake.paths):
                print("after", flush=True)
        with Watcher([Path(sys.argv[1])], tell) as watcher:
            sys.stdin.read()
            print(watcher.mode, watcher.overflows >= 1)
    """
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", textwrap.dedent(script), str(space)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "None start\n"
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            with (space / "a").open("ab", 0) as one, (space / "b").open("ab", 0) as other:
                for _ in range(queued // 2 + 1000):
                    one.write(b"1\n")
                    other.write(b"2\n")
            process.send_signal(signal.SIGCONT)
            assert process.stdout.readline() == "None overflow\n"
            (space / "after").touch()
            assert process.stdout.readline() == "after\n"
            process.stdin.close()
            assert process.stdout.readline() == "events True\n"
        finally:
            process.kill()
