"""Where it is measured: folders with material, a state and a vault each, made when first asked for."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from bench import corpus
from bench.program import Failed, Program, Ran

DEBOUNCE_MS = 100


class Bench(NamedTuple):
    """One machine with one space. `ledger`: its only file where it has one."""

    folder: Path
    config: Path
    space: Path
    ledger: Path
    vault: Path

    def head(self) -> Path:
        """The head of the machine's log in the vault."""
        found = next(self.vault.glob("machines/*/head.json*"), None)
        if found is None:
            raise Failed(f"nothing was delivered to {self.vault}")
        return found

    def last_seq(self) -> int:
        """How far the vault has acknowledged durably."""
        return int(json.loads(self.head().read_bytes())["last_seq"])

    def forget_sync(self) -> None:
        """As if it had never been synced."""
        for made in (self.folder / "state", self.vault):
            shutil.rmtree(made, ignore_errors=True)


def as_yaml(settings: Mapping[str, object]) -> str:
    """A setting a line, as people write them: of JSON alone, which is YAML too, no quick command knows the state."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


class Lab:
    """Owns the folder below which everything lies. `ledgers`: taken instead of made ones, by number of records."""

    def __init__(
        self, folder: Path, program: Program, say: Callable[[str], None], ledgers: Mapping[int, Path]
    ) -> None:  # fmt: skip
        self.folder = folder
        self.program = program
        self.say = say
        self._ledgers = ledgers
        self._benches: dict[str, Bench] = {}
        self._synced: dict[str, Ran] = {}

    def records(self, count: int) -> Bench:
        """A ledger of `count` records."""
        return self._bench(f"records-{count}", "jsonl", lambda bench: self._write_ledger(bench.ledger, count))

    def records_for(self, name: str, count: int, vault: Path, backends: Mapping[str, Mapping[str, object]]) -> Bench:
        """A ledger of `count` records that goes to `backends`; `vault`: where that lies on this disk."""
        self.say(f"making {name}")
        bench = _bench(self.empty(name), "jsonl", backends)._replace(vault=vault)
        self._write_ledger(bench.ledger, count)
        return bench

    def notes(self, count: int) -> Bench:
        """A tree of `count` Markdown notes."""
        return self._bench(f"notes-{count}", "document", lambda bench: corpus.write_notes(bench.space, count))

    def topics(self) -> Bench:
        """A space of entries, with one of a hundred entries."""
        return self._bench("topics", "entries", lambda bench: corpus.write_topic(bench.space / "bench.json", 100))

    def another(self, bench: Bench) -> Bench:
        """A machine with the same vault, and with nothing yet."""
        folder = self.empty(f"another-{bench.folder.name}")
        made = _bench(folder, "jsonl", {"vault": {"type": "local", "path": str(bench.vault)}}, machine="another")
        return made._replace(vault=bench.vault)

    def synced(self, bench: Bench) -> Ran:
        """The cold sync of a bench, run at the first call."""
        if bench.folder.name not in self._synced:
            self.say(f"cold sync of {bench.folder.name}")
            self._synced[bench.folder.name] = self.program.memferry(bench.config, "push", "--json")
        return self._synced[bench.folder.name]

    def empty(self, name: str) -> Path:
        """A new folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _write_ledger(self, path: Path, count: int) -> None:
        if count in self._ledgers:
            shutil.copyfile(self._ledgers[count], path)
        else:
            corpus.write_ledger(path, count)

    def _bench(self, name: str, format_name: str, fill: Callable[[Bench], None]) -> Bench:
        if name not in self._benches:
            self.say(f"making {name}")
            folder = self.empty(name)
            bench = _bench(folder, format_name, {"vault": {"type": "local", "path": str(folder / "vault")}})
            fill(bench)
            self._benches[name] = bench
        return self._benches[name]


def _bench(
    folder: Path, format_name: str, backends: Mapping[str, Mapping[str, object]], *, machine: str = "bench"
) -> Bench:
    space, vault, config = folder / "space", folder / "vault", folder / "memferry.yaml"
    space.mkdir()
    settings = {
        "machine": machine,
        "state": str(folder / "state"),
        "spaces": [{"name": "bench", "path": str(space), "format": format_name}],
        "backends": backends,
        "agent": {"debounce_ms": DEBOUNCE_MS},
    }
    config.write_text(as_yaml(settings))
    return Bench(folder, config, space, space / "memory.jsonl", vault)


def polled(seconds: float, every_s: float = 0.001) -> Iterator[float]:
    """Look again and again: yields the seconds since the start, until `seconds` are over."""
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        yield passed
        time.sleep(every_s)
