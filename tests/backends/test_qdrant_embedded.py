"""The engine in this process: its lock, its flush, and what its bare exceptions mean."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from memferry.backends.qdrant import rewriting
from memferry.backends.qdrant.backend import open_backend
from memferry.backends.qdrant.embedded import Embedded
from memferry.backends.qdrant.engine import Point, Vector
from memferry.backends.qdrant.settings import Settings
from memferry.backends.qdrant.shards import CONFIG_FILE, LOCK_FILE
from memferry.backends.registry import open_backend as open_any
from memferry.errors import (
    AccessDenied,
    BackendError,
    ConfigError,
    InvalidValue,
    QuotaExceeded,
    TargetRefused,
    TransientError,
)
from memferry.filelock import holder
from tests.backends.qdrant_site import Site
from tests.backends.samples import KEYS, ME, put, puts, retract

ROOT = Path(__file__).resolve().parents[2]
ROW = [1.0, 0.0, 0.0]
VECTOR = Vector("fast-three", 3)
ID = "00000000-0000-5000-8000-000000000001"

OPEN = """
import sys
from pathlib import Path
from memferry.backends.qdrant.embedded import Embedded
from memferry.errors import BackendError
engine = Embedded(Path(sys.argv[1]), name="hub")
try:
    print(engine.look("memory"))
except BackendError as error:
    print(type(error).__name__, error, error.hint)
"""
WRITE = """
import sys
from pathlib import Path
from memferry.backends.qdrant.embedded import Embedded
from memferry.backends.qdrant.settings import Settings
from tests.backends.qdrant_site import Site
from tests.backends.samples import put
path = Path(sys.argv[1])
site = Site(lambda: Embedded(path, name="hub"), Settings(path=str(path)))
for seq in range(1, 10_000):
    site.deliver(put(seq))
    site.journal.rows.clear()
    print(seq, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def engine(path: Path) -> Iterator[Embedded]:
    engine = Embedded(path, name="hub")
    yield engine
    engine.close()


def site_at(path: Path) -> Site:
    return Site(lambda: Embedded(path, name="hub"), Settings(path=str(path)))


def run(script: str, path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )


# -- the lock


def test_a_second_process_is_refused_and_breaks_nothing(path: Path) -> None:
    site = site_at(path)
    site.deliver(*puts(1, 5))
    for _ in range(3):
        said = run(OPEN, path).communicate(timeout=60)[0]
        assert said.startswith("TransientError")
        assert f"in use by memferry qdrant (process {os.getpid()})" in said
        site.deliver(put(site.through + 1))  # its flush is what a second open would break
    assert site.seqs() == list(range(1, 9))
    site.index.close()
    assert run(OPEN, path).communicate(timeout=60)[0].startswith("Collection(")


def test_the_lock_is_held_while_a_shard_is_open_and_no_longer(path: Path) -> None:
    site = site_at(path)
    assert next(iter(site.index.probe())).good
    assert site.index.capacity().points == 0
    assert holder(path / LOCK_FILE) is None, "a look takes nothing"
    site.deliver(put(1))
    assert holder(path / LOCK_FILE) == (os.getpid(), "qdrant")
    site.index.close()
    assert holder(path / LOCK_FILE) is None


def test_how_full_it_is_can_be_asked_beside_its_owner(path: Path) -> None:
    site = site_at(path)
    site.deliver(*puts(1, 5))
    beside = site_at(path)
    capacity = beside.index.capacity()
    assert capacity.points is None
    assert capacity.used_bytes
    (probe,) = beside.index.probe()
    assert probe.good
    assert f"in use by memferry qdrant (process {os.getpid()})" in probe.finding
    beside.index.close()
    site.index.close()


def test_the_folder_is_ours_alone(path: Path) -> None:
    site = site_at(path)
    site.deliver(put(1))
    site.index.close()
    assert path.stat().st_mode & 0o077 == 0


# -- durability


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_what_was_acknowledged_is_there_after_kill_9(path: Path) -> None:
    process = run(WRITE, path)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    acknowledged += map(int, process.communicate(timeout=60)[0].split("\n")[:-1])
    site = site_at(path)
    assert set(acknowledged) <= set(site.seqs())
    site.deliver(put(acknowledged[-1] + 5))
    site.index.close()


class Watched(Embedded):
    """`unflushed`: whether something was written since the last flush, which a power cut would take."""

    unflushed = False

    def _update(self, collection: str, operation: object) -> None:
        self.unflushed = True
        super()._update(collection, operation)  # type: ignore[arg-type]

    def flush(self) -> None:
        super().flush()
        self.unflushed = False


def test_nothing_is_acknowledged_before_it_is_flushed(path: Path) -> None:
    engine = Watched(path, name="hub")
    site = Site(lambda: engine, Settings(path=str(path)))
    for ops in (puts(1, 5), [retract(6, 2)], [put(7)]):
        engine.unflushed = False
        site.deliver(*ops)
        assert not engine.unflushed
    engine.delete("memory", list(site.payloads())[:1])
    assert engine.unflushed
    site.repair()
    assert not engine.unflushed
    site.index.close()


def test_a_collection_that_a_crash_left_half_made_is_made_anew(path: Path) -> None:
    (path / "memory" / "segments").mkdir(parents=True)
    (path / "memory" / "segments" / "half").write_bytes(b"\0")
    site = site_at(path)
    assert site.deliver(put(1)) == (1, {})
    site.index.close()


# -- what was withdrawn


def bytes_of(path: Path) -> bytes:
    return b"".join(one.read_bytes().translate(None, b"\0") for one in sorted(path.rglob("*")) if one.is_file())


def test_what_was_withdrawn_goes_from_the_engines_files(path: Path) -> None:
    site = site_at(path)
    site.deliver(*puts(1, 300), put(301, "SECRET-CANARY", key="s", file="s.md", format="document"))
    whole = site.payloads()
    assert site.tend() == 0
    assert b"SECRET-CANARY" in bytes_of(path), "the search finds what there is"
    site.deliver(retract(302, 301))
    assert b"SECRET-CANARY" in bytes_of(path), "deleting is not enough"
    site.tend()
    assert b"SECRET-CANARY" not in bytes_of(path)
    assert len(site.payloads()) == 300
    assert site.payloads().items() <= whole.items()
    assert site.findings() == []
    site.deliver(put(303))
    site.index.close()
    assert sorted(one.name for one in path.iterdir()) == [LOCK_FILE, "memory"]


def test_withdrawing_all_the_time_does_not_fill_the_time(path: Path) -> None:
    """Each look at the clock takes a second: writing anew takes one, so nine are for other things."""
    seconds = count()
    engine = Embedded(path, name="hub", clock=lambda: float(next(seconds)))
    engine.create("memory", VECTOR)
    later: list[bool] = []
    for _ in range(20):
        engine.put("memory", VECTOR.name, [Point(ID, {"metadata": {"machine": "m", "seq": 1}}, ROW)])
        engine.withdraw("memory", "m", [1])
        later.append(engine.purge("memory"))
    assert later == ([False] + [True] * 8) * 2 + [False, True]
    engine.close()


@pytest.mark.parametrize("step", ["copy", "exchange", "rename", "rmtree"])
def test_a_crash_amid_that_loses_nothing_and_forgets_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    site = site_at(path)
    site.deliver(*puts(1, 5), put(6, "SECRET-CANARY", key="s", file="s.md", format="document"))
    site.deliver(retract(7, 6))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "rename":
            real = Path.rename
            patch.setattr(Path, "rename", lambda self, to: crash() if self.name.endswith(".new") else real(self, to))
        elif step == "rmtree":
            patch.setattr(shutil, "rmtree", crash_behind(shutil.rmtree))
        else:
            patch.setattr(rewriting, step, crash)
        with pytest.raises(KeyboardInterrupt):
            site.tend()
    site.index.close()
    after = site_at(path)
    after.journal, after.through = site.journal, site.through
    assert after.seqs() == [1, 2, 3, 4, 5]
    after.tend()
    assert b"SECRET-CANARY" not in bytes_of(path)
    assert after.findings() == []
    after.index.close()
    assert sorted(one.name for one in path.iterdir()) == [LOCK_FILE, "memory"]


def crash_behind(rmtree: Callable[..., None]) -> Callable[..., None]:
    """Dies instead of removing what was exchanged."""

    def dying(path: Path, **how: object) -> None:
        if path.name.endswith(".old"):
            raise KeyboardInterrupt
        rmtree(path, **how)

    return dying


# -- what goes wrong


def test_without_its_disk_it_waits(tmp_path: Path) -> None:
    site = site_at(tmp_path / "disk" / "hub")
    with pytest.raises(TransientError, match="is not there") as caught:
        site.deliver(put(1))
    assert "mount" in caught.value.hint
    assert not next(iter(site.index.probe())).good
    (tmp_path / "disk").mkdir()
    assert site.deliver() == (1, {})
    site.index.close()


def test_a_damaged_shard_is_refused_and_filled_again(path: Path) -> None:
    site = site_at(path)
    site.deliver(*puts(1, 5))
    site.index.close()
    (path / "memory" / CONFIG_FILE).write_text("junk")
    after = site_at(path)
    after.journal, after.through = site.journal, site.through
    with pytest.raises(TargetRefused, match="is damaged") as caught:
        after.deliver(put(6))
    assert "move" in caught.value.hint
    shutil.move(path / "memory", path.parent / "aside")
    assert all(one.done for one in after.repair())
    after.deliver()
    assert after.seqs() == list(range(1, 7))
    after.index.close()


def test_what_the_engine_never_takes_is_no_reason_to_wait(engine: Embedded) -> None:
    engine.create("memory", VECTOR)
    for point, vector in ((Point(ID, {}, [1.0]), VECTOR.name), (Point(ID, {}, ROW), "fast-other"),
                          (Point("no uuid", {}, ROW), VECTOR.name)):  # fmt: skip
        with pytest.raises(InvalidValue):
            engine.put("memory", vector, [point])
    engine.put("memory", VECTOR.name, [Point(ID, {"document": "good"}, ROW)])
    assert engine.get("memory", [ID]) == {ID: {"document": "good"}}
    with pytest.raises(InvalidValue):
        engine.add_vector("memory", Vector(VECTOR.name, 5))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Service runtime error: IO Error: No space left on device (os error 28)", QuotaExceeded),
        ("failed to create directory: Permission denied (os error 13)", AccessDenied),
        ("IO Error: Read-only file system (os error 30)", AccessDenied),
        ("Service runtime error: IO Error: Failed to deserialize edge_config.json", TargetRefused),
        ("Vector dimension error: expected dim: 4, got 1 SECRET", InvalidValue),
        ("something that nobody has seen yet: SECRET", TransientError),
    ],
)
def test_every_word_of_the_engine_says_what_to_do(
    engine: Embedded, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[BackendError]
) -> None:
    """The engine knows one exception, `Exception`; these are its texts."""
    engine.create("memory", VECTOR)

    class Failing:
        def update(self, operation: object) -> None:
            raise Exception(said)

        def close(self) -> None:
            pass

    engine._shards.open["memory"].close()
    monkeypatch.setitem(engine._shards.open, "memory", Failing())
    with pytest.raises(kind) as caught:
        engine.put("memory", VECTOR.name, [Point(ID, {}, ROW)])
    assert type(caught.value) is kind
    assert caught.value.hint
    assert caught.value.backend == "hub"
    assert "SECRET" not in str(caught.value)


@pytest.mark.skipif(shutil.which("mount") is None or not hasattr(os, "geteuid"), reason="needs Linux")
def test_a_full_disk_is_told_and_costs_nothing(tmp_path: Path) -> None:
    """Without the look at the room, the process would die of SIGBUS here."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        site = site_at(disk / "hub")
        for first in (1, 6):  # before there is a collection, and when there is one
            with open(disk / "ballast", "wb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, 200 << 20)
            site.write(*puts(first, first + 4))
            with pytest.raises(QuotaExceeded, match="MB of room") as caught:
                site.deliver()
            assert "free some space" in caught.value.hint
            (disk / "ballast").unlink()
            assert site.deliver() == (first + 4, {})
        assert site.seqs() == list(range(1, 11))
        assert site.findings() == []
        site.index.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# -- loading


def test_nothing_is_loaded_before_it_is_needed(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from memferry.backends.registry import open_backend;"
        "from memferry.backends.encryption.keys import Keys; from memferry.model import Identity;"
        "me = Identity('a' * 32, 'n', 'e', 'i');"
        f"open_backend('hub', {{'type': 'qdrant', 'url': 'http://localhost:1'}}, me, Keys(Path('no'))).close();"
        f"open_backend('hub', {{'type': 'qdrant', 'path': {str(path)!r}}}, me, Keys(Path('no'))).close();"
        "print(sorted({'qdrant_client', 'qdrant_edge', 'numpy', 'grpc', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
    assert not path.exists()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr("memferry.backends.qdrant.backend.find_spec", lambda name: None)
    for settings, package in (({"path": str(path)}, "qdrant_edge"), ({"url": "http://localhost"}, "qdrant_client")):
        with pytest.raises(ConfigError, match=f"{package} is not installed") as caught:
            open_any("hub", {"type": "qdrant", **settings}, ME, KEYS)
        assert caught.value.hint == 'pip install "memferry[qdrant]"'


def test_who_was_told_nothing_says_so(path: Path) -> None:
    with pytest.raises(ValueError, match="inform"):
        open_backend("hub", {"path": str(path)}, ME, KEYS).deliver([])
