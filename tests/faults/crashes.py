"""B1, B1-SSH, B2, B4: the process dies, or the disk says no."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from memferry.durable import is_temp
from tests.backends import sshd
from tests.faults import oracle
from tests.faults.bar import Trial, bar, meanwhile
from tests.faults.lines import Book, joined
from tests.faults.machine import Answer, Machine, said

LEDGERS = 4
AT_ONCE = 2
TRACED = ("write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "ftruncate")
FAILING = ("write", "pwrite64", "fsync", "fdatasync", "rename", "mkdir")
ERRORS = ("ENOSPC", "EIO", "EDQUOT")


# -- B1


@bar("B1", "kill -9 at random points while a writer appends")
def killed_at_random(trial: Trial) -> None:
    _kill_at_random(trial, Machine(trial.folder("b1")), longest_s=1.2)


@bar("B1-SSH", "kill -9 at random points, the vault encrypted on a server", tools=("sshd", "ssh-keygen"))
def killed_at_random_over_ssh(trial: Trial) -> None:
    with sshd.running(trial.folder("server")) as server:
        vault, backend = server.home / "vault", server.yaml(encryption=None)
        machine = Machine(trial.folder("b1"), vault=vault, backend=backend)
        _kill_at_random(trial, machine, longest_s=2.0)
        temps = [path for path in oracle.files(vault / "machines") if is_temp(path.name)]  # others go with time
        trial.result.expect(not temps, f"{len(temps)} temp files are left on the server")


def _kill_at_random(trial: Trial, machine: Machine, *, longest_s: float) -> None:
    book, chance = Book(trial.seed), random.Random(f"{trial.seed}/B1")
    entries, kills = trial.pick(3000, 50_000), trial.pick(12, 500)
    with appending(machine.space, book, chance, entries, kills):
        for number in range(kills):
            code = killed(machine, ("run", "push")[number % 2], chance.uniform(0.05, longest_s))
            trial.result.expect(code in (0, -9), f"start {number} ended with {code}")
            trial.result.n += 1
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"the last push: {said(answer)}")
    machine.judge(trial.result, book.public, book, f"after {kills} kills")
    machine.check_restore(trial.result, book, f"after {kills} kills")
    verified = machine.call("verify", "--json")
    trial.result.expect(verified.code == 0, f"verify: {said(verified)}")


def killed(machine: Machine, command: str, after_s: float, *, first: Callable[[], None] = lambda: None) -> int:
    """How it ended. `first`: done just before."""
    process = machine.spawn(command)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=after_s)
    first()
    process.kill()
    return process.wait()


@contextlib.contextmanager
def appending(space: Path, book: Book, chance: random.Random, entries: int, kills: int) -> Iterator[None]:
    """Half of the entries lie there at first, the others come while the block runs. All are written at its end."""
    stop = threading.Event()
    ledgers = [space / f"ledger-{number}.jsonl" for number in range(LEDGERS)]
    for ledger in ledgers:
        ledger.write_bytes(joined(book.next(entries // 2 // LEDGERS)))

    def append() -> None:
        while book.serial < entries:
            with open(chance.choice(ledgers), "ab") as file:
                file.write(joined(book.next(max(1, entries // 2 // (kills * 20)))))
            stop.wait(0.03)

    with meanwhile(append, stop):
        yield


# -- B2 and B4: at every system call


class Scene:
    """A sync that is about to be hurt: `first`, or a second one that has something to withdraw, too."""

    def __init__(self, base: Path, seed: int, entries: int, *, second: bool) -> None:
        self.machine = Machine(base)
        self.book = Book(seed)
        self._ledger = self.machine.space / "ledger.jsonl"
        lines = self.book.next(entries)
        self._ledger.write_bytes(joined(lines))
        (self.machine.space / "page.md").write_text(f"# page\n\n{seed:032x} words of this page\n")
        self.book.public.add((self.machine.space / "page.md").read_text())
        self.expected = set(self.book.public)
        if second:
            self._prepare_second(lines)

    def _prepare_second(self, lines: Sequence[str]) -> None:
        """Four more entries, and one that was sent becomes private."""
        answer = self.machine.push()
        if answer.code:
            raise RuntimeError(f"the undisturbed push: {said(answer)}")
        doomed = next(one for one in lines if one in self.book.public)
        flipped = doomed.replace('"project"', '"private"')
        more = self.book.next(4)
        rewritten = [flipped if one == doomed else one for one in lines]
        self._ledger.write_bytes(joined([*rewritten, *more]))
        self.book.public.discard(doomed)
        self.book.private |= {doomed, flipped}
        self.expected = set(self.book.public)

    def hurt(self, *injected: str) -> Answer:
        """`push` under strace. `injected`: its `inject` expressions."""
        prefix = ["strace", "-f", "-qq", "-o", "/dev/null", f"--trace={injected[0].split(':')[0]}"]
        return self.machine.call("push", "--json", prefix=[*prefix, *(f"--inject={one}" for one in injected)])

    def calls(self, names: Sequence[str]) -> Counter[str]:
        """How often an undisturbed push makes each of these calls, in the thread that makes most of them."""
        trace = self.machine.base / "trace"
        self.machine.call("push", prefix=["strace", "-f", "-qq", "-o", str(trace), f"--trace={','.join(names)}"])
        by_thread = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE))
        most: Counter[str] = Counter()
        for (_, name), count in by_thread.items():
            most[name] = max(most[name], count)
        return most


Point = tuple[str, int, bool]


def _points(trial: Trial, names: Sequence[str], entries: int, at_most: int) -> list[Point]:
    """(call, which of them, in the second sync), all of them or an even choice."""
    points: list[Point] = []
    Machine(trial.folder("warm")).push()  # compiles what is not compiled yet, so that no counted push does
    for second in (False, True):
        scene = Scene(trial.folder(f"count-{second}"), trial.seed, entries, second=second)
        points += [(name, n, second) for name, count in scene.calls(names).items() for n in range(1, count + 1)]
    trial.result.notes.append(f"{len(points)} points")
    return points if len(points) <= at_most else random.Random(trial.seed).sample(points, at_most)


def _everywhere(trial: Trial, points: Sequence[Point], attack: Callable[[Scene, Point], None], entries: int) -> None:
    def one(point: Point) -> None:
        name, number, second = point
        attack(Scene(trial.base / f"{name}-{number}-{second}", trial.seed, entries, second=second), point)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, points))


@bar("B2", "kill at every system call of a sync", tools=("strace",))
def killed_at_every_call(trial: Trial) -> None:
    entries = trial.pick(30, 200)
    points = _points(trial, TRACED, entries, trial.pick(40, 1 << 30))

    def attack(scene: Scene, point: Point) -> None:
        name, number, _ = point
        scene.hurt(f"{name}:signal=KILL:when={number}")
        _recover(trial, scene, f"killed at {point}")

    _everywhere(trial, points, attack, entries)


@bar("B4", "no space and I/O errors at every system call of a sync", tools=("strace",))
def refused_at_every_call(trial: Trial) -> None:
    entries = 30
    points = _points(trial, FAILING, entries, trial.pick(24, 1 << 30))
    errors = random.Random(f"{trial.seed}/B4")
    chosen = {point: errors.choice(ERRORS) for point in points}

    def attack(scene: Scene, point: Point) -> None:
        name, number, _ = point
        answer = scene.hurt(f"{name}:error={chosen[point]}:when={number}")
        what = f"{chosen[point]} at {point}"
        trial.result.expect(answer.code != 70 and "Traceback" not in answer.err, f"{what}: {said(answer)}")
        if answer.code == 0:
            scene.machine.judge(trial.result, scene.expected, scene.book, f"{what}, which ended well", closed=False)
        _recover(trial, scene, what)

    _everywhere(trial, points, attack, entries)


def _recover(trial: Trial, scene: Scene, what: str) -> None:
    """A plain start must suffice."""
    trial.result.n += 1
    answer = scene.machine.push()
    trial.result.expect(answer.code == 0, f"{what}: the push after it: {said(answer)}")
    database = scene.machine.state / "state.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        found = connection.execute("pragma integrity_check").fetchone()[0]
    trial.result.expect(found == "ok", f"{what}: integrity_check says {found}")
    scene.machine.judge(trial.result, scene.expected, scene.book, what)
