"""Three machines, one vault, random lives: against a plain model of what was written.

After quiet every cleared record that a scan could see is in the vault once, every machine has what the others wrote,
and no private text is anywhere in it. `MEMFERRY_EXAMPLES` sets how many lives are lived (default 25, in CI 30).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from memferry.agent.commands import verbs
from memferry.agent.commands.machines import recover
from memferry.agent.service import opened
from memferry.agent.state.journal import Journal
from memferry.backends.encryption import age
from memferry.backends.encryption.keys import Keys
from memferry.config import Config
from tests.support import config_for

MACHINES = ("ant", "bee", "cat")
machines = st.sampled_from(MACHINES)
ledgers = st.sampled_from(["one.jsonl", "deep/two.jsonl"])
WORDS = (
    "ferry", "harbour", "orchid", "glacier", "pepper", "anchor", "canvas", "lantern", "meadow", "copper", "violin",
    "saddle", "thunder", "walnut",
)  # fmt: skip


class Crash(BaseException):
    """The process died here."""


class Lives(RuleBasedStateMachine):
    encryption = "none"

    @initialize()
    def begin(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="memferry-lives-"))
        self.count = 0
        self.private: set[str] = set()
        self.relabelled: set[str] = set()
        self.public: dict[str, str] = {}  # key -> the machine that wrote it
        self.seen: set[str] = set()
        self.gone: set[str] = set()  # withdrawn by somebody
        self.diaries: dict[str, set[str]] = {}  # machine -> what it wrote into the diary
        self.vault = self.base / "vault"
        for name in MACHINES:
            (self.base / name / "notes" / "deep").mkdir(parents=True)
        if self.encryption == "age":
            self.share_keys()

    def share_keys(self) -> None:
        """The first machine makes the vault; the others join with its recovery key, which is quick."""
        first, *others = MACHINES
        self.write(first, "one.jsonl", self.line(first, private=False) + b"\n")
        self.push(first)
        key = Keys(self.base / first / "state").recovery("vault")
        assert key
        for name in others:
            recover(self.config(name), "vault", key)

    def config(self, machine: str) -> Config:
        return config_for(self.base, machine, more="agent: {settle_ms: 0}\n", encryption=self.encryption)

    def teardown(self) -> None:
        if hasattr(self, "base"):
            try:
                self.check_when_quiet()
            finally:
                shutil.rmtree(self.base)

    # -- what agents do

    @rule(machine=machines, ledger=ledgers, private=st.booleans())
    def append(self, machine: str, ledger: str, private: bool) -> None:
        self.write(machine, ledger, self.line(machine, private=private) + b"\n")

    @rule(machine=machines, ledger=ledgers)
    def fragment(self, machine: str, ledger: str) -> None:
        """Half a line is scanned, then comes the rest."""
        line = self.line(machine, private=False) + b"\n"
        self.write(machine, ledger, line[:40])
        self.push(machine)
        self.write(machine, ledger, line[40:])

    @rule(machine=machines, ledger=ledgers)
    def rotate(self, machine: str, ledger: str) -> None:
        path = self.path(machine, ledger)
        if path.exists():
            path.rename(path.with_name(f"{path.stem}-p{self.next():02}.jsonl"))

    @rule(machine=machines, ledger=ledgers)
    def truncate(self, machine: str, ledger: str) -> None:
        self.look(machine)
        if self.path(machine, ledger).exists():
            self.path(machine, ledger).write_bytes(b"")

    @rule(machine=machines, ledger=ledgers, data=st.data())
    def rewrite(self, machine: str, ledger: str, data: st.DataObject) -> None:
        """Lines change places, and one goes."""
        self.look(machine)
        path = self.path(machine, ledger)
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        if lines:
            shuffled = data.draw(st.permutations(lines))[:-1]
            path.write_bytes(b"".join(line + b"\n" for line in shuffled))

    @rule(machine=machines, ledger=ledgers)
    def relabel(self, machine: str, ledger: str) -> None:
        """What was public becomes private, in place."""
        self.look(machine)
        path = self.path(machine, ledger)
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        public = [n for n, line in enumerate(lines) if json.loads(line)["visibility"] == "project"]
        if public:
            record = json.loads(lines[public[0]])
            record["visibility"] = "private"
            lines[public[0]] = json.dumps(record).encode()
            path.write_bytes(b"".join(line + b"\n" for line in lines))
            self.withdraw(record["id"], record["text"])

    @rule(machine=machines, name=st.sampled_from(["plan.md", "idea.md"]))
    def write_document(self, machine: str, name: str) -> None:
        path = self.path(machine, name)
        path.write_text(f"# {name}\n\n{self.text()}\n")

    @rule(machine=machines)
    def write_diary(self, machine: str) -> None:
        text = self.text()
        self.path(machine, "diary.md").write_text(f"# diary\n\n{text}\n")
        self.diaries.setdefault(machine, set()).add(text)

    @rule(machine=machines)
    def relabel_diary(self, machine: str) -> None:
        """It becomes private as it is now, whoever edited it last: what this machine ever wrote into it goes."""
        path = self.path(machine, "diary.md")
        body = path.read_text() if path.exists() else ""
        if body and not body.startswith("---"):
            path.write_text(f"---\nvisibility: private\n---\n{body}")
            mine = self.diaries.pop(machine, set())
            self.private |= mine
            self.relabelled |= mine

    # -- what memferry does

    @rule(machine=machines)
    def push(self, machine: str) -> None:
        self.look(machine)
        self.run(machine, "push")

    @rule(machine=machines)
    def pull(self, machine: str) -> None:
        self.look(machine)
        self.run(machine, "pull")

    @rule()
    def meet(self) -> None:
        """Everybody hears of everything."""
        for what in ("push", "pull"):
            for machine in MACHINES:
                self.run(machine, what)

    @rule(machine=machines, data=st.data())
    def forget(self, machine: str, data: st.DataObject) -> None:
        mine = sorted(key for key in self.seen - self.gone if self.public.get(key) == machine)
        if mine:
            key = data.draw(st.sampled_from(mine))
            self.look(machine)
            self.run(machine, "forget", targets=[key])
            self.gone.add(key)

    @rule(machine=machines, after=st.integers(0, 4))
    def crash(self, machine: str, after: int) -> None:
        """A push dies somewhere, and the machine starts again."""
        left = [after]
        append = Journal.append

        def dying(journal: Journal, sealed: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            append(journal, sealed)

        self.look(machine)
        Journal.append = dying  # type: ignore[method-assign]
        try:
            self.run(machine, "push")
        except Crash:
            pass
        finally:
            Journal.append = append  # type: ignore[method-assign]

    @invariant()
    def nothing_private_lies_in_the_vault(self) -> None:
        if not hasattr(self, "base"):
            return
        vault = b"".join(self.vault_bytes())
        for text in self.private - self.unsynced_private():
            assert text.encode() not in vault

    # -- when quiet

    def check_when_quiet(self) -> None:
        for _ in range(3):
            for machine in MACHINES:
                self.look(machine)
                self.run(machine, "push", accept_deletions=True)  # else a space in which much vanished goes on waiting
                self.run(machine, "pull")
        self.private_is_nowhere()
        stored = self.stored()
        expected = self.seen - self.gone
        assert expected <= stored.keys(), f"lost: {expected - stored.keys()}"
        doubled = {key: places for key, places in stored.items() if len(places) > 1}
        assert not doubled, f"doubled: {doubled}"
        for machine in MACHINES:
            self.machine_has_everything(machine, expected)

    def private_is_nowhere(self) -> None:
        vault = b"".join(self.vault_bytes())
        for text in self.private:
            assert text.encode() not in vault

    def stored(self) -> dict[str, list[str]]:
        """Ledger keys -> logs that hold a text of theirs."""
        found: dict[str, list[str]] = {}
        for log in sorted(self.vault.glob("machines/*")):
            keys = {
                op["key"]
                for segment in sorted((log / "segments").iterdir())
                for op in map(json.loads, self.plain(segment).split(b"\n")[:-1])
                if op["op"] == "put" and op["key"].startswith("rec-")
            }
            for key in keys:
                found.setdefault(key, []).append(log.name)
        return found

    def machine_has_everything(self, machine: str, expected: set[str]) -> None:
        text = b"".join(path.read_bytes() for path in (self.base / machine / "notes").rglob("*.jsonl"))
        for key in expected:
            if self.public[key] != machine:
                assert key.encode() in text, f"{machine} misses {key}"
        documents = "".join(path.read_text() for path in (self.base / machine / "notes").rglob("*.md"))
        for versions in self.last_documents().values():
            for version in versions:
                assert version in documents, f"{machine} misses a document's version"

    def last_documents(self) -> dict[str, set[str]]:
        """What each machine's own copy says: all of these must be on all machines, as current or as conflict copy."""
        found: dict[str, set[str]] = {}
        for machine in MACHINES:
            for path in (self.base / machine / "notes").glob("[!d]*.md"):  # a diary may stay at home
                found.setdefault(path.name, set()).add(path.read_text())
        return found

    # -- helpers of the model

    def next(self) -> int:
        self.count += 1
        return self.count

    def text(self) -> str:
        number = self.next()
        return " ".join(f"{WORDS[(number * 7 + n) % len(WORDS)]}{number}x{n}" for n in range(8))

    def line(self, machine: str, *, private: bool) -> bytes:
        key, text = f"rec-{self.next():05}", self.text()
        if private:
            self.private.add(text)
        else:
            self.public[key] = machine
        visibility = "private" if private else "project"
        return json.dumps({"id": key, "visibility": visibility, "text": text}).encode()

    def withdraw(self, key: str, text: str) -> None:
        self.gone.add(key)
        self.private.add(text)
        self.relabelled.add(text)

    def unsynced_private(self) -> set[str]:
        """What was public a moment ago may lie in the vault until its machine syncs; that is checked when quiet."""
        return self.relabelled

    def path(self, machine: str, name: str) -> Path:
        return self.base / machine / "notes" / name

    def write(self, machine: str, name: str, data: bytes) -> None:
        with self.path(machine, name).open("ab") as file:
            file.write(data)

    def look(self, machine: str) -> None:
        """What a scan of this machine would see now."""
        for path in (self.base / machine / "notes").rglob("*.jsonl"):
            for line in path.read_bytes().split(b"\n")[:-1]:
                key = json.loads(line)["id"]
                if self.public.get(key) == machine and key not in self.gone:
                    self.seen.add(key)
        self.run_scan(machine)

    def run_scan(self, machine: str) -> None:
        """Really scan, so that what the model counts as seen was seen."""
        self.run(machine, "push")

    @contextmanager
    def agent(self, machine: str) -> Iterator[Any]:
        with opened(self.config(machine), "test") as agent:
            yield agent

    def run(self, machine: str, command: str, **arguments: object) -> dict[str, Any]:
        with self.agent(machine) as agent:
            return verbs.perform(agent, command, arguments)

    def vault_bytes(self) -> Iterator[bytes]:
        for path in sorted(self.vault.rglob("*")):
            if path.is_file():
                yield path.read_bytes()
                if ".zst" in path.suffixes:
                    yield self.plain(path)

    def plain(self, path: Path) -> bytes:
        data = path.read_bytes()
        if self.encryption == "age":
            pin = Keys(self.base / MACHINES[0] / "state").pinned("vault")
            assert pin
            data = age.decrypt(data, [keys.identity for keys in pin.ring.generations])
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            return reader.read()


class EncryptedLives(Lives):
    """The same lives with a vault that nobody else can read; fewer, since what differs is below what they try."""

    encryption = "age"


EXAMPLES = int(os.environ.get("MEMFERRY_EXAMPLES", "30" if os.environ.get("CI") else "25"))
TestLives = pytest.mark.timeout(3600)(Lives.TestCase)
TestLives.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=20, suppress_health_check=list(HealthCheck),
    print_blob=True, derandomize=True,
)  # fmt: skip
TestEncryptedLives = pytest.mark.timeout(3600)(EncryptedLives.TestCase)
TestEncryptedLives.settings = settings(TestLives.settings, max_examples=max(3, EXAMPLES // 8))
