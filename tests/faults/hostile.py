"""B34: logs that no memferry writes, all in one vault with an honest one, and a space whose folders turn into links
while a pull writes into them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from memferry.agent.pulling import apply
from memferry.errors import MemferryError
from tests.faults.bar import Trial, bar, meanwhile
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine

MEMORY_KB = 256 << 10
SECONDS = 60.0
MACHINE = {"version": 1, "name": "evil", "epoch": "e", "installation": "i", "sequence": 1, "previous": None}
FILES = (
    "../x{}", "../../x{}", "{outside}/x{}", "a/../../x{}", "a//x{}", "./x{}", "a/./x{}", "{}", "/x{}", "x\0{}",
    "..\\x{}", "C:\\x{}", "C:x{}", "CON{}", "aux{}", "x\n{}", "n" * 300 + "{}", "d/" * 300 + "x{}", "x. {}",
    ".git/x{}", "~/x{}", "\u202ex{}", ".memferry-off/x{}", ".memferry-0123456789abcdef.tmp/x{}", "...{}", "x/..{}",
    "{}/", "-x{}",
)  # fmt: skip
SUFFIXES = (".jsonl", ".md", ".json")
SPACES = ("../notes", "", "notes/../..", "/etc", "NOTES", "notes\0", ".", "notes ", "..", "notes/deep")
NAMES = ("../../evil", "a/b", "", "\x1b[31m", "n" * 150, "n" * 500, "CON", "..", ".", "ant", "bee", "x@y", "a\nb", "x ")
TIMES = ("zz", "", "f" * 16, "-1", "0" * 17, "9" * 400, "0" * 15 + "G", "٠" * 16)
NUMBERS: tuple[dict[str, Any], ...] = (
    {"seq": 1 << 63}, {"seq": -1}, {"seq": 1 << 53}, {"position": 1 << 53}, {"position": -1}, {"position": 1 << 70},
    {"position": 0.5}, {"seq": "1"}, {"tags": "x"}, {"op": "other"}, {"op": None}, {"body": 1}, {"body": None},
)  # fmt: skip
DIGESTS = ("", "0" * 64, "g" * 64, "0" * 63, "A" * 64, "٠" * 64)
HEADS: tuple[dict[str, Any], ...] = (
    {"sequence": 1 << 63}, {"last_seq": 1 << 63}, {"last_seq": -1}, {"version": 99}, {"machine": "0" * 32},
    {"segments": []}, {"segments": None}, {"previous": "x"}, {"epoch": 1}, {"name": None},
)  # fmt: skip
SEGMENTS: tuple[dict[str, Any], ...] = (
    {"size": 1 << 50}, {"size": -1}, {"size": 3}, {"raw": 1 << 50}, {"raw": 3}, {"records": 1 << 52}, {"records": 0},
    {"name": "../../x"}, {"name": "x"}, {"sha256": "0" * 64}, {"first": 9}, {"last": 1 << 53},
)  # fmt: skip


class Log(NamedTuple):
    """A hostile machine's folder in a vault."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    def write(
        self, *lines: bytes, head: dict[str, Any] | None = None, segment: dict[str, Any] | None = None,
        packed: bytes | None = None,
    ) -> Path:  # fmt: skip
        """Whole and consistent, but for what is said. Returns the segment's path."""
        raw = b"".join(line + b"\n" for line in lines)
        data = zstandard.ZstdCompressor().compress(raw) if packed is None else packed
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{1:012}-{len(lines):012}-{sha256[:16]}.jsonl.zst"
        (self.folder / "segments").mkdir(parents=True, exist_ok=True)
        path = self.folder / "segments" / name
        path.write_bytes(data)
        one = {
            "name": name, "first": 1, "last": len(lines), "records": len(lines), "size": len(data), "raw": len(raw),
            "sha256": sha256,
        } | (segment or {})  # fmt: skip
        whole = MACHINE | {"machine": self.id, "last_seq": len(lines), "segments": [one]} | (head or {})
        (self.folder / "head.json").write_text(json.dumps(whole, separators=(",", ":")))
        return path


def put(**fields: Any) -> bytes:
    """One operation, sound but for what is said."""
    body = fields.get("body", "# evil\n")
    text = body if isinstance(body, str) else ""
    one = {
        "op": "put", "seq": 1, "hlc": "01a1fd237a170000", "space": "notes", "key": fields.get("file", "evil.md"),
        "file": "evil.md", "position": 0, "digest": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        "format": "document", "body": body,
    } | fields  # fmt: skip
    return json.dumps(one).encode()


Case = Callable[[Log], object]


def wrote(*lines: bytes, **how: Any) -> Case:
    """A log of these lines."""
    return lambda log: log.write(*lines, **how)


def cases(outside: Path) -> Iterator[Case]:
    """All of them; each makes one log."""
    for file in FILES:
        for suffix in SUFFIXES:
            name = file.replace("{outside}", str(outside)).replace("{}", suffix)
            yield wrote(put(file=name))
            yield wrote(put(file=name, key="k", body='{"id":"k"}'))
    for space in SPACES:
        yield wrote(put(space=space))
    for name in NAMES:
        yield wrote(put(file="log.jsonl", body="{}"), head={"name": name})
    for hlc in TIMES:
        yield wrote(put(hlc=hlc))
    for fields in NUMBERS:
        yield wrote(put(**fields))
    for digest in DIGESTS:
        yield wrote(put(digest=digest))
        yield wrote(put(base=digest, file=f"base-{digest[:4]}.md"))
    for head in HEADS:
        yield wrote(put(), head=head)
    for segment in SEGMENTS:
        yield wrote(put(), segment=segment)
    yield from _named_operations()
    yield from _bodies()
    yield from _sizes()
    yield from _things()
    yield from _collisions()


def _named_operations() -> Iterator[Case]:
    for op in ("retract", "settle"):
        for pair in (["0" * 32, 1 << 64], ["0" * 32, -1], ["../..", 1], ["0" * 32, 1 << 53], ["x"], []):
            one = {"op": op, "seq": 1, "hlc": "01a1fd237a170000", "space": "notes", "ops": [pair]}
            yield wrote(json.dumps(one).encode())
    for machine, through in (("0" * 32, 1 << 70), ("..", 1), ("0" * 32, -1)):
        one = {"op": "sighting", "seq": 1, "hlc": "0" * 16, "machine": machine, "through": through}
        yield wrote(json.dumps(one).encode())


def _bodies() -> Iterator[Case]:
    deep = "[" * 100_000 + "]" * 100_000
    for body in (
        '{"id":"e"},{"id":"f"}',
        '{"id":"e"}]',
        deep,
        f'{{"id":"e","x":{deep}}}',
        "",
        "null",
        '{"id":"other"}',
        "\ud800",
    ):
        yield wrote(put(file="topic.json", key="e", body=body, format="entries"))
        yield wrote(put(file="evil.jsonl", key="e", body=body + "\n{}", format="jsonl"))
    yield wrote(b"[" * 1_000_000)
    yield wrote(b'{"op":"put","seq":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield wrote(put(), put(seq=1), put(seq=2, file="twice.md"))
    yield wrote(put(seq=2), put(seq=1))


def _sizes() -> Iterator[Case]:
    yield wrote(put(), packed=_bomb(1 << 30))
    yield wrote(put(), packed=_bomb(1 << 30), segment={"raw": 200 << 20})
    yield wrote(put(), packed=_bomb(200 << 20), segment={"raw": 200 << 20})
    yield lambda log: os.truncate(log.write(put()), 1 << 40)  # endless: a hole of a terabyte
    yield lambda log: os.truncate(log.write(put()), 7)
    yield wrote(put(), packed=b"")
    yield wrote(put(), packed=os.urandom(5000))
    yield lambda log: _head(log, b"[" * 10_000_000)
    yield lambda log: _head(log, b"")
    yield lambda log: _head(log, b"{}" * 100)
    yield lambda log: os.truncate(_head(log, b"{"), 1 << 40)
    yield wrote(put(), head={"segments": [{"name": "x"}] * 100_000})


def _bomb(size: int) -> bytes:
    """One line of so many bytes, packed."""
    packer = zstandard.ZstdCompressor().compressobj()
    step = b"a" * (1 << 20)
    return b"".join([*(packer.compress(step) for _ in range(size // len(step))), packer.flush()])


def _head(log: Log, data: bytes) -> Path:
    log.write(put())
    path = log.folder / "head.json"
    path.write_bytes(data)
    return path


def _things() -> Iterator[Case]:
    """Something else in place of a file."""

    def fifo(path: Path) -> None:
        os.mkfifo(path)

    def link(path: Path) -> None:
        path.symlink_to("/etc/passwd")

    def loop(path: Path) -> None:
        path.symlink_to(path.name)

    def folder(path: Path) -> None:
        path.mkdir()

    def hard(path: Path) -> None:
        os.link(path.parents[1] / "other" if path.name == "head.json" else path.parents[1] / "head.json", path)

    for make in (fifo, link, loop, folder, hard):
        for target in ("head", "segment"):
            yield partial(_replace, make=make, target=target)
    yield _replace_folder


def _replace(log: Log, make: Callable[[Path], None], target: str) -> None:
    segment = log.write(put())
    path = segment if target == "segment" else log.folder / "head.json"
    path.unlink()
    with suppress(OSError):
        make(path)


def _replace_folder(log: Log) -> None:
    log.write(put())
    away = log.folder.parents[3] / "outside" / log.id
    log.folder.rename(away)
    log.folder.symlink_to(away)


def _collisions() -> Iterator[Case]:
    for one, other in (
        ("Same.md", "same.md"),
        ("caf\u00e9.md", "cafe\u0301.md"),
        ("x.md", "x.md/y.md"),
        ("y/z.md", "y"),
    ):
        yield wrote(put(file=one), put(seq=2, file=other))


# -- the bar


@bar("B34", "hostile logs beside an honest one, and folders that turn into links")
def hostile(trial: Trial) -> None:
    base = trial.folder("b34")
    (base / "outside").mkdir()
    honest, victim = Machine(base / "honest"), Machine(base / "victim")
    victim.config.write_text(
        victim.config.read_text().replace("ant", "bee").replace("path: vault", f"path: {honest.vault}")
    )
    book = Book(trial.seed)
    (honest.space / "ledger.jsonl").write_bytes(joined(book.next(200)))
    honest.push()
    chance = random.Random(trial.seed)
    for make in cases(base / "outside"):
        make(Log(honest.vault / "machines" / f"{chance.getrandbits(128):032x}"))
        trial.result.n += 1
    before = _around(base, victim)
    for attempt in ("the first pull", "the second pull"):
        answer, memory_kb, seconds = _measured(victim)
        trial.result.notes.append(f"{attempt}: {seconds:.1f} s of processor time, {memory_kb >> 10} MB")
        trial.result.expect(answer == 4, f"{attempt} ended with {answer}")
        trial.result.expect(memory_kb <= MEMORY_KB, f"{attempt} took {memory_kb >> 10} MB")
        trial.result.expect(seconds <= SECONDS, f"{attempt} took {seconds:.0f} s")
    trial.result.expect(_around(base, victim) == before, "something outside of the space was written")
    arrived = {line for path in victim.space.glob("ledger@*.jsonl") for line in path.read_text().splitlines()}
    trial.result.lost += len(book.public - arrived)
    _race(trial, base)


_MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime, flush=True)
os._exit(0)
"""


def _measured(machine: Machine) -> tuple[int, int, float]:
    """Exit code, largest memory in kB and processor time in seconds of one pull. A process counts what its parent held
    when it was started, so a small one starts it."""
    with open(machine.logs / "pull.log", "ab") as log:
        told = subprocess.run(
            [sys.executable, "-c", _MEASURE, *machine.command("pull", "--json")],
            cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=log, check=True,
        ).stdout  # fmt: skip
    code, memory_kb, seconds = told.split()
    return int(code), int(memory_kb), float(seconds)


def _around(base: Path, victim: Machine) -> dict[str, str]:
    """Everything that a pull of `victim` must leave alone."""
    mine = (victim.space, victim.state, victim.logs)
    return {
        str(path): f"{path.lstat().st_mtime_ns}-{path.lstat().st_size}"
        for path in base.rglob("*")
        if not any(path.is_relative_to(own) for own in mine) and path not in (victim.base, base)
    }


def _race(trial: Trial, base: Path) -> None:
    """A folder of the space turns into a link to the outside, and back, while documents are written below it."""
    space, outside = base / "race", base / "raced"
    (space / "real").mkdir(parents=True)
    outside.mkdir()
    stop = threading.Event()

    def swap() -> None:
        deep = space / "deep"
        while not stop.is_set():
            with suppress(OSError):
                deep.symlink_to(outside)
                deep.unlink()
                (space / "real").rename(deep)
                deep.rename(space / "real")

    with meanwhile(swap, stop):
        for number in range(trial.pick(300, 10_000)):
            with suppress(MemferryError, OSError):
                apply.write_document(space, f"deep/{number}.md", b"text\n")
            trial.result.n += 1
    escaped = list(outside.iterdir())
    trial.result.expect(not escaped, f"{len(escaped)} documents were written behind the link")
